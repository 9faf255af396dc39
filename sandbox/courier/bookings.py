"""Bookings: made, changed, cancelled, sent back. The goods' own fate is in `visits` and `parcels`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sandbox.common.book import Book, Row
from sandbox.common.clock import now_us, rfc3339
from sandbox.common.control_plane import loads
from sandbox.common.errors import Refusal
from sandbox.common.wire import Body, Call, Made, Nothing
from sandbox.courier.scripts import Scripts
from sandbox.courier.wire import FewerItems, Item, MoreItems, NewBooking, Track

_SPENT = ("missed", "no_show", "rejected")


def cases_of(rows: Sequence[Row]) -> list[str]:
    """The cases ("merchant/rma") of item rows, each once, in order."""
    return list(dict.fromkeys(row["case_ref"] for row in rows))


class Bookings:
    """The courier's bookings. A scan that happened wins over everything that comes after it."""

    def __init__(self, book: Book, scripts: Scripts) -> None:
        self._book = book
        self._scripts = scripts

    def get(self, booking_id: str) -> Row:
        """A booking. Raises Refusal 404 booking_unknown."""
        row = self._book.one("SELECT * FROM bookings WHERE booking_id = ?", booking_id)
        if row is None:
            raise Refusal(404, "booking_unknown", f"there is no booking {booking_id}")
        return row

    def items(self, waybill: str) -> list[Row]:
        """The items that are on a waybill now, in the order in which they joined."""
        return self._book.all("SELECT * FROM items WHERE waybill = ? AND removed = 0 ORDER BY rowid", waybill)

    def view(self, booking: Row) -> Body:
        """A booking as its client sees it: a scan shows once it is reported."""
        told = bool(booking["reported"]) or booking["state"] in ("booked", "cancelled", "returning", "returned")
        parcel = self._book.one("SELECT declared FROM waybills WHERE waybill = ?", booking["waybill"])
        at = booking["collected_us"] if told else None
        return {
            "booking_id": booking["booking_id"],
            "waybill": booking["waybill"],
            "state": booking["state"] if told else "booked",
            "client_ref": booking["client_ref"],
            "slot_start": booking["slot_start"],
            "slot_end": booking["slot_end"],
            "declared": loads(parcel["declared"]) if parcel else None,
            "refs": [row["ref"] for row in self.items(booking["waybill"])],
            "collected_at": None if at is None else rfc3339(at),
            "cancelled_at": None if booking["cancelled_us"] is None else rfc3339(booking["cancelled_us"]),
        }

    def read(self, call: Call[Nothing]) -> Body:
        """GET a booking."""
        return self.view(self.get(call.path["booking_id"]))

    def make(self, call: Call[NewBooking]) -> Made:
        """Book a pickup; its visit is planned at once."""
        wanted = call.body
        cases = list(dict.fromkeys(_case(item.ref) for item in wanted.items))
        code = self._scripts.refusal(cases)
        if code is not None:
            # Answered, not raised: what a raised refusal did is undone, and this one has used up a part of the script.
            field = "slot_start" if "slot" in code else "address_ref"
            return Made(Refusal(422, code, "the courier cannot come", field=field).body(), "", 422)
        booking_id = self._book.new_id("bk_", call.key)
        waybill = self._book.new_id("SB", call.key, digits=True)
        start, end = _text(wanted.slot_start), _text(wanted.slot_end)
        declared = wanted.declared.model_dump_json() if wanted.declared else None
        self._book.run("INSERT INTO waybills VALUES (?, ?, 'booked', NULL, ?)", waybill, booking_id, declared)
        self._book.run(
            "INSERT INTO bookings VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'booked', 0, NULL, NULL)",
            booking_id, waybill, wanted.client_ref, wanted.address_ref, wanted.destination_ref, start, end,
            wanted.service,
        )  # fmt: skip
        self._put(waybill, wanted.items)
        self._plan_visit(booking_id, cases)
        return Made(self._answer(booking_id), booking_id, 201)

    def add(self, call: Call[MoreItems]) -> Made:
        """Items join a booking that has not been collected."""
        booking = self._open(call.path["booking_id"])
        self._put(booking["waybill"], call.body.items)
        if call.body.declared is not None:
            declared = call.body.declared.model_dump_json()
            self._book.run("UPDATE waybills SET declared = ? WHERE waybill = ?", declared, booking["waybill"])
        return self._changed(booking["booking_id"])

    def remove(self, call: Call[FewerItems]) -> Made:
        """Items leave a booking that has not been collected; the last one out cancels it."""
        booking = self._open(call.path["booking_id"])
        for ref in call.body.refs:
            sql = "UPDATE items SET removed = 1 WHERE waybill = ? AND ref = ?"
            if not self._book.run(sql, booking["waybill"], ref):
                raise Refusal(404, "item_unknown", f"{ref} is not in this booking", field="refs")
        if not self.items(booking["waybill"]):
            self._void(booking["booking_id"], call.now_us)
        return self._changed(booking["booking_id"])

    def cancel(self, call: Call[Nothing]) -> Made:
        """Cancel; after a scan that happened, reported or not, 409 already_collected."""
        booking = self.get(call.path["booking_id"])
        self._refuse_collected(booking)
        if booking["state"] != "cancelled":
            self._void(booking["booking_id"], call.now_us)
        after = self.get(booking["booking_id"])
        body = self._answer(booking["booking_id"]) | {"cancelled_at": rfc3339(after["cancelled_us"])}
        return Made(body, booking["booking_id"])

    def send_back(self, call: Call[Nothing]) -> Made:
        """After a scan and before the delivery: the goods go back to the consumer."""
        booking = self.get(call.path["booking_id"])
        waybill = booking["waybill"]
        if booking["collected_us"] is None:
            raise Refusal(409, "not_collected", "there is nothing to send back: no scan")
        parcel = self._book.one("SELECT state FROM waybills WHERE waybill = ?", waybill)
        state = parcel["state"] if parcel else "lost"
        if state in ("delivered", "lost"):
            raise Refusal(409, f"already_{state}", f"the parcel is {state}")
        if state not in ("returning", "returned"):
            self._book.run("UPDATE waybills SET state = 'returning' WHERE waybill = ?", waybill)
            self._book.run("UPDATE bookings SET state = 'returning' WHERE waybill = ?", waybill)
            self._book.unplan("tracking", waybill)
            step = Track(status="returned", after_ms=self._scripts.returned_after_ms(cases_of(self.items(waybill))))
            payload = {"steps": [step.model_dump(mode="json")], "booking_id": booking["booking_id"]}
            self._book.plan("tracking", waybill, payload, at_us=now_us() + step.after_ms * 1000)
        return Made(self._answer(booking["booking_id"]), booking["booking_id"])

    def _answer(self, booking_id: str) -> Body:
        booking = self.get(booking_id)
        return {name: booking[name] for name in ("booking_id", "waybill", "state", "slot_start", "slot_end")}

    def _changed(self, booking_id: str) -> Made:
        view = self.view(self.get(booking_id))
        return Made(self._answer(booking_id) | {"refs": view["refs"], "cancelled_at": view["cancelled_at"]}, booking_id)

    def _open(self, booking_id: str) -> Row:
        booking = self.get(booking_id)
        self._refuse_collected(booking)
        if booking["state"] != "booked":
            raise Refusal(409, f"booking_{booking['state']}", f"the booking is {booking['state']}")
        return booking

    def _refuse_collected(self, booking: Row) -> None:
        if booking["collected_us"] is not None:
            at = rfc3339(booking["collected_us"])
            raise Refusal(409, "already_collected", "the goods have been collected", collected_at=at)

    def _void(self, booking_id: str, at_us: int) -> None:
        sql = "UPDATE bookings SET state = 'cancelled', cancelled_us = ? WHERE booking_id = ?"
        self._book.run(sql, at_us, booking_id)
        self._book.run("UPDATE waybills SET state = 'void' WHERE booking_id = ?", booking_id)
        self._book.unplan("visit", booking_id)

    def _put(self, waybill: str, items: Sequence[Item]) -> None:
        for item in items:
            sql = "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0)"
            line = item.ref.rsplit("/", 1)[1]
            where = (waybill, item.ref, _case(item.ref), line)
            self._book.run(sql, *where, item.quantity, item.weight_g, item.volume_cm3)

    def _plan_visit(self, booking_id: str, cases: Sequence[str]) -> None:
        visit = self._scripts.next_visit(cases)
        offset = visit.occurred_at_offset_ms
        now = now_us()
        due = now + (visit.after_ms + min(offset, 0)) * 1000
        payload: dict[str, Any] = {"visit": json.loads(visit.model_dump_json())}
        if not visit.hold:
            payload["occurred_us"] = now + (visit.after_ms + offset) * 1000
            payload["reported_us"] = now + (visit.after_ms + visit.reported_after_ms) * 1000
        self._book.plan("visit", booking_id, payload, at_us=max(now, due), held=visit.hold)


def _case(ref: str) -> str:
    return ref.rsplit("/", 1)[0]


def _text(moment: Any) -> str:
    return str(moment.isoformat().replace("+00:00", "Z"))
