"""May these goods come back at all? Rule 4.1."""

from __future__ import annotations

from backhaul.facts import CaseFacts, Verdict
from backhaul.policy.book import PolicyBook
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import Check, all_of
from backhaul.policy.windows import (
    days_since_signing,
    has_excluded_category,
    inside_window,
    is_cancelled_sale,
    is_signed,
    window_days,
)


def eligibility(facts: CaseFacts, book: PolicyBook) -> Verdict:
    """`eligible` or `ineligible` with every reason. The book is the one at the request.

    Goods that never left (X29) have no window and no excluded category: the sale is called off."""
    signed, cancelled = is_signed(facts), is_cancelled_sale(facts)
    used = None
    if facts.signed_at is not None:
        used = days_since_signing(facts.signed_at, facts.requested_at, book.eligibility.utc_offset_minutes)
    counted = all(line.quantity > 0 and line.ordered > 0 and line.already_returned >= 0 for line in facts.lines)
    within = all(line.already_returned + line.quantity <= line.ordered for line in facts.lines)
    repeated = len({line.line_id for line in facts.lines}) != len(facts.lines)
    checks = (
        Check("4.1.signed", signed or cancelled, Code.NOT_SIGNED),
        Check("4.1.window", not signed or inside_window(facts, book), Code.WINDOW_OVER),
        Check("4.1.category", cancelled or not has_excluded_category(facts, book), Code.CATEGORY_EXCLUDED),
        Check("4.1.lines", bool(facts.lines), Code.NO_LINES),
        Check("4.1.quantity", counted and not repeated, Code.QUANTITY_INVALID),
        Check("4.1.quantity", within, Code.QUANTITY_OVER_ORDERED),
        Check("6.currency", _one_currency(facts, book), Code.CURRENCY_UNSUPPORTED),
    )
    return all_of(
        "eligibility",
        ("eligible", "ineligible"),
        Code.INSIDE_WINDOW,
        checks,
        facts,
        book,
        window_days=window_days(facts, book),
        days_used=used,
        units=sum(line.quantity for line in facts.lines),
        reason=facts.reason.value,
    )


def _one_currency(facts: CaseFacts, book: PolicyBook) -> bool:
    return all(line.paid.currency == book.currency for line in facts.lines)
