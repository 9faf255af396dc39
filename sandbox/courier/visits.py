"""A visit to the door: the check of the goods, the scan, and the freight that the scan costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sandbox.common.book import Book, Row
from sandbox.common.clock import now_us, rfc3339
from sandbox.common.wire import Body, Call, Nothing
from sandbox.courier.bookings import Bookings, cases_of
from sandbox.courier.events import Events
from sandbox.courier.parcels import Parcels
from sandbox.courier.scripts import Scripts
from sandbox.courier.settings import CourierSettings
from sandbox.courier.wire import LineFinding, Visit


class Visits:
    """Makes the planned visits."""

    def __init__(
        self, book: Book, settings: CourierSettings, bookings: Bookings, scripts: Scripts, events: Events,
        parcels: Parcels,
    ) -> None:  # fmt: skip
        self._book = book
        self._settings = settings
        self._bookings = bookings
        self._scripts = scripts
        self._events = events
        self._parcels = parcels

    def make(self, booking_id: str, payload: dict[str, Any]) -> None:
        """Planned work: the courier is at the door. A cancelled booking has no visit."""
        booking = self._bookings.get(booking_id)
        if booking["state"] != "booked":
            return
        visit = Visit.model_validate_json(json.dumps(payload["visit"]))
        now = now_us()
        occurred = payload.get("occurred_us", now + visit.occurred_at_offset_ms * 1000)
        reported = payload.get("reported_us", now + visit.reported_after_ms * 1000)
        items = self._bookings.items(booking["waybill"])
        left = set(visit.left_behind)
        taken = [row for row in items if row["line_id"] not in left and row["ref"] not in left]
        if visit.outcome == "picked_up" and taken:
            detail = self._pick_up(booking, visit, taken, occurred)
        else:
            detail = self._go_away(booking, visit)
        self._scripts.visited(cases_of(items))
        self._events.record(
            "pickup", booking["waybill"], booking_id, detail, occurred_us=occurred, reported_us=reported
        )
        if detail["collected_refs"]:
            steps = self._scripts.tracking(cases_of(taken))
            self._parcels.plan(booking["waybill"], booking_id, steps, start_us=max(now, reported))

    def invoices(self, call: Call[Nothing]) -> Body:
        """GET the invoices, of one waybill or of all."""
        waybill = call.query.get("waybill")
        sql = "SELECT * FROM invoices WHERE ? IS NULL OR waybill = ? ORDER BY rowid LIMIT 1000"
        names = ("invoice_id", "waybill", "chargeable_g", "amount", "currency")
        rows = self._book.all(sql, waybill, waybill)
        return {
            "invoices": [{name: row[name] for name in names} | {"issued_at": rfc3339(row["issued_us"])} for row in rows]
        }

    def _pick_up(self, booking: Row, visit: Visit, taken: Sequence[Row], occurred_us: int) -> dict[str, Any]:
        waybill = booking["waybill"]
        sql = "UPDATE bookings SET state = 'collected', collected_us = ? WHERE booking_id = ?"
        self._book.run(sql, occurred_us, booking["booking_id"])
        self._book.run("UPDATE waybills SET state = 'collected' WHERE waybill = ?", waybill)
        for row in taken:
            self._book.run("UPDATE items SET collected = 1 WHERE waybill = ? AND ref = ?", waybill, row["ref"])
        self._invoice(waybill, taken)
        refs = [row["ref"] for row in taken]
        if visit.inspection == "waived":
            return _outcome("picked_up", visit.reason, refs, {"result": "waived", "items": []})
        findings = {case: self._scripts.findings(case) for case in cases_of(taken)}
        named = [visit.inspection.get(row["ref"]) or findings[row["case_ref"]].get(row["line_id"]) for row in taken]
        lines = [_inspected(row, found) for row, found in zip(taken, named, strict=True)]
        flagged = any(line["finding"] != "ok" for line in lines)
        inspection = {"result": "finding" if flagged else "ok", "items": lines}
        return _outcome("picked_up", visit.reason, refs, inspection)

    def _go_away(self, booking: Row, visit: Visit) -> dict[str, Any]:
        empty = visit.outcome == "picked_up"
        outcome = "rejected" if empty else visit.outcome
        sql = "UPDATE bookings SET state = ? WHERE booking_id = ?"
        self._book.run(sql, outcome, booking["booking_id"])
        self._book.run("UPDATE waybills SET state = 'void' WHERE waybill = ?", booking["waybill"])
        return _outcome(outcome, "nothing_to_collect" if empty else visit.reason, [], None)

    def _invoice(self, waybill: str, taken: Sequence[Row]) -> None:
        tariff = self._settings.tariff
        weight = sum(row["weight_g"] * row["quantity"] for row in taken)
        volume = sum(row["volume_cm3"] * row["quantity"] for row in taken)
        chargeable = tariff.chargeable_g(weight, volume)
        amount, now = tariff.price(chargeable), now_us()
        invoice_id = self._book.new_id("inv_", waybill)
        sql = "INSERT INTO invoices VALUES (?, ?, ?, ?, ?, ?)"
        self._book.run(sql, invoice_id, waybill, chargeable, amount, tariff.currency, now)
        payee = f"courier:{self._settings.name}"
        self._book.post(
            key=waybill, kind="freight_invoice", ref=waybill, amount=amount, currency=tariff.currency, payee=payee,
            at_us=now,
        )  # fmt: skip


def _outcome(outcome: str, reason: str | None, refs: list[str], inspection: Any) -> dict[str, Any]:
    return {"outcome": outcome, "reason": reason, "collected_refs": refs, "inspection": inspection}


def _inspected(row: Row, found: LineFinding | None) -> dict[str, Any]:
    if found is None or found.finding == "ok":
        return {
            "ref": row["ref"], "finding": "ok", "severity": None, "quantity": 0, "photos": [], "consumer": "agrees",
        }  # fmt: skip
    return {
        "ref": row["ref"],
        "finding": found.finding,
        "severity": found.severity,
        "quantity": min(found.quantity or row["quantity"], row["quantity"]),
        "photos": [_photo(row, number) for number in range(1, found.photos + 1)],
        "consumer": found.consumer,
    }


def _photo(row: Row, number: int) -> dict[str, str]:
    digest = hashlib.sha256(f"{row['waybill']}|{row['ref']}|{number}".encode()).hexdigest()
    return {"ref": f"photo_{digest[:12]}", "sha256": digest}
