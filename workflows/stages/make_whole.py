"""Stage 4: everybody gets what is theirs. Refund, freight, indemnity, recovery. Domain 2.7 to 2.9, 4.5, 6."""

from __future__ import annotations

from temporalio import workflow

from activities.contract import Remedy
from activities.declarations import settle_case
from backhaul.case import Region
from backhaul.facts import Liable
from workflows.case_run import CaseRun
from workflows.stages.appealing import last_word
from workflows.stages.indemnifying import begin, decision, recover, withdraw
from workflows.stages.receive import Reception, follow_found, received, settling
from workflows.stages.refunding import REFUNDED, refund
from workflows.stages.repaying import repay
from workflows.stages.resettling import resettle
from workflows.stages.ruling import OPEN, ruling


async def make_whole(run: CaseRun, reception: Reception) -> None:
    """Fix every amount by the rules, post it, and send the money."""
    remedy = await _settled(run, reception)
    run.settled = True
    received(run, reception)
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
    await recover(run, remedy.recoveries)
    if reception.event == "returned" and run.undisputed:
        # The consumer has the goods again, and what was refunded of them before the ruling.
        await resettle(run, reception.event, arrived=settling(run, reception))


async def _turns_up(run: CaseRun) -> bool:
    """X9: a parcel may turn up while its loss is still being paid for. Where it arrives, at the merchant's or back at
    the consumer's, the case is settled anew on that. Lost again, everything stays as it was: False."""
    while True:
        await workflow.wait_condition(lambda: run.idle or run.turned_up is not None or bool(run.close_reason))
        if run.turned_up is None:
            return False
        reception = await follow_found(run, run.turned_up)
        if reception.event != "lost":
            break
        run.given_up = len(run.mail.trackings)
    for claim in run.claims:
        await decision(claim)
    await resettle(run, "late", arrived=settling(run, reception))
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
            ruled = await ruling(run, OPEN)
            remedy = await _settle(run, reception, ruled)
        elif remedy.claim_first and remedy.indemnity is not None:
            claim = begin(run, remedy.indemnity)
            await decision(claim)
            remedy = await _settle(run, reception, ruled, claim.plan.claim_ref)
        else:
            return remedy


async def _settle(run: CaseRun, reception: Reception, ruling_id: str | None, claimed: str | None = None) -> Remedy:
    argument = settling(run, reception).model_copy(
        update={"ruling_id": ruling_id, "claimed": claimed, "re_ruled": run.re_ruled}
    )
    remedy = await run.step(settle_case, argument)
    run.verdicts += remedy.verdicts
    return remedy
