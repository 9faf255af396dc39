"""A human rules: a dispute is opened, both sides are heard, and the case waits for it, visibly. Domain 4.5, X8, X13."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ChildWorkflowError, FailureError, WorkflowAlreadyStartedError

from activities.contract import DisputeOutcome, Found, NoteRulingTold, StartDispute
from activities.declarations import note_ruling_told
from backhaul.case import Region
from backhaul.disputes import OUTCOMES, REASON, SIDES, DisputeProgress, Phase, Question
from backhaul.facts import Frozen, Party
from backhaul.ids import dispute_id
from backhaul.messages import ExtendDeadline
from backhaul.names import EXTENDED, RULED, WorkflowType
from workflows.case_run import CaseDesk, Hearing
from workflows.desk import CloseRequested, Parked, Wait, reject
from workflows.stages.notices import notify, remind

OPEN = "findings differ, the objection came late or without evidence, or nobody checked what had to be"
"""Why a human rules on how a parcel was received."""


async def ruling(run: CaseDesk, headline: str, *, evidence_s: float | None = None) -> str | None:
    """A human rules on liability. None: an operator let the case go on without a ruling.

    Each side is heard for `evidence_s`, 48 h without another word (X14)."""
    found = await dispute(run, Question.LIABILITY, headline, evidence_s=evidence_s)
    run.ruled = found
    return found.id if found is not None else None


async def dispute(
    run: CaseDesk,
    question: Question,
    headline: str,
    *,
    evidence_s: float | None = None,
    appealed: str | None = None,
) -> Found | None:
    """Open a dispute and wait for its ruling. Serves cases and corrections alike. None: it was called off."""
    hearing = await open_hearing(run, question, headline, evidence_s=evidence_s, appealed=appealed)
    return await outcome_of(run, hearing)


async def open_hearing(
    run: CaseDesk,
    question: Question,
    headline: str,
    *,
    evidence_s: float | None = None,
    appealed: str | None = None,
) -> Hearing:
    """Start the Dispute as a child. A number that was used (a case that was reset, a correction) is passed over."""
    terms = run.judged.terms
    span = terms.dispute_evidence_s if evidence_s is None else evidence_s
    _begin(run, question)
    while True:
        run.disputes += 1
        workflow_id = dispute_id(run.id, run.disputes)
        start = StartDispute(
            case=run.judged.case,
            n=run.disputes,
            question=question,
            headline=headline,
            terms=terms,
            evidence_s=span,
            appealed=appealed,
        )
        with suppress(WorkflowAlreadyStartedError):
            child: Any = await workflow.start_child_workflow(
                WorkflowType.DISPUTE.value,
                start,
                id=workflow_id,
                result_type=DisputeOutcome,
                parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=f"{question.value}: {headline}"[:200],
            )
            due = workflow.now() + timedelta(seconds=span)
            run.hearing = Hearing(start, workflow_id, child, on=SIDES[0], due=due)
            run.tell(f"dispute opened: {headline}", Party.PLATFORM)
            return run.hearing


async def outcome_of(run: CaseDesk, hearing: Hearing) -> Found | None:
    """Wait, visibly, until the dispute has ended. It has the timers; the case shows on whom it waits, and until when.

    Raises CloseRequested when an operator closes the case: the dispute is called off first."""
    while not hearing.child.done():
        await watch(run, hearing)
    try:
        ended: DisputeOutcome = await hearing.child
    except ChildWorkflowError:
        run.hearing = None
        try:
            parked = await run.park("step_failed", "the dispute ended without an answer", step="dispute", effect=True)
        except CloseRequested:
            _end(run, hearing, None)
            raise
        if parked.command == "skip":
            return _end(run, hearing, None)
        start = hearing.start
        again = await open_hearing(
            run, start.question, start.headline, evidence_s=start.evidence_s, appealed=start.appealed
        )
        return await outcome_of(run, again)
    run.verdicts += ended.verdicts
    if ended.ruling is not None and hearing.start.question is not Question.AUTHORIZATION:
        run.aside(_tell(run, ended.ruling, hearing.start.question))
    return _end(run, hearing, ended.ruling)


async def _tell(run: CaseDesk, ruled: Found, question: Question) -> None:
    """Both sides are told of a ruling. X15: the time to appeal counts from when both know, so that a notice that
    reaches nobody parks, aside: no money waits for it. A ruling that is final is told as one, and a notice of it
    that reaches nobody is only noted."""
    if question is not Question.LIABILITY or run.within or run.appeal is not None:
        await asyncio.gather(*(remind(run, side, f"ruled_final_{side.value}") for side in SIDES))
        return
    due = workflow.now() + timedelta(seconds=run.judged.terms.appeal_s)
    told = await asyncio.gather(
        *(notify(run, side, f"ruled_{side.value}", due, freed=lambda: run.appeal is not None) for side in SIDES)
    )
    noted = await run.step(note_ruling_told, NoteRulingTold(case=run.judged.case, ruling_id=ruled.id, at=max(told)))
    run.told_rulings[ruled.id] = noted.at


async def watch(run: CaseDesk, hearing: Hearing) -> None:
    """Show how far the dispute is until that changes, it ends, or an operator closes the case."""
    seen, now = hearing.shown, workflow.now()
    parked = None
    if hearing.phase is Phase.RULING:
        headline = f"{hearing.start.headline}, in dispute `{hearing.workflow_id}`"
        parked = Parked(
            "liability",
            REASON[hearing.start.question],
            headline,
            now,
            hearing.due,
            effect=False,
            key=None,
            elsewhere=hearing.workflow_id,
        )
        run.put(parked)
    else:
        run.wait_now = Wait(hearing.on, "evidence", now, hearing.due, hearing.told, elsewhere=hearing.workflow_id)
    run.publish()
    await workflow.wait_condition(lambda: hearing.child.done() or bool(run.close_reason) or seen != hearing.shown)
    if parked is not None:
        run.parked.remove(parked)
    else:
        run.wait_now = None
    if run.close_reason:
        hearing.child.cancel()
        with suppress(FailureError):
            await hearing.child
        _end(run, hearing, None)
        raise CloseRequested


def _begin(run: CaseDesk, question: Question) -> None:
    """A question after another one is a new dispute; an appeal goes on from the ruling."""
    if question is Question.APPEAL:
        run.regions.to(Region.DISPUTE, "appealed")
        return
    now = run.regions[Region.DISPUTE]
    if now in {"ruled", "re_ruled"}:
        run.regions.to(Region.DISPUTE, "final")
    if now not in {"open", "evidence"}:  # as it is where the same question is asked again
        run.regions.to(Region.DISPUTE, "open")


def _end(run: CaseDesk, hearing: Hearing, found: Found | None) -> Found | None:
    """A ruling on liability of an open case may be appealed against in it; every other ruling is final."""
    run.hearing = None
    question = hearing.start.question
    run.regions.to(Region.DISPUTE, "re_ruled" if question is Question.APPEAL else "ruled")
    if found is None or question is not Question.LIABILITY or run.within:
        run.regions.to(Region.DISPUTE, "final")
    if found is not None:
        run.tell(f"ruled: {found.outcome}", Party.OPERATOR)
    run.publish()
    return found


# ---- what comes in at the doors of the workflow that waits -----------------------------------------------------------


def note_progress(run: CaseDesk, said: DisputeProgress) -> None:
    """The dispute says how far it is."""
    hearing = run.hearing
    if hearing is None or hearing.workflow_id != said.workflow_id:
        return
    hearing.phase, hearing.on, hearing.due = said.phase, said.on, said.due
    hearing.told = hearing.told or workflow.now()
    if said.phase is Phase.EVIDENCE and run.regions[Region.DISPUTE] == "open":
        run.regions.to(Region.DISPUTE, "evidence")
    run.publish()


async def hand_ruling_on(run: CaseDesk, found: Found) -> None:
    """Give the dispute a ruling that was read here. Rejected(`ruling_mismatch`) where it answers another question."""
    hearing = run.hearing
    if hearing is None or not hearing.wants_ruling:
        reject("not_waiting")
    question = hearing.start.question
    if found.outcome not in OUTCOMES[question]:
        reject("ruling_mismatch", f"this case does not wait for a ruling of {found.outcome!r}")
    hearing.ruled = True
    await hand_on(run, RULED, found)


async def give_time(run: CaseDesk, said: ExtendDeadline) -> None:
    """More time for what is shown: for the dispute where that is, and not where it is heard beside the story."""
    if run.hearing is not None and run.hearing.workflow_id in run.shows:
        await hand_on(run, EXTENDED, said)
    run.extend(said.seconds)


async def hand_on(run: CaseDesk, signal: str, said: Frozen) -> None:
    """Give the dispute what came in here. Rejected(`not_waiting`) where it has just ended."""
    hearing = run.hearing
    if hearing is None or hearing.child.done():
        reject("not_waiting")
    try:
        await hearing.child.signal(signal, said)
    except FailureError:
        reject("not_waiting")
