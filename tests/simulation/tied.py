"""One case in a simulated world, told by a test: it brings the case into a wait, speaks for the parties, reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from temporalio.bridge.proto.workflow_activation import WorkflowActivation

from backhaul.ids import CaseId, payment_key
from backhaul.messages import (
    ApplyApproval,
    ApplyRuling,
    CaseStatus,
    CorrectionStatus,
    PickupReport,
    TrackingReport,
    TrackingStatus,
)
from gateways.webhooks import reports_for
from store import claims, ledger
from tests.simulation.books import differences, violations
from tests.simulation.server import Run, Told
from tests.simulation.world import Plan, Simulation
from tests.workflows.world import _amount

SECOND = timedelta(seconds=1)


class Awaited(NamedTuple):
    """A deadline, and when it began: the notice, or what happened."""

    since: datetime
    due: datetime


class Tied:
    """One case in a simulated world, and what a tie looks at."""

    def __init__(self, sim: Simulation, plan: Plan, courier: Mapping[str, Any]) -> None:
        self.sim, self.plan = sim, plan
        self.order = sim.order(plan)
        self.case = sim.open_return(self.order, plan, courier=dict(courier))

    @property
    def id(self) -> CaseId:
        """By merchant and the merchant's own id."""
        request = self.sim.opened[self.case]
        return CaseId(request.merchant_id, request.rma_id)

    @property
    def run(self) -> Run:
        """The case's workflow."""
        return self.sim.server.runs[self.case]

    @property
    def now(self) -> datetime:
        return self.sim.server.now

    @property
    def status(self) -> CaseStatus:
        return self.sim.status(self.case)

    @property
    def region(self) -> dict[str, str]:
        return self.status.regions

    @property
    def told(self) -> list[str]:
        """What happened, for people."""
        return [event.what for event in self.status.events]

    def waits(self, code: str, past: datetime | None = None) -> Awaited:
        """On to where the case waits for this, or is parked for it; to its next deadline where one is `past`."""
        while True:
            found = self._waiting(code)
            if found is not None and (past is None or found.due > past):
                return found
            assert self.sim.jump(), f"never waits for {code}: {self.status.model_dump_json(indent=1)}"

    def _waiting(self, code: str) -> Awaited | None:
        status = self.status
        waiting, attention = status.waiting, status.attention
        if attention is not None and attention.reason == code:
            return Awaited(attention.since, attention.due)
        if waiting is not None and waiting.code == code:
            return Awaited(waiting.told or waiting.since, waiting.due)
        return None

    def say(
        self, update: str, body: Any, *, to: str | None = None, later: bool = False, refused: str | None = None
    ) -> Told:
        """Send an update; it is taken, or `refused` with this code. `later`: with the next task, looked at then."""
        told = self.sim.say(to or self.case, update, body, later=later)
        if not later:
            self.sim.work()
            assert told.refusal == refused, f"{update}: {told.refusal}"
        return told

    def correction(self, code: str) -> str:
        """On to where the case's last correction waits for this, or is parked for it; the workflow's id."""
        while True:
            self.sim.work()
            last = [run for run in self.sim.server.runs.values() if run.kind == "Correction" and not run.closed][-1:]
            for run in last:
                status: CorrectionStatus = self.sim.server.query(run.id, "status", CorrectionStatus)
                waiting, attention = status.waiting, status.attention
                if code in {waiting and waiting.code, attention and attention.reason}:
                    return run.id
            assert self.sim.jump(), f"no correction ever waits for {code}"

    def until(self, moment: datetime) -> None:
        """Let time pass."""
        self.sim.sleep(moment - self.now)

    def books(self) -> dict[str, int]:
        """What the case posted: template to amount in minor units."""

        async def posted() -> dict[str, int]:
            totals: dict[str, int] = {}
            async with self.sim.store.read() as session:
                for item in await ledger.entries_of(session, self.id.key):
                    template = item.entry.template
                    totals[template] = totals.get(template, 0) + _amount(item.entry)
            return totals

        found: dict[str, int] = self.sim.server.do(posted())
        return found

    def seen(self) -> tuple[Any, ...]:
        """All that may not change before the deadline."""
        status = self.status
        return status.regions, status.waiting, status.attention, status.events, self.books()

    # ---- the courier ------------------------------------------------------------------------------------------

    def visited(self) -> PickupReport:
        """The visit that was held back is made now; what the courier reports reaches the case by the test alone."""
        sim, ours = self.sim, f"{self.id.merchant_id}/{self.id.rma_id}"
        sim.server.do(sim.outside.control("courier", "release", {"match": ours}))
        sim.outside_works()
        sim._seen = sim.parties["courier"].book.one("SELECT max(seq) AS seq FROM events")["seq"]
        events = sim.server.do(sim.outside.gateways.courier("sandbox").events(self.status.waybill or ""))
        report = reports_for(events[-1], [self.id])[self.id]
        assert isinstance(report, PickupReport)
        return report

    def movement(self, status: str) -> TrackingReport:
        """The courier reports a movement, now."""
        return TrackingReport(
            event_id=f"{self.status.waybill}.{status}.{self.now:%d%H%M%S}",
            status=TrackingStatus(status),
            waybill=self.status.waybill or "",
            occurred_at=self.now,
        )

    # ---- the end ----------------------------------------------------------------------------------------------

    def finish(self, rules: str) -> None:
        """Everybody stays silent; whoever must rule says this, whoever must approve does."""
        for _ in range(400):
            self.sim.work()
            if not self._helped(rules) and not self.sim.jump():
                break
        left = [run.id for run in self.sim.server.runs.values() if not run.closed]
        assert not left, f"never closed: {left}: {self.status.model_dump_json(indent=1)}"
        assert (violations(self.sim), differences(self.sim)) == ([], [])
        for run in self.sim.server.runs.values():
            self.sim.server.replayed(run)

    def _helped(self, rules: str) -> bool:
        attention = None if self.run.closed else self.status.attention
        if attention is None:
            return False
        if attention.reason in {"ruling_needed", "arbitration_needed"}:
            decides = "liability" if attention.reason == "ruling_needed" else "authorization"
            self.say("apply_ruling", ApplyRuling(ruling_id=self.sim.ruling(self.case, decides, rules)))
            return True
        if attention.reason == "approval_required":
            self.say("apply_approval", self.approval())
            return True
        return False

    def approval(self) -> ApplyApproval:
        """A second person's yes to the advance."""

        async def open_claim() -> Any:
            async with self.sim.store.read() as session:
                rows = await claims.of_case(session, self.id.key)
            return next(row for row in rows if row.kind == "loss")

        row = self.sim.server.do(open_claim())
        subject, amount = payment_key(self.id, f"advance.{row.claim_ref}", 1), row.approved_minor or row.reserved_minor
        return ApplyApproval(approval_id=self.sim.approval(self.case, subject, amount, row.payee))


def jobs(run: Run, since: int) -> list[set[str]]:
    """What the workflow's tasks carried."""
    return [
        {str(job.WhichOneof("variant")) for job in WorkflowActivation.FromString(activation).jobs}
        for activation, _ in run.log[since:]
    ]
