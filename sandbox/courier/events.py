"""What happened to waybills: recorded when it happens, told when it is reported."""

from __future__ import annotations

import json
from typing import Any

from sandbox.common.book import Book
from sandbox.common.clock import now_us, rfc3339
from sandbox.common.webhooks import Webhooks


class Events:
    """The courier's events. An event is seen (polled or sent) from its report on, not before."""

    def __init__(self, book: Book, webhooks: Webhooks) -> None:
        self._book = book
        self._webhooks = webhooks

    def record(
        self, type_: str, waybill: str, booking_id: str | None, detail: dict[str, Any], *,
        occurred_us: int, reported_us: int,
    ) -> None:  # fmt: skip
        """Record an event that happened at `occurred_us` and is told at `reported_us`."""
        count = self._book.number("SELECT count(*) FROM events WHERE waybill = ?", waybill)
        event_id = self._book.new_id("evt_", waybill, count + 1)
        body = {
            "event_id": event_id,
            "type": type_,
            "waybill": waybill,
            "booking_id": booking_id,
            "occurred_at": rfc3339(occurred_us),
            type_: detail,
        }
        sql = "INSERT INTO events (event_id, waybill, type, body) VALUES (?, ?, ?, ?)"
        self._book.run(sql, event_id, waybill, type_, json.dumps(body, separators=(",", ":")))
        if reported_us <= now_us():
            self.report(event_id, {})
        else:
            self._book.plan("report", event_id, {}, at_us=reported_us)

    def report(self, event_id: str, _: dict[str, Any]) -> None:
        """Planned work: tell of an event."""
        event = self._book.one("SELECT * FROM events WHERE event_id = ?", event_id)
        if event is None:
            return
        self._book.run("UPDATE events SET reported = 1 WHERE event_id = ?", event_id)
        if event["type"] == "pickup":
            self._book.run("UPDATE bookings SET reported = 1 WHERE waybill = ?", event["waybill"])
        refs = self._book.all("SELECT ref FROM items WHERE waybill = ?", event["waybill"])
        text = " ".join([event["body"], *(row["ref"] for row in refs)])
        self._webhooks.enqueue(event_id, event["waybill"], event["type"], event["body"], text)

    def of(self, waybill: str) -> list[dict[str, Any]]:
        """The events of a waybill that have been reported, in the order in which they were recorded."""
        sql = "SELECT body FROM events WHERE waybill = ? AND reported = 1 ORDER BY seq"
        return [json.loads(row["body"]) for row in self._book.all(sql, waybill)]
