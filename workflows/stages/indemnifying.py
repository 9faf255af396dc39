"""The covers pay: freight under RFI, a loss under RDV, and the recovery that follows. Domain 4.2, 4.3, X16, X17."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.contract import (
    AppealClaim,
    ClaimDecision,
    ClaimFreight,
    ClaimIndemnity,
    CloseClaim,
    FreightClaim,
    FundIndemnity,
    Funding,
    IndemnityPlan,
    PayAdvance,
    Proof,
    RecoveryPlan,
    StartRecovery,
)
from activities.declarations import (
    appeal_claim,
    claim_freight,
    claim_indemnity,
    close_claim,
    fund_indemnity,
    pay_advance,
)
from backhaul.case import Region
from backhaul.facts import Method, Party
from backhaul.ids import next_key, recovery_id
from backhaul.names import WorkflowType
from workflows.case_run import CaseDesk, CaseRun
from workflows.claim import Claim

LOOKS = 10
"""How often an open answer of the insurer is looked up within its time, after the first look-ups of the book."""


async def freight(run: CaseRun, claim: FreightClaim) -> None:
    """The return freight under RFI: the insurer pays the courier, or the consumer who sent the parcel (domain 4.2)."""
    done = await run.effect(
        claim_freight,
        ClaimFreight(
            case=run.judged.case,
            claim=claim,
            method=Method.SELF_SHIP if run.self_ship else Method.PICKUP,
            patience=run.patience,
        ),
        key=lambda a: a.claim.payment_key,
    )
    if not isinstance(done, Proof):
        run.tell(f"freight of {claim.amount} paid by the insurer", Party.INSURER)


# ---- a claim under RDV, from the notice to the money ---------------------------------------------------------------


def begin(run: CaseDesk, plan: IndemnityPlan) -> Claim:
    """Claim the loss; what follows goes on beside the story: the advance to the merchant, the insurer's funding."""
    claim = Claim(plan)
    run.claims.append(claim)
    claim.task = run.spawn(_claimed(run, claim, tuple(run.claims[:-1])))
    return claim


async def decision(claim: Claim) -> None:
    """Wait until the insurer has decided, the appeal included."""
    await workflow.wait_condition(lambda: claim.approved is not None or claim.stopped)
    if claim.stopped and claim.task is not None:
        await claim.task


async def _claimed(run: CaseDesk, claim: Claim, earlier: tuple[Claim, ...]) -> None:
    """J30 to J34 of one claim (domain 4.3). A second claim of the case begins when the first one is over."""
    await workflow.wait_condition(lambda: all(one.over or one.stopped for one in earlier))
    said = await _decided(run, claim)
    if not said.amount:
        run.regions.to(Region.INDEMNITY, "denied")
        claim.approved, claim.over = said.amount, True
        return
    claim.plan = claim.plan.model_copy(update={"amount": said.amount})
    claim.approved = said.amount
    run.regions.to(Region.INDEMNITY, "reserved")
    run.spawn(_fund(run, claim.plan))
    approval = await _second_person(run, claim) if claim.plan.approval_needed else None
    run.regions.to(Region.INDEMNITY, "approved")
    run.regions.to(Region.INDEMNITY, "paying")
    if not claim.withdrawn:
        await _advance(run, claim, approval)
    if not claim.withdrawn:
        run.sums.indemnified += claim.plan.amount.minor
        run.tell(f"indemnity of {claim.plan.amount} paid out to the merchant", Party.INSURER)
    run.regions.to(Region.INDEMNITY, "paid")
    claim.over = True


async def _decided(run: CaseDesk, claim: Claim) -> ClaimDecision:
    """The insurer's last word: a denial for want of evidence can be appealed once."""
    while True:
        _notified(run)
        said = await _decision(run, claim.plan)
        run.verdicts += said.verdicts
        if said.amount:
            run.tell(f"the insurer approved {said.amount} of {claim.plan.amount}", Party.INSURER)
            return said
        run.tell(f"the insurer denied {claim.plan.amount}: {said.denial or 'given up'}", Party.INSURER)
        if not said.appealable or not await _appeals(run, claim, said):
            return said
        run.regions.to(Region.INDEMNITY, "denied")
        appealed = await run.step(appeal_claim, AppealClaim(case=run.judged.case, claim_ref=claim.plan.claim_ref))
        run.verdicts += appealed.verdicts
        claim.plan = appealed.plan


