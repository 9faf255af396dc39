"""The mechanics every stage of a case uses: waiting, asking activities, parking, and showing it all.

No rule of the domain is decided here. A stage says what it waits for, on whom and until when; this module makes
that wait durable, visible, and impossible to forget (architecture 3.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ActivityError, ApplicationError

from activities.contract import Found, Judgement, Patience, Proof
from activities.declarations import LOCAL, LOCAL_LIMIT, Declared, Effect, Step
from backhaul import names
from backhaul.case import Region, Regions, Situation, Stage, stage_of
from backhaul.errors import CODES
from backhaul.facts import Frozen, Method, Party, Verdict
from backhaul.ids import CaseId
from backhaul.messages import (
    AnswerFinding,
    AttentionView,
    Authorize,
    ConfirmReceipt,
    Decline,
    Escalate,
    EventView,
    OpenReturn,
    PickupReport,
    ProvideWaybill,
    ReportReceiptIssue,
    TrackingReport,
    TrackingStatus,
    Withdraw,
)
from backhaul.money import Money
from workflows import details

A = TypeVar("A", bound=Frozen)
R = TypeVar("R", bound=Frozen)

KEYWORDS = {n: SearchAttributeKey.for_keyword(n) for n in (names.STAGE, names.WAITING_ON, names.ATTENTION)}
MERCHANT_ID = SearchAttributeKey.for_keyword(names.MERCHANT_ID)
ORDER_ID = SearchAttributeKey.for_keyword(names.ORDER_ID)
AMOUNT = SearchAttributeKey.for_int(names.AMOUNT)
DUE_AT = SearchAttributeKey.for_datetime(names.DUE_AT)

MAX_MESSAGES = 500
"""A case takes so many messages, then parks, instead of continuing as new (architecture 3.7)."""
MAX_EVENTS = 100


@dataclass(frozen=True)
class Trouble:
    """Why an activity ended without a result: a code of backhaul.errors, and its text."""

    code: str
    message: str


@dataclass
class Wait:
    """One present wait."""

    on: Party
    code: str
    since: datetime
    due: datetime | None


@dataclass
class Parked:
    """One parked step, and the command that will free it."""

    step: str
    reason: str
    headline: str
    since: datetime
    due: datetime
    effect: bool
    money: bool
    key: str | None
    skippable: bool = True
    command: str | None = None
    proof: Proof | None = None
    alarms: int = 0


@dataclass
class Mailbox:
    """What the parties have said and the story has not yet read."""

    pickups: list[PickupReport] = field(default_factory=list)
    trackings: list[TrackingReport] = field(default_factory=list)
    withdraw: Withdraw | None = None
    withdraw_at: datetime | None = None
    authorize: Authorize | None = None
    decline: Decline | None = None
    escalate: Escalate | None = None
    finding: AnswerFinding | None = None
    waybill: ProvideWaybill | None = None
    confirm: ConfirmReceipt | None = None
    issue: ReportReceiptIssue | None = None
    ruling: Found | None = None
    approval: Found | None = None


@dataclass
class Sums:
    """The case's money as the story knows it; the ledger is the truth."""

    refunded: int = 0
    under_way: int = 0
    withheld: int = 0
    indemnified: int = 0
    freight: int = 0


class CloseRequested(Exception):
    """An operator closes a parked case that has no money under way."""


