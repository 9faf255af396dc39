"""Settling anew: a late parcel, another ruling. The difference is posted and sent. Domain 2.10, X9, X15."""

from __future__ import annotations

from temporalio import workflow

from activities.contract import Resettle, Resettled, ReturnMoney
from activities.declarations import resettle as resettle_step
from activities.declarations import return_money
from backhaul.case import Region
from backhaul.facts import Liable, Party
from workflows.case_run import CaseDesk
from workflows.stages.indemnifying import begin, decision, hand_over, recoverable, withdraw
from workflows.stages.refunding import REFUNDED, refund
from workflows.stages.repaying import repay


async def resettle(run: CaseDesk, tag: str, *, liable: Liable | None = None, ruling_id: str | None = None) -> Resettled:
    """Post the difference, then send what follows from it: money back, a refund of what never left, a new claim, and
    a recovery from whoever is liable now."""
    said = await _resettled(run, tag, liable, ruling_id, None)
    if said.claim_first and said.indemnity is not None:
        claim = begin(run, said.indemnity)
        await decision(claim)
        said = await _resettled(run, tag, liable, ruling_id, claim.plan.claim_ref)
    run.tell(f"settled anew: liable {said.liable.value}", Party.PLATFORM)
    await withdraw(run, said.closed_claims, said.unpaid_claims)
    for one in said.back:
        back = ReturnMoney(case=run.judged.case, back=one, patience=run.patience)
        await run.effect(return_money, back, key=lambda a: a.back.key)
        run.tell(f"{one.amount} goes back to the {one.to}", Party.PLATFORM)
    for paid in said.repayments:
        run.spawn(repay(run, paid))
    if said.indemnity is not None and not said.claim_first:
        begin(run, said.indemnity)
    if said.refunds:
        if run.regions[Region.REFUND] not in REFUNDED:  # what was settled before is still on its way
            await workflow.wait_condition(lambda: run.regions[Region.REFUND] in REFUNDED or run.idle)
        run.regions.to(Region.REFUND, "due")
        await refund(run, said.refunds)
    await run.join()
    for plan in said.recoveries:
        wanted = recoverable(run, plan)
        if wanted is not None:
            await hand_over(run, wanted)
    return said


async def _resettled(
    run: CaseDesk, tag: str, liable: Liable | None, ruling_id: str | None, claimed: str | None
) -> Resettled:
    asked = Resettle(
        case=run.judged.case, tag=tag, liable=liable, ruling_id=ruling_id, claimed=claimed, at=workflow.now()
    )
    said = await run.step(resettle_step, asked)
    run.verdicts += said.verdicts
    return said
