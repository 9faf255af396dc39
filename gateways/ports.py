"""Ports: what the product asks of couriers, payment providers, insurers, and of who delivers notices.

Every mutating call takes the idempotency key under which the provider does it at most once. Errors are the kinds
of `backhaul.errors` only: Rejected (it will not happen), Transient (it did not happen), Unknown (look up by key).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from backhaul.facts import Finding, Frozen, Text
from backhaul.messages import ConsumerAtDoor, CourierRefusal, PaymentNews, PickupOutcome, TrackingStatus
from backhaul.money import Money
from backhaul.policy.denials import Denial

# ---- common to all ------------------------------------------------------------------------------------------------


class Standing(StrEnum):
    """Where an operation is. Only an explicit success or failure is terminal; anything else is pending."""

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    FAILED = "failed"


class Operation(Frozen):
    """What the provider's own books say was done under one key."""

    key: str
    kind: str
    standing: Standing
    ref: str | None = None
    code: str | None = None
    amount: Money | None = None
    payee: str | None = None
    collected: Money | None = None
    """Of a charge: what it got, at most its amount."""
    bounced_at: datetime | None = None
    """When money that had succeeded came back; the operation stays succeeded."""


class StatementRow(Frozen):
    """One thing that really happened, from the provider's own append-only statement."""

    seq: int
    key: str
    kind: str
    ref: str | None
    amount: Money
    payee: str | None
    at: datetime


class StatementPage(Frozen):
    """Rows after a position, oldest first; `next` is where to go on, None at the end."""

    rows: tuple[StatementRow, ...]
    next: int | None = None


class Provider(Protocol):
    """What every provider can be asked."""

    @property
    def name(self) -> str:
        """The name under which it is configured; stored with each effect."""

    async def operation(self, key: str) -> Operation | None:
        """What was done under this key; None when the provider does not know the key."""

    async def statement(self, since: int = 0, limit: int = 500) -> StatementPage:
        """The statement after row `since`."""

    async def aclose(self) -> None:
        """Close the connections."""


# ---- couriers -----------------------------------------------------------------------------------------------------


class Parcel(Frozen):
    """One line of one case as the courier sees it. Weight in grams, volume in cubic centimetres, both per unit."""

    ref: str
    sku: str
    quantity: int
    weight_g: int
    volume_cm3: int


class BookingRequest(Frozen):
    """A visit: where from, where to, when, and the goods. `declared`: the value that loss is limited to (X27).
    `packaging`: the courier brings some (X6)."""

    client_ref: str
    address_ref: str
    destination_ref: str
    slot_start: datetime
    slot_end: datetime
    declared: Money | None = None
    packaging: bool = False
    parcels: tuple[Parcel, ...]


class Booking(Frozen):
    """A visit that the courier has taken on."""

    booking_id: str
    waybill: str
    slot_start: datetime
    slot_end: datetime
    cancelled: bool = False


class VoidResult(Frozen):
    """Taking goods off a visit. `voided` false: the courier had them already, since `at`."""

    voided: bool
    at: datetime | None = None
    booking_cancelled: bool = False


class ItemFinding(Frozen):
    """What the courier found on one line of one case, with `ref#sha256=hash` of each photo."""

    ref: str
    finding: Finding
    quantity: int
    severity: int | None = None
    photos: tuple[str, ...] = ()
    consumer: ConsumerAtDoor = ConsumerAtDoor.SILENT


class Visit(Frozen):
    """One visit at the door: how it ended, which items went with the courier, what the check found. `refusal`: why the
    goods were rejected, in our words."""

    outcome: PickupOutcome
    reason: str | None = None
    refusal: CourierRefusal | None = None
    collected: tuple[str, ...] = ()
    inspected: bool = False
    findings: tuple[ItemFinding, ...] = ()


class CourierEvent(Frozen):
    """One thing that happened to a waybill: a visit, or a movement. Exactly one of the two is given."""

    event_id: str
    waybill: str
    occurred_at: datetime
    visit: Visit | None = None
    movement: TrackingStatus | None = None


class Invoice(Frozen):
    """The courier's freight for one waybill."""

    invoice_id: str
    waybill: str
    chargeable_g: int
    amount: Money
    issued_at: datetime


