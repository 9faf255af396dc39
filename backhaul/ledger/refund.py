"""Templates of the refund and of what becomes of it: J20 to J23, J60 to J63, J80, J82."""

from __future__ import annotations

from backhaul.ledger.journal import CaseRef, Entry, Line, P, UnbalancedEntry, credit, debit, entry
from backhaul.money import Money


def _charged(merchant_id: str, amount: Money, commission: Money) -> list[Line]:
    """A refund charged to the merchant, who gets the commission on it back."""
    if not 0 <= commission.minor <= amount.minor:
        raise UnbalancedEntry(f"commission {commission} of {amount}")
    return [debit(P.MERCHANT_PAYABLE, amount - commission, merchant_id), debit(P.COMMISSION, commission)]


def lightning_granted(case: CaseRef, amount: Money, *, part: str = "1") -> Entry:
    """J20."""
    lines = [
        debit(P.LIGHTNING_ADVANCES, amount, case.consumer_ref),
        credit(P.REFUND_PAYABLE, amount, case.consumer_ref),
    ]
    return entry("J20", case, part, lines)


def refund_succeeded(case: CaseRef, amount: Money, *, key: str) -> Entry:
    """J21, one per payment key."""
    lines = [debit(P.REFUND_PAYABLE, amount, case.consumer_ref), credit(P.PSP_CLEARING, amount)]
    return entry("J21", case, key, lines, payment_key=key)


def goods_accepted(case: CaseRef, amount: Money, commission: Money, *, part: str = "1") -> Entry:
    """J22: after lightning. `commission` is the part of it that is reversed."""
    lines = [
        *_charged(case.merchant_id, amount, commission),
        credit(P.LIGHTNING_ADVANCES, amount, case.consumer_ref),
    ]
    return entry("J22", case, part, lines)


def refund_due(case: CaseRef, amount: Money, commission: Money, *, part: str = "1") -> Entry:
    """J23: the ordinary refund; J21 pays it."""
    lines = [
        *_charged(case.merchant_id, amount, commission),
        credit(P.REFUND_PAYABLE, amount, case.consumer_ref),
    ]
    return entry("J23", case, part, lines)


def goodwill_granted(case: CaseRef, amount: Money, *, part: str = "1") -> Entry:
    """J80."""
    lines = [debit(P.GOODWILL, amount), credit(P.REFUND_PAYABLE, amount, case.consumer_ref)]
    return entry("J80", case, part, lines)


def partial_refund_due(case: CaseRef, amount: Money, commission: Money, *, part: str = "1") -> Entry:
    """J82: without a return."""
    lines = [
        *_charged(case.merchant_id, amount, commission),
        credit(P.REFUND_PAYABLE, amount, case.consumer_ref),
    ]
    return entry("J82", case, part, lines)


def refund_bounced(case: CaseRef, amount: Money, *, key: str) -> Entry:
    """J60: the refund under this key came back."""
    lines = [debit(P.PSP_CLEARING, amount), credit(P.REFUND_PAYABLE, amount, case.consumer_ref)]
    return entry("J60", case, key, lines, payment_key=key)


def alternate_payout(case: CaseRef, amount: Money, *, key: str) -> Entry:
    """J61: to the account the consumer named."""
    lines = [debit(P.REFUND_PAYABLE, amount, case.consumer_ref), credit(P.BANK, amount)]
    return entry("J61", case, key, lines, payment_key=key)


def refund_unclaimed(case: CaseRef, amount: Money, *, part: str = "1") -> Entry:
    """J62."""
    lines = [
        debit(P.REFUND_PAYABLE, amount, case.consumer_ref),
        credit(P.UNCLAIMED, amount, case.consumer_ref),
    ]
    return entry("J62", case, part, lines)


def unclaimed_claimed(case: CaseRef, amount: Money, *, key: str) -> Entry:
    """J63."""
    lines = [debit(P.UNCLAIMED, amount, case.consumer_ref), credit(P.BANK, amount)]
    return entry("J63", case, key, lines, payment_key=key)
