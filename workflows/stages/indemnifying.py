"""The covers pay: freight under RFI, a loss under RDV, and the recovery that follows. Domain 4.2, 4.3, X16, X17."""

from __future__ import annotations

import asyncio
import contextlib

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.contract import (
    ClaimFreight,
    ClaimIndemnity,
    FreightClaim,
    FundIndemnity,
    IndemnityPlan,
    PayAdvance,
    Proof,
    RecoveryPlan,
    StartRecovery,
)
from activities.declarations import claim_freight, claim_indemnity, fund_indemnity, pay_advance
from backhaul.case import Region
from backhaul.facts import Method, Party
from backhaul.ids import next_key, recovery_id
from backhaul.names import WorkflowType
from workflows.case_run import CaseRun


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


async def indemnify(run: CaseRun, plan: IndemnityPlan) -> None:
    """Claim the loss, pay the merchant at once, let the insurer fund it (domain 4.3, J30 to J34)."""
    case, regions = run.judged.case, run.regions
    regions.to(Region.INDEMNITY, "notified")
    regions.to(Region.INDEMNITY, "verified")
    claimed = await run.effect(
        claim_indemnity,
        ClaimIndemnity(case=case, plan=plan, patience=run.patience),
        key=lambda a: a.plan.claim_ref,
    )
    if isinstance(claimed, Proof) and claimed.state != "succeeded":
        regions.to(Region.INDEMNITY, "denied")
        return
    regions.to(Region.INDEMNITY, "reserved")
    approval = await _second_person(run, plan) if plan.approval_needed else None
    regions.to(Region.INDEMNITY, "approved")
    regions.to(Region.INDEMNITY, "paying")
    advance = PayAdvance(case=case, plan=plan, approval_id=approval, patience=run.patience)
    funding = FundIndemnity(case=case, plan=plan, patience=run.patience)
    await asyncio.gather(_advance(run, advance), _fund(run, funding))
    run.sums.indemnified += plan.amount.minor
    regions.to(Region.INDEMNITY, "paid")
    run.tell(f"indemnity of {plan.amount} paid out to the merchant", Party.INSURER)


APPROVAL_TROUBLE = frozenset({"approval_required", "approval_unknown", "approval_mismatch", "approval_used"})


async def _advance(run: CaseRun, advance: PayAdvance) -> None:
    """Pay the advance. An approval that does not fit (amount, payee, or a key that the channel ended) asks for
    another second person, and nothing is paid meanwhile."""
    while True:
        done = await run.effect(
            pay_advance,
            advance,
            key=lambda a: a.plan.advance_key,
            again=_next_advance,
            hand_back=APPROVAL_TROUBLE,
        )
        if not isinstance(done, Proof) or done.state not in APPROVAL_TROUBLE:
            return
        plan = advance.plan.model_copy(update={"advance_key": done.key})
        approval = await _second_person(run, plan)
        advance = advance.model_copy(update={"plan": plan, "approval_id": approval})


async def _fund(run: CaseRun, funding: FundIndemnity) -> None:
    await run.effect(fund_indemnity, funding, key=lambda a: a.plan.funding_key)


async def _second_person(run: CaseRun, plan: IndemnityPlan) -> str | None:
    """X17: above the authority limit nothing is paid without a second person."""
    if run.regions[Region.INDEMNITY] == "reserved":
        run.regions.to(Region.INDEMNITY, "pending_authority")
    run.mail.forget_decisions()
    await run.park(
        "approval_required",
        f"{plan.amount} to {plan.payee} is above the authority limit",
        step="pay_advance",
        key=plan.advance_key,
        freed=lambda: run.mail.approval is not None,
        within_s=run.judged.terms.authority_s,
    )
    found, run.mail.approval = run.mail.approval, None
    return found.id if found is not None else None


def _next_advance(ended: PayAdvance) -> PayAdvance:
    plan = ended.plan.model_copy(update={"advance_key": next_key(ended.plan.advance_key)})
    return ended.model_copy(update={"plan": plan})


async def hand_over(run: CaseRun, plan: RecoveryPlan) -> None:
    """Recovery goes on without the case. Its id is the claim's: already started is a success."""
    run.regions.to(Region.RECOVERY, "identified")
    workflow_id = recovery_id(plan.claim_ref)
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            WorkflowType.RECOVERY.value,
            StartRecovery(case=run.judged.case, plan=plan, terms=run.judged.terms),
            id=workflow_id,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"Recover {plan.amount} from the {plan.liable.value}",
        )
    run.recovery = workflow_id
    run.regions.to(Region.RECOVERY, "handed_over")
