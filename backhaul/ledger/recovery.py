"""Templates of recovery, from the carrier and from the consumer: J40 to J45, J50 to J56."""

from __future__ import annotations

from backhaul.ledger.journal import CaseRef, Entry, I, P, credit, debit, entry, of_claim
from backhaul.money import Money


def carrier_accepted(case: CaseRef, amount: Money, *, claim_ref: str, part: str = "1") -> Entry:
    """J40. What is accepted later of the same claim is another part."""
    lines = [debit(I.SUBROGATION, amount, claim_ref), credit(I.RECOVERIES, amount, claim_ref)]
    return entry("J40", case, of_claim(claim_ref, part), lines, claim_ref=claim_ref)


def carrier_set_off(case: CaseRef, amount: Money, *, claim_ref: str, courier: str, key: str) -> Entry:
    """J41: up to what the platform owes the carrier, one per key; the carrier's own statement shows it."""
    lines = [debit(P.CARRIER_PAYABLE, amount, courier), credit(P.RECOVERIES_OWED, amount, claim_ref)]
    return entry("J41", case, key, lines, payment_key=key, claim_ref=claim_ref)


def recovery_remitted(case: CaseRef, amount: Money, *, claim_ref: str, key: str) -> Entry:
    """J42, one per payment key."""
    lines = [
        debit(P.RECOVERIES_OWED, amount, claim_ref),
        credit(P.BANK, amount),
        debit(I.BANK, amount),
        credit(I.SUBROGATION, amount, claim_ref),
    ]
    return entry("J42", case, key, lines, payment_key=key, claim_ref=claim_ref)


def recovery_uncollectable(case: CaseRef, amount: Money, *, claim_ref: str, part: str = "1") -> Entry:
    """J43; each correction that lets some go is a part."""
    lines = [debit(I.RECOVERIES, amount, claim_ref), credit(I.SUBROGATION, amount, claim_ref)]
    return entry("J43", case, of_claim(claim_ref, part), lines, claim_ref=claim_ref)


def carrier_paid_cash(case: CaseRef, amount: Money, *, claim_ref: str, ref: str | None = None) -> Entry:
    """J44, one a recovery: the carrier's own statement shows `ref`, which names it; the claim itself for the first."""
    lines = [debit(P.BANK, amount), credit(P.RECOVERIES_OWED, amount, claim_ref)]
    return entry("J44", case, ref or claim_ref, lines, claim_ref=claim_ref, external_key=ref or claim_ref)


def recovery_returned(case: CaseRef, amount: Money, *, claim_ref: str, key: str, courier: str | None = None) -> Entry:
    """J45: after an overturn, to the carrier (then J15) or, without a courier, to the consumer (then J61)."""
    owed = credit(P.REFUND_PAYABLE, amount, case.consumer_ref)
    if courier is not None:
        owed = credit(P.CARRIER_PAYABLE, amount, courier)
    lines = [
        debit(P.BANK, amount),
        owed,
        debit(I.RECOVERIES, amount, claim_ref),
        credit(I.BANK, amount),
    ]
    return entry("J45", case, key, lines, payment_key=key, claim_ref=claim_ref)


def carrier_paid_for_nothing(
    case: CaseRef, amount: Money, *, claim_ref: str, courier: str, ref: str | None = None
) -> Entry:
    """J45 of what a carrier paid (J44) after its demand was withdrawn, one a recovery: the insurer never had it. J15
    follows."""
    lines = [debit(P.RECOVERIES_OWED, amount, claim_ref), credit(P.CARRIER_PAYABLE, amount, courier)]
    return entry("J45", case, ref or claim_ref, lines, claim_ref=claim_ref)


def consumer_paid_for_nothing(case: CaseRef, amount: Money, *, claim_ref: str, key: str) -> Entry:
    """J45 of what a consumer paid (J51) for a J50 that was overturned: the insurer never had it. J61 follows."""
    lines = [
        debit(P.CONSUMER_RECEIVABLE, amount, case.consumer_ref),
        credit(P.REFUND_PAYABLE, amount, case.consumer_ref),
    ]
    return entry("J45", case, key, lines, claim_ref=claim_ref)


def left_uncharged(case: CaseRef, amount: Money, *, part: str = "1") -> Entry:
    """J50: after lightning without RDV, the consumer owes what the merchant is not charged."""
    lines = [
        debit(P.CONSUMER_RECEIVABLE, amount, case.consumer_ref),
        credit(P.LIGHTNING_ADVANCES, amount, case.consumer_ref),
    ]
    return entry("J50", case, part, lines)


def consumer_collected(case: CaseRef, amount: Money, *, key: str, claim_ref: str | None = None) -> Entry:
    """J51."""
    lines = [debit(P.PSP_CLEARING, amount), credit(P.CONSUMER_RECEIVABLE, amount, case.consumer_ref)]
    return entry("J51", case, key, lines, payment_key=key, claim_ref=claim_ref)


def consumer_written_off(case: CaseRef, amount: Money, *, part: str = "1", claim_ref: str | None = None) -> Entry:
    """J52: also what is too little to be demanded (X28)."""
    lines = [debit(P.BAD_DEBT, amount), credit(P.CONSUMER_RECEIVABLE, amount, case.consumer_ref)]
    return entry("J52", case, part, lines, claim_ref=claim_ref)


def consumer_owes_indemnity(case: CaseRef, amount: Money, *, claim_ref: str, part: str = "1") -> Entry:
    """J53: the merchant is charged and indemnified, the consumer was refunded already."""
    lines = [
        debit(P.CONSUMER_RECEIVABLE, amount, case.consumer_ref),
        credit(P.RECOVERIES_OWED, amount, claim_ref),
        debit(I.SUBROGATION, amount, claim_ref),
        credit(I.RECOVERIES, amount, claim_ref),
    ]
    return entry("J53", case, of_claim(claim_ref, part), lines, claim_ref=claim_ref)


def withheld_from_refund(case: CaseRef, amount: Money, *, claim_ref: str, part: str = "1") -> Entry:
    """J54: the same, withheld from the refund."""
    lines = [
        debit(P.REFUND_PAYABLE, amount, case.consumer_ref),
        credit(P.RECOVERIES_OWED, amount, claim_ref),
        debit(I.SUBROGATION, amount, claim_ref),
        credit(I.RECOVERIES, amount, claim_ref),
    ]
    return entry("J54", case, of_claim(claim_ref, part), lines, claim_ref=claim_ref)


def consumer_uncollectable(case: CaseRef, amount: Money, *, claim_ref: str, part: str = "1") -> Entry:
    """J55: takes back what of J53 cannot be collected; each correction that lets some go is a part."""
    lines = [
        debit(P.RECOVERIES_OWED, amount, claim_ref),
        credit(P.CONSUMER_RECEIVABLE, amount, case.consumer_ref),
        debit(I.RECOVERIES, amount, claim_ref),
        credit(I.SUBROGATION, amount, claim_ref),
    ]
    return entry("J55", case, of_claim(claim_ref, part), lines, claim_ref=claim_ref)


def freight_withheld(case: CaseRef, amount: Money, *, part: str = "1") -> Entry:
    """J56: freight the consumer owes (J14), taken from the refund."""
    lines = [
        debit(P.REFUND_PAYABLE, amount, case.consumer_ref),
        credit(P.CONSUMER_RECEIVABLE, amount, case.consumer_ref),
    ]
    return entry("J56", case, part, lines)
