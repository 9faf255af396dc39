"""One simulated product: a fresh store, fresh parties, the virtual server, and what the parties may do."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple, cast
from unittest.mock import patch

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import CorrectionStart, Judgement
from activities.declarations import DECLARED
from activities.reconciliation_steps import ReconciliationSteps
from activities.steps.correcting import start_of
from backhaul.client import request_hash
from backhaul.corrections import CorrectionEvent, CorrectionKind, appeal_event
from backhaul.disputes import LodgeAppeal
from backhaul.errors import Refusal
from backhaul.facts import Party
from backhaul.ids import CaseId, parse_case_key, return_id
from backhaul.messages import (
    Appeal,
    CaseOutcome,
    CaseStatus,
    CreateAppeal,
    ImportOrder,
    OpenReturn,
    PickupReport,
    RetryStep,
    ReturnLine,
    TrackingReport,
)
from backhaul.names import Update, WorkflowType
from backhaul.policy.library import load_library
from backhaul.policy.parcels import correction_of
from backhaul.reconciliation import ReconcileRequest, ReconciliationReport
from gateways.ports import CourierEvent
from gateways.webhooks import read_event, reports_for
from sandbox.common import clock
from store import authority, cases, corrections, sqlite, waybills
from store.engine import Store
from store.tables import CorrectionRow
from tests.gateways.outside import Outside
from tests.simulation.outside import Weather, simulated
from tests.simulation.server import Server, Told, implementations
from tests.workflows import world as worlds
from tests.workflows.world import Case, Plan, World
from worker.registry import WORKFLOWS, activities_of

TYPES = {declared.name: declared.argument for declared in DECLARED}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
SHM = Path("/dev/shm")
"""A folder in memory, where the machine has one: thousands of small databases are made and thrown away."""


@cache
def library() -> Any:
    """The policy books, read once."""
    return load_library()


class OneThread(sqlite.Connection):
    """A connection that works in the thread of its caller."""

    async def _execute(self, fn: Any, *arguments: Any, **named: Any) -> Any:
        return fn(*arguments, **named)


class Place:
    """One folder, one event loop and one store of this process, used by one simulation after the other: SQLAlchemy
    compiles its statements once."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = Path(mkdtemp(prefix="backhaul-sim-", dir=SHM if SHM.is_dir() else None))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        with patch.object(sqlite, "Connection", OneThread):
            self.store = Store(f"sqlite:///{self.folder}/backhaul.db", pool_size=2)
        self.loop.run_until_complete(self.store.create_all())
        self.loop.run_until_complete(self.store.engine.dispose())
        shutil.copy(self.folder / "backhaul.db", self.folder / "blank")

    def clear(self) -> None:
        """An empty database, and no books of the parties."""
        self.loop.run_until_complete(self.store.close())
        for path in self.folder.iterdir():
            if path.name != "blank":
                path.unlink()
        shutil.copy(self.folder / "blank", self.folder / "backhaul.db")


@cache
def place() -> Place:
    """This process's place."""
    return Place()


