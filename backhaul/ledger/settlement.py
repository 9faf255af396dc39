"""Templates of settlement and its shortfalls: J70 to J74, J76, J77. Keyed by merchant, not by case."""

from __future__ import annotations

from backhaul.ledger.journal import Entry, P, credit, debit, entry
from backhaul.money import Money


def settlement_paid(merchant_id: str, net: Money, *, batch: str, key: str) -> Entry:
    """J70: closes the batch to zero."""
    lines = [debit(P.MERCHANT_PAYABLE, net, merchant_id), credit(P.BANK, net)]
    return entry("J70", merchant_id, key, lines, payment_key=key, batch=batch)


def shortfall_opened(merchant_id: str, amount: Money, *, batch: str) -> Entry:
    """J71: a negative net never pays; this closes its batch to zero."""
    lines = [
        debit(P.MERCHANT_RECEIVABLE, amount, merchant_id),
        credit(P.MERCHANT_PAYABLE, amount, merchant_id),
    ]
    return entry("J71", merchant_id, batch, lines, batch=batch)


def deposit_drawn(merchant_id: str, amount: Money, *, reference: str) -> Entry:
    """J72."""
    lines = [
        debit(P.MERCHANT_DEPOSIT, amount, merchant_id),
        credit(P.MERCHANT_RECEIVABLE, amount, merchant_id),
    ]
    return entry("J72", merchant_id, reference, lines)


def shortfall_topped_up(merchant_id: str, amount: Money, *, key: str) -> Entry:
    """J73."""
    lines = [debit(P.BANK, amount), credit(P.MERCHANT_RECEIVABLE, amount, merchant_id)]
    return entry("J73", merchant_id, key, lines, payment_key=key)


def shortfall_written_off(merchant_id: str, amount: Money, *, reference: str) -> Entry:
    """J74."""
    lines = [debit(P.BAD_DEBT, amount), credit(P.MERCHANT_RECEIVABLE, amount, merchant_id)]
    return entry("J74", merchant_id, reference, lines)


def shortfall_netted(merchant_id: str, amount: Money, *, batch: str) -> Entry:
    """J76: closes a part of a later, positive batch."""
    lines = [
        debit(P.MERCHANT_PAYABLE, amount, merchant_id),
        credit(P.MERCHANT_RECEIVABLE, amount, merchant_id),
    ]
    return entry("J76", merchant_id, batch, lines, batch=batch)


def deposit_received(merchant_id: str, amount: Money, *, key: str) -> Entry:
    """J77."""
    lines = [debit(P.BANK, amount), credit(P.MERCHANT_DEPOSIT, amount, merchant_id)]
    return entry("J77", merchant_id, key, lines, payment_key=key)
