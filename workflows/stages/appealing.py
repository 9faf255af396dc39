"""Appeals: another reviewer rules once more, while nothing irrevocable has followed; else after the close. X15."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

from activities.contract import OpenCorrection
from activities.declarations import open_correction
from backhaul.case import Region
from backhaul.corrections import CorrectionEvent, CorrectionKind, appeal_event
from backhaul.disputes import LodgeAppeal, Question, appeal_refusal
from workflows.case_run import CaseRun, Hearing
from workflows.stages.late import begin_correction
from workflows.stages.ruling import open_hearing, outcome_of, watch

DISPUTE, KEPT = "dispute", "kept"
APPEALABLE = frozenset({"ruled", "final"})
"""Where the dispute of a case stands when its last ruling is what it goes by."""


def why_not(run: CaseRun, said: LodgeAppeal) -> str | None:
    """The code with which this appeal is refused: another ruling, a second one, or too late. While another question of
    the case is in dispute, that one's ruling is waited for."""
    ruled = run.ruled if run.regions[Region.DISPUTE] in APPEALABLE else None
    return appeal_refusal(
        said.ruling_id,
        None if ruled is None else ruled.id,
        appealed=run.appeal is not None,
        told_at=None if ruled is None else run.told_rulings.get(ruled.id),
        now=workflow.now(),
        within=timedelta(seconds=run.judged.terms.appeal_s),
    )


async def lodge(run: CaseRun, said: LodgeAppeal) -> str:
    """Take an appeal. `dispute`: heard at once. `kept`: money has left on the ruling, so that what another reviewer
    says is put right by a correction, after the close."""
    run.appeal = said
    run.tell(f"appeals against the ruling {said.ruling_id}: {said.reason}", said.by)
    if run.settled or run.regions[Region.INDEMNITY] != "none":
        return KEPT
    hearing = await open_hearing(
        run, Question.APPEAL, f"the {said.by.value} appeals against the ruling", appealed=said.ruling_id
    )
    run.re_ruling = run.spawn(_heard(run, hearing))
    return DISPUTE


async def _heard(run: CaseRun, hearing: Hearing) -> None:
    """Beside the story, which needs the ruling only when it settles."""
    await workflow.wait_condition(hearing.child.done)
    found = await outcome_of(run, hearing)
    if found is not None:
        run.ruled, run.re_ruled = found, found.id


async def last_word(run: CaseRun) -> None:
    """Before anything is settled: an appeal that is being heard is waited for, visibly."""
    if run.re_ruling is None:
        return
    while run.hearing is not None and not run.hearing.child.done():
        await watch(run, run.hearing)
    await run.re_ruling


async def carry_over(run: CaseRun) -> None:
    """The case is closed: an appeal that was kept becomes a correction of it. One that runs already is a success."""
    said = run.appeal
    if said is None or run.re_ruling is not None:
        return
    event = CorrectionEvent(
        event_id=appeal_event(said.ruling_id),
        occurred_at=workflow.now(),
        by=said.by,
        ruling_id=said.ruling_id,
        reason=said.reason[:300],
    )
    start = await run.step(
        open_correction,
        OpenCorrection(case=run.judged.case, kind=CorrectionKind.APPEAL, event=event, at=workflow.now()),
    )
    await begin_correction(run, start)
