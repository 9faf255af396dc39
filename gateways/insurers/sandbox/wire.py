"""The sandbox insurer's JSON. Amounts are minor units; unknown fields are ignored."""

from __future__ import annotations

from gateways.http import WireModel


class ClaimRequestWire(WireModel):
    """POST /v1/claims."""

    claim_ref: str
    coverage_id: str
    kind: str
    amount: int
    currency: str


class ApproveRequestWire(WireModel):
    """POST /v1/claims/{claim_ref}/approve."""

    amount: int


class PayRequestWire(WireModel):
    """POST /v1/claims/{claim_ref}/pay."""

    amount: int
    currency: str
    payee: str


class RemitRequestWire(WireModel):
    """POST /v1/remittances."""

    claim_ref: str
    amount: int
    currency: str


class EmptyWire(WireModel):
    """A request without a body of its own."""


class ClaimWire(WireModel):
    """A claim as every claim call answers it."""

    state: str
    code: str | None = None
    claim_no: str | None = None
    currency: str | None = None
    reserved_amount: int | None = None
    approved_amount: int | None = None
    complex: bool = False


class PaidWire(WireModel):
    """The answer to a payment of a claim."""

    state: str
    payment_ref: str
    code: str | None = None


class ReturnRequestWire(WireModel):
    """POST /v1/claims/{claim_ref}/return."""

    amount: int
    currency: str


class RemittedWire(WireModel):
    """The answer to a remittance."""

    state: str
    remittance_ref: str
