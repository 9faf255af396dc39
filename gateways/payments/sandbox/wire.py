"""The sandbox payment provider's JSON. Amounts are minor units; unknown fields are ignored."""

from __future__ import annotations

from pydantic import AwareDatetime

from gateways.http import WireModel


class RefundRequestWire(WireModel):
    """POST /v1/refunds."""

    payment_id: str
    amount: int
    currency: str
    payee: str


class PayoutRequestWire(WireModel):
    """POST /v1/payouts."""

    payee: str
    amount: int
    currency: str
    reference: str


class ChargeRequestWire(WireModel):
    """POST /v1/charges."""

    payer: str
    amount: int
    currency: str
    reference: str


class ChargeWire(WireModel):
    """A charge, as the provider answers it."""

    state: str
    code: str | None = None
    amount: int
    collected: int
    currency: str
    charge_id: str | None = None


class PaymentWire(WireModel):
    """A refund or payout, as the provider answers it."""

    state: str
    code: str | None = None
    amount: int
    currency: str
    payee: str
    refund_id: str | None = None
    payout_id: str | None = None


class TransferWire(WireModel):
    """The transfer that an event is about."""

    key: str


class PaymentEventWire(WireModel):
    """An event of the payment provider's webhooks."""

    event_id: str
    type: str
    occurred_at: AwareDatetime
    transfer: TransferWire
