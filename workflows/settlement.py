"""Settlement: everything owed to a merchant at a cut, netted into one payout a currency. Domain 6 (netting), X22."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import workflow
from temporalio.exceptions import FailureError

from activities.contract import (
    Batch,
    FormBatch,
    NoteTold,
    Noticed,
    OpenCut,
    Overdue,
    Patience,
    PayBatch,
    Proof,
    ProveBatch,
    SettlementOutcome,
    SettlementRequest,
    TellShortfall,
    Untold,
    WriteOff,
)
from activities.declarations import (
    form_batch,
    note_told,
    open_cut,
    pay_batch,
    prove_batch,
    tell_shortfall,
    write_off,
)
from backhaul.ids import next_key
from backhaul.markdown import table
from backhaul.messages import Ack, ApplyApproval, ExtendDeadline, RetryStep, SkipStep
from backhaul.money import Money
from backhaul.names import LEFT_ALONE, UPDATE_DESCRIPTIONS, Update, WorkflowType
from workflows import details
from workflows.desk import Desk, Parked, reject

HEADS = ("batch", "legs", "net")


class SettlementDesk(Desk):
    """What a settlement shows. Its cycle is told once that it is parked, so that nothing else waits for it."""

    ready = True

    def __init__(self, request: SettlementRequest) -> None:
        super().__init__()
        self.request = request
        self.merchant_id, self.park_s = request.merchant_id, request.park_s
        self.batches: tuple[Batch, ...] = ()
        self._told = False

    def stage_name(self) -> str:
        return "settlement"

    def describe(self) -> str:
        if not self.batches:
            return details.headline(self)
        rows = [(batch.batch, batch.legs, batch.net) for batch in self.batches]
        return f"{details.headline(self)}\n\n{table(HEADS, rows, numbers=frozenset(HEADS[1:]))}"

    async def park(self, reason: str, headline: str, **how: Any) -> Parked:
        await self._tell_cycle()
        return await super().park(reason, headline, **how)

    async def _tell_cycle(self) -> None:
        cycle = workflow.info().parent
        if cycle is None or self._told:
            return
        self._told = True
        try:
            await workflow.get_external_workflow_handle(cycle.workflow_id).signal(LEFT_ALONE, self.merchant_id)
        except FailureError:
            workflow.logger.info("the cycle is over", extra={"merchant_id": self.merchant_id})


@workflow.defn(name=WorkflowType.SETTLEMENT.value, failure_exception_types=[ValidationError])
class Settlement:
    """One merchant at one cut: form the batches once, pay each once; what is overdue waits for a second person."""

    @workflow.init
    def __init__(self, request: SettlementRequest | None = None) -> None:
        if not isinstance(request, SettlementRequest):
            reject("invalid_input", "the start needs a SettlementRequest")
        self.desk = SettlementDesk(request)
        self._patience = request.patience or Patience()
        self._lock = asyncio.Lock()
        self._over: set[str] = set()

    @workflow.run
    async def run(self, request: SettlementRequest | None = None) -> SettlementOutcome:
        """Form, pay, say what was paid and what is short."""
        desk, request = self.desk, self.desk.request
        if request.patience is None:
            cut = await desk.step(open_cut, OpenCut(cut=request.cut, at=workflow.now()))
            self._patience, desk.park_s = cut.patience, cut.park_s
        formed = await desk.step(form_batch, FormBatch(merchant_id=request.merchant_id, cut=request.cut))
        desk.batches = formed.batches
        payable = [batch for batch in formed.batches if batch.payable]
        told = asyncio.gather(*(self._tell(one) for one in formed.untold))
        overdue = asyncio.gather(*(self._overdue(one) for one in formed.overdue))
        paid = await asyncio.gather(*(self._pay(batch) for batch in payable))
        await told
        await overdue
        await workflow.wait_condition(workflow.all_handlers_finished)
        return SettlementOutcome(
            merchant_id=request.merchant_id,
            cut=request.cut,
            paid=tuple(batch.net for batch, done in zip(payable, paid, strict=True) if done),
            shortfall=tuple(-one.net for one in formed.batches if one.net < Money.zero(one.net.currency)),
        )

    async def _pay(self, batch: Batch) -> bool:
        """Pay under the batch's key; under the next one only where the channel ended the last attempt (X21)."""
        payment = PayBatch(batch=batch, patience=self._patience)
        done = await self.desk.effect(pay_batch, payment, key=lambda a: a.batch.payout_key, again=_next_payout)
        return not isinstance(done, Proof) or done.state == "succeeded"

    async def _tell(self, short: Untold) -> None:
        """X22: the shortfall is a receivable for its time from when the merchant was told. One that reaches nobody
        parks: retry sends another, skip says that they were told otherwise, just now."""
        due = workflow.now() + timedelta(seconds=short.receivable_s)
        asked = TellShortfall(
            merchant_id=self.desk.merchant_id, batch=short.batch, amount=short.open, due=due, patience=self._patience
        )
        sent = await self.desk.effect(
            tell_shortfall, asked, again=lambda ended: ended.model_copy(update={"n": ended.n + 1})
        )
        at = sent.at if isinstance(sent, Noticed) else workflow.now()
        await self.desk.step(note_told, NoteTold(batch=short.batch, at=at))

    async def _overdue(self, late: Overdue) -> None:
        """X22: until a second person writes it off, or it was paid in another way."""
        watch = asyncio.create_task(self._watch(late.batch))
        while late.batch not in self._over:
            parked = await self.desk.park(
                "approval_required",
                f"{late.batch}: {late.open} is overdue; payouts are held until it is paid or written off",
                step="write_off",
                effect=True,
                key=late.subject,
                skippable=False,
                freed=lambda: late.batch in self._over,
            )
            if parked.command == "retry":
                await self._look(late.batch)
        await watch

    async def _watch(self, batch: str) -> None:
        """Later sales, a deposit or the merchant may pay it meanwhile: look whenever the alarm would be raised."""
        while batch not in self._over:
            try:
                await workflow.wait_condition(
                    lambda: batch in self._over,
                    timeout=self.desk.park_s,
                    timeout_summary=f"is {batch} still owed?"[:200],
                )
            except TimeoutError:
                await self._look(batch)

    async def _look(self, batch: str) -> None:
        found = await self.desk.step(write_off, WriteOff(batch=batch))
        if not found.open:
            self._over.add(batch)

    # ---- operators -----------------------------------------------------------------------------------------

    @workflow.update(name=Update.RETRY_STEP.value, description=UPDATE_DESCRIPTIONS[Update.RETRY_STEP])
    def retry_step(self, said: RetryStep) -> Ack:
        self.desk.parked_effect(said.step).command = "retry"
        return self._took()

    @retry_step.validator
    def _retry_step_ok(self, said: RetryStep) -> None:
        self.desk.parked_effect(said.step)

    @workflow.update(name=Update.SKIP_STEP.value, description=UPDATE_DESCRIPTIONS[Update.SKIP_STEP])
    async def skip_step(self, said: SkipStep) -> Ack:
        async with self._lock:
            parked = self.desk.parked_effect(said.step)
            batch = next((one for one in self.desk.batches if _same_payout(one.payout_key, parked.key)), None)
            if batch is not None:
                asked = ProveBatch(batch=batch.batch, key=parked.key or "", approval_id=said.approval_id)
                await self.desk.prove(parked, prove_batch, asked)
            parked.command = "skip"
        return self._took()

    @skip_step.validator
    def _skip_step_ok(self, said: SkipStep) -> None:
        parked = self.desk.skippable_effect(said.step)
        if parked.key is not None and not (said.provider_proof or said.approval_id):
            reject("proof_required")

    @workflow.update(name=Update.EXTEND_DEADLINE.value, description=UPDATE_DESCRIPTIONS[Update.EXTEND_DEADLINE])
    def extend_deadline(self, said: ExtendDeadline) -> Ack:
        self.desk.extend(said.seconds)
        return self._took()

    @extend_deadline.validator
    def _extend_deadline_ok(self, said: ExtendDeadline) -> None:
        if not self.desk.parked:
            reject("not_waiting")

    @workflow.update(name=Update.APPLY_APPROVAL.value, description=UPDATE_DESCRIPTIONS[Update.APPLY_APPROVAL])
    async def apply_approval(self, said: ApplyApproval) -> Ack:
        async with self._lock:
            batch = (self._waiting().key or "").partition(":")[2]
            await self.desk.ask_for_update(write_off, WriteOff(batch=batch, approval_id=said.approval_id))
            self._over.add(batch)
        return self._took()

    @apply_approval.validator
    def _apply_approval_ok(self, said: ApplyApproval) -> None:
        self._waiting()

    # ---- shared by the doors ---------------------------------------------------------------------------------

    def _took(self) -> Ack:
        return Ack(stage=self.desk.stage_name())

    def _waiting(self) -> Parked:
        """The write-off that waits longest for a second person."""
        found = next((one for one in self.desk.parked if one.reason == "approval_required"), None)
        if found is None:
            reject("not_waiting")
        return found


def _next_payout(ended: PayBatch) -> PayBatch:
    batch = ended.batch.model_copy(update={"payout_key": next_key(ended.batch.payout_key)})
    return ended.model_copy(update={"batch": batch})


def _same_payout(first: str, key: str | None) -> bool:
    """Are these attempts of one payout? All but the last part is the same."""
    return key is not None and first.rpartition(":")[0] == key.rpartition(":")[0]
