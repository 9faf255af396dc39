"""Save-the-sale: a partial refund for keeping the goods. Rule 4.7."""

from __future__ import annotations

from backhaul.facts import CaseFacts, Frozen, Verdict
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.refunds import refund_value
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import Check, all_of


class OfferResult(Frozen):
    """`verdict.yes` says whether the offer is made; the amount is 0 if not."""

    amount: Money
    verdict: Verdict


def retention_offer(facts: CaseFacts, freight: Money, book: PolicyBook) -> OfferResult:
    """Offer a share of what would be refunded, at most the freight saved plus the book's margin."""
    rules = book.offer
    value = refund_value(facts).total
    cap = freight.fraction(rules.freight_cap_percent, 100)
    amount = max(Money.zero(book.currency), value.fraction(rules.paid_bps, 10_000).at_most(cap))
    checks = (
        Check("4.7.merchant", facts.merchant.offers, Code.OFFER_NOT_WANTED),
        Check("4.7.reason", facts.reason in rules.reasons, Code.OFFER_REASON),
        Check("4.7.value", value >= rules.min_value, Code.OFFER_VALUE_TOO_LOW),
        Check("4.7.amount", bool(amount), Code.OFFER_WORTH_NOTHING),
    )
    why = all_of(
        "retention_offer",
        ("yes", "no"),
        Code.OFFER_MADE,
        checks,
        facts,
        book,
        value=value,
        freight=freight,
        cap=cap,
        amount=amount,
    )
    return OfferResult(amount=amount if why.yes else Money.zero(book.currency), verdict=why)