def trouble_of(error: ActivityError) -> Trouble:
    """Read the coded error out of a failed activity. Never from its text."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        first = cause.details[0] if cause.details else None
        if isinstance(first, dict) and first.get("code") in CODES:
            return Trouble(str(first["code"]), str(first.get("message") or CODES[str(first["code"])]))
        return Trouble("step_failed", f"{cause.type}")
    return Trouble("no_answer", "The step did not answer in time.")


class CaseRun:
    """One running case: its state, and how it waits, asks and parks."""

    def __init__(self, request: OpenReturn) -> None:
        self.request = request
        self.id = CaseId(request.merchant_id, request.rma_id)
        self.regions = Regions()
        self.mail = Mailbox()
        self.sums = Sums()
        self.judgement: Judgement | None = None
        self.events: list[EventView] = []
        self.verdicts: list[Verdict] = []
        self.seen: set[str] = set()
        self.messages = 0
        self.parked: list[Parked] = []
        self.wait_now: Wait | None = None
        self.waybill: str | None = None
        self.pickup_id: str | None = None
        self.courier: str | None = None
        self.closed = False
        self.close_reason: str | None = None
        self.outcome: str | None = None
        self.recovery: str | None = None
        self.credit_open = False
        self.cancel_wanted = False
        self.self_ship = request.method is Method.SELF_SHIP
        self.scan_known = False
        self.moved_at: datetime | None = None
        self._extended = False
        self._shown: dict[str, Any] = {}
        self._tasks: list[asyncio.Task[None]] = []

    # ---- what is known -------------------------------------------------------------------------------------

    @property
    def judged(self) -> Judgement:
        """The first judgement; stages after it may rely on it."""
        if self.judgement is None:
            raise RuntimeError("the case is not judged yet")
        return self.judgement

    @property
    def stage(self) -> Stage:
        """The derived stage."""
        return stage_of(self.regions, self.closed)

    @property
    def patience(self) -> Patience:
        """When to look again while a provider's answer is open (X18), from the case's own book."""
        return Patience(delays_s=self.judged.terms.lookup_delays_s)

    @property
    def money_under_way(self) -> bool:
        """Is any money of this case between two places?"""
        refund = self.regions[Region.REFUND] in {"held", "due", "submitted", "abnormal"}
        indemnity = self.regions[Region.INDEMNITY] not in {"none", "paid", "denied"}
        return refund or indemnity or self.credit_open

    def situation(self) -> Situation:
        """What decides which updates are possible now (backhaul.case.refusal)."""
        return Situation(
            regions=self.regions,
            closed=self.closed,
            waiting_for=self.wait_now.code if self.wait_now else None,
            parked=frozenset(parked.reason for parked in self.parked),
            parked_effect=any(p.effect for p in self.parked),
            self_ship=self.self_ship,
            waybill_known=self.mail.waybill is not None,
            may_decline=self.judgement.may_decline if self.judgement else True,
            withdrawing=self.mail.withdraw is not None or self.scan_known,
            money_under_way=self.money_under_way,
            has_deadline=self.wait_now is not None and self.wait_now.due is not None,
        )

    def receive_pickup(self, report: PickupReport) -> bool:
        """Keep a courier's visit once, whichever way it came. False: known already."""
        if report.event_id in self.seen:
            return False
        self.seen.add(report.event_id)
        self.mail.pickups.append(report)
        return True

    def receive_tracking(self, report: TrackingReport) -> bool:
        """Keep one movement once; it also moves the clock that looks for lost parcels. False: known already."""
        if report.event_id in self.seen:
            return False
        self.seen.add(report.event_id)
        self.mail.trackings.append(report)
        self.moved_at = max(report.occurred_at, self.moved_at or report.occurred_at)
        if report.status is TrackingStatus.IN_TRANSIT and self.regions[Region.LOGISTICS] == "picked_up":
            self.regions.to(Region.LOGISTICS, "in_transit")
        return True

    def money(self, minor: int) -> Money:
        """An amount in the case's currency."""
        return Money(minor=minor, currency=self.judged.refundable.currency)

    def tell(self, what: str, by: Party) -> None:
        """Keep one event for people: views show the last ones."""
        self.events.append(EventView(at=workflow.now(), what=what, by=by))
        del self.events[:-MAX_EVENTS]

    # ---- showing -------------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Search attributes (only what changed, in one command) and the details for the UI."""
        wait, parked = self.wait_now, self.parked[0] if self.parked else None
        due = parked.due if parked else (wait.due if wait else None)
        shown: dict[str, Any] = {
            names.STAGE: self.stage.value,
            names.WAITING_ON: Party.OPERATOR.value if parked else (wait.on.value if wait else None),
            names.ATTENTION: parked.reason if parked else None,
            names.DUE_AT: due,
        }
        changed = {name: value for name, value in shown.items() if self._shown.get(name) != value}
        updates: list[Any] = []
        for name, value in changed.items():
            if name == names.DUE_AT:
                updates.append(DUE_AT.value_unset() if value is None else DUE_AT.value_set(value))
            else:
                key = KEYWORDS[name]
                updates.append(key.value_unset() if value is None else key.value_set(names.clamp(value)))
        if not self._shown and self.judgement is not None:
            updates.append(MERCHANT_ID.value_set(names.clamp(self.id.merchant_id)))
            updates.append(ORDER_ID.value_set(names.clamp(self.request.order_id)))
            updates.append(AMOUNT.value_set(self.judgement.refundable.minor))
        if updates:
            workflow.upsert_search_attributes(updates)
            self._shown = shown
        workflow.set_current_details(details.render(self))

    # ---- waiting -------------------------------------------------------------------------------------------

    async def wait(self, on: Party, code: str, due: datetime, until: Callable[[], bool]) -> bool:
        """Wait until the condition holds (True) or the deadline is reached (False).

        An answer that arrives in the same workflow task as the timer counts as an answer. An operator may extend
        the deadline; the wait then goes on to the new one. A cancel request from outside parks the case here."""
        self.wait_now = Wait(on, code, workflow.now(), due)
        answered = await self._wait_until(until)
        self.wait_now = None
        return answered

    async def _wait_until(self, until: Callable[[], bool]) -> bool:
        wait = self.wait_now
        assert wait is not None
        while not until():
            if self.cancel_wanted:
                self.cancel_wanted = False
                await self.park(
                    "cancel_requested", "Somebody asked to cancel after the courier had the goods", step="cancel"
                )
                continue
            left = self._due_in()
            if left <= timedelta(0):
                return False
            self.publish()
            self._extended = False
            try:
                await workflow.wait_condition(
                    lambda: until() or self._extended or self.cancel_wanted,
                    timeout=left,
                    timeout_summary=f"{wait.code}: waits on {wait.on.value}",
                )
            except TimeoutError:
                continue
        return True

    def _due_in(self) -> timedelta:
        if self.wait_now is None or self.wait_now.due is None:
            return timedelta(0)
        return self.wait_now.due - workflow.now()

    def extend(self, seconds: int) -> None:
        """Give the present wait, and what is parked, more time."""
        more = timedelta(seconds=seconds)
        if self.wait_now is not None and self.wait_now.due is not None:
            self.wait_now.due += more
        for parked in self.parked:
            parked.due += more
        self._extended = True

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let independent work go on beside the story; `join` waits for it before the close."""
        self._tasks.append(asyncio.create_task(work))

    async def join(self) -> None:
        """Wait for all spawned work. Its bugs fail the workflow task, as bugs of the story do."""
        while self._tasks:
            await self._tasks.pop(0)

    # ---- asking --------------------------------------------------------------------------------------------

    async def step(self, declared: Step[A, R], argument: A) -> R:
        """Ask our own database: locally within two seconds, then as a regular activity, then park (architecture 4).

        Raises ApplicationError(`Rejected`) only while the case is not judged yet: a start that cannot be judged fails."""
        try:
            raw = await workflow.execute_local_activity(
                declared.name,
                argument,
                schedule_to_close_timeout=LOCAL_LIMIT,
                retry_policy=LOCAL,
                summary=declared.summary(argument)[:200],
            )
            return declared.result.model_validate(raw)
        except ActivityError as error:
            if self.judgement is None and isinstance(error.cause, ApplicationError) and error.cause.non_retryable:
                raise error.cause from None
        except ValidationError:
            pass
        result = await self._ask(declared, argument, key=None, money=False, skippable=False)
        if isinstance(result, Proof):
            raise RuntimeError(f"{declared.name} cannot be skipped")
        return result

    async def effect(
        self, declared: Effect[A, R], argument: A, *, key: str | None = None, money: bool = False
    ) -> R | Proof:
        """Ask the world outside. When retries end the case parks; an operator's retry goes on under the same key,
        a skip returns the Proof under which it was skipped (for money: the provider's, or an approval)."""
        return await self._ask(declared, argument, key=key, money=money, skippable=True)

    async def _ask(
        self, declared: Declared[A, R], argument: A, *, key: str | None, money: bool, skippable: bool
    ) -> R | Proof:
        while True:
            try:
                raw = await workflow.execute_activity(
                    declared.name,
                    argument,
                    task_queue=declared.queue,
                    start_to_close_timeout=declared.start_to_close,
                    heartbeat_timeout=declared.heartbeat,
                    retry_policy=declared.retry,
                    summary=declared.summary(argument)[:200],
                )
                return declared.result.model_validate(raw)
            except ActivityError as error:
                trouble = trouble_of(error)
            except ValidationError as error:
                trouble = Trouble("provider_malformed", f"{declared.name}: {error.error_count()} fields do not fit")
            if self.judgement is None:
                raise ApplicationError(trouble.message, {"code": trouble.code}, type="Transient", non_retryable=True)
            parked = await self.park(
                trouble.code,
                trouble.message,
                step=declared.name,
                effect=True,
                money=money,
                key=key,
                skippable=skippable,
            )
            if parked.command == "skip":
                return parked.proof or Proof(key=key or declared.name, state="skipped")

    # ---- parking -------------------------------------------------------------------------------------------

    async def park(
        self,
        reason: str,
        headline: str,
        *,
        step: str,
        effect: bool = False,
        money: bool = False,
        key: str | None = None,
        skippable: bool = True,
        freed: Callable[[], bool] | None = None,
        within_s: float | None = None,
    ) -> Parked:
        """Say that a human is needed, why, and what to send; go on when freed.

        Its deadline raises the alarm again (and again): a parked case is never silent. `freed` is a condition beside
        the operator's commands, such as the arrival of a ruling. Raises CloseRequested when an operator closes."""
        span = timedelta(seconds=within_s or self.judged.terms.park_s)
        now = workflow.now()
        parked = Parked(step, reason, headline, now, now + span, effect, money, key, skippable)
        self.parked.append(parked)
        free = freed or (lambda: False)
        while not (free() or parked.command or self.close_reason):
            left = parked.due - workflow.now()
            if left <= timedelta(0):
                parked.alarms += 1
                parked.due = workflow.now() + span
                left = span
            self.publish()
            self._extended = False
            try:
                await workflow.wait_condition(
                    lambda: free() or bool(parked.command or self.close_reason) or self._extended,
                    timeout=left,
                    timeout_summary=f"parked, {reason}: {headline}"[:200],
                )
            except TimeoutError:
                workflow.logger.warning("still parked", extra={"reason": reason, "step": step})
        self.parked.remove(parked)
        self.publish()
        if self.close_reason:
            raise CloseRequested
        return parked

    def attention(self) -> AttentionView | None:
        """The oldest parked step, for views."""
        if not self.parked:
            return None
        parked = self.parked[0]
        return AttentionView(
            reason=parked.reason,
            headline=parked.headline,
            step=parked.step,
            since=parked.since,
            due=parked.due,
            send=details.what_to_send(parked),
            runbook=details.runbook(parked.reason),
        )


def attributes_at_start(merchant_id: str, order_id: str) -> TypedSearchAttributes:
    """Search attributes of a workflow that is not a case but belongs to one."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(MERCHANT_ID, names.clamp(merchant_id)),
            SearchAttributePair(ORDER_ID, names.clamp(order_id)),
        ]
    )
