"""The sandbox courier's JSON. Amounts are minor units, times RFC 3339; unknown fields are ignored."""

from __future__ import annotations

from pydantic import AwareDatetime

from gateways.http import WireModel


class MoneyWire(WireModel):
    """An amount with its currency."""

    amount: int
    currency: str


class ItemWire(WireModel):
    """One item of a booking; weight in grams and volume in cubic centimetres, per unit."""

    ref: str
    sku: str
    quantity: int
    weight_g: int
    volume_cm3: int


class BookingRequestWire(WireModel):
    """POST /v1/bookings."""

    client_ref: str
    address_ref: str
    destination_ref: str
    slot_start: str
    slot_end: str
    service: str = "door_pickup"
    packaging: bool = False
    declared: MoneyWire | None = None
    items: tuple[ItemWire, ...]


class ItemsWire(WireModel):
    """POST /v1/bookings/{id}/items."""

    items: tuple[ItemWire, ...]


class RefsWire(WireModel):
    """POST /v1/bookings/{id}/items/remove."""

    refs: tuple[str, ...]


class EmptyWire(WireModel):
    """A request without a body of its own."""


class BookingWire(WireModel):
    """A booking, as every booking call answers it."""

    booking_id: str
    waybill: str
    state: str
    slot_start: AwareDatetime
    slot_end: AwareDatetime


class VoidWire(WireModel):
    """The answer to a cancel or a removal; `code` and `collected_at` when it came too late."""

    state: str = ""
    code: str = ""
    cancelled_at: AwareDatetime | None = None
    collected_at: AwareDatetime | None = None


class StateWire(WireModel):
    """An answer that tells a state and nothing else."""

    state: str


class PhotoWire(WireModel):
    """A photo by reference and hash."""

    ref: str
    sha256: str


class InspectedItemWire(WireModel):
    """What the door check says about one item."""

    ref: str
    finding: str
    severity: int | None = None
    quantity: int = 0
    photos: tuple[PhotoWire, ...] = ()
    consumer: str | None = None


class InspectionWire(WireModel):
    """The door check."""

    result: str
    items: tuple[InspectedItemWire, ...] = ()


class PickupWire(WireModel):
    """What happened at the door."""

    outcome: str
    reason: str | None = None
    collected_refs: tuple[str, ...] = ()
    inspection: InspectionWire | None = None


class TrackingWire(WireModel):
    """Where the parcel is."""

    status: str


class EventWire(WireModel):
    """One event, from the log or from a webhook: `type` names the one detail that it has."""

    event_id: str
    type: str
    waybill: str
    occurred_at: AwareDatetime
    pickup: PickupWire | None = None
    tracking: TrackingWire | None = None


class InvoiceWire(WireModel):
    """One freight invoice."""

    invoice_id: str
    waybill: str
    chargeable_g: int
    amount: int
    currency: str
    issued_at: AwareDatetime


class InvoicesWire(WireModel):
    """GET /v1/invoices."""

    invoices: tuple[InvoiceWire, ...]


class DemandRequestWire(WireModel):
    """POST /v1/demands."""

    claim_ref: str
    waybill: str
    amount: int
    currency: str
    reason: str


class SetOffRequestWire(WireModel):
    """POST /v1/set_offs."""

    claim_ref: str
    amount: int
    currency: str


class SetOffWire(WireModel):
    """A set-off that the carrier has noted."""

    set_off_id: str
    amount: int
    currency: str


class DemandWire(WireModel):
    """What the carrier says to a demand."""

    state: str
    accepted_amount: int | None = None
    currency: str | None = None
    paid_amount: int | None = None
    payment_ref: str | None = None


class EventsWire(WireModel):
    """GET /v1/waybills/{waybill}/events: each read on its own, so that one bad event does not spoil the rest."""

    events: tuple[dict[str, object], ...]
