"""Settling anew: a late parcel, another ruling. The difference is posted and sent. Domain 2.10, X9, X15."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio import workflow

from activities.contract import MoneyBack, Resettle, Resettled, ReturnMoney, SettleCase
from activities.declarations import resettle as resettle_step
from activities.declarations import return_money
from backhaul.case import Region
from backhaul.facts import Liable, Party
from workflows.case_run import CaseDesk
from workflows.stages.indemnifying import begin, decision, recover, withdraw
from workflows.stages.refunding import REFUNDED, refund
from workflows.stages.repaying import repay
from workflows.stages.ruling import OPEN, ruling


async def resettle(
    run: CaseDesk, tag: str, *, arrived: SettleCase | None = None, ruling_id: str | None = None
) -> Resettled:
    """Post the difference, then send what follows from it: money back, a refund of what never left, a new claim, and
    a recovery from whoever is liable now. Of what `arrived` a human rules where the rules leave it open."""
    asked = Resettle(case=run.judged.case, tag=tag, arrived=arrived, ruling_id=ruling_id, at=workflow.now())
    said = await _resettled(run, asked)
    while said.liable is Liable.UNDETERMINED and arrived is not None:
        ruled = await ruling(run, OPEN)
        asked = asked.model_copy(update={"arrived": arrived.model_copy(update={"ruling_id": ruled})})
        said = await _resettled(run, asked)
    if said.claim_first and said.indemnity is not None:
        await _send_back(run, said.back)
        claim = begin(run, said.indemnity)
        await decision(claim)
        said = await _resettled(run, asked.model_copy(update={"claimed": claim.plan.claim_ref}))
    run.tell(f"settled anew: liable {said.liable.value}", Party.PLATFORM)
    await withdraw(run, said.closed_claims, said.unpaid_claims)
    await _send_back(run, said.back)
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
    await recover(run, said.recoveries)
    return said


async def _resettled(run: CaseDesk, asked: Resettle) -> Resettled:
    said = await run.step(resettle_step, asked.model_copy(update={"at": workflow.now()}))
    run.verdicts += said.verdicts
    return said


async def _send_back(run: CaseDesk, sums: Sequence[MoneyBack]) -> None:
    for one in sums:
        back = ReturnMoney(case=run.judged.case, back=one, patience=run.patience)
        await run.effect(return_money, back, key=lambda a: a.back.key)
        run.tell(f"{one.amount} goes back to the {one.to}", Party.PLATFORM)
