"""The courier: its routes and its planned work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase

from starlette.applications import Starlette

from sandbox.common.clock import now_us
from sandbox.common.control_plane import add_control_plane
from sandbox.common.due import Work
from sandbox.common.party import Party
from sandbox.common.webhooks import Webhooks, add_webhooks
from sandbox.common.wire import Body, Call, Nothing
from sandbox.courier.bookings import Bookings
from sandbox.courier.demands import Demands
from sandbox.courier.events import Events
from sandbox.courier.parcels import Parcels
from sandbox.courier.schema import SCHEMA
from sandbox.courier.scripts import Scripts
from sandbox.courier.settings import CourierSettings
from sandbox.courier.visits import Visits
from sandbox.courier.wire import (
    FewerItems,
    MoreItems,
    NewBooking,
    NewDemand,
    NewSetOff,
    Release,
    Script,
    SelfShip,
)


class Courier(Party):
    """The courier."""

    def __init__(self, settings: CourierSettings) -> None:
        super().__init__("courier", settings, SCHEMA)
        self.webhooks = Webhooks(self.book, self.faults, settings)
        self.scripts = Scripts(self.book)
        self.events = Events(self.book, self.webhooks)
        self.bookings = Bookings(self.book, self.scripts)
        self.parcels = Parcels(self.book, self.events)
        self.visits = Visits(self.book, settings, self.bookings, self.scripts, self.events, self.parcels)
        self.demands = Demands(self.book, self.scripts, self.parcels)
        self._public()
        self._controls()

    def work(self) -> dict[str, Work]:
        """Visits, movements, reports and demands happen later."""
        return {
            "visit": lambda subject, payload: self.visits.make(subject, payload),
            "tracking": lambda subject, payload: self.parcels.move(subject, payload),
            "report": lambda subject, payload: self.events.report(subject, payload),
            "demand": lambda subject, payload: self.demands.answer(subject, payload),
            "demand_pay": lambda subject, payload: self.demands.pay(subject, payload),
        }

    def live(self, kind: str, ref: str, body: Body) -> Body:
        """Bookings and demands change after they were made."""
        if kind == "booking":
            return {"state": self.bookings.view(self.bookings.get(ref))["state"]}
        return self.demands.live(ref) if kind == "demand" else {}

    def changed(self) -> None:
        """Planned work or a webhook may be due."""
        super().changed()
        self.webhooks.wake()

    def tasks(self) -> list[Callable[[], Awaitable[None]]]:
        """Webhooks are delivered beside the requests."""
        return [*super().tasks(), self.webhooks.run]

    def _public(self) -> None:
        self.operation("/v1/bookings", "booking", NewBooking, self.bookings.make)
        self.read("/v1/bookings/{booking_id}", self.bookings.read)
        self.operation("/v1/bookings/{booking_id}/items", "items_added", MoreItems, self.bookings.add)
        self.operation("/v1/bookings/{booking_id}/items/remove", "items_removed", FewerItems, self.bookings.remove)
        self.operation("/v1/bookings/{booking_id}/cancel", "cancel", Nothing, self.bookings.cancel)
        self.operation("/v1/bookings/{booking_id}/return", "return", Nothing, self.bookings.send_back)
        self.read("/v1/waybills/{waybill}/events", self.parcels.events)
        self.read("/v1/invoices", self.visits.invoices)
        self.operation("/v1/demands", "demand", NewDemand, self.demands.receive)
        self.read("/v1/demands/{claim_ref:path}", self.demands.read)
        self.operation("/v1/set_offs", "set_off", NewSetOff, self.demands.set_off)

    def _controls(self) -> None:
        add_control_plane(self)
        self.control("/scripts", Script, self._script)
        self.control("/self_ship", SelfShip, self.parcels.self_ship)
        self.control("/release", Release, self._release)
        add_webhooks(self, self.webhooks)

    def _script(self, call: Call[Script]) -> Body:
        self.scripts.keep(call.body)
        return {"match": call.body.match}

    def _release(self, call: Call[Release]) -> Body:
        """Let held work go on: not before its time, and at once if that has passed."""
        released = 0
        for row in self.book.all("SELECT id, subject FROM due WHERE held = 1"):
            if any(fnmatchcase(name, call.body.match) for name in self._names(row["subject"])):
                sql = "UPDATE due SET held = 0, at_us = max(at_us, ?) WHERE id = ?"
                released += self.book.run(sql, now_us(), row["id"])
        return {"released": released}

    def _names(self, subject: str) -> set[str]:
        """What held work may be called by: its booking, waybill or claim, and the cases on its waybill."""
        sql = """SELECT DISTINCT case_ref, items.waybill AS waybill, booking_id FROM items
                 JOIN waybills USING (waybill) WHERE removed = 0 AND (booking_id = ? OR items.waybill = ?
                 OR items.waybill IN (SELECT waybill FROM demands WHERE claim_ref = ?))"""
        rows = self.book.all(sql, subject, subject, subject)
        names = {subject}
        for row in rows:
            names |= {row["case_ref"], row["waybill"]} | ({row["booking_id"]} if row["booking_id"] else set())
        return names


def create_app(settings: CourierSettings) -> Starlette:
    """The courier as an ASGI application on the book that `settings` names."""
    return Courier(settings).app()
