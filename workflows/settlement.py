"""Settlement: everything owed to a merchant, netted into one payout per cycle. Domain 6 (netting), J70, J71, J76."""

from __future__ import annotations

import asyncio

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.contract import (
    Batch,
    CycleOutcome,
    CycleRequest,
    FormBatch,
    OpenCut,
    PageMerchants,
    Patience,
    PayBatch,
    SettlementOutcome,
    SettlementRequest,
)
from activities.declarations import form_batch, open_cut, page_merchants, pay_batch
from backhaul.ids import settlement_id
from backhaul.messages import Ack, RetryStep
from backhaul.money import Money
from backhaul.names import UPDATE_DESCRIPTIONS, Update, WorkflowType
from workflows import details
from workflows.desk import Desk, reject


class SettlementDesk(Desk):
    """What a settlement shows."""

    ready = True

    def __init__(self, request: SettlementRequest) -> None:
        super().__init__()
        self.request = request
        self.merchant_id = request.merchant_id
        self.batches: tuple[Batch, ...] = ()

    def stage_name(self) -> str:
        return "settlement"

    def describe(self) -> str:
        rows = "\n".join(f"| {batch.batch} | {batch.legs} | {batch.net} |" for batch in self.batches)
        table = f"\n\n| batch | legs | net |\n|---|---:|---:|\n{rows}" if rows else ""
        return f"{details.headline(self)}{table}"


@workflow.defn(name=WorkflowType.SETTLEMENT.value, failure_exception_types=[ValidationError])
class Settlement:
    """One merchant at one cut: form the batch once, pay it once under its own key."""

    @workflow.init
    def __init__(self, request: SettlementRequest | None = None) -> None:
        if not isinstance(request, SettlementRequest):
            reject("invalid_input", "the start needs a SettlementRequest")
        self.desk = SettlementDesk(request)

    @workflow.run
    async def run(self, request: SettlementRequest | None = None) -> SettlementOutcome:
        """Form, pay, say what was paid and what is short."""
        desk, request = self.desk, self.desk.request
        formed = await desk.step(form_batch, FormBatch(merchant_id=request.merchant_id, cut=request.cut))
        desk.batches = formed.batches
        payable = [batch for batch in formed.batches if batch.payable]
        await asyncio.gather(*(self._pay(batch) for batch in payable))
        short = [-batch.net for batch in formed.batches if batch.net < Money.zero(batch.net.currency)]
        return SettlementOutcome(
            merchant_id=request.merchant_id,
            cut=request.cut,
            paid=tuple(batch.net for batch in payable),
            shortfall=tuple(short),
        )

    async def _pay(self, batch: Batch) -> None:
        payment = PayBatch(batch=batch, patience=self.desk.request.patience)
        await self.desk.effect(pay_batch, payment, key=lambda a: a.batch.payout_key)

    @workflow.update(name=Update.RETRY_STEP.value, description=UPDATE_DESCRIPTIONS[Update.RETRY_STEP])
    def retry_step(self, said: RetryStep) -> Ack:
        self.desk.parked[0].command = "retry"
        return Ack(stage=self.desk.stage_name())

    @retry_step.validator
    def _retry_step_ok(self, said: RetryStep) -> None:
        if not self.desk.parked:
            reject("not_parked")


@workflow.defn(name=WorkflowType.SETTLEMENT_CYCLE.value, failure_exception_types=[ValidationError])
class SettlementCycle:
    """One cycle: store one cut, page through the merchants, at most `page` children at a time."""

    @workflow.init
    def __init__(self, request: CycleRequest | None = None) -> None:
        if not isinstance(request, CycleRequest | None):
            reject("invalid_input", "the start needs a CycleRequest")
        self.desk, self.request = CycleDesk(), request or CycleRequest()

    @workflow.run
    async def run(self, request: CycleRequest | None = None) -> CycleOutcome:
        """Children settle; the next page continues as new with the same cut."""
        request = self.request
        name = request.cut or workflow.info().start_time.strftime("%Y%m%dT%H%M%S")
        cut = await self.desk.step(open_cut, OpenCut(cut=name, at=workflow.now()))
        page = await self.desk.step(page_merchants, PageMerchants(cut=cut.cut, after=request.after, limit=request.page))
        await asyncio.gather(*(self._settle(merchant, cut.cut, cut.patience) for merchant in page.merchants))
        settled = request.settled + len(page.merchants)
        if page.next is not None:
            rest = request.model_copy(update={"cut": cut.cut, "after": page.next, "settled": settled})
            workflow.continue_as_new(rest)
        return CycleOutcome(cut=cut.cut, merchants=settled)

    async def _settle(self, merchant_id: str, cut: str, patience: Patience) -> None:
        """A child that runs already, or has run, is a success: its batch is formed once."""
        try:
            await workflow.execute_child_workflow(
                WorkflowType.SETTLEMENT.value,
                SettlementRequest(merchant_id=merchant_id, cut=cut, patience=patience),
                id=settlement_id(merchant_id, cut),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"Settle {merchant_id} at {cut}",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("settled already", extra={"merchant_id": merchant_id, "cut": cut})


class CycleDesk(Desk):
    """A cycle shows only trouble."""

    def stage_name(self) -> str:
        return "settlement_cycle"

    def describe(self) -> str:
        return details.headline(self)
