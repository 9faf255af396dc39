"""Who says yes to a request, and may the merchant say no? Rule 4.1; risk by rule 4.6."""

from __future__ import annotations

from backhaul.facts import CaseFacts, Risk, Verdict
from backhaul.policy.book import PolicyBook
from backhaul.policy.refunds import refund_value
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import verdict
from backhaul.policy.windows import has_excluded_category, inside_window


def authorization(facts: CaseFacts, book: PolicyBook, risk: Risk | None = None) -> Verdict:
    """`auto`, `merchant` (review), `info` (evidence first) or `refer` (a person of ours), for a case that is eligible.

    `risk` is the outcome of the risk rules. Where they refuse cover the return itself goes on: nobody loses the right
    to return goods for that (rule 4.6, statute)."""
    rules = book.authorization
    amount = refund_value(facts).total
    over = facts.reason in rules.review_reasons and amount > rules.review_above
    known = facts.consumer.risk if risk is None else risk
    if known is Risk.REFER:
        outcome, code, rule = "refer", Code.RISK_REFERRED, "4.6.risk"
    elif facts.reason in rules.evidence_reasons and not facts.evidence:
        outcome, code, rule = "info", Code.EVIDENCE_NEEDED, "X2"
    elif not facts.merchant.auto_authorize:
        outcome, code, rule = "merchant", Code.MERCHANT_REVIEWS_ALL, "4.1.review"
    elif over:
        outcome, code, rule = "merchant", Code.REASON_NEEDS_MERCHANT, "4.1.review"
    else:
        outcome, code, rule = "auto", Code.AUTO_AUTHORIZED, "4.1.review"
    return verdict(
        "authorization",
        outcome,
        [code],
        [rule],
        facts,
        book,
        amount=amount,
        review_above=rules.review_above,
        risk=known.value,
        reason=facts.reason.value,
    )


def may_decline(facts: CaseFacts, book: PolicyBook) -> Verdict:
    """`yes` or `no`: a no-reason return inside the window cannot be refused by the merchant (statute)."""
    statutory = (
        not book.is_merchants(facts.reason) and inside_window(facts, book) and not has_excluded_category(facts, book)
    )
    code = Code.STATUTORY_RETURN if statutory else Code.MERCHANT_MAY_DECLINE
    outcome = "no" if statutory else "yes"
    return verdict("may_decline", outcome, [code], ["4.1.statute"], facts, book, reason=facts.reason.value)
