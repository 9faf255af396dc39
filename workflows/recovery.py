"""Recovery: getting an indemnity back from the party who is liable. Domain 4.5, 6 (J40 to J55), X26 to X28.

Started by a case, carried on without it: it is never the merchant's work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from pydantic import ValidationError
from temporalio import workflow

from activities.contract import EndRecovery, Found, RecoveryOutcome, StartRecovery
from activities.declarations import end_recovery
from backhaul.facts import Liable
from backhaul.names import Query, WorkflowType
from backhaul.recoveries import RecoveryStatus
from workflows.desk import CloseRequested, reject
from workflows.doors import OperatorDoors
from workflows.recovery_run import OWED, UNCOLLECTABLE, RecoveryRun
from workflows.stages.from_carrier import from_carrier
from workflows.stages.from_consumer import from_consumer


@workflow.defn(name=WorkflowType.RECOVERY.value, failure_exception_types=[ValidationError])
class Recovery(OperatorDoors):
    """One indemnity on its way back to the insurer, or a refund by lightning on its way back to us."""

    asks_for_ruling = frozenset({"claim_contested", "uncollectable", "given_up", "no_answer"})

    @workflow.init
    def __init__(self, request: StartRecovery | None = None) -> None:
        if not isinstance(request, StartRecovery):
            reject("invalid_input", "the start needs a StartRecovery")
        self.desk: RecoveryRun = RecoveryRun(request, workflow.info().start_time)
        self.lock = asyncio.Lock()

    @workflow.run
    async def run(self, request: StartRecovery | None = None) -> RecoveryOutcome:
        """Withheld money is remitted at once; the rest is demanded, collected and remitted, or written off."""
        desk, plan = self.desk, self.desk.plan
        held = plan.amount if plan.withheld else plan.in_hand
        if held is not None:
            await self._go(desk.remit(held))
        if not plan.withheld:
            await self._go(from_consumer(desk) if plan.liable is Liable.CONSUMER else from_carrier(desk))
        outcome = await self._end()
        desk.state = outcome.state
        desk.written_off = outcome.written_off.minor if outcome.written_off is not None else 0
        desk.publish()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return outcome

    @workflow.query(name=Query.STATUS.value, description="Where the recovery is, what it waits for, what came in.")
    def status(self) -> RecoveryStatus:
        return self.desk.status()

    async def take_ruling(self, found: Found) -> None:
        """A ruling on the recovery itself: there is no dispute between the parties of the case any more."""
        if found.outcome not in {OWED, UNCOLLECTABLE}:
            reject("ruling_mismatch", f"a ruling of {found.outcome!r} answers another question")
        self.desk.mail.ruling = found

    async def _go(self, story: Coroutine[Any, Any, None]) -> None:
        """An operator's close ends what is under way; what is booked by then only a ruling lets go."""
        try:
            await story
        except CloseRequested:
            self.desk.close_reason = None

    async def _end(self) -> RecoveryOutcome:
        desk, plan = self.desk, self.desk.plan
        if plan.withheld and desk.sent == plan.amount.minor:
            return RecoveryOutcome(claim_ref=plan.claim_ref, state="collected", recovered=plan.amount)
        while True:
            ended = EndRecovery(
                case=desk.request.case,
                plan=plan,
                ruling_id=desk.ruling_id,
                waiver_minor=desk.request.terms.waiver_minor,
            )
            try:
                return await desk.step(end_recovery, ended)
            except CloseRequested:
                desk.close_reason = None