class DemandStanding(StrEnum):
    """The carrier's answer to a demand. Received is the default: nothing was said yet."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    CONTESTED = "contested"
    PAID = "paid"


class DemandAnswer(Frozen):
    """What the carrier said so far, and what it paid."""

    claim_ref: str
    standing: DemandStanding
    accepted: Money | None = None
    paid: Money | None = None
    """In cash. What was set off is accepted and not paid."""
    payment_ref: str | None = None


class CourierGateway(Provider, Protocol):
    """A courier."""

    async def book(self, key: str, request: BookingRequest) -> Booking:
        """Take on a visit. Rejected when the slot or the area is not served."""

    async def booking(self, booking_id: str) -> Booking:
        """The visit as it is now."""

    async def add_parcels(self, key: str, booking_id: str, parcels: tuple[Parcel, ...]) -> Booking:
        """More goods for the same visit. Rejected(`already_collected`) after the scan."""

    async def remove_parcels(self, key: str, booking_id: str, refs: tuple[str, ...]) -> VoidResult:
        """Take goods off the visit; when none are left the visit is cancelled."""

    async def cancel(self, key: str, booking_id: str) -> VoidResult:
        """Call the visit off."""

    async def send_back(self, key: str, booking_id: str) -> None:
        """Bring collected goods back to the consumer. Rejected(`not_returnable`) once they are delivered or lost."""

    async def events(self, waybill: str) -> tuple[CourierEvent, ...]:
        """Everything that happened to the waybill, oldest first: nothing, while the courier does not know it (a
        parcel that is still to be posted). What does not fit the contract is left out."""

    async def invoice(self, waybill: str) -> Invoice | None:
        """The freight invoice of the waybill, made at the scan."""

    async def demand(self, key: str, claim_ref: str, waybill: str, amount: Money, reason: str) -> DemandAnswer:
        """Demand an indemnity for goods lost or damaged on the way."""

    async def demand_answer(self, claim_ref: str) -> DemandAnswer:
        """What the carrier said to the demand so far."""

    async def set_off(self, key: str, claim_ref: str, amount: Money) -> str:
        """Take an amount off what we owe the carrier, in place of its payment; its reference.

        Rejected(`already_decided`) where it has paid in cash."""


# ---- payments -----------------------------------------------------------------------------------------------------


class PaymentState(Frozen):
    """A refund or payout. `code` says why it failed: our code where we know the provider's."""

    key: str
    standing: Standing
    ref: str | None = None
    code: str | None = None
    provider_code: str | None = None
    amount: Money
    payee: str
    collected: Money | None = None
    """Of a charge that succeeded: what it got, at most its amount."""


class PaymentEvent(Frozen):
    """One thing that happened to the transfer under a key. It proves nothing: the provider's books are asked."""

    event_id: str
    key: str
    news: PaymentNews
    occurred_at: datetime


class PaymentGateway(Provider, Protocol):
    """A payment provider."""

    async def refund(self, key: str, payment_id: str, amount: Money, payee: str) -> PaymentState:
        """Refund to an original payment. Rejected(`exceeds_capture`) above what is left of it."""

    async def payout(self, key: str, payee: str, amount: Money, reference: str) -> PaymentState:
        """Pay out to a merchant."""

    async def charge(self, key: str, payer: str, amount: Money, reference: str) -> PaymentState:
        """Take what a consumer owes from what they pay with; it may get a part only. The payee is the platform."""


# ---- insurers -----------------------------------------------------------------------------------------------------


class ClaimKind(StrEnum):
    """What is claimed: freight under RFI, a loss under RDV."""

    FREIGHT = "freight"
    LOSS = "loss"


class ClaimState(Frozen):
    """The insurer's decision on a claim. Reserved and undecided are pending, denied is failed.

    `denial` is why, in our words; `complex` an undecided claim that takes long; `reserve` what the insurer has set
    aside while it is undecided, `approved` what it approved: both may differ from what was claimed."""

    claim_ref: str
    standing: Standing
    claim_no: str | None = None
    code: str | None = None
    provider_code: str | None = None
    denial: Denial | None = None
    provider_state: str | None = None
    complex: bool = False
    reserve: Money | None = None
    approved: Money | None = None


class ClaimPayment(Frozen):
    """A payment out of an approved claim. Pending: the insurer took it on and has not paid yet; failed: refused."""

    standing: Standing
    ref: str
    provider_code: str | None = None


class InsurerGateway(Provider, Protocol):
    """An insurer."""

    async def reserve(self, key: str, claim_ref: str, coverage_id: str, kind: ClaimKind, amount: Money) -> ClaimState:
        """Notify a claim and have it reserved. Rejected(`over_indemnity`) above the remaining limit."""

    async def approve(self, key: str, claim_ref: str, amount: Money) -> ClaimState:
        """Ask for the decision."""

    async def claim(self, claim_ref: str) -> ClaimState:
        """The decision as it is now."""

    async def pay(self, key: str, claim_ref: str, amount: Money, payee: str) -> ClaimPayment:
        """Have an approved claim paid to the payee."""

    async def give_back(self, key: str, claim_ref: str, amount: Money) -> str:
        """Have recovered money given back to the platform, after an overturn (J45); the insurer's reference."""

    async def close(self, key: str, claim_ref: str) -> None:
        """Give the reserve up."""

    async def remit(self, key: str, claim_ref: str, amount: Money) -> str:
        """Give recovered money to the insurer; its reference."""


# ---- notices ------------------------------------------------------------------------------------------------------


class NoticeLetter(Frozen):
    """One notice: to whom (`consumer:token`), on which case, about what, in words of both languages.

    `due` is when their silence will act. Nothing personal: who the token is, the deliverer knows."""

    recipient: str
    subject: str
    about: str
    text: Text
    due: datetime | None = None
    amount: Money | None = None


class NoticeState(Frozen):
    """A notice. Pending: taken, and not known to have reached anybody."""

    key: str
    standing: Standing
    ref: str | None = None
    code: str | None = None


class NoticeGateway(Provider, Protocol):
    """Who delivers notices: in-app messages, SMS, mail."""

    async def send(self, key: str, letter: NoticeLetter) -> NoticeState:
        """Tell them. Rejected(`notice_undelivered`) where nobody is known by the token."""
