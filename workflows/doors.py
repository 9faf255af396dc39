"""Updates that every workflow with a desk takes from operators: retry, skip under proof, more time, rulings, approvals.

A mixin: the workflow sets `desk` and `lock` at its start. Update handlers of a base class are the workflow's own.
"""

from __future__ import annotations

import asyncio

from temporalio import workflow

from activities.contract import FindApproval, FindRuling, Found, ProveTerminal
from activities.declarations import find_approval, find_ruling, prove_terminal
from backhaul.disputes import DisputeProgress
from backhaul.facts import Party
from backhaul.messages import Ack, ApplyApproval, ApplyRuling, CloseCase, ExtendDeadline, RetryStep, SkipStep
from backhaul.names import DISPUTE_PROGRESS, UPDATE_DESCRIPTIONS, Update
from workflows.case_run import CaseDesk
from workflows.desk import reject
from workflows.stages.ruling import give_time, hand_ruling_on, note_progress


class OperatorDoors:
    """The operators' updates of a workflow about one case."""

    desk: CaseDesk
    lock: asyncio.Lock
    asks_for_ruling: frozenset[str] = frozenset({"ruling_needed", "arbitration_needed"})
    """Why the workflow may be parked when it takes a ruling."""

    @workflow.update(name=Update.RETRY_STEP.value, description=UPDATE_DESCRIPTIONS[Update.RETRY_STEP])
    def retry_step(self, said: RetryStep) -> Ack:
        parked = self.desk.retriable_effect(said.step)
        parked.command = "retry"
        return self._took(parked.pressed(), Party.OPERATOR)

    @retry_step.validator
    def _retry_step_ok(self, said: RetryStep) -> None:
        self.desk.retriable_effect(said.step)

    @workflow.update(name=Update.SKIP_STEP.value, description=UPDATE_DESCRIPTIONS[Update.SKIP_STEP])
    async def skip_step(self, said: SkipStep) -> Ack:
        async with self.lock:
            parked = self.desk.parked_effect(said.step)
            if parked.key is not None:
                request = ProveTerminal(case=self.desk.judged.case, key=parked.key, approval_id=said.approval_id)
                await self.desk.prove(parked, prove_terminal, request)
            parked.command = "skip"
        return self._took(f"skips {parked.step}", Party.OPERATOR)

    @skip_step.validator
    def _skip_step_ok(self, said: SkipStep) -> None:
        parked = self.desk.skippable_effect(said.step)
        if parked.key is not None and not (said.provider_proof or said.approval_id):
            reject("proof_required")

    @workflow.update(name=Update.EXTEND_DEADLINE.value, description=UPDATE_DESCRIPTIONS[Update.EXTEND_DEADLINE])
    async def extend_deadline(self, said: ExtendDeadline) -> Ack:
        await give_time(self.desk, said)
        return self._took(f"{said.seconds} s more", Party.OPERATOR)

    @extend_deadline.validator
    def _extend_deadline_ok(self, said: ExtendDeadline) -> None:
        if self.desk.shown_wait is None and not self.desk.parked:
            reject("not_waiting")

    @workflow.update(name=Update.APPLY_RULING.value, description=UPDATE_DESCRIPTIONS[Update.APPLY_RULING])
    async def apply_ruling(self, said: ApplyRuling) -> Ack:
        async with self.lock:
            self._apply_ruling_ok(said)  # another one may have come in while this one waited
            request = FindRuling(case=self.desk.judged.case, ruling_id=said.ruling_id, appealed=self.appealed())
            found = await self.desk.ask_for_update(find_ruling, request)
            self._apply_ruling_ok(said)
            await self.take_ruling(found)
        return self._took(f"ruling {said.ruling_id}", Party.OPERATOR)

    @apply_ruling.validator
    def _apply_ruling_ok(self, said: ApplyRuling) -> None:
        if not any(parked.reason in self.asks_for_ruling for parked in self.desk.parked):
            reject("not_waiting")

    @workflow.update(name=Update.APPLY_APPROVAL.value, description=UPDATE_DESCRIPTIONS[Update.APPLY_APPROVAL])
    async def apply_approval(self, said: ApplyApproval) -> Ack:
        parked = next((item for item in self.desk.parked if item.reason == "approval_required"), None)
        if parked is None:
            reject("not_waiting")
        request = FindApproval(case=self.desk.judged.case, approval_id=said.approval_id, subject=parked.key or "")
        self.desk.mail.approval = await self.desk.ask_for_update(find_approval, request)
        return self._took(f"approval {said.approval_id}", Party.OPERATOR)

    @apply_approval.validator
    def _apply_approval_ok(self, said: ApplyApproval) -> None:
        if not any(parked.reason == "approval_required" for parked in self.desk.parked):
            reject("not_waiting")

    @workflow.update(name=Update.CLOSE_CASE.value, description=UPDATE_DESCRIPTIONS[Update.CLOSE_CASE])
    def close_case(self, said: CloseCase) -> Ack:
        self.desk.close_reason = said.reason
        return self._took(f"closes: {said.reason}", Party.OPERATOR)

    @close_case.validator
    def _close_case_ok(self, said: CloseCase) -> None:
        if not self.desk.stuck:
            reject("not_parked")
        if self.desk.money_under_way:
            reject("money_under_way")

    # ---- rulings: a workflow that waits for a dispute hands them on ----------------------------------------------

    def appealed(self) -> str | None:
        """The ruling that the one to come must overrule, on an appeal."""
        return self.desk.hearing.start.appealed if self.desk.hearing is not None else None

    async def take_ruling(self, found: Found) -> None:
        """Carry out a ruling that was read. Rejected(`ruling_mismatch`) where it answers another question."""
        await hand_ruling_on(self.desk, found)

    @workflow.signal(name=DISPUTE_PROGRESS)
    def dispute_progress(self, said: DisputeProgress) -> None:
        """The dispute that this workflow waits for says how far it is."""
        note_progress(self.desk, said)

    # ---- shared ------------------------------------------------------------------------------------------------

    def _took(self, what: str, by: Party) -> Ack:
        self.desk.tell(what, by)
        return Ack(stage=self.desk.stage_name())
