"""The sandbox courier's JSON to our words and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC

from backhaul.facts import Finding
from backhaul.messages import ConsumerAtDoor, PickupOutcome, TrackingStatus
from backhaul.money import Money
from backhaul.policy.parcels import refusal_word
from gateways.couriers.sandbox import wire as w
from gateways.ports import (
    Booking,
    BookingRequest,
    CourierEvent,
    DemandAnswer,
    DemandStanding,
    Invoice,
    ItemFinding,
    Parcel,
    Standing,
    Visit,
    VoidResult,
)
from gateways.wire import money

BOOKINGS = ("booked", "collected", "cancelled", "returning", "returned", "missed", "no_show", "rejected")
"""States of a booking: it was made, whatever became of it."""
DONE: Mapping[str, Standing] = dict.fromkeys(BOOKINGS, Standing.SUCCEEDED)
WORDS: Mapping[str, Mapping[str, Standing]] = {
    "booking": DONE,
    "items_added": DONE,
    "items_removed": DONE,
    "cancel": {"cancelled": Standing.SUCCEEDED},
    "return": {"returning": Standing.SUCCEEDED, "returned": Standing.SUCCEEDED},
    "set_off": {"noted": Standing.SUCCEEDED},
    "demand": dict.fromkeys(("received", "accepted", "contested", "paid"), Standing.SUCCEEDED),
}
OVER = frozenset({"booking_cancelled", "booking_missed", "booking_no_show", "booking_rejected"})
"""Conflicts that say: nobody has the goods, and nobody will come for them any more."""
UNKNOWN_WAYBILL = "waybill_unknown"
CODES: Mapping[str, str] = {
    "already_paid": "already_decided",
    "already_delivered": "not_returnable",
    "already_lost": "not_returnable",
}
DEMANDS: Mapping[str, DemandStanding] = {standing.value: standing for standing in DemandStanding}


def item(parcel: Parcel) -> w.ItemWire:
    """One item of a booking."""
    return w.ItemWire(
        ref=parcel.ref,
        sku=parcel.sku,
        quantity=parcel.quantity,
        weight_g=parcel.weight_g,
        volume_cm3=parcel.volume_cm3,
    )


def booking_request(request: BookingRequest) -> w.BookingRequestWire:
    """A booking. The same request gives the same bytes, whatever its offset: a repeat under a key must not differ."""
    declared = request.declared
    return w.BookingRequestWire(
        client_ref=request.client_ref,
        address_ref=request.address_ref,
        destination_ref=request.destination_ref,
        slot_start=request.slot_start.astimezone(UTC).isoformat(),
        slot_end=request.slot_end.astimezone(UTC).isoformat(),
        declared=None if declared is None else w.MoneyWire(amount=declared.minor, currency=declared.currency),
        packaging=request.packaging,
        items=tuple(item(parcel) for parcel in request.parcels),
    )


def booking(wire: w.BookingWire) -> Booking:
    """A booking in our words."""
    return Booking(
        booking_id=wire.booking_id,
        waybill=wire.waybill,
        slot_start=wire.slot_start,
        slot_end=wire.slot_end,
        cancelled=wire.state == "cancelled",
    )


def voided(wire: w.VoidWire) -> VoidResult | None:
    """A cancel or removal that the courier confirmed; None for an answer that says nothing of the booking."""
    if not wire.state:
        return None
    return VoidResult(voided=True, at=wire.cancelled_at, booking_cancelled=wire.state == "cancelled")


def too_late(wire: w.VoidWire) -> VoidResult | None:
    """A cancel or removal of goods that are collected, or of a visit that is over without; None for other conflicts."""
    if wire.code in OVER:
        return VoidResult(voided=True, booking_cancelled=wire.code == "booking_cancelled")
    if wire.code != "already_collected":
        return None
    return VoidResult(voided=False, at=wire.collected_at)


def event(wire: w.EventWire) -> CourierEvent:
    """One event. Raises ValueError for a type, outcome, status or finding that we do not know."""
    details = {"pickup": wire.pickup, "tracking": wire.tracking}
    if details.get(wire.type) is None:
        raise ValueError(f"event type {wire.type!r} without its detail")
    pickup, tracking = (wire.pickup, None) if wire.type == "pickup" else (None, wire.tracking)
    return CourierEvent(
        event_id=wire.event_id,
        waybill=wire.waybill,
        occurred_at=wire.occurred_at,
        visit=None if pickup is None else visit(pickup),
        movement=None if tracking is None else TrackingStatus(tracking.status),
    )


def visit(wire: w.PickupWire) -> Visit:
    """The visit of a pickup event. An item that is in order is no finding; a check that was waived is none."""
    check = wire.inspection
    inspected = check is not None and check.result in {"ok", "finding"}
    items = check.items if check is not None and inspected else ()
    outcome = PickupOutcome(wire.outcome)
    return Visit(
        outcome=outcome,
        reason=wire.reason,
        refusal=refusal_word(wire.reason) if outcome is PickupOutcome.REJECTED else None,
        collected=wire.collected_refs,
        inspected=inspected,
        findings=tuple(finding(found) for found in items if found.finding != Finding.OK),
    )


def finding(wire: w.InspectedItemWire) -> ItemFinding:
    """One finding. Silence is the default: only what the consumer said counts."""
    return ItemFinding(
        ref=wire.ref,
        finding=Finding(wire.finding),
        quantity=wire.quantity,
        severity=wire.severity,
        photos=tuple(f"{photo.ref}#sha256={photo.sha256}" for photo in wire.photos),
        consumer=ConsumerAtDoor(wire.consumer or "silent"),
    )


def invoice(wire: w.InvoiceWire) -> Invoice:
    """One freight invoice in our words."""
    return Invoice(
        invoice_id=wire.invoice_id,
        waybill=wire.waybill,
        chargeable_g=wire.chargeable_g,
        amount=money(wire.amount, wire.currency),
        issued_at=wire.issued_at,
    )


def demand_request(claim_ref: str, waybill: str, amount: Money, reason: str) -> w.DemandRequestWire:
    """A demand."""
    return w.DemandRequestWire(
        claim_ref=claim_ref, waybill=waybill, amount=amount.minor, currency=amount.currency, reason=reason
    )


def demand(claim_ref: str, wire: w.DemandWire) -> DemandAnswer:
    """The carrier's answer. An acceptance or payment without an amount means nothing: ValueError."""
    standing = DEMANDS.get(wire.state, DemandStanding.RECEIVED)
    accepted = None
    if standing in {DemandStanding.ACCEPTED, DemandStanding.PAID}:
        if wire.accepted_amount is None or wire.currency is None:
            raise ValueError("an acceptance names its amount")
        accepted = money(wire.accepted_amount, wire.currency)
    paid = None
    if standing is DemandStanding.PAID and accepted is not None:
        paid = accepted if wire.paid_amount is None else money(wire.paid_amount, accepted.currency)
    return DemandAnswer(
        claim_ref=claim_ref, standing=standing, accepted=accepted, paid=paid, payment_ref=wire.payment_ref
    )


def set_off_request(claim_ref: str, amount: Money) -> w.SetOffRequestWire:
    """A set-off."""
    return w.SetOffRequestWire(claim_ref=claim_ref, amount=amount.minor, currency=amount.currency)


def set_off(asked: Money, wire: w.SetOffWire) -> str:
    """The reference of a noted set-off. Another amount than the one declared means nothing to us: ValueError."""
    if money(wire.amount, wire.currency) != asked:
        raise ValueError(f"set off {asked}, noted {wire.amount}")
    return wire.set_off_id
