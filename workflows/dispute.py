"""Dispute: both sides are heard, then a person rules on what is there. Domain 4.5, X8, X12 to X15.

A child of the case, or of a correction, that waits for it. What comes in at the parent's doors the parent hands on by
signal; the dispute has the same doors itself. It knows the case by its reference only.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError
from temporalio import workflow
from temporalio.exceptions import FailureError

from activities.contract import DisputeOutcome, EndDispute, Found, OpenDispute, RecordEvidence, StartDispute
from activities.declarations import end_dispute, open_dispute, record_evidence
from backhaul.disputes import OUTCOMES, REASON, SIDES, DisputeProgress, ItemCompared, Phase
from backhaul.facts import Party, Verdict
from backhaul.ids import CaseId
from backhaul.markdown import table
from backhaul.messages import Ack, ExtendDeadline, SubmitEvidence
from backhaul.names import (
    DISPUTE_PROGRESS,
    EXTENDED,
    HEARD,
    RULED,
    UPDATE_DESCRIPTIONS,
    Query,
    Update,
    WorkflowType,
)
from backhaul.policy.comparison import compared, suggested
from workflows import details
from workflows.case_run import CaseDesk
from workflows.desk import CloseRequested, reject
from workflows.doors import OperatorDoors
from workflows.stages.notices import deliver

SHOWN_EVIDENCE = 40
RULING_STEP = "ruling"


@dataclass
class Side:
    """One party: until when it is heard, and what it said."""

    party: Party
    due: datetime | None = None
    pieces: int = 0
    done: bool = False

    @property
    def words(self) -> str:
        """For people."""
        if self.done or self.pieces:
            return f"{self.pieces} pieces of evidence" if self.pieces else "nothing more to say"
        return "not heard yet" if self.due is None else f"heard until {self.due:%Y-%m-%d %H:%M:%S} UTC"


class DisputeDesk(CaseDesk):
    """One dispute: who was heard, what a reviewer sees, and how it looks."""

    def __init__(self, request: StartDispute) -> None:
        super().__init__(CaseId(request.case.merchant_id, request.case.rma_id))
        self.request = request
        self.order_id, self.park_s = request.case.order_id, request.terms.park_s
        self.within = f"dispute.{request.n}"
        self.phase = Phase.EVIDENCE
        self.sides = {party: Side(party) for party in SIDES} if request.evidence_s else {}
        self.items: tuple[ItemCompared, ...] = ()
        self.evidence: list[str] = []
        self.found: Found | None = None
        self.on, self.due = Party.OPERATOR, workflow.now()

    @property
    def judged(self) -> StartDispute:
        return self.request

    def stage_name(self) -> str:
        return f"dispute_{'ruled' if self.found is not None else self.phase.value}"

    def describe(self) -> str:
        request = self.request
        about = f"Dispute {request.n} of `{self.id.key}`: {request.question.value}. {request.headline}."
        if request.appealed is not None:
            about += f" Appeal against ruling `{request.appealed}`: another reviewer rules."
        parts = [details.headline(self), about]
        if self.sides:
            parts.append(table(("side", ""), [(side.party.value, side.words) for side in self.sides.values()]))
        if self.items:
            parts.append(compared(self.items))
            command = suggested(self.items, self.id, request.appealed)
            if command is not None:
                parts.append(f"As the goods are line by line, if the reviewer agrees: `{command}`")
        if self.evidence:
            parts.append("\n".join(f"- {piece}" for piece in self.evidence[-SHOWN_EVIDENCE:]))
        return "\n\n".join(parts)

    # ---- hearing ------------------------------------------------------------------------------------------------

    def listening(self) -> list[Side]:
        """The sides that have said nothing yet."""
        return [side for side in self.sides.values() if not side.done]

    def hear(self, said: SubmitEvidence) -> None:
        """What a side gave. It is then heard; more of it is still taken until somebody rules."""
        self.evidence += [shown(one.by, one.ref, one.kind, one.line_id) for one in said.evidence]
        side = self.sides.get(said.side)
        if side is not None:
            side.pieces += len(said.evidence)
            side.done = True
        self.publish()

    def extend(self, seconds: int) -> None:
        """More time for whoever it waits for, and word of it to the parent."""
        super().extend(seconds)
        if self.phase is Phase.EVIDENCE:
            self.due += timedelta(seconds=seconds)
        for side in self.sides.values():
            if side.due is not None:
                side.due += timedelta(seconds=seconds)
        if self.phase is Phase.EVIDENCE:
            self.spawn(self.report(self.phase, self.on, self.due))

    def publish(self) -> None:
        """Also to the parent: when the next alarm is, each time that one was raised or put off."""
        super().publish()
        asked = next((one for one in self.parked if one.step == RULING_STEP), None)
        if asked is not None and asked.due != self.due:
            self.due = asked.due
            self.spawn(self.report(self.phase, self.on, self.due))

    async def report(self, phase: Phase, on: Party, due: datetime) -> None:
        """Tell the parent how far this is. A parent that is gone needs no word."""
        self.phase, self.on, self.due = phase, on, due
        parent = workflow.info().parent
        if parent is not None:
            progress = DisputeProgress(workflow_id=workflow.info().workflow_id, phase=phase, on=on, due=due)
            with suppress(FailureError):
                await workflow.get_external_workflow_handle(parent.workflow_id).signal(DISPUTE_PROGRESS, progress)


def shown(by: Party, ref: str, kind: object, line_id: str | None) -> str:
    """One piece of evidence, for people."""
    about = f", line {line_id}" if line_id else ""
    return f"{by.value}: {kind or 'evidence'} `{ref}`{about}"


@workflow.defn(name=WorkflowType.DISPUTE.value, failure_exception_types=[ValidationError])
class Dispute(OperatorDoors):
    """One question that a human decides. Bad input fails the start."""

    desk: DisputeDesk

    @workflow.init
    def __init__(self, request: StartDispute | None = None) -> None:
        if not isinstance(request, StartDispute):
            reject("invalid_input", "the start needs a StartDispute")
        self.desk = DisputeDesk(request)
        self.lock = asyncio.Lock()

    @workflow.run
    async def run(self, request: StartDispute | None = None) -> DisputeOutcome:
        """Hear both sides, then wait for the ruling. Cancelled: called off, and it ends without one."""
        story = asyncio.create_task(self._story())
        while True:
            try:
                return await asyncio.shield(story)
            except asyncio.CancelledError:
                if story.done():
                    raise
                self.desk.close_reason = "called off"

    async def _story(self) -> DisputeOutcome:
        desk, request = self.desk, self.desk.request
        verdicts: tuple[Verdict, ...] = ()
        try:
            opened = await desk.step(
                open_dispute,
                OpenDispute(
                    case=request.case,
                    n=request.n,
                    question=request.question,
                    headline=request.headline,
                    at=workflow.now(),
                ),
            )
            verdicts, desk.items = opened.verdicts, opened.items
            desk.evidence += [shown(one.by, one.ref, one.kind, one.line_id) for one in opened.evidence]
            await self._hear()
            await self._rule()
        except CloseRequested:
            desk.tell(f"closed: {desk.close_reason}", Party.OPERATOR)
            desk.close_reason = None
        ruling_id = desk.found.id if desk.found is not None else None
        ended = await desk.step(
            end_dispute, EndDispute(case=request.case, n=request.n, at=workflow.now(), ruling_id=ruling_id)
        )
        verdicts += ended.verdicts
        await desk.join()
        await desk.take_down()
        desk.publish()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return DisputeOutcome(workflow_id=workflow.info().workflow_id, ruling=desk.found, verdicts=verdicts)

    async def _hear(self) -> None:
        """X8, X14: each side has its time from its notice; it ends early once both have spoken."""
        desk = self.desk
        await asyncio.gather(*(self._invite(side) for side in desk.sides.values()))
        while waiting := desk.listening():
            side = max(waiting, key=lambda one: one.due or workflow.now())
            due, count = side.due or workflow.now(), len(waiting)
            await desk.report(Phase.EVIDENCE, side.party, due)
            if not await desk.wait(
                side.party,
                "evidence",
                due,
                lambda count=count: len(desk.listening()) < count or bool(desk.close_reason),  # type: ignore[misc]
            ):
                break
            if desk.close_reason:
                raise CloseRequested

    async def _invite(self, side: Side) -> None:
        desk, request = self.desk, self.desk.request
        span = timedelta(seconds=request.evidence_s)
        about = f"evidence_{side.party.value}"
        told = await deliver(
            desk,
            request.case,
            desk.patience,
            side.party,
            about,
            workflow.now() + span,
            within=desk.within,
            freed=lambda: side.done,
        )
        side.due = told + span

    async def _rule(self) -> None:
        """A human rules on what is there; the alarm is raised again and again until somebody does."""
        desk, request = self.desk, self.desk.request
        silent = [side.party.value for side in desk.listening()]
        headline = request.headline + (f"; the {' and the '.join(silent)} said nothing" if silent else "")
        due = workflow.now() + timedelta(seconds=request.terms.ruling_s)
        await desk.report(Phase.RULING, Party.OPERATOR, due)
        await desk.park(
            REASON[request.question],
            headline,
            step=RULING_STEP,
            freed=lambda: desk.found is not None,
            within_s=request.terms.ruling_s,
        )

    # ---- the doors: the operators' are OperatorDoors -----------------------------------------------------------------

    @workflow.query(name=Query.STATUS.value, description="How far the dispute is, in words.")
    def status(self) -> str:
        return self.desk.describe()

    @workflow.update(name=Update.SUBMIT_EVIDENCE.value, description=UPDATE_DESCRIPTIONS[Update.SUBMIT_EVIDENCE])
    async def submit_evidence(self, said: SubmitEvidence) -> Ack:
        self.desk.count(Update.SUBMIT_EVIDENCE, said.side)
        if said.evidence:
            kept = RecordEvidence(case=self.desk.request.case, evidence=said.evidence, at=workflow.now())
            await self.desk.ask_for_update(record_evidence, kept)
        self.desk.hear(said)
        return self._took(f"{len(said.evidence)} pieces of evidence", said.side)

    @submit_evidence.validator
    def _submit_evidence_ok(self, said: SubmitEvidence) -> None:
        if self.desk.found is not None:
            reject("already_decided")
        self.desk.need_room(Update.SUBMIT_EVIDENCE, said.side)

    @workflow.signal(name=HEARD)
    def heard(self, said: SubmitEvidence) -> None:
        """The parent recorded this at its own door."""
        self.desk.hear(said)

    @workflow.signal(name=RULED)
    def ruled(self, found: Found) -> None:
        """The parent read this ruling at its own door."""
        self._decide(found)

    @workflow.signal(name=EXTENDED)
    def extended(self, said: ExtendDeadline) -> None:
        """An operator gave more time at the parent's door."""
        self.desk.extend(said.seconds)

    def appealed(self) -> str | None:
        """The ruling that the one to come must overrule."""
        return self.desk.request.appealed

    async def take_ruling(self, found: Found) -> None:
        """A ruling that was read at this door."""
        if found.outcome not in OUTCOMES[self.desk.request.question]:
            reject("ruling_mismatch", f"this dispute does not wait for a ruling of {found.outcome!r}")
        self._decide(found)

    def _decide(self, found: Found) -> None:
        """The first ruling decides."""
        if self.desk.found is None:
            self.desk.found = found
            self.desk.tell(f"ruled: {found.outcome}", Party.OPERATOR)
