"""Templates of the sale, its cover and the freight: J01 to J16."""

from __future__ import annotations

from typing import Literal

from backhaul.ledger.journal import PLATFORM, CaseRef, Entry, I, OrderRef, P, credit, debit, entry
from backhaul.money import Money

Bearer = Literal["merchant", "consumer"]


def _order(of: OrderRef) -> OrderRef:
    """The order alone: entries once per order do not carry a case."""
    return OrderRef(merchant_id=of.merchant_id, order_id=of.order_id, consumer_ref=of.consumer_ref)


def sale_captured(order: OrderRef, amount: Money, commission: Money, *, payment_id: str) -> Entry:
    """J01, one per captured payment."""
    lines = [
        debit(P.PSP_CLEARING, amount),
        credit(P.MERCHANT_PAYABLE, amount - commission, order.merchant_id),
        credit(P.COMMISSION, commission),
    ]
    return entry("J01", _order(order), payment_id, lines, external_key=payment_id)


def cover_bound(order: OrderRef, by_merchant: Money, by_platform: Money, *, coverage_id: str) -> Entry:
    """J02, one per coverage: the premium, by who pays it."""
    premium = by_merchant + by_platform
    lines = [
        debit(P.MERCHANT_PAYABLE, by_merchant, order.merchant_id),
        debit(P.RDV_SUBSIDY, by_platform),
        credit(P.PREMIUM_PAYABLE, premium, coverage_id),
        debit(I.PREMIUM_RECEIVABLE, premium, coverage_id),
        credit(I.UNEARNED_PREMIUM, premium, coverage_id),
    ]
    return entry("J02", _order(order), coverage_id, lines)


def premium_remitted(order: OrderRef, premium: Money, *, coverage_id: str) -> Entry:
    """J03, one per coverage."""
    lines = [
        debit(P.PREMIUM_PAYABLE, premium, coverage_id),
        credit(P.BANK, premium),
        debit(I.BANK, premium),
        credit(I.PREMIUM_RECEIVABLE, premium, coverage_id),
    ]
    return entry("J03", _order(order), coverage_id, lines, external_key=coverage_id)


def premium_earned(order: OrderRef, premium: Money, *, coverage_id: str) -> Entry:
    """J04, when the cover ends."""
    lines = [debit(I.UNEARNED_PREMIUM, premium, coverage_id), credit(I.EARNED_PREMIUM, premium)]
    return entry("J04", _order(order), coverage_id, lines)


def psp_swept(amount: Money, *, reference: str) -> Entry:
    """J05."""
    lines = [debit(P.BANK, amount), credit(P.PSP_CLEARING, amount)]
    return entry("J05", PLATFORM, reference, lines, external_key=reference)


def psp_topped_up(amount: Money, *, reference: str) -> Entry:
    """J06."""
    lines = [debit(P.PSP_CLEARING, amount), credit(P.BANK, amount)]
    return entry("J06", PLATFORM, reference, lines, external_key=reference)


def rfi_reserved(case: CaseRef, amount: Money, *, claim_ref: str) -> Entry:
    """J10."""
    lines = [debit(I.INCURRED_LOSS, amount), credit(I.CASE_RESERVE, amount, claim_ref)]
    return entry("J10", case, claim_ref, lines, claim_ref=claim_ref)


def rfi_approved(case: CaseRef, amount: Money, *, claim_ref: str) -> Entry:
    """J11."""
    lines = [debit(I.CASE_RESERVE, amount, claim_ref), credit(I.CLAIMS_PAYABLE, amount, claim_ref)]
    return entry("J11", case, claim_ref, lines, claim_ref=claim_ref)


def courier_paid_by_insurer(case: CaseRef, amount: Money, *, claim_ref: str, key: str, waybill: str) -> Entry:
    """J12: door pickup, consumer and merchant see nothing of it."""
    lines = [debit(I.CLAIMS_PAYABLE, amount, claim_ref), credit(I.BANK, amount)]
    return entry("J12", case, key, lines, payment_key=key, claim_ref=claim_ref, waybill=waybill)


def consumer_paid_by_insurer(case: CaseRef, amount: Money, *, claim_ref: str, key: str, waybill: str) -> Entry:
    """J13: self-ship."""
    lines = [debit(I.CLAIMS_PAYABLE, amount, claim_ref), credit(I.BANK, amount)]
    return entry("J13", case, key, lines, payment_key=key, claim_ref=claim_ref, waybill=waybill)


def freight_above_cap(case: CaseRef, amount: Money, *, bearer: Bearer, courier: str, waybill: str) -> Entry:
    """J14: the reason decides between merchant and consumer."""
    if bearer == "merchant":
        owed = debit(P.MERCHANT_PAYABLE, amount, case.merchant_id)
    else:
        owed = debit(P.CONSUMER_RECEIVABLE, amount, case.consumer_ref)
    return entry("J14", case, waybill, [owed, credit(P.CARRIER_PAYABLE, amount, courier)], waybill=waybill)


def courier_paid(case: CaseRef, amount: Money, *, courier: str, waybill: str, key: str | None = None) -> Entry:
    """J15, posted with the case. The courier's own statement shows the waybill; with a `key` it is money that goes
    back to the courier after an overturn (J45), and no freight."""
    lines = [debit(P.CARRIER_PAYABLE, amount, courier), credit(P.BANK, amount)]
    if key is not None:
        return entry("J15", case, key, lines, waybill=waybill)
    return entry("J15", case, waybill, lines, waybill=waybill, external_key=waybill)


def self_ship_borne_by_merchant(case: CaseRef, amount: Money, *, waybill: str) -> Entry:
    """J16; J21 pays it to the consumer."""
    lines = [
        debit(P.MERCHANT_PAYABLE, amount, case.merchant_id),
        credit(P.REFUND_PAYABLE, amount, case.consumer_ref),
    ]
    return entry("J16", case, waybill, lines, waybill=waybill)
