"""One running recovery: what its stages work with, and how it looks."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import workflow

from activities.contract import FollowRuling, Found, Proof, ProveTerminal, RecoveryPlan, RemitRecovery, StartRecovery
from activities.declarations import follow_ruling, prove_terminal, remit_recovery
from backhaul.facts import Party
from backhaul.ids import CaseId, recovery_id, recovery_key, recovery_ref
from backhaul.messages import WaitView
from backhaul.money import Money
from backhaul.recoveries import RecoveryStatus
from workflows import details
from workflows.case_run import CaseDesk

OWED, UNCOLLECTABLE = "owed", "uncollectable"
"""What a ruling on a recovery says."""
GIVEN_UP = "given_up"
"""Why a recovery is parked whose last attempt may still succeed: no other one leaves."""
SUCCEEDED, FAILED, APPROVED = "succeeded", "failed", "approved"
"""How a step is proved to have ended: by the provider's books, or by a second person."""
ENDED_OUTSIDE = frozenset({SUCCEEDED, FAILED})
NOT_SHOWN = "proof_refused"
SHOWN_EVENTS = 30


class RecoveryRun(CaseDesk):
    """A recovery: the desk of the case that it is about, long after that is closed.

    `booked` is what stands in the books as owed, `collected` what of it came in, in minor units."""

    def __init__(self, request: StartRecovery, opened_at: datetime) -> None:
        super().__init__(CaseId(request.case.merchant_id, request.case.rma_id))
        plan = request.plan
        self.request, self.order_id = request, request.case.order_id
        self.amount, self.park_s = plan.amount.minor, request.terms.park_s
        self.within = recovery_ref("recovery." + ".".join(plan.claim_ref.split(".")[-3:-1]), plan.n)
        self.state, self.opened_at = "identified", opened_at
        self.booked = self.collected = self.sent = self.remittances = self.written_off = 0
        self.ruling_id: str | None = None

    @property
    def judged(self) -> StartRecovery:
        """The case and its terms, as the start gave them."""
        return self.request

    @property
    def plan(self) -> RecoveryPlan:
        """What is to be recovered, from whom."""
        return self.request.plan

    @property
    def money_under_way(self) -> bool:
        """Is anything booked that did not come in, or a payment parked? Then only a ruling ends the recovery."""
        return self.booked > self.collected or self.effects_under_way

    def stage_name(self) -> str:
        return f"recovery_{self.state}"

    def describe(self) -> str:
        plan = self.plan
        what = f"Recover {plan.amount} from the {plan.liable.value} for `{plan.claim_ref}`."
        recent = "\n".join(f"- {one.at:%m-%d %H:%M:%S} {one.by.value}: {one.what}" for one in self.events[-6:])
        return "\n\n".join(part for part in (details.headline(self), what, recent) if part)

    def status(self) -> RecoveryStatus:
        """The view for people and the API."""
        wait, plan, case = self.wait_now, self.plan, self.request.case
        in_hand = plan.amount if plan.withheld else plan.in_hand or self.money(0)
        return RecoveryStatus(
            merchant_id=case.merchant_id,
            rma_id=case.rma_id,
            claim_ref=plan.claim_ref,
            recovery_ref=plan.ref,
            workflow_id=recovery_id(plan.ref),
            liable=plan.liable,
            state=self.state,
            amount=plan.amount,
            collected=in_hand + self.money(self.collected),
            remitted=self.money(self.sent),
            written_off=self.money(self.written_off),
            opened_at=self.opened_at,
            waiting=None if wait is None else WaitView(on=wait.on, code=wait.code, since=wait.since, due=wait.due),
            attention=self.attention(),
            events=tuple(self.events[-SHOWN_EVENTS:]),
        )

    async def remit(self, amount: Money) -> None:
        """J42: what came in goes to the insurer, each part under its own key."""
        if not amount:
            return
        self.remittances += 1
        asked = RemitRecovery(
            case=self.request.case, plan=self.plan, amount=amount, patience=self.patience, n=self.remittances
        )
        done = await self.effect(remit_recovery, asked, key=lambda a: recovery_key(a.plan.ref, "remit", a.n))
        if not isinstance(done, Proof) or done.state == SUCCEEDED:
            self.sent += amount.minor
            self.tell(f"{amount} remitted to the insurer", Party.PLATFORM)

    async def decide(self, reason: str, headline: str, step: str) -> Found | None:
        """A human looks: a ruling on the recovery, or None to try again; which nobody can after `given_up`."""
        self.mail.forget_decisions()
        await self.park(
            reason,
            headline,
            step=step,
            effect=True,
            skippable=False,
            retriable=reason != GIVEN_UP,
            freed=lambda: self.mail.ruling is not None,
        )
        found, self.mail.ruling = self.mail.ruling, None
        if found is not None:
            self.ruling_id = found.id
            self.tell(f"ruled: {found.outcome}", Party.OPERATOR)
            asked = FollowRuling(case=self.request.case, plan=self.plan, ruling_id=found.id, at=workflow.now())
            self.verdicts += (await self.step(follow_ruling, asked)).verdicts
        return found

    async def outside(self, key: str) -> str:
        """What the provider's own books say by now of what a second person gave up: succeeded (which is posted with
        it), failed, or neither."""
        asked = ProveTerminal(case=self.request.case, key=key)
        return (await self.effect(prove_terminal, asked, hand_back=frozenset({NOT_SHOWN}))).state


def after(seconds: float, since: datetime | None = None) -> datetime:
    """A moment from now, or from another moment."""
    return (since or workflow.now()) + timedelta(seconds=seconds)