class Simulation(World):
    """A world whose time is virtual. Everything that is left to chance comes from one seed.

    The courier lives its own life by its scripts; what it reports reaches the cases through `_post`, which may lose,
    double and reorder. Merchants, consumers and operators act when a test says so."""

    def __init__(self, store: Store, outside: Outside, server: Server, weather: Weather, parties: dict[str, Any]):
        self.store, self.outside, self.server, self.weather, self.parties = store, outside, server, weather, parties
        self.random = random.Random(weather.random.random())
        self.opened: dict[str, OpenReturn] = {}
        self.providers = ReconciliationSteps(store, outside.gateways, library()).parties
        self.worker_dies = 0
        """Percent of attempts whose answer is lost with the worker."""
        self.post_loses = 0
        """Percent of the courier's reports that never arrive; as many arrive twice, and as many late."""
        self.unheard: set[str] = set()
        """Waybills of which a report was lost."""
        self._numbers = itertools.count(1)
        self._seen = 0
        self._late: list[tuple[datetime, CourierEvent]] = []
        server.before = self.outside_works
        server.lost = lambda asked: self.random.randrange(100) < self.worker_dies
        server.elsewhere = self._next_outside

    async def now(self) -> datetime:
        """The virtual time."""
        return self.server.now

    # ---- the world outside -----------------------------------------------------------------------------------------

    def outside_works(self) -> None:
        """What the parties planned for now happens."""
        for party in self.parties.values():
            while party._runner._run_due():
                pass

    def deliver(self) -> bool:
        """The courier's new reports, and those that were late, reach their cases. False: there were none."""
        self.outside_works()
        book = self.parties["courier"].book
        new = book.all("SELECT seq, body FROM events WHERE seq > ? AND reported = 1 ORDER BY seq", self._seen)
        for row in new:
            self._seen = max(self._seen, row["seq"])
            self._post(read_event(row["body"].encode()))
        due = [event for at, event in self._late if at <= self.server.now]
        self._late = [(at, event) for at, event in self._late if at > self.server.now]
        for event in due:
            self._tell(event)
        return bool(new or due)

    def _post(self, event: CourierEvent) -> None:
        fate = self.random.randrange(100)
        if fate < self.post_loses:
            self.unheard.add(event.waybill)
            return
        if fate < 2 * self.post_loses:
            self._late.append((self.server.now + timedelta(hours=self.random.randrange(1, 200)), event))
            return
        self._tell(event)
        if fate < 3 * self.post_loses:
            self._late.append((self.server.now + timedelta(minutes=self.random.randrange(1, 90)), event))

    def _tell(self, event: CourierEvent) -> None:
        """As the dispatcher does: one update for each case of the waybill."""

        async def members() -> Sequence[str]:
            async with self.store.read() as session:
                return await waybills.cases_of(session, event.waybill)

        keys = self.server.do(members())
        for case, report in reports_for(event, [parse_case_key(key) for key in keys]).items():
            update = "report_pickup" if event.visit is not None else "report_tracking"
            if self.server.runs[return_id(*case)].closed:
                self._correct(case, report, alone=len(keys) == 1)
            else:
                self.say(return_id(*case), update, report)

    def _correct(self, case: CaseId, report: PickupReport | TrackingReport, *, alone: bool) -> None:
        """As the dispatcher does: goods that turn up after the close start a correction, which is told what follows."""

        async def found(session: AsyncSession) -> tuple[CorrectionKind, CorrectionEvent] | None:
            row = await cases.need(session, case.key)
            regions = (row.status or {}).get("regions", {})
            return correction_of(case, regions.get("logistics", ""), report, alone=alone)

        follows: CorrectionRow | None = self.server.do(self.store.run(lambda s: corrections.following(s, case.key)))
        if follows is not None and isinstance(report, TrackingReport):
            event = CorrectionEvent.model_validate(follows.event)
            self.say(self.start_correction(case, CorrectionKind(follows.kind), event), "report_tracking", report)
            return
        wanted: tuple[CorrectionKind, CorrectionEvent] | None = self.server.do(self.store.run(found))
        if wanted is not None:
            self.start_correction(case, *wanted)

    def start_correction(self, case: CaseId, kind: CorrectionKind, event: CorrectionEvent) -> str:
        """One correction for an event, however often it is told; the workflow's id."""

        async def opened(session: AsyncSession) -> CorrectionStart:
            row = await cases.need(session, case.key)
            correction = await corrections.open_for(session, case.key, kind, event, self.server.now)
            return CorrectionStart(workflow_id=correction.workflow_id, start=start_of(correction, row))

        wanted: CorrectionStart = self.server.do(self.store.run(opened))
        if wanted.workflow_id not in self.server.runs:
            self.server.start(WorkflowType.CORRECTION.value, wanted.workflow_id, wanted.start)
        return wanted.workflow_id

    def reconcile(self, cut: str) -> ReconciliationReport:
        """One run of the reconciliation: fetch the statements, compare, say what is open. Where a provider does not
        answer for so long that it parks, an operator has it go on, an hour later."""
        providers = tuple(name for name in self.providers if name != "courier.sandbox-b")  # the same server's books
        workflow_id = f"reconciliation:{cut}"
        request = ReconcileRequest(cut=cut, hold=False, providers=providers)
        self.server.start(WorkflowType.RECONCILIATION.value, workflow_id, request)
        while not self.server.runs[workflow_id].closed:
            moved = self.jump()
            run = self.server.runs[workflow_id]
            if "ReturnAttention" in run.attributes:
                self.sleep(timedelta(hours=1))
                self.say(workflow_id, Update.RETRY_STEP, RetryStep())
            else:
                assert moved or run.closed, f"the reconciliation never ends: {run.attributes}"
        found: ReconciliationReport = self.server.result(workflow_id, ReconciliationReport)
        return found

    def _next_outside(self) -> datetime | None:
        """When a party does something by itself next, or a late report arrives."""
        moments = [at for at, _ in self._late]
        for party in self.parties.values():
            row = party.book.one("SELECT min(at_us) AS at_us FROM due WHERE held = 0")
            if row is not None and row["at_us"] is not None:
                moments.append(EPOCH + timedelta(microseconds=row["at_us"]))
        return min(moments, default=None)

    def work(self) -> None:
        """Work until only time, or somebody, can move anything on."""
        self.server.settle()
        while self.deliver():
            self.server.settle()

    def jump(self) -> bool:
        """On to the next moment at which something happens by itself. False: nothing will."""
        self.work()
        moved = self.server.jump()
        self.work()
        return moved

    def sleep(self, span: timedelta) -> None:
        """Let time pass."""
        until = self.server.now + span
        self.work()
        while (moment := self.server.next_moment) is not None and moment <= until:
            self.jump()
        self.server.now = max(self.server.now, until)
        self.work()

    # ---- what people do ----------------------------------------------------------------------------------------------

    def order(self, plan: Plan) -> ImportOrder:
        """Import an order, capture its payment, bind its cover."""
        found: ImportOrder = self.server.do(self.import_order(plan))
        return found

    def open_return(self, order: ImportOrder, plan: Plan, *, courier: dict[str, Any] | None = None) -> str:
        """Open a return of the order with a script for its courier; the workflow's id."""
        back = plan.back or [(line.line_id, line.quantity) for line in order.lines]
        request = OpenReturn(
            merchant_id=order.merchant.merchant_id,
            rma_id=f"R{next(self._numbers)}",
            order_id=order.order_id,
            reason=plan.reason,
            method=plan.method,
            lines=tuple(ReturnLine(line_id=line, quantity=count) for line, count in back),
            address_ref=f"addr-{order.order_id}",
            remedy=plan.remedy,
            slot=None if plan.slot_in is None else self.server.do(self._slot(plan.slot_in)),
        )
        match = f"{request.merchant_id}/{request.rma_id}"
        self.server.do(self.outside.script("courier", match, **(courier or {})))
        case = return_id(request.merchant_id, request.rma_id)
        first = ("first_decision", request_hash(request))
        self.opened[case] = request
        self.server.start(WorkflowType.RETURN_CASE.value, case, request, first)
        self.work()
        return case

    def say(self, case: str, update: str, body: Any, *, later: bool = False) -> Told:
        """Send an update to a workflow."""
        return self.server.update(case, update, body, later=later)

    def status(self, case: str) -> CaseStatus:
        """The typed view."""
        found: CaseStatus = self.server.query(case, "status", CaseStatus)
        return found

    def outcome(self, case: str) -> CaseOutcome:
        """How a closed case ended."""
        found: CaseOutcome = self.server.result(case, CaseOutcome)
        return found

    def lines(self, case: str) -> tuple[str, ...]:
        """The lines that come back."""
        return tuple(line.line_id for line in self.opened[case].lines)

    def ruling(self, case: str, decides: str, outcome: str, **how: Any) -> str:
        """A reviewer rules on a case; the ruling's id. `how`: `by` whom, which ruling it `overrules`."""
        found: str = self.server.do(self.rule(cast(Case, Named(self.opened[case])), decides, outcome, **how))
        return found

    def told_of(self, ruling_id: str) -> datetime:
        """When both sides had been told of a ruling."""

        async def read() -> datetime | None:
            async with self.store.read() as session:
                return (await authority.find_ruling(session, ruling_id)).told_at

        told: datetime | None = self.server.do(read())
        assert told is not None
        return told

    def appeals(self, case: str, ruling_id: str, by: Party) -> str:
        """A side appeals against a ruling, as over the API: heard now, kept, or a correction of a closed case. What
        came of it, or the code with which it was refused."""
        request = self.opened[case]
        key = CaseId(request.merchant_id, request.rma_id)
        wanted = CreateAppeal(ruling_id=ruling_id, reason="not so")

        async def taken(session: AsyncSession) -> Appeal:
            row = await cases.need(session, key.key)
            within = timedelta(seconds=Judgement.model_validate(row.judgement).terms.appeal_s)
            return await authority.create_appeal(session, key.key, wanted, by, "a side", self.server.now, within)

        try:
            lodged: Appeal = self.server.do(self.store.run(taken))
        except Refusal as refusal:
            return refusal.code
        if not self.server.runs[case].closed:
            said = LodgeAppeal(appeal_id=lodged.appeal_id, ruling_id=ruling_id, by=by, reason="not so")
            told = self.say(case, "appeal", said)
            self.work()
            if told.refusal is not None:
                self.server.do(self.store.run(lambda session: authority.drop_appeal(session, ruling_id)))
            return told.refusal or "lodged"
        event = CorrectionEvent(
            event_id=appeal_event(ruling_id), occurred_at=lodged.at, by=by, ruling_id=ruling_id, reason="not so"
        )
        self.start_correction(key, CorrectionKind.APPEAL, event)
        return "correction"

    def approval(self, case: str, subject: str, amount: int, payee: str) -> str:
        """A second person approves a payment; the approval's id."""
        found: str = self.server.do(self.approve(cast(Case, Named(self.opened[case])), subject, amount, payee))
        return found


class Named(NamedTuple):
    """A case by its request: all that rulings and approvals need of it."""

    request: OpenReturn


@contextmanager
def simulation(seed: int, *, book: str | None = None) -> Iterator[Simulation]:
    """A fresh product. The same seed and the same doings give the same run."""
    here = place()
    here.clear()
    worlds._NUMBERS = itertools.count(1)  # what ran before changes no name, and so no order
    weather = Weather(random.Random(seed))
    activities: dict[str, Any] = {}
    server = Server(WORKFLOWS, activities, TYPES, START, here.loop, seed)
    clock.use(server.clock)
    try:
        with simulated(here.folder, weather) as (outside, parties):
            found = activities_of(here.store, outside.gateways, library(), book, clock=server.clock)
            activities.update(implementations(found))
            yield Simulation(here.store, outside, server, weather, parties)
            server.do(outside.gateways.aclose())
            server.do(outside.http.aclose())
    finally:
        clock.use(None)


__all__ = ["Plan", "Simulation", "simulation"]
