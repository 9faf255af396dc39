"""The sandbox insurer's JSON to our words and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from backhaul.money import Money
from backhaul.policy.denials import Denial
from gateways.insurers.sandbox import wire as w
from gateways.ports import ClaimKind, ClaimPayment, ClaimState, Standing
from gateways.wire import money, standing

DECISIONS: Mapping[str, Standing] = {
    "approved": Standing.SUCCEEDED,
    "paid": Standing.SUCCEEDED,
    "denied": Standing.FAILED,
    "closed": Standing.FAILED,
}
"""Of the claim: reserved and undecided are pending, whatever the word."""
CLAIMED = ("reserved", "pending", "approved", "paid", "denied", "closed")
"""States of a claim: it was notified, whatever was decided."""
PAYMENTS: Mapping[str, Standing] = {"paid": Standing.SUCCEEDED, "refused": Standing.FAILED}
"""Of a payment: accepted is pending, whenever it comes."""
DENIALS: Mapping[str, Denial] = {
    "excluded": Denial.NOT_COVERED,
    "not_covered": Denial.NOT_COVERED,
    "no_evidence": Denial.EVIDENCE_MISSING,
    "evidence_missing": Denial.EVIDENCE_MISSING,
    "late": Denial.LATE_NOTICE,
    "late_notice": Denial.LATE_NOTICE,
    "fraud": Denial.FRAUD_SUSPECTED,
    "fraud_suspected": Denial.FRAUD_SUSPECTED,
    "limit": Denial.LIMIT_EXHAUSTED,
    "limit_exhausted": Denial.LIMIT_EXHAUSTED,
}
"""The insurer's words for a no; one that is not here is `other`."""
WORDS: Mapping[str, Mapping[str, Standing]] = {
    "claim": dict.fromkeys(CLAIMED, Standing.SUCCEEDED),
    "approval": DECISIONS,
    "payment": PAYMENTS,
    "return": {"paid": Standing.SUCCEEDED},
    "close": {"closed": Standing.SUCCEEDED},
    "recovery": {"received": Standing.SUCCEEDED},
}
DENIED = "claim_denied"
"""Our code for every no to a claim; the insurer's own is kept beside it."""
REFUSED = "provider_rejected"
"""Our code for every other no of the insurer."""
CODES: Mapping[str, str] = {"exceeds_remaining": "over_indemnity", "claim_denied": "claim_denied"}


def claim_request(claim_ref: str, coverage_id: str, kind: ClaimKind, amount: Money) -> w.ClaimRequestWire:
    """A notified claim."""
    return w.ClaimRequestWire(
        claim_ref=claim_ref,
        coverage_id=coverage_id,
        kind=kind.value,
        amount=amount.minor,
        currency=amount.currency,
    )


def pay_request(amount: Money, payee: str) -> w.PayRequestWire:
    """A payment of an approved claim."""
    return w.PayRequestWire(amount=amount.minor, currency=amount.currency, payee=payee)


def remit_request(claim_ref: str, amount: Money) -> w.RemitRequestWire:
    """A remittance."""
    return w.RemitRequestWire(claim_ref=claim_ref, amount=amount.minor, currency=amount.currency)


def claim(claim_ref: str, wire: w.ClaimWire) -> ClaimState:
    """The decision on a claim."""
    now = standing(wire.state, DECISIONS)
    return ClaimState(
        claim_ref=claim_ref,
        standing=now,
        claim_no=wire.claim_no,
        code=DENIED if now is Standing.FAILED else None,
        provider_code=wire.code,
        provider_state=wire.state,
        denial=DENIALS.get(wire.code or "", Denial.OTHER) if now is Standing.FAILED else None,
        complex=wire.complex,
        reserve=_amount(wire.reserved_amount, wire.currency) if now is Standing.PENDING else None,
        approved=_amount(wire.approved_amount, wire.currency) if now is Standing.SUCCEEDED else None,
    )


def _amount(minor: int | None, currency: str | None) -> Money | None:
    return None if minor is None or currency is None else money(minor, currency)


def paid(wire: w.PaidWire) -> ClaimPayment:
    """A payment of a claim: a word that we do not know is pending."""
    return ClaimPayment(standing=standing(wire.state, PAYMENTS), ref=wire.payment_ref, provider_code=wire.code)


def return_request(amount: Money) -> w.ReturnRequestWire:
    """Recovered money asked back."""
    return w.ReturnRequestWire(amount=amount.minor, currency=amount.currency)


def returned(wire: w.PaidWire) -> str:
    """The reference of money given back. Anything but `paid` means nothing to us: ValueError."""
    if wire.state != "paid":
        raise ValueError(f"state {wire.state!r}")
    return wire.payment_ref


def remitted(wire: w.RemittedWire) -> str:
    """The reference of a remittance. Anything but `received` means nothing to us: ValueError."""
    if wire.state != "received":
        raise ValueError(f"state {wire.state!r}")
    return wire.remittance_ref
