"""One running correction of a closed case: what its stages work with, and how it looks."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow

from activities.contract import StartCorrection
from backhaul.case import Regions
from backhaul.facts import Party
from backhaul.ids import CaseId, correction_id
from backhaul.messages import CorrectionStatus
from backhaul.policy.parcels import sign_of
from workflows import details
from workflows.case_run import CaseDesk

SHOWN_EVENTS = 30


class CorrectionRun(CaseDesk):
    """A correction: the desk of the case it is about, with a fact that came after the close."""

    def __init__(self, request: StartCorrection, opened_at: datetime) -> None:
        super().__init__(CaseId(request.case.merchant_id, request.case.rma_id))
        self.request, self.opened_at = request, opened_at
        self.within = f"correction.{request.n}"
        self.order_id, self.park_s = request.case.order_id, request.terms.park_s
        self.amount = request.event.amount.minor if request.event.amount is not None else None
        self.regions = Regions(request.regions)
        self.outcome: str | None = None
        self.closed_at: datetime | None = None
        self.waybill = request.event.waybill
        sign = sign_of(request.event)
        if sign is not None:
            self.receive_tracking(sign)

    @property
    def judged(self) -> StartCorrection:
        """The case and its terms, as the start gave them."""
        return self.request

    def stage_name(self) -> str:
        return "closed" if self.closed_at is not None else f"correction_{self.request.kind.value}"

    def describe(self) -> str:
        request, event = self.request, self.request.event
        kind = request.kind.value.replace("_", " ")
        what = f"Correction {request.n} of `{self.id.key}`: {kind}, event `{event.event_id}`."
        lines = [details.headline(self), what]
        recent = "\n".join(f"- {one.at:%m-%d %H:%M:%S} {one.by.value}: {one.what}" for one in self.events[-6:])
        return "\n\n".join([*lines, recent] if recent else lines)

    def close(self, outcome: str) -> None:
        """It is over."""
        self.outcome, self.closed_at = outcome, workflow.now()
        self.tell(f"correction ended: {outcome}", Party.PLATFORM)

    def status(self) -> CorrectionStatus:
        """The view for people and the API."""
        wait, request = self.shown_wait, self.request
        return CorrectionStatus(
            merchant_id=self.id.merchant_id,
            rma_id=self.id.rma_id,
            n=request.n,
            kind=request.kind.value,
            state="open" if self.closed_at is None else "closed",
            outcome=self.outcome,
            workflow_id=correction_id(self.id, request.n),
            event_id=request.event.event_id,
            opened_at=self.opened_at,
            closed_at=self.closed_at,
            waiting=None if wait is None else wait.view(),
            attention=self.attention(),
            events=tuple(self.events[-SHOWN_EVENTS:]),
        )
