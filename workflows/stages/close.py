"""The end of a case: nothing open, nothing held, the books checked (domain 2.9, invariants 7, 9, 15)."""

from __future__ import annotations

from temporalio import workflow

from activities.contract import EndCase
from activities.declarations import end_case
from backhaul.case import Region, Stage
from backhaul.messages import CaseOutcome
from workflows.case_run import CaseRun
from workflows.stages.appealing import carry_over
from workflows.stages.late import catch_up
from workflows.views import status_of


def outcome_of(run: CaseRun) -> str:
    """One word for how the case ended."""
    if run.closed_by:
        return "closed_by_operator"
    authorization = run.regions[Region.AUTHORIZATION]
    if authorization != "authorized":
        return authorization
    refund = run.regions[Region.REFUND]
    if refund == "unclaimed":
        return "unclaimed"
    return "refunded" if run.sums.refunded else "not_refunded"


async def close(run: CaseRun) -> CaseOutcome:
    """Wait for what is under way, check, write the last view. An open region parks the case."""
    run.settled = True
    await run.wind_up()
    if run.regions[Region.DISPUTE] == "ruled":
        run.regions.to(Region.DISPUTE, "final")
    if run.regions.scanned:
        run.regions.to(Region.SETTLEMENT, "posted")
    else:
        run.regions.to(Region.LOGISTICS, "not_required")
    left = run.regions.open_at_close()
    while left:
        await run.park("invariant_broken", f"open at close: {', '.join(left)}", step="close", effect=True)
        await run.wind_up()
        left = run.regions.open_at_close()
    await run.take_down()
    run.closing = True
    run.outcome = outcome_of(run)
    last_view = status_of(run).model_copy(update={"stage": Stage.CLOSED.value, "closed": True, "actions": ()})
    await run.step(
        end_case,
        EndCase(case=run.judged.case, outcome=run.outcome, status=last_view, at=workflow.now(), found=run.found),
    )
    run.closed = True
    await carry_over(run)
    await catch_up(run)
    run.publish()
    return CaseOutcome(
        merchant_id=run.id.merchant_id,
        rma_id=run.id.rma_id,
        outcome=run.outcome,
        regions=run.regions.plain(),
        refunded=run.money(run.sums.refunded),
        withheld=run.money(run.sums.withheld),
        indemnified=run.money(run.sums.indemnified),
        freight=run.money(run.sums.freight),
        recovery=run.recovery,
    )
