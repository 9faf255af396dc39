"""Stage 4: everybody gets what is theirs. Refund, freight, indemnity, recovery. Domain 2.7 to 2.9, 4.5, 6."""

from __future__ import annotations

from temporalio import workflow

from activities.contract import Remedy, SettleCase
from activities.declarations import settle_case
from backhaul.case import Region
from backhaul.facts import Liable
from workflows.case_run import CaseRun
from workflows.stages.appealing import last_word
from workflows.stages.indemnifying import begin, decision, hand_over, recoverable, withdraw
from workflows.stages.receive import Reception, turned_up
from workflows.stages.refunding import REFUNDED, refund
from workflows.stages.repaying import repay
from workflows.stages.resettling import resettle
from workflows.stages.ruling import ruling


async def make_whole(run: CaseRun, reception: Reception) -> None:
    """Fix every amount by the rules, post it, and send the money."""
    remedy = await _settled(run, reception)
    run.settled = True
    _close_inspection(run, reception)
    run.credit_open = False
    run.sums.withheld = remedy.withheld.minor
    if remedy.refunds:
        await workflow.wait_condition(lambda: run.regions[Region.REFUND] in REFUNDED or run.idle)
        run.regions.to(Region.REFUND, "due")
        run.spawn(refund(run, remedy.refunds))
    for owed in remedy.repayments:
        run.spawn(repay(run, owed))
    if remedy.indemnity is not None:
        begin(run, remedy.indemnity)
    await withdraw(run, remedy.closed_claims, remedy.unpaid_claims)
    if reception.event == "lost" and await _turns_up(run):
        return
    await run.join()
    for plan in remedy.recoveries:
        wanted = recoverable(run, plan)
        if wanted is not None:
            await hand_over(run, wanted)


async def _turns_up(run: CaseRun) -> bool:
    """X9: a parcel that turns up while its loss is still being paid for undoes it: the indemnity is overturned, and
    nobody is recovered from. The consumer keeps the refund; the merchant, who gets the goods, the charge."""
    await workflow.wait_condition(lambda: run.idle or turned_up(run) is not None or bool(run.close_reason))
    if turned_up(run) is None:
        return False
    for claim in run.claims:
        await decision(claim)
    await resettle(run, "late", liable=Liable.NOBODY)
    run.resettled = True
    return True


async def _settled(run: CaseRun, reception: Reception) -> Remedy:
    """Settle until the amounts are fixed: where a human has to rule first, or the insurer to decide.

    What is withheld from the consumer is what the insurer pays for, so that its decision comes first."""
    for claim in run.claims:
        await decision(claim)
    ruled: str | None = None
    await last_word(run)
    remedy = await _settle(run, reception, ruled)
    while True:
        if remedy.liable is Liable.UNDETERMINED:
            ruled = await ruling(
                run,
                "findings differ, the objection came late or without evidence, or nobody checked what had to be",
            )
            remedy = await _settle(run, reception, ruled)
        elif remedy.claim_first and remedy.indemnity is not None:
            claim = begin(run, remedy.indemnity)
            await decision(claim)
            remedy = await _settle(run, reception, ruled, claim.plan.claim_ref)
        else:
            return remedy


async def _settle(run: CaseRun, reception: Reception, ruling_id: str | None, claimed: str | None = None) -> Remedy:
    remedy = await run.step(
        settle_case,
        SettleCase(
            case=run.judged.case,
            event=reception.event,
            receipt=reception.receipt,
            lost=reception.event == "lost",
            ruling_id=ruling_id,
            delivered_at=reception.delivered_at,
            claimed=claimed,
            at=workflow.now(),
            evidence=run.mail.issue.evidence if run.mail.issue is not None else (),
            re_ruled=run.re_ruled,
        ),
    )
    run.verdicts += remedy.verdicts
    return remedy


def _close_inspection(run: CaseRun, reception: Reception) -> None:
    if reception.event in {"lost", "returned"}:
        return
    run.regions.to(Region.LOGISTICS, "receipt_confirmed")
    run.regions.to(Region.INSPECTION, "receipt_fail" if reception.event == "receipt_issue" else "receipt_pass")