def _notified(run: CaseDesk) -> None:
    if run.regions[Region.INDEMNITY] == "none":
        run.regions.to(Region.INDEMNITY, "notified")
        run.regions.to(Region.INDEMNITY, "verified")
    else:
        run.regions.to(Region.INDEMNITY, "reopened")


async def _decision(run: CaseDesk, plan: IndemnityPlan) -> ClaimDecision:
    """X16: an answer within 24 hours, or 30 days where the insurer says that the claim is complex; late, an alarm, and
    the claim is looked up once a day until somebody acts."""
    terms, asked_at, looks = run.judged.terms, workflow.now(), 0
    nothing = plan.amount - plan.amount
    while True:
        said = await run.effect(
            claim_indemnity,
            ClaimIndemnity(case=run.judged.case, plan=plan, patience=run.patience),
            key=lambda a: a.plan.claim_ref,
        )
        if isinstance(said, Proof):
            amount = plan.amount if said.state == "succeeded" else nothing
            return ClaimDecision(key=plan.claim_ref, amount=amount, state="approved" if amount else "denied")
        if said.state != "pending":
            return said if said.state == "approved" else said.model_copy(update={"amount": nothing})
        span = terms.insurer_complex_s if said.complex else terms.insurer_decision_s
        due, looks = asked_at + timedelta(seconds=span), looks + 1
        if not await _look_later(run, "insurer_decision", due, looks, span, plan.claim_ref, "claim_indemnity"):
            return ClaimDecision(key=plan.claim_ref, amount=nothing, state="denied")


async def _look_later(run: CaseDesk, code: str, due: datetime, looks: int, span_s: float, key: str, step: str) -> bool:
    """Wait for the next look at what the insurer has not done yet. Past its time: park until then. False: given up."""
    now = workflow.now()
    if now < due:
        first = run.patience.delays_s
        after = timedelta(seconds=first[looks - 1] if looks <= len(first) else span_s / LOOKS)
        await run.pause(Party.INSURER, code, due, min(due, now + after))
        return True
    parked = await run.park(
        "insurer_late",
        f"{key}: the insurer has not answered by {due:%Y-%m-%d %H:%M} UTC ({code.replace('_', ' ')})",
        step=step,
        effect=True,
        key=key,
        looks_again=True,
    )
    if parked.command != "skip":
        return True
    return parked.proof is not None and parked.proof.state == "succeeded"


async def _appeals(run: CaseDesk, claim: Claim, said: ClaimDecision) -> bool:
    """A human has the book's evidence window to add what was missing and appeal; else the denial stands."""
    window = run.judged.terms.dispute_evidence_s
    until = workflow.now() + timedelta(seconds=window)
    parked = await run.park(
        "claim_denied",
        f"{claim.plan.amount} denied: {said.denial}. retry_step appeals once, skip_step lets the denial stand; it "
        f"stands by itself on {until:%Y-%m-%d %H:%M} UTC",
        step="claim_indemnity",
        effect=True,
        within_s=window,
        looks_again=True,
    )
    return parked.command == "retry"


# ---- the advance, and who may pay it -------------------------------------------------------------------------------

APPROVAL_TROUBLE = frozenset({"approval_required", "approval_unknown", "approval_mismatch", "approval_used"})


async def _advance(run: CaseDesk, claim: Claim, approval: str | None) -> None:
    """Pay the advance. An approval that does not fit (amount, payee, or a key that the channel ended) asks for
    another second person, and nothing is paid meanwhile."""
    advance = PayAdvance(case=run.judged.case, plan=claim.plan, approval_id=approval, patience=run.patience)
    while True:
        done = await run.effect(
            pay_advance,
            advance,
            key=lambda a: a.plan.advance_key,
            again=_next_advance,
            hand_back=APPROVAL_TROUBLE,
            freed=lambda: claim.withdrawn,  # what was overturned while it was on its way is not paid any more
        )
        if not isinstance(done, Proof) or done.state not in APPROVAL_TROUBLE:
            return
        claim.plan = advance.plan.model_copy(update={"advance_key": done.key})
        approval = await _second_person(run, claim)
        if claim.withdrawn:
            return
        advance = advance.model_copy(update={"plan": claim.plan, "approval_id": approval})


