"""The bodies that the courier takes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sandbox.common.wire import Amount, Currency, Millis, Money, Strict, Text

ItemRef = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$")]
Grams = Annotated[int, Field(ge=0, le=10**7)]


class Item(Strict):
    """One line to collect; `ref` is merchant/rma/line, weight and volume are per unit."""

    ref: ItemRef
    sku: Text
    quantity: Annotated[int, Field(ge=1, le=10_000)]
    weight_g: Grams
    volume_cm3: Grams


class NewBooking(Strict):
    """A pickup to be made. `packaging`: the courier brings some along."""

    client_ref: Text
    address_ref: Text
    destination_ref: Text
    slot_start: Annotated[datetime, Field(strict=False)]
    slot_end: Annotated[datetime, Field(strict=False)]
    service: Literal["door_pickup"] = "door_pickup"
    packaging: bool = False
    declared: Money | None = None
    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _a_slot_has_a_zone_and_a_length(self) -> NewBooking:
        if self.slot_start.tzinfo is None or self.slot_end.tzinfo is None:
            raise ValueError("a slot needs an offset")
        if self.slot_end <= self.slot_start:
            raise ValueError("a slot ends after it starts")
        return self


class MoreItems(Strict):
    """Items that join a booking; `declared` is the new total declared for the waybill."""

    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=200)]
    declared: Money | None = None


class FewerItems(Strict):
    """Items that leave a booking."""

    refs: Annotated[tuple[ItemRef, ...], Field(min_length=1, max_length=200)]


class NewDemand(Strict):
    """Compensation asked for goods that the courier had."""

    claim_ref: Text
    waybill: Text
    amount: Amount
    currency: Currency
    reason: Text


class NewSetOff(Strict):
    """The claimant takes an amount off what it owes the courier, in place of a payment."""

    claim_ref: Text
    amount: Amount
    currency: Currency


class Step(Strict):
    """Something that will happen `after_ms` after the one before.

    `occurred_at_offset_ms` (negative: earlier) moves when it is said to have occurred, `reported_after_ms` delays its
    report, `hold` makes it wait for a release.
    """

    after_ms: Millis = 300
    occurred_at_offset_ms: Annotated[int, Field(ge=-(10**9), le=10**9)] = 0
    reported_after_ms: Millis = 0
    hold: bool = False


class LineFinding(Strict):
    """What the courier finds on one line at the door. `quantity` is how much is affected, all of it by default."""

    finding: Literal["ok", "damage", "mismatch", "missing", "counterfeit", "unverifiable"]
    severity: Literal[10, 30, 50, 80, 100] | None = None
    quantity: Annotated[int, Field(ge=1)] | None = None
    consumer: Literal["agrees", "disputes", "withdraws", "silent"] = "agrees"
    photos: Annotated[int, Field(ge=0, le=20)] = 1

    @model_validator(mode="after")
    def _damage_has_a_severity(self) -> LineFinding:
        if (self.finding == "damage") != (self.severity is not None):
            raise ValueError("damage has a severity, and nothing else has")
        return self


class Visit(Step):
    """One visit to the door. `left_behind` are the line ids that are not collected.

    `inspection` has findings by line id, for the lines of the script's own cases, or by a line's whole reference.
    """

    after_ms: Millis = 500
    outcome: Literal["picked_up", "missed", "no_show", "rejected"] = "picked_up"
    reason: Text | None = None
    inspection: dict[str, LineFinding] | Literal["waived"] = Field(default_factory=dict)
    left_behind: tuple[str, ...] = ()


class Track(Step):
    """One movement of the parcel."""

    status: Literal["in_transit", "delivered", "lost", "found", "returned"]
    location: Text | None = None


class DemandAnswer(Strict):
    """How the courier answers a demand, and when it pays after accepting."""

    answer: Literal["accept", "contest", "silent"] = "accept"
    after_ms: Millis = 300
    pay_after_ms: Millis | None = 300
    accepted_amount: Annotated[int, Field(ge=0)] | None = None
    hold: bool = False


DEFAULT_TRACKING = (Track(status="in_transit"), Track(status="delivered"))


class Script(Strict):
    """What happens to the bookings of the cases that `match` ("merchant/rma", with * and ?) fits."""

    match: Text
    refuse: tuple[Literal["slot_unavailable", "area_not_served"], ...] = ()
    visits: tuple[Visit, ...] = ()
    tracking: tuple[Track, ...] | None = None
    returned_after_ms: Millis = 300
    demand: DemandAnswer | None = None
    hold: bool = False


class SelfShip(Strict):
    """A parcel that a consumer posted. `proven_freight` is what its receipt says."""

    waybill: Text
    items: Annotated[tuple[ItemRef, ...], Field(min_length=1)]
    tracking: tuple[Track, ...] = DEFAULT_TRACKING
    proven_freight: Money | None = None


class Release(Strict):
    """Lets held work go on: a case ("merchant/rma", with * and ?), a waybill, a booking or a claim."""

    match: Text
