"""What is left to a correction of a case that has just been closed. Domain 2.10."""

from __future__ import annotations

from contextlib import suppress

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.contract import LateFacts, StartCorrection
from activities.declarations import correct_late
from backhaul.case import Region
from backhaul.ids import correction_id
from backhaul.names import WorkflowType
from workflows.case_run import CaseRun
from workflows.stages.scanning import scans_of


async def begin_correction(run: CaseRun, start: StartCorrection) -> None:
    """Start a correction that was opened; it goes on without the case. One that runs already is a success."""
    with suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            WorkflowType.CORRECTION.value,
            start,
            id=correction_id(run.id, start.n),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"Correction of return `{run.id.rma_id}`: {start.kind.value}",
        )


async def catch_up(run: CaseRun) -> None:
    """The case is closed, and refuses what comes from now on. What the courier told after the story had read its last
    is a correction's, as if it came now."""
    late = _unread(run)
    if late is None:
        return
    for start in (await run.step(correct_late, late)).starts:
        await begin_correction(run, start)


def _unread(run: CaseRun) -> LateFacts | None:
    """Of goods that nobody waited for every fact; of a lost parcel the sign that it is there. Everything else the
    story has read, or it changes nothing."""
    logistics = run.regions[Region.LOGISTICS]
    late = LateFacts(case=run.judged.case, logistics=logistics, at=workflow.now())
    if logistics == "not_required" and (run.mail.trackings or scans_of(run)):
        return late.model_copy(update={"pickups": tuple(scans_of(run)), "trackings": tuple(run.mail.trackings)})
    sign = run.turned_up
    return None if sign is None else late.model_copy(update={"trackings": (sign,)})
