"""Templates of the loss and its indemnity: J30 to J34, J75, J75b."""

from __future__ import annotations

from backhaul.ledger.journal import CaseRef, Entry, I, P, credit, debit, entry, of_claim
from backhaul.money import Money


def rdv_reserved(case: CaseRef, amount: Money, *, claim_ref: str) -> Entry:
    """J30."""
    lines = [debit(I.INCURRED_LOSS, amount), credit(I.CASE_RESERVE, amount, claim_ref)]
    return entry("J30", case, claim_ref, lines, claim_ref=claim_ref)


def rdv_approved(case: CaseRef, amount: Money, *, claim_ref: str) -> Entry:
    """J31: owed to the merchant in both books."""
    lines = [
        debit(I.CASE_RESERVE, amount, claim_ref),
        credit(I.CLAIMS_PAYABLE, amount, claim_ref),
        debit(P.INSURER_RECEIVABLE, amount, claim_ref),
        credit(P.MERCHANT_PAYABLE, amount, case.merchant_id),
    ]
    return entry("J31", case, claim_ref, lines, claim_ref=claim_ref)


def insurer_funded(case: CaseRef, amount: Money, *, claim_ref: str, key: str) -> Entry:
    """J32."""
    lines = [
        debit(I.CLAIMS_PAYABLE, amount, claim_ref),
        credit(I.BANK, amount),
        debit(P.BANK, amount),
        credit(P.INSURER_RECEIVABLE, amount, claim_ref),
    ]
    return entry("J32", case, key, lines, payment_key=key, claim_ref=claim_ref)


def reserve_changed(case: CaseRef, change: Money, *, claim_ref: str, part: str = "1") -> Entry:
    """J33: `change` above zero raises the reserve, below zero lowers it; a denial releases all of it."""
    amount = abs(change.minor)
    size = Money(minor=amount, currency=change.currency)
    lines = [debit(I.INCURRED_LOSS, size), credit(I.CASE_RESERVE, size, claim_ref)]
    if change.minor < 0:
        lines = [debit(I.CASE_RESERVE, size, claim_ref), credit(I.INCURRED_LOSS, size)]
    return entry("J33", case, f"{claim_ref}:{part}", lines, claim_ref=claim_ref)


def advance_paid(case: CaseRef, amount: Money, *, claim_ref: str, key: str, batch: str) -> Entry:
    """J34: its own payout and batch, which it closes."""
    lines = [debit(P.MERCHANT_PAYABLE, amount, case.merchant_id), credit(P.BANK, amount)]
    return entry("J34", case, key, lines, payment_key=key, claim_ref=claim_ref, batch=batch)


def indemnity_overturned(case: CaseRef, amount: Money, *, claim_ref: str, part: str = "1") -> Entry:
    """J75: before the insurer funded it."""
    lines = [
        debit(P.MERCHANT_PAYABLE, amount, case.merchant_id),
        credit(P.INSURER_RECEIVABLE, amount, claim_ref),
        debit(I.CLAIMS_PAYABLE, amount, claim_ref),
        credit(I.INCURRED_LOSS, amount),
    ]
    return entry("J75", case, of_claim(claim_ref, part), lines, claim_ref=claim_ref)


def funded_indemnity_overturned(case: CaseRef, amount: Money, *, claim_ref: str, part: str = "1") -> Entry:
    """J75b: after the insurer funded it."""
    lines = [
        debit(P.MERCHANT_PAYABLE, amount, case.merchant_id),
        credit(P.RECOVERIES_OWED, amount, claim_ref),
        debit(I.SUBROGATION, amount, claim_ref),
        credit(I.INCURRED_LOSS, amount),
    ]
    return entry("J75b", case, of_claim(claim_ref, part), lines, claim_ref=claim_ref)
