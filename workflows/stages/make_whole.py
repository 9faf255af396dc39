"""Stage 4: everybody gets what is theirs. Refund, freight, indemnity, recovery. Domain 2.7 to 2.9, 4.5, 6."""

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
    RefundPart,
    Remedy,
    SendRefund,
    SettleCase,
    StartRecovery,
)
from activities.declarations import (
    claim_freight,
    claim_indemnity,
    fund_indemnity,
    pay_advance,
    send_refund,
    settle_case,
)
from backhaul.case import Region
from backhaul.facts import Liable, Method, Party
from backhaul.ids import next_key, recovery_id
from backhaul.names import WorkflowType
from workflows.case_run import CaseRun
from workflows.stages.receive import Reception


async def make_whole(run: CaseRun, reception: Reception) -> None:
    """Fix every amount by the rules, post it, and send the money.

    What the door's indemnity came to decides what is withheld, so that it is known first."""
    if run.door_indemnity is not None:
        await run.door_indemnity
    remedy = await _settle(run, reception, None)
    while remedy.liable is Liable.UNDETERMINED:
        ruled = await ruling(run, "the findings contradict each other, or the objection came late")
        remedy = await _settle(run, reception, ruled)
    _close_inspection(run, reception)
    run.credit_open = False
    run.sums.withheld = remedy.withheld.minor
    if remedy.refunds:
        await run.join()  # a refund by lightning may still be parked
        run.regions.to(Region.REFUND, "due")
        run.spawn(refund(run, remedy.refunds))
    if remedy.indemnity is not None:
        run.spawn(indemnify(run, remedy.indemnity))
    await run.join()
    if remedy.recovery is not None and run.regions[Region.INDEMNITY] != "denied":
        await _hand_over(run, remedy.recovery)


async def _settle(run: CaseRun, reception: Reception, ruling_id: str | None) -> Remedy:
    remedy = await run.step(
        settle_case,
        SettleCase(
            case=run.judged.case,
            event=reception.event,
            receipt=reception.receipt,
            lost=reception.event == "lost",
            ruling_id=ruling_id,
            delivered_at=reception.delivered_at,
            at=workflow.now(),
        ),
    )
    run.verdicts += remedy.verdicts
    return remedy


def _close_inspection(run: CaseRun, reception: Reception) -> None:
    if reception.event == "lost":
        return
    run.regions.to(Region.LOGISTICS, "receipt_confirmed")
    run.regions.to(Region.INSPECTION, "receipt_fail" if reception.event == "receipt_issue" else "receipt_pass")


async def ruling(run: CaseRun, headline: str) -> str | None:
    """A human rules: wait for the ruling, visibly. None: an operator let the case go on without one."""
    run.regions.to(Region.DISPUTE, "open")
    run.mail.forget_decisions()
    await run.park(
        "ruling_needed",
        headline,
        step="liability",
        freed=lambda: run.mail.ruling is not None,
        within_s=run.judged.terms.ruling_s,
    )
    found, run.mail.ruling = run.mail.ruling, None
    run.regions.to(Region.DISPUTE, "ruled")
    run.regions.to(Region.DISPUTE, "final")
    if found is not None:
        run.tell(f"ruled: {found.outcome}", Party.OPERATOR)
    return found.id if found is not None else None


async def refund(run: CaseRun, parts: tuple[RefundPart, ...]) -> None:
    """Refund to the original payments, each under its own key (X18: an unknown answer never makes a new one)."""
    run.regions.to(Region.REFUND, "submitted")
    run.sums.under_way = sum(part.amount.minor for part in parts)
    results = await asyncio.gather(*(_refund_part(run, part) for part in parts))
    run.sums.under_way = 0
    run.regions.to(Region.REFUND, "succeeded" if all(results) else "unclaimed")


async def _refund_part(run: CaseRun, part: RefundPart) -> bool:
    done = await run.effect(
        send_refund,
        SendRefund(case=run.judged.case, part=part, patience=run.patience),
        key=lambda a: a.part.payment_key,
        again=_next_refund,
    )
    paid = not isinstance(done, Proof) or done.state == "succeeded"
    if paid:
        run.sums.refunded += part.amount.minor
    run.tell(f"refund of {part.amount} {'succeeded' if paid else 'went to unclaimed money'}", Party.PSP)
    return paid


def _next_refund(ended: SendRefund) -> SendRefund:
    part = ended.part.model_copy(update={"payment_key": next_key(ended.part.payment_key)})
    return ended.model_copy(update={"part": part})


def _next_advance(ended: PayAdvance) -> PayAdvance:
    plan = ended.plan.model_copy(update={"advance_key": next_key(ended.plan.advance_key)})
    return ended.model_copy(update={"plan": plan})


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


async def _hand_over(run: CaseRun, plan: RecoveryPlan) -> None:
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