async def _second_person(run: CaseDesk, claim: Claim) -> str | None:
    """X17: above the authority limit nothing is paid without a second person. Each time the book's hours pass, the
    alarm goes to the next level; nothing but an approval lets the money go."""
    if run.regions[Region.INDEMNITY] == "reserved":
        run.regions.to(Region.INDEMNITY, "pending_authority")
    run.mail.forget_decisions()
    span, level = run.judged.terms.authority_s, 1
    while run.mail.approval is None and not claim.withdrawn:
        if level > 1:
            run.tell(f"approval of {claim.plan.amount} escalated to level {level}", Party.PLATFORM)
        await run.park(
            "approval_required",
            f"{claim.plan.amount} to {claim.plan.payee} is above the authority limit (level {level})",
            step="pay_advance",
            key=claim.plan.advance_key,
            freed=lambda: run.mail.approval is not None or claim.withdrawn,
            within_s=span,
            looks_again=True,
        )
        level += 1
    found, run.mail.approval = run.mail.approval, None
    return found.id if found is not None else None


def _next_advance(ended: PayAdvance) -> PayAdvance:
    plan = ended.plan.model_copy(update={"advance_key": next_key(ended.plan.advance_key)})
    return ended.model_copy(update={"plan": plan})


# ---- the insurer pays the platform ---------------------------------------------------------------------------------


async def _fund(run: CaseDesk, plan: IndemnityPlan) -> None:
    """J32 (X16: within 10 days of the approval). The merchant has the money whatever becomes of it."""
    funding = FundIndemnity(case=run.judged.case, plan=plan, patience=run.patience)
    asked_at, span, looks = workflow.now(), run.judged.terms.insurer_payment_s, 0
    while True:
        done = await run.effect(fund_indemnity, funding, key=lambda a: a.plan.funding_key)
        if not isinstance(done, Funding) or done.state == "paid":
            return
        key = funding.plan.funding_key
        if done.state == "refused":
            parked = await run.park(
                "funding_refused",
                f"{done.amount} of {plan.claim_ref}: the insurer refuses to pay the platform",
                step="fund_indemnity",
                effect=True,
                key=key,
            )
            if parked.command == "skip":
                return
            again = funding.plan.model_copy(update={"funding_key": next_key(key)})
            funding = funding.model_copy(update={"plan": again})
            continue
        due, looks = asked_at + timedelta(seconds=span), looks + 1
        if not await _look_later(run, "insurer_payment", due, looks, span, key, "fund_indemnity"):
            return


# ---- what follows from a settlement --------------------------------------------------------------------------------


async def withdraw(run: CaseDesk, closed: tuple[str, ...], unpaid: tuple[str, ...]) -> None:
    """Claims that were overturned: an advance that was not paid will not be, and the insurer closes what is over."""
    for claim in run.claims:
        claim.withdrawn = claim.withdrawn or claim.plan.claim_ref in unpaid
    for ref in closed:
        await run.effect(close_claim, CloseClaim(case=run.judged.case, claim_ref=ref, patience=run.patience))


async def recover(run: CaseDesk, plans: Sequence[RecoveryPlan]) -> None:
    """Hand over what is to be recovered."""
    for plan in plans:
        wanted = _recoverable(run, plan)
        if wanted is not None:
            await _hand_over(run, wanted)


def _recoverable(run: CaseDesk, plan: RecoveryPlan) -> RecoveryPlan | None:
    """No more than the insurer approved is recovered; nothing of a claim that it denied."""
    claim = next((one for one in run.claims if one.plan.claim_ref == plan.claim_ref), None)
    if claim is None or claim.approved is None or plan.amount <= claim.approved:
        return plan
    return plan.model_copy(update={"amount": claim.approved}) if claim.approved else None


async def _hand_over(run: CaseDesk, plan: RecoveryPlan) -> None:
    """Recovery goes on without the case. Its id is its name's: already started is a success."""
    if run.regions[Region.RECOVERY] != "handed_over":
        run.regions.to(Region.RECOVERY, "identified")
    workflow_id = recovery_id(plan.ref)
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            WorkflowType.RECOVERY.value,
            StartRecovery(case=run.judged.case, plan=plan, terms=run.judged.terms),
            id=workflow_id,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"Recover {plan.amount} from the {plan.liable.value}",
        )
    run.recovery = run.recovery or workflow_id
    run.regions.to(Region.RECOVERY, "handed_over")
