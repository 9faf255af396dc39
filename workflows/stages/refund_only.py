"""The money alone: no goods travel. X29: goods that never left at once, received ones when it was decided."""

from __future__ import annotations

from temporalio import workflow

from activities.contract import GrantRefund
from activities.declarations import grant_refund
from backhaul.case import Region
from backhaul.money import Money
from workflows.case_run import CaseRun
from workflows.stages.refunding import refund


async def refund_alone(run: CaseRun) -> None:
    """J23 and J21 for the whole value; logistics and inspection are not needed."""
    run.regions.to(Region.LOGISTICS, "not_required")
    run.regions.to(Region.INSPECTION, "waived")
    nothing = Money.zero(run.judged.refundable.currency)
    granted = await run.step(
        grant_refund, GrantRefund(case=run.judged.case, what="refund_only", amount=nothing, at=workflow.now())
    )
    run.regions.to(Region.SETTLEMENT, "posted")
    if granted.refunds:
        run.regions.to(Region.REFUND, "due")
        await refund(run, granted.refunds)
