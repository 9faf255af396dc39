"""Recovery: getting an indemnity back from the party who is liable. Domain 6 (J40 to J44, J54), X27.

Started by a case, carried on without it: it is never the merchant's work.
"""

from __future__ import annotations

from datetime import timedelta

from pydantic import ValidationError
from temporalio import workflow

from activities.contract import (
    CheckDemand,
    DemandRecovery,
    DemandState,
    Patience,
    Proof,
    RecoveryOutcome,
    RemitRecovery,
    StartRecovery,
)
from activities.declarations import check_demand, demand_recovery, remit_recovery
from backhaul.errors import CODES
from backhaul.facts import Party
from backhaul.messages import Ack, CloseCase, RetryStep, SkipStep
from backhaul.money import Money
from backhaul.names import UPDATE_DESCRIPTIONS, Update, WorkflowType
from workflows import details
from workflows.desk import CloseRequested, Desk, reject

LOOKS = 10
"""How often the carrier's answer is looked up within its time."""


class RecoveryDesk(Desk):
    """What a recovery shows."""

    def __init__(self, request: StartRecovery) -> None:
        super().__init__()
        self.request = request
        self.merchant_id, self.order_id = request.case.merchant_id, request.case.order_id
        self.amount, self.park_s = request.plan.amount.minor, request.terms.park_s
        self.state = "identified"

    def stage_name(self) -> str:
        return f"recovery_{self.state}"

    def describe(self) -> str:
        plan = self.request.plan
        return f"{details.headline(self)}\n\nRecover {plan.amount} from the {plan.liable.value} for `{plan.claim_ref}`."


@workflow.defn(name=WorkflowType.RECOVERY.value, failure_exception_types=[ValidationError])
class Recovery:
    """One indemnity on its way back to the insurer."""

    @workflow.init
    def __init__(self, request: StartRecovery | None = None) -> None:
        if not isinstance(request, StartRecovery):
            reject("invalid_input", "the start needs a StartRecovery")
        self.desk = RecoveryDesk(request)

    @workflow.run
    async def run(self, request: StartRecovery | None = None) -> RecoveryOutcome:
        """Withheld money is remitted at once; a carrier is asked, answers, pays, and what it paid is remitted."""
        desk, plan = self.desk, self.desk.request.plan
        recovered = Money.zero(plan.amount.currency)
        try:
            recovered = plan.amount if plan.withheld else await self._from_carrier(desk.request)
            if recovered:
                remit = RemitRecovery(case=desk.request.case, plan=plan, amount=recovered, patience=self._patience)
                await desk.effect(remit_recovery, remit, key=lambda a: f"{a.plan.claim_ref}:remit")
            desk.state = "collected" if recovered == plan.amount else "partial"
        except CloseRequested:
            desk.state = "waived"
        desk.publish()
        return RecoveryOutcome(claim_ref=plan.claim_ref, state=desk.state, recovered=recovered)

    @property
    def _patience(self) -> Patience:
        return Patience(delays_s=self.desk.request.terms.lookup_delays_s)

    async def _from_carrier(self, request: StartRecovery) -> Money:
        """X27: demand, 15 days to answer, cash. A contested or silent demand parks for a human."""
        desk, plan = self.desk, request.plan
        await desk.effect(demand_recovery, DemandRecovery(case=request.case, plan=plan, patience=self._patience))
        desk.state = "demanded"
        while True:
            answer = await self._answer(request)
            if answer.state == "paid":
                return answer.accepted or plan.amount
            desk.state = "contested" if answer.state == "contested" else desk.state
            code = "claim_contested" if answer.state == "contested" else "no_answer"
            await desk.park(code, CODES[code], step="demand_recovery", effect=True, skippable=False)

    async def _answer(self, request: StartRecovery) -> DemandState:
        span = request.terms.demand_answer_s
        due = workflow.now() + timedelta(seconds=span)
        while True:
            found = await self.desk.effect(check_demand, CheckDemand(case=request.case, plan=request.plan))
            state = found if isinstance(found, DemandState) else DemandState(state="received")
            if state.state in {"paid", "contested"} or workflow.now() >= due:
                return state
            self.desk.state = "accepted" if state.state == "accepted" else "demanded"
            look_again = min(due, workflow.now() + timedelta(seconds=span / LOOKS))
            await self.desk.wait(Party.COURIER, "demand_answer", look_again, lambda: False)

    @workflow.update(name=Update.RETRY_STEP.value, description=UPDATE_DESCRIPTIONS[Update.RETRY_STEP])
    def retry_step(self, said: RetryStep) -> Ack:
        self.desk.parked[0].command = "retry"
        return Ack(stage=self.desk.stage_name())

    @retry_step.validator
    def _retry_step_ok(self, said: RetryStep) -> None:
        self._need_parked()

    @workflow.update(name=Update.SKIP_STEP.value, description=UPDATE_DESCRIPTIONS[Update.SKIP_STEP])
    def skip_step(self, said: SkipStep) -> Ack:
        parked = self.desk.parked[0]
        parked.command, parked.proof = "skip", Proof(key=parked.key or parked.step, state="skipped")
        return Ack(stage=self.desk.stage_name())

    @skip_step.validator
    def _skip_step_ok(self, said: SkipStep) -> None:
        self._need_parked()
        parked = self.desk.parked[0]
        if parked.key is not None or not parked.skippable:
            reject("proof_required")

    @workflow.update(name=Update.CLOSE_CASE.value, description="Operator: waive what is not recovered yet.")
    def close_case(self, said: CloseCase) -> Ack:
        self.desk.close_reason = said.reason
        return Ack(stage=self.desk.stage_name())

    @close_case.validator
    def _close_case_ok(self, said: CloseCase) -> None:
        self._need_parked()
        if any(parked.key is not None for parked in self.desk.parked):
            reject("money_under_way")  # collected and not remitted yet: never waived

    def _need_parked(self) -> None:
        if not self.desk.parked:
            reject("not_parked")
