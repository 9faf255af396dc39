"""Eligibility, authorization, the offer and refund-only: rules 4.1, 4.6, 4.7 and X29."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backhaul.facts import MerchantFacts, Reason, Risk
from backhaul.money import Money
from backhaul.policy.authorization import authorization, may_decline
from backhaul.policy.eligibility import eligibility
from backhaul.policy.library import load_library
from backhaul.policy.offer import retention_offer
from backhaul.policy.refund_only import refund_only
from tests.unit.policy.build import BOOK, REQUESTED, SIGNED, book_with, consumer, facts, line, yuan

LAST_OF_7 = datetime(2025, 6, 8, 15, 59, 59, 999_999, tzinfo=UTC)  # the last instant of 8 June in Shanghai
LAST_OF_15 = datetime(2025, 6, 16, 15, 59, 59, 999_999, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("reason", "requested", "outcome"),
    [
        (Reason.NO_REASON, SIGNED, "eligible"),
        (Reason.NO_REASON, LAST_OF_7, "eligible"),
        (Reason.NO_REASON, LAST_OF_7 + TICK, "ineligible"),
        (Reason.DONT_LIKE, LAST_OF_7 + TICK, "ineligible"),
        (Reason.WRONG_SIZE, LAST_OF_7 + TICK, "ineligible"),
        (Reason.QUALITY, LAST_OF_7 + TICK, "eligible"),
        (Reason.WRONG_ITEM, LAST_OF_15, "eligible"),
        (Reason.ARRIVED_DAMAGED, LAST_OF_15, "eligible"),
        (Reason.QUALITY, LAST_OF_15 + TICK, "ineligible"),
    ],
)
def test_windows_end_with_the_last_instant_of_the_last_day(reason: Reason, requested: datetime, outcome: str) -> None:
    verdict = eligibility(facts(reason=reason, requested_at=requested), BOOK)
    assert verdict.outcome == outcome
    assert verdict.reasons == (("inside_window",) if outcome == "eligible" else ("window_over",))
    assert "4.1.window" in verdict.rules


def test_the_day_of_signing_is_the_market_s_day() -> None:
    # Signed at 00:30 in Shanghai on the 2nd, still the 1st in UTC: the window is one day longer than UTC would say.
    signed = datetime(2025, 6, 1, 16, 30, tzinfo=UTC)
    assert eligibility(facts(signed_at=signed, requested_at=LAST_OF_7 + TICK), BOOK).yes
    in_utc = book_with("eligibility", utc_offset_minutes=0)
    late = datetime(2025, 6, 9, 0, 0, tzinfo=UTC)
    assert eligibility(facts(signed_at=signed, requested_at=late), BOOK).yes
    assert not eligibility(facts(signed_at=signed, requested_at=late), in_utc).yes


@pytest.mark.parametrize("signed", [None, REQUESTED + TICK])
def test_not_signed_yet_is_not_eligible(signed: datetime | None) -> None:
    verdict = eligibility(facts(signed_at=signed), BOOK)
    assert (verdict.outcome, verdict.reasons) == ("ineligible", ("not_signed",))


def test_excluded_categories_lose_the_no_reason_return_only() -> None:
    lines = (line(), line(line_id="l2", category="fresh_food"))
    assert eligibility(facts(lines=lines), BOOK).reasons == ("category_excluded",)
    assert eligibility(facts(lines=lines, reason=Reason.QUALITY), BOOK).yes


@pytest.mark.parametrize(
    ("over", "reasons"),
    [
        ({"ordered": 3, "quantity": 2, "already_returned": 1}, ("inside_window",)),
        ({"ordered": 3, "quantity": 2, "already_returned": 2}, ("quantity_over_ordered",)),
        ({"ordered": 3, "quantity": 4}, ("quantity_over_ordered",)),
        ({"ordered": 3, "quantity": 0}, ("quantity_invalid",)),
        ({"ordered": 3, "quantity": -1}, ("quantity_invalid",)),
        ({"ordered": 0, "quantity": 0}, ("quantity_invalid",)),
        ({"quantity": 1, "already_returned": -1}, ("quantity_invalid",)),
        ({"paid": Money(minor=100, currency="USD")}, ("currency_unsupported",)),
    ],
)
def test_quantities_and_currency(over: dict[str, object], reasons: tuple[str, ...]) -> None:
    assert eligibility(facts(lines=(line(**over),)), BOOK).reasons == reasons


def test_no_lines_and_the_same_line_twice() -> None:
    assert eligibility(facts(lines=()), BOOK).reasons == ("no_lines",)
    assert eligibility(facts(lines=(line(), line())), BOOK).reasons == ("quantity_invalid",)


def test_every_reason_is_given_at_once() -> None:
    verdict = eligibility(facts(requested_at=LAST_OF_7 + TICK, lines=(line(category="fresh_food", quantity=2),)), BOOK)
    assert verdict.reasons == ("window_over", "category_excluded", "quantity_over_ordered")
    assert verdict.numbers["days_used"] == 8
    assert verdict.numbers["window_days"] == 7


def test_a_verdict_names_its_book_and_facts() -> None:
    one, other = eligibility(facts(), BOOK), eligibility(facts(rma_id="r2"), BOOK)
    assert one.book == BOOK.ref
    assert one.facts_hash != other.facts_hash
    assert eligibility(facts(), BOOK) == one


@pytest.mark.parametrize(
    ("reason", "paid", "auto", "risk", "outcome", "code"),
    [
        (Reason.NO_REASON, "9000.00", True, Risk.ALLOW, "auto", "auto_authorized"),
        (Reason.NO_REASON, "10.00", False, Risk.ALLOW, "merchant", "merchant_reviews_all"),
        (Reason.QUALITY, "1000.00", True, Risk.ALLOW, "auto", "auto_authorized"),
        (Reason.QUALITY, "1000.01", True, Risk.ALLOW, "merchant", "reason_needs_merchant"),
        (Reason.WRONG_ITEM, "1000.01", True, Risk.STEP_UP, "merchant", "reason_needs_merchant"),
        (Reason.NO_REASON, "10.00", True, Risk.STEP_UP, "auto", "auto_authorized"),
        (Reason.NO_REASON, "10.00", False, Risk.REFER, "refer", "risk_referred"),
        (Reason.QUALITY, "9000.00", True, Risk.DENY, "merchant", "reason_needs_merchant"),
    ],
)
def test_authorization(reason: Reason, paid: str, auto: bool, risk: Risk, outcome: str, code: str) -> None:
    case = facts(
        reason=reason,
        lines=(line(paid=yuan(paid)),),
        merchant=MerchantFacts(merchant_id="m1", auto_authorize=auto),
        consumer=consumer(risk=risk),
    )
    verdict = authorization(case, BOOK)
    assert (verdict.outcome, verdict.reasons) == (outcome, (code,))
    assert verdict.yes is (outcome == "auto")


@pytest.mark.parametrize(
    ("reason", "requested", "category", "outcome"),
    [
        (Reason.NO_REASON, LAST_OF_7, "clothing", "no"),
        (Reason.DONT_LIKE, REQUESTED, "clothing", "no"),
        (Reason.WRONG_SIZE, REQUESTED, "clothing", "no"),
        (Reason.NO_REASON, LAST_OF_7 + TICK, "clothing", "yes"),
        (Reason.NO_REASON, REQUESTED, "fresh_food", "yes"),
        (Reason.QUALITY, REQUESTED, "clothing", "yes"),
    ],
)
def test_a_no_reason_return_inside_the_window_cannot_be_refused(
    reason: Reason, requested: datetime, category: str, outcome: str
) -> None:
    case = facts(reason=reason, requested_at=requested, lines=(line(category=category),))
    assert may_decline(case, BOOK).outcome == outcome


@pytest.mark.parametrize(
    ("paid", "freight", "amount"),
    [
        ("100.00", "14.00", "15.00"),
        ("100.00", "12.50", "15.00"),
        ("100.00", "12.49", "14.98"),
        ("20.00", "14.00", "3.00"),
        ("33.33", "14.00", "4.99"),
    ],
)
def test_the_offer_is_a_share_of_the_paid_amount_capped_by_the_freight(paid: str, freight: str, amount: str) -> None:
    case = facts(lines=(line(paid=yuan(paid)),), merchant=MerchantFacts(merchant_id="m1", offers=True))
    result = retention_offer(case, yuan(freight), BOOK)
    assert result.verdict.yes
    assert result.amount == yuan(amount)


def test_no_offer_and_every_reason_why() -> None:
    case = facts(reason=Reason.WRONG_ITEM, lines=(line(paid=yuan("19.99")),))
    result = retention_offer(case, yuan("0.00"), BOOK)
    assert result.verdict.reasons == (
        "offer_not_wanted",
        "offer_reason",
        "offer_value_too_low",
        "offer_worth_nothing",
    )
    assert not result.amount


@pytest.mark.parametrize(
    ("version", "shipped", "received", "outcome"),
    [
        ("2025-05", False, False, "yes"),
        ("2025-05", True, False, "no"),
        ("2025-05", True, True, "merchant"),
        ("2024-09", True, True, "platform"),
    ],
)
def test_refund_only_is_a_dated_rule(version: str, shipped: bool, received: bool, outcome: str) -> None:
    assert refund_only(facts(), shipped, received, load_library().by_version(version)).outcome == outcome
