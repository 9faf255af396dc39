"""What happens to a parcel on its way, and parcels that consumers post themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sandbox.common.book import Book, Row
from sandbox.common.clock import now_us
from sandbox.common.control_plane import loads
from sandbox.common.errors import Refusal
from sandbox.common.wire import Body, Call, Nothing
from sandbox.courier.events import Events
from sandbox.courier.wire import SelfShip, Track


class Parcels:
    """The movements of waybills. A parcel on its way back makes no other movement than to arrive there."""

    def __init__(self, book: Book, events: Events) -> None:
        self._book = book
        self._events = events

    def get(self, waybill: str) -> Row:
        """A waybill. Raises Refusal 404 waybill_unknown."""
        row = self._book.one("SELECT * FROM waybills WHERE waybill = ?", waybill)
        if row is None:
            raise Refusal(404, "waybill_unknown", f"there is no waybill {waybill}")
        return row

    def events(self, call: Call[Nothing]) -> Body:
        """GET everything that has been reported of a waybill."""
        parcel = self.get(call.path["waybill"])
        return {
            "waybill": parcel["waybill"],
            "events": self._events.of(parcel["waybill"]),
            "proven_freight": loads(parcel["proven_freight"]),
        }

    def self_ship(self, call: Call[SelfShip]) -> Body:
        """Register a parcel that a consumer posted; its movements begin now."""
        posted = call.body
        if self._book.one("SELECT 1 FROM waybills WHERE waybill = ?", posted.waybill) is not None:
            raise Refusal(409, "waybill_known", f"{posted.waybill} is known already", field="waybill")
        proven = posted.proven_freight.model_dump_json() if posted.proven_freight else None
        self._book.run("INSERT INTO waybills VALUES (?, NULL, 'collected', ?, NULL)", posted.waybill, proven)
        for ref in posted.items:
            case, line = ref.rsplit("/", 1)
            sql = "INSERT INTO items VALUES (?, ?, ?, ?, 1, 0, 0, 0, 1)"
            self._book.run(sql, posted.waybill, ref, case, line)
        self.plan(posted.waybill, None, posted.tracking, start_us=call.now_us)
        return {"waybill": posted.waybill, "state": "collected"}

    def plan(self, waybill: str, booking_id: str | None, steps: Sequence[Track], *, start_us: int) -> None:
        """Plan the first of the movements that are left; it plans the next."""
        if steps:
            first = steps[0]
            payload = {"steps": [step.model_dump(mode="json") for step in steps], "booking_id": booking_id}
            self._book.plan("tracking", waybill, payload, at_us=start_us + first.after_ms * 1000, held=first.hold)

    def move(self, waybill: str, payload: dict[str, Any]) -> None:
        """Planned work: the parcel moves."""
        steps = [Track.model_validate_json(json.dumps(step)) for step in payload["steps"]]
        step, now, booking_id = steps[0], now_us(), payload["booking_id"]
        self._book.run("UPDATE waybills SET state = ? WHERE waybill = ?", step.status, waybill)
        if step.status == "returned":
            self._book.run("UPDATE bookings SET state = 'returned' WHERE waybill = ?", waybill)
        self._events.record(
            "tracking", waybill, booking_id, {"status": step.status, "location": step.location},
            occurred_us=now + step.occurred_at_offset_ms * 1000, reported_us=now + step.reported_after_ms * 1000,
        )  # fmt: skip
        self.plan(waybill, booking_id, steps[1:], start_us=now)
