"""Return windows: calendar days at the market's offset, to the last instant of the last day (rule 4.1)."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone

from backhaul.facts import CaseFacts
from backhaul.policy.book import PolicyBook


def days_since_signing(signed_at: datetime, requested_at: datetime, offset_minutes: int) -> int:
    """Calendar days between signing and request at an offset; 0 on the day of signing, negative before it."""
    market = timezone(timedelta(minutes=offset_minutes))
    return (requested_at.astimezone(market).date() - signed_at.astimezone(market).date()).days


def window_days(facts: CaseFacts, book: PolicyBook) -> int:
    """How many days the reason gives, counted from the day after signing."""
    rules = book.eligibility
    return rules.quality_days if book.is_merchants(facts.reason) else rules.no_reason_days


def is_signed(facts: CaseFacts) -> bool:
    """Were the goods signed for at the request?"""
    return facts.signed_at is not None and facts.signed_at <= facts.requested_at


def is_shipped(facts: CaseFacts) -> bool:
    """Had the goods left at the request? What is signed for was shipped."""
    return is_signed(facts) or (facts.shipped_at is not None and facts.shipped_at <= facts.requested_at)


def is_cancelled_sale(facts: CaseFacts) -> bool:
    """Is the money alone asked for, of goods that never left (X29)?"""
    return not facts.remedy.is_return and not is_shipped(facts)


def inside_window(facts: CaseFacts, book: PolicyBook) -> bool:
    """Is the request inside the window of its reason? Goods that are not signed for have none."""
    if facts.signed_at is None or not is_signed(facts):
        return False
    used = days_since_signing(facts.signed_at, facts.requested_at, book.eligibility.utc_offset_minutes)
    return used <= window_days(facts, book)


def has_excluded_category(facts: CaseFacts, book: PolicyBook) -> bool:
    """Is a line of a category without no-reason returns returned for no reason? The exclusion ends there."""
    if book.is_merchants(facts.reason):
        return False
    return any(line.category in book.eligibility.excluded_categories for line in facts.lines)


def signed_before(book: PolicyBook, at: datetime) -> datetime:
    """Goods signed for before this moment can no longer be sent back for any reason at `at`: cover bound under this
    book has ended, unless a case of the order is still open (J04)."""
    market = timezone(timedelta(minutes=book.eligibility.utc_offset_minutes))
    longest = max(book.eligibility.no_reason_days, book.eligibility.quality_days)
    day = at.astimezone(market).date() - timedelta(days=longest)
    return datetime.combine(day, time(), market).astimezone(UTC)
