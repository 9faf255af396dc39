"""From the inbox to the cases: each event becomes one update per case of its waybill, under the event's own id.

An event is delivered when every case has answered: recorded it, or said why it cannot (it is closed). What is in the
way for now (no worker, a waybill that no case has yet) is tried again, after a restart too; what stays so is parked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from api.settings import Settings
from backhaul.client import Backhaul
from backhaul.errors import BackhaulError, Rejected
from backhaul.ids import CaseId, parse_case_key
from backhaul.messages import PickupReport, TrackingReport
from backhaul.names import Update
from backhaul.policy.parcels import correction_of
from gateways.ports import CourierEvent, PaymentEvent
from gateways.webhooks import read_any, reports_for
from store import cases, inbox, waybills
from store.engine import Store
from store.tables import InboxRow
from worker.corrections import correct, tell_movement, tell_payment

log = structlog.get_logger(__name__)

BATCH = 50
SLOWEST = timedelta(minutes=5)
"""Longest pause between two tries of one event."""
WAYBILL_UNKNOWN = "waybill_unknown"
FULL = "too_many_messages"
"""The case takes no more reports."""
GONE = frozenset({"return_closed", "not_found"})
"""With these no run of the case takes anything."""


class NotYet(Exception):
    """The event cannot be delivered now."""


class Dispatcher:
    """Delivers what the inbox holds. Several processes may run one each: an event is leased."""

    def __init__(self, settings: Settings, store: Store, backhaul: Backhaul, now: Callable[[], datetime]):
        self._settings = settings
        self._store = store
        self._backhaul = backhaul
        self._now = now
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """There is something new."""
        self._awake.set()

    async def run(self) -> None:
        """Until cancelled: deliver at once when woken, and look again in between for what waits or was left over."""
        while True:
            self._awake.clear()
            try:
                while await self.once():
                    pass
            except Exception:  # the loop must outlive a database that is away
                log.exception("inbox not read")
            try:
                async with asyncio.timeout(self._settings.inbox_interval_s):
                    await self._awake.wait()
            except TimeoutError:
                continue

    async def once(self) -> int:
        """Take what is due and try to deliver it. How many were taken."""
        lease = timedelta(seconds=self._settings.inbox_lease_s)
        rows = await self._store.run(lambda session: inbox.claim(session, self._now(), lease, BATCH))
        await asyncio.gather(*(self._deliver(row) for row in rows))
        return len(rows)

    async def _deliver(self, row: InboxRow) -> None:
        try:
            answers = await self._send(row)
        except NotYet as reason:
            await self._later(row, str(reason))
        except Rejected as refusal:
            await self._park(row, f"{refusal.code}: {refusal.message}")
        except Exception as error:
            log.exception("webhook not dispatched", sender=row.sender, event_id=row.event_id)
            await self._later(row, type(error).__name__)
        else:
            await self._store.run(lambda session: self._delivered(session, row, answers))

    async def _delivered(self, session: AsyncSession, row: InboxRow, answers: Mapping[CaseId, str]) -> None:
        """Every case has answered; what one refused (it is closed) stays beside the event."""
        await inbox.delivered(session, row.sender, row.event_id, self._now(), [case.key for case in answers])
        notes = "; ".join(f"{case.key}: {code}" for case, code in answers.items() if code)
        kept = await inbox.get(session, row.sender, row.event_id)
        if kept is not None and notes:
            kept.error = notes[:500]
            session.add(kept)

    async def _send(self, row: InboxRow) -> dict[CaseId, str]:
        """Send the event to each of its cases: the code of each refusal, or nothing. Raises NotYet where a case
        cannot answer now."""
        known = self._settings.webhook_senders.get(row.sender)
        event = read_any(row.body, known.adapter if known else "sandbox")
        if isinstance(event, PaymentEvent):
            return await self._send_payment(event)
        async with self._store.read() as session:
            keys = await waybills.cases_of(session, event.waybill)
        if not keys:
            raise NotYet(WAYBILL_UNKNOWN)
        reports = reports_for(event, [parse_case_key(key) for key in keys])
        alone = len(keys) == 1
        answers = await asyncio.gather(*(self._tell(case, event, report, alone) for case, report in reports.items()))
        return dict(zip(reports, answers, strict=True))

    async def _send_payment(self, event: PaymentEvent) -> dict[CaseId, str]:
        """News of a payment goes to its case, or starts a correction of it."""
        try:
            case, _ = await tell_payment(
                self._store, self._backhaul, event.key, event.news, event.occurred_at, self._now()
            )
        except Rejected:
            raise
        except BackhaulError as error:
            raise NotYet(f"{event.key}: {error.code}") from error
        return {} if case is None else {parse_case_key(case): ""}

    async def _tell(self, case: CaseId, event: CourierEvent, report: PickupReport | TrackingReport, alone: bool) -> str:
        update = Update.REPORT_PICKUP if isinstance(report, PickupReport) else Update.REPORT_TRACKING
        try:
            await self._backhaul.report(*case, update, report, event.event_id)
        except Rejected as refusal:  # closed, or never opened
            if refusal.code == FULL:  # it stays here: what counts of it the case polls, what remains its close ends
                raise NotYet(f"{case.key}: {FULL}") from refusal
            return await self._correct(case, report, alone, refusal.code) or refusal.code
        except BackhaulError as error:
            raise NotYet(f"{case.key}: {error.code}") from error
        return ""

    async def _correct(self, case: CaseId, report: PickupReport | TrackingReport, alone: bool, code: str) -> str | None:
        """A closed case whose goods turn up is corrected: what was started, for the notes beside the event. Raises
        NotYet where nobody takes the event, and the case is open in the books: it goes on, or is closed there."""
        async with self._store.read() as session:
            row = await cases.get(session, case.key)
        if row is None:
            return None
        if row.closed_at is None:
            if code in GONE:
                raise NotYet(f"{case.key}: {code}, and not closed in the books")
            return None
        regions = (row.status or {}).get("regions", {})
        found = correction_of(case, regions.get("logistics", ""), report, alone=alone)
        try:
            if isinstance(report, TrackingReport) and await tell_movement(self._store, self._backhaul, case, report):
                return "told its correction"
            if found is None:
                return None
            correction = await correct(self._store, self._backhaul, case.key, *found, self._now())
        except BackhaulError as error:
            raise NotYet(f"{case.key}: {error.code}") from error
        return f"correction {correction.n}, {correction.kind}"

    async def _later(self, row: InboxRow, reason: str) -> None:
        now = self._now()
        if reason == WAYBILL_UNKNOWN and (now - row.received_at).total_seconds() > self._settings.inbox_give_up_s:
            await self._park(row, reason)
            return
        pause = min(timedelta(seconds=2 ** min(row.attempts, 10)), SLOWEST)
        await self._store.run(lambda session: inbox.failed(session, row.sender, row.event_id, reason, now + pause))

    async def _park(self, row: InboxRow, reason: str) -> None:
        log.error("webhook parked", sender=row.sender, event_id=row.event_id, reason=reason)
        await self._store.run(lambda session: inbox.parked(session, row.sender, row.event_id, reason))
