"""A stand-in for ReturnCase that answers as told, to prove what the client makes of each answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from backhaul.facts import Party, Text
from backhaul.messages import (
    Ack,
    CaseOutcome,
    CaseStatus,
    CloseCase,
    Decline,
    Explanation,
    FirstDecision,
    MoneyView,
    OpenReturn,
    PickupReport,
    RetryStep,
    TrackingReport,
    WaitView,
    Withdraw,
)
from backhaul.money import Money

NOTHING = Money.zero()
AT = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN: set[str] = set()
"""Orders `O-unknown-...` that have been imported meanwhile."""


def refused(code: str, *, kind: str = "Rejected", field: str | None = None) -> ApplicationError:
    """As the product's own refusals look on the wire."""
    return ApplicationError(
        f"refused: {code}", {"code": code, "message": f"text of {code}", "field": field}, type=kind, non_retryable=True
    )


@workflow.defn(name="ReturnCase", failure_exception_types=[ValidationError])
class StandIn:
    """Opens, refuses what its payloads ask it to refuse, closes on `close_case`."""

    @workflow.init
    def __init__(self, request: OpenReturn) -> None:
        self.request = request
        self.open = True
        self.failure: ApplicationError | None = None
        if request.order_id.startswith("O-unknown") and request.order_id not in KNOWN:
            self.failure = refused("order_unknown", field="order_id")

    @workflow.run
    async def run(self, request: OpenReturn) -> CaseOutcome:
        if self.failure is not None:
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise self.failure
        await workflow.wait_condition(lambda: not self.open)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return CaseOutcome(
            merchant_id=request.merchant_id,
            rma_id=request.rma_id,
            outcome="refunded",
            regions={"refund": "succeeded"},
            refunded=NOTHING,
            withheld=NOTHING,
            indemnified=NOTHING,
            freight=NOTHING,
        )

    @workflow.update
    async def first_decision(self, request_hash: str) -> FirstDecision:
        if self.failure is not None:
            raise self.failure
        return FirstDecision(
            merchant_id=self.request.merchant_id,
            rma_id=self.request.rma_id,
            workflow_id=workflow.info().workflow_id,
            outcome="authorized",
            refundable=Money(minor=120_000),
            rfi=True,
            rdv=True,
            book_version="2026-01",
            text=Text(en="Authorized.", zh="已同意。"),
        )

    @first_decision.validator
    def _same_body(self, request_hash: str) -> None:
        from backhaul.client import request_hash as hash_of

        if request_hash != hash_of(self.request):
            raise refused("return_conflict", field="rma_id")

    @workflow.update
    async def withdraw(self, payload: Withdraw) -> Ack:
        if payload.reason == "bug":
            raise ApplicationError("a bug", type="KeyError", non_retryable=True)
        if payload.reason == "hang":
            await workflow.wait_condition(lambda: not self.open)
        return Ack(stage="closing")

    @withdraw.validator
    def _may_withdraw(self, payload: Withdraw) -> None:
        if payload.reason == "picked up":
            raise refused("already_picked_up")

    @workflow.update
    async def decline(self, payload: Decline) -> Ack:
        raise refused(payload.reason)

    @workflow.update
    async def report_pickup(self, payload: PickupReport) -> Ack:
        return Ack(stage="transit")

    @workflow.update
    async def report_tracking(self, payload: TrackingReport) -> Ack:
        return Ack(stage="transit")

    @workflow.update
    async def retry_step(self, payload: RetryStep) -> Ack:
        raise refused("store_busy", kind="Transient")

    @workflow.update
    async def close_case(self, payload: CloseCase) -> Ack:
        self.open = False
        return Ack(stage="closed")

    @workflow.query
    def status(self) -> CaseStatus:
        money = dict.fromkeys(MoneyView.model_fields, NOTHING)
        return CaseStatus(
            merchant_id=self.request.merchant_id,
            rma_id=self.request.rma_id,
            order_id=self.request.order_id,
            stage="authorizing",
            regions={"authorization": "requested"},
            waiting=WaitView(on=Party.MERCHANT, code="review", since=AT, due=AT + timedelta(hours=48)),
            money=MoneyView(**money),
        )

    @workflow.query
    def explain(self) -> Explanation:
        return Explanation(merchant_id=self.request.merchant_id, rma_id=self.request.rma_id, decisions=())
