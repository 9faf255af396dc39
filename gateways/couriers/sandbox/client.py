"""The sandbox courier over HTTP: one method per call of its API."""

from __future__ import annotations

import logging

from backhaul.money import Money
from gateways.couriers.sandbox import mapping as m
from gateways.couriers.sandbox import wire as w
from gateways.http import Http, WireModel, segment
from gateways.ports import (
    Booking,
    BookingRequest,
    CourierEvent,
    DemandAnswer,
    Invoice,
    Operation,
    Parcel,
    StatementPage,
    VoidResult,
)
from gateways.wire import NOT_FOUND, NotFoundWire, look_up, read_statement

CONFLICT = 409
log = logging.getLogger(__name__)


class SandboxCourier:
    """CourierGateway over the sandbox's API."""

    def __init__(self, name: str, http: Http):
        self.name = name
        self._http = http

    async def aclose(self) -> None:
        await self._http.aclose()

    async def operation(self, key: str) -> Operation | None:
        return await look_up(self._http, key, m.WORDS)

    async def statement(self, since: int = 0, limit: int = 500) -> StatementPage:
        return await read_statement(self._http, since, limit)

    async def book(self, key: str, request: BookingRequest) -> Booking:
        answer = await self._http.post("/v1/bookings", key, m.booking_request(request))
        return answer.map(w.BookingWire, m.booking)

    async def booking(self, booking_id: str) -> Booking:
        answer = await self._http.get(_booking(booking_id))
        return answer.map(w.BookingWire, m.booking)

    async def add_parcels(self, key: str, booking_id: str, parcels: tuple[Parcel, ...]) -> Booking:
        body = w.ItemsWire(items=tuple(m.item(parcel) for parcel in parcels))
        answer = await self._http.post(f"{_booking(booking_id)}/items", key, body)
        return answer.map(w.BookingWire, m.booking)

    async def remove_parcels(self, key: str, booking_id: str, refs: tuple[str, ...]) -> VoidResult:
        return await self._void(f"{_booking(booking_id)}/items/remove", key, w.RefsWire(refs=refs))

    async def cancel(self, key: str, booking_id: str) -> VoidResult:
        return await self._void(f"{_booking(booking_id)}/cancel", key, w.EmptyWire())

    async def _void(self, path: str, key: str, body: WireModel) -> VoidResult:
        answer = await self._http.post(path, key, body, allow=(CONFLICT,))
        result = answer.map(w.VoidWire, m.voided if answer.refusal is None else m.too_late)
        if result is None:
            raise answer.refusal or answer.malformed("neither voided nor too late")
        return result

    async def send_back(self, key: str, booking_id: str) -> None:
        answer = await self._http.post(f"{_booking(booking_id)}/return", key, w.EmptyWire())
        answer.read(w.StateWire)

    async def events(self, waybill: str) -> tuple[CourierEvent, ...]:
        answer = await self._http.get(f"/v1/waybills/{segment(waybill)}/events", allow=(NOT_FOUND,))
        if answer.refusal is not None:
            if answer.read(NotFoundWire).code == m.UNKNOWN_WAYBILL:
                return ()
            raise answer.refusal
        events = []
        for raw in answer.read(w.EventsWire).events:
            try:
                events.append(m.event(w.EventWire.model_validate(raw)))
            except ValueError:  # one strange event must not hide the others; the webhook's inbox keeps it for people
                log.warning("courier %s: an event of waybill %s does not fit the contract", self.name, waybill)
        return tuple(sorted(events, key=lambda event: event.occurred_at))

    async def invoice(self, waybill: str) -> Invoice | None:
        answer = await self._http.get("/v1/invoices", {"waybill": waybill})
        invoices = answer.map(w.InvoicesWire, lambda wire: [m.invoice(one) for one in wire.invoices])
        return invoices[0] if invoices else None

    async def demand(self, key: str, claim_ref: str, waybill: str, amount: Money, reason: str) -> DemandAnswer:
        body = m.demand_request(claim_ref, waybill, amount, reason)
        answer = await self._http.post("/v1/demands", key, body)
        return answer.map(w.DemandWire, lambda wire: m.demand(claim_ref, wire))

    async def demand_answer(self, claim_ref: str) -> DemandAnswer:
        answer = await self._http.get(f"/v1/demands/{segment(claim_ref)}")
        return answer.map(w.DemandWire, lambda wire: m.demand(claim_ref, wire))

    async def set_off(self, key: str, claim_ref: str, amount: Money) -> str:
        answer = await self._http.post("/v1/set_offs", key, m.set_off_request(claim_ref, amount))
        return answer.map(w.SetOffWire, lambda wire: m.set_off(amount, wire))


def _booking(booking_id: str) -> str:
    return f"/v1/bookings/{segment(booking_id)}"
