"""Stage 4: everybody gets what is theirs. Refund, freight, indemnity, recovery. Domain 2.7 to 2.9, 4.5, 6."""

from __future__ import annotations

from temporalio import workflow

from activities.contract import Remedy, SettleCase
from activities.declarations import settle_case
from backhaul.case import Region
from backhaul.facts import Liable
from workflows.case_run import CaseRun
from workflows.stages.indemnifying import hand_over, indemnify
from workflows.stages.receive import Reception
from workflows.stages.refunding import refund
from workflows.stages.ruling import ruling


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
        await hand_over(run, remedy.recovery)


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
