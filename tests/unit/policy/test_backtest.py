"""Hand-made cases decided again by other books. Amounts by hand, from the coat of the worked example."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from backhaul.backtests import BacktestPage, BacktestReport, CaseBacktest, Known
from backhaul.facts import CaseFacts, CoverKind, InspectionResult, Liable, Reason, RemedyKind
from backhaul.money import Money
from backhaul.policy.backtest import Again, Books, Claimed, Parcel, Scanned, Settled, Story, compare, redecide
from backhaul.policy.differences import PASSED, RULE_OF
from backhaul.policy.library import load_library
from backhaul.policy.sections import Zone
from backhaul.policy.settling import Liability
from backhaul.policy.texts import Code
from tests.unit.policy.build import BOOK, REQUESTED, book_with, consumer, cover, facts, finding, inspection, line, yuan

OLD = load_library().by_version("2024-09")
SCAN, DELIVERED = REQUESTED + timedelta(hours=3), REQUESTED + timedelta(days=2)
FREIGHT = Claimed("freight", yuan("14.00"), yuan("14.00"))


def story(given: CaseFacts | None = None, **over: Any) -> Story:
    """A case that went the straight way; `over` changes what was known of it."""
    given = given or facts()
    fields: dict[str, Any] = {
        "merchant_id": "m1",
        "rma_id": "r1",
        "order_id": "o1",
        "opened_at": REQUESTED,
        "book": BOOK.ref,
        "facts": given,
        "first": "authorized",
        "outcome": "refunded",
        "scan": scan(given),
        "claims": (FREIGHT,),
    }
    return Story(**(fields | over))


def scan(given: CaseFacts | None = None, **over: Any) -> Scanned:
    """Collected, in order, and confirmed two days later."""
    given = given or facts()
    fields: dict[str, Any] = {
        "facts": given,
        "at": SCAN,
        "door": inspection(),
        "share": yuan("14.00"),
        "remaining": yuan("25.00"),
        "settled": settled(given),
    }
    return Scanned(**(fields | over))


def settled(given: CaseFacts | None = None, **over: Any) -> Settled:
    fields: dict[str, Any] = {
        "facts": given or facts(),
        "at": DELIVERED + timedelta(hours=1),
        "event": "received_ok",
        "found": Liability(liable=Liable.NOBODY),
        "delivered_at": DELIVERED,
    }
    return Settled(**(fields | over))


def damaged(severity: int = 30, **over: Any) -> Story:
    """The coat with a finding at the door that nobody denies: the consumer is liable."""
    found = finding(severity=severity)
    at_door = scan(door=inspection(found), settled=settled(found=Liability(liable=Liable.CONSUMER, findings=(found,))))
    claim = Claimed("loss", yuan("360.00"), yuan("360.00"))
    return story(scan=at_door, claims=(FREIGHT, claim), **over)


def tried(case: Story, after: Any, before: Any = BOOK) -> CaseBacktest:
    return compare(case, Books.all_by(before), Books.all_by(after))


def test_the_straight_case_comes_to_what_it_came_to() -> None:
    again = redecide(story(), Books.all_by(BOOK))
    assert (again.refund, again.charged, again.indemnity) == (yuan("1200.00"), yuan("1200.00"), yuan("0.00"))
    assert (again.freight_insurer, again.lightning, again.float_s) == (yuan("14.00"), True, 0)
    assert not tried(story(), BOOK).differs


def test_the_coat_of_the_worked_example() -> None:
    again = redecide(damaged(), Books.all_by(BOOK))
    assert (again.refund, again.charged, again.indemnity) == (yuan("840.00"), yuan("1200.00"), yuan("360.00"))
    assert not again.lightning
    assert again.float_s == 46 * 3600


@pytest.mark.parametrize(("most", "opens"), [("1200.00", True), ("1199.99", False)])
def test_the_amount_up_to_which_lightning_goes(most: str, opens: bool) -> None:
    case = tried(story(), book_with("lightning", max_amount=yuan(most)))
    assert case.after.lightning is opens
    assert case.rules == (() if opens else ("4.4.amount",))
    assert case.after.refund == case.before.refund
    assert case.after.float_s == (0 if opens else 46 * 3600)


def test_the_tier_from_which_lightning_goes() -> None:
    low = facts(consumer=consumer(tier=2))
    case = tried(story(low, scan=scan(low, settled=settled(low))), book_with("lightning", min_tier=3))
    assert (case.before.lightning, case.after.lightning, case.rules) == (True, False, ("4.4.tier",))


def test_credit_that_another_case_had_taken_stays_taken() -> None:
    again = redecide(story(scan=scan(credit_refused=True)), Books.all_by(BOOK))
    assert (again.lightning, again.refund) == (False, yuan("1200.00"))


def test_the_merchants_refusal_counts_where_the_platform_may_force_nothing() -> None:
    """X29: by the book of 2024 the platform granted what the merchant had refused; by that of 2025 nobody can."""
    alone = facts(remedy=RemedyKind.REFUND_ONLY)
    forced = story(
        alone, first="merchant_review", platform=True, refused=True, scan=None, granted=("refund_only", alone)
    )
    case = tried(forced, BOOK, OLD)
    assert (case.before.refund, case.after.refund) == (yuan("1200.00"), yuan("0.00"))
    assert (case.after.outcome, case.after.denied, case.rules) == ("ends_declined", True, ("X29",))
    back = replace(forced, platform=False, granted=None, outcome="declined", went_on=False)
    assert redecide(back, Books.all_by(OLD)).why == "arbitration"
    agreed = replace(forced, refused=False)
    assert redecide(agreed, Books.all_by(BOOK)).refund == yuan("1200.00")


def test_another_table_of_severities() -> None:
    """What the table does not know counts nothing, and says so."""
    case = tried(damaged(), book_with("rdv", severities=(10, 50, 80, 100)))
    assert (case.before.indemnity, case.after.indemnity) == (yuan("360.00"), yuan("0.00"))
    assert (case.before.refund, case.after.refund) == (yuan("840.00"), yuan("1200.00"))
    assert case.rules[0] == "4.3.loss"


def test_a_deductible() -> None:
    """360.00 less 60.00; only the indemnity is withheld, the merchant bears the rest."""
    case = tried(damaged(), book_with("rdv", deductible=yuan("60.00")))
    assert (case.after.indemnity, case.after.refund) == (yuan("300.00"), yuan("900.00"))
    assert case.rules == ("4.3.deductible",)


def test_freight_by_another_tariff_is_shared_out_anew() -> None:
    """1.5 kg and 3.5 kg: 12.00 + 4 x 2.00 = 20.00 in all, 6.00 and 14.00; at 10.00 a step 52.00, of which the cover of
    25.00 pays 15.60 and then 9.40."""
    parcel = Parcel({"r1": (line(),), "r2": (line(weight_g=3500),)}, "default", yuan("25.00"))
    zones = {"default": Zone(first=yuan("12.00"), additional=yuan("10.00"))}
    dear = book_with("freight", zones=zones)
    first = tried(story(scan=scan(parcel=parcel)), dear)
    assert (first.before.freight_insurer, first.after.freight_insurer) == (yuan("6.00"), yuan("15.60"))
    second = replace(story(scan=scan(parcel=parcel)), rma_id="r2")
    case = tried(second, dear)
    assert (case.before.freight_insurer, case.before.freight_consumer) == (yuan("14.00"), yuan("0.00"))
    assert (case.after.freight_insurer, case.after.freight_consumer) == (yuan("9.40"), yuan("27.00"))
    assert case.rules == ("4.2.cap", "4.2.bearer")


@pytest.mark.parametrize(
    ("after", "question"),
    [
        (book_with("authorization", review_reasons=tuple(Reason), review_above=yuan("1.00")), "merchant_review"),
        (book_with("authorization", evidence_reasons=tuple(Reason)), "info_requested"),
    ],
)
def test_who_was_never_asked_has_not_answered(after: Any, question: str) -> None:
    case = tried(story(), after)
    assert (case.after.known, case.after.why, case.counted, case.differs) == (
        Known.UNKNOWN_AFTER,
        question,
        False,
        True,
    )
    assert not case.after.refund


def test_a_request_that_the_book_refuses_ends_there() -> None:
    case = tried(story(), book_with("eligibility", no_reason_days=1))
    assert (case.after.outcome, case.after.refund, case.rules[0]) == ("ends_declined", yuan("0.00"), "4.1.window")


def test_a_request_that_was_refused_and_would_not_be() -> None:
    late = facts(requested_at=REQUESTED + timedelta(days=8))
    case = tried(
        story(late, first="declined", outcome="declined", went_on=False, scan=None),
        book_with("eligibility", no_reason_days=15),
    )
    assert (case.before.outcome, case.after.known, case.after.why) == ("declined", Known.UNKNOWN_AFTER, "authorized")


def objected(after: timedelta = timedelta(hours=1), **over: Any) -> Story:
    """A clean door, damage at the receipt: the carrier, and an advance."""
    found = finding()
    seen = inspection(found).model_copy(update={"at": DELIVERED + after})
    by_carrier = Liability(liable=Liable.CARRIER, findings=(found,))
    end = settled(event="receipt_issue", receipt=seen, at=seen.at, found=by_carrier)
    claim = Claimed("loss", yuan("360.00"), yuan("360.00"))
    return story(scan=scan(settled=end), **({"claims": (FREIGHT, claim)} | over))


def test_an_objection_in_time_and_too_late() -> None:
    short = book_with("timers", receipt_finding=timedelta(minutes=59))
    assert redecide(objected(), Books.all_by(BOOK)).indemnity == yuan("360.00")
    assert redecide(objected(), Books.all_by(short)).why == "ruling"
    over = book_with("timers", receipt_finding=timedelta(minutes=10), receipt_silence=timedelta(hours=4))
    assert redecide(objected(timedelta(hours=5)), Books.all_by(over)).why == "receipt_silence"


def test_what_the_insurer_denied_stays_denied() -> None:
    denied = objected(claims=(FREIGHT, Claimed("loss", yuan("360.00"), yuan("0.00"))))
    assert redecide(denied, Books.all_by(BOOK)).indemnity == yuan("0.00")
    cut = objected(claims=(FREIGHT, Claimed("loss", yuan("360.00"), yuan("200.00"))))
    assert redecide(cut, Books.all_by(BOOK)).indemnity == yuan("200.00")
    assert redecide(cut, Books.all_by(book_with("rdv", deductible=yuan("300.00")))).indemnity == yuan("60.00")
    never = objected(claims=(FREIGHT,))
    assert redecide(never, Books.all_by(BOOK)).why == "insurer_decision"


def test_a_ruling_is_a_fact() -> None:
    found = finding()
    ruled = settled(found=Liability(liable=Liable.MERCHANT, findings=(found,), ruled=True))
    case = story(scan=scan(door=inspection(found), settled=ruled))
    assert redecide(case, Books.all_by(BOOK)).refund == yuan("1200.00")
    assert not tried(case, book_with("liability", outbound_evidence_counts=False)).differs


def test_a_parcel_that_turned_up_gives_the_indemnity_back() -> None:
    lost = settled(event="lost", found=Liability(liable=Liable.CARRIER, lost=True), delivered_at=None)
    here = Again(facts(), Liability(liable=Liable.NOBODY))
    claim = Claimed("loss", yuan("1200.00"), yuan("1200.00"))
    case = story(scan=scan(settled=lost), claims=(FREIGHT, claim))
    assert redecide(case, Books.all_by(BOOK)).indemnity == yuan("1200.00")
    again = replace(case, scan=scan(settled=lost, again=(here,)))
    found = redecide(again, Books.all_by(BOOK))
    assert (found.indemnity, found.refund, found.charged) == (yuan("0.00"), yuan("1200.00"), yuan("1200.00"))


def test_silence_is_accepted_after_the_books_own_time() -> None:
    no_credit = facts(consumer=consumer(credit_limit=yuan("0.00")))
    silent = settled(no_credit, event="receipt_silence", at=DELIVERED + timedelta(days=10))
    case = tried(
        story(no_credit, scan=scan(no_credit, settled=silent)),
        book_with("timers", receipt_silence=timedelta(days=5), receipt_finding=timedelta(days=1)),
    )
    assert (case.before.float_s, case.after.float_s) == (45 * 3600 + 10 * 86_400, 45 * 3600 + 5 * 86_400)
    assert case.rules == ("X11",)


def test_an_offer_that_would_have_been_another() -> None:
    merchant = facts().merchant.model_copy(update={"offers": True})
    given = facts(merchant=merchant)
    kept = story(given, outcome="retained", offer=yuan("16.80"), granted=("offer", given), scan=None, claims=())
    assert redecide(kept, Books.all_by(BOOK)).refund == yuan("16.80")
    assert tried(kept, book_with("offer", freight_cap_percent=110)).after.why == "offer"
    gone_on = story(given, offer=yuan("16.80"))
    assert tried(gone_on, book_with("offer", freight_cap_percent=110)).counted
    assert tried(gone_on, book_with("offer", freight_cap_percent=130)).after.why == "offer"


def test_cases_that_are_not_compared() -> None:
    assert redecide(story(outcome=None), Books.all_by(BOOK)).why == "open"
    assert redecide(story(correcting=True), Books.all_by(BOOK)).why == "correction_open"
    assert redecide(story(), None).why == "unknown_book"
    other = BOOK.model_copy(update={"currency": "EUR"})
    assert redecide(story(), Books.all_by(other)).why == "currency_mismatch"
    refused = story(first="declined", outcome="declined", went_on=False, scan=None)
    assert redecide(refused, Books.all_by(other)).outcome == "declined"


def test_pages_add_up() -> None:
    strict = book_with("rdv", deductible=yuan("60.00"))
    asks = book_with("authorization", review_reasons=tuple(Reason), review_above=yuan("1.00"))
    report = BacktestReport(book=None, against="x")
    cases = (tried(damaged(), strict), tried(story(), strict), tried(story(), asks), tried(story(outcome=None), strict))
    page = BacktestPage(book=None, against="x", cases=cases, looked=4, not_comparable={"open": 1})
    report.add(page)
    report.add(page)
    assert (report.looked, report.differ, report.equal) == (8, 2, 2)
    assert (report.unknown, report.not_comparable) == ({"merchant_review": 2}, {"open": 2})
    assert report.money == {"CNY": {"indemnity": -12_000, "refund": 12_000}}
    line_ = report.rules["4.3.deductible"]
    assert (line_.cases, line_.decisive, line_.money) == (2, 2, report.money)


def test_every_rule_of_a_reason_is_one_that_decisions_name() -> None:
    assert set(RULE_OF) <= set(Code)
    assert set(PASSED) <= set(Code)
    named = {rule for one in redecide(story(), Books.all_by(BOOK)).decisions for rule in one.rules}
    assert {rule for rule in RULE_OF.values() if rule.startswith(("4.1.", "4.4."))} <= named


def test_money_of_a_case_is_of_its_currency() -> None:
    again = redecide(story(), Books.all_by(BOOK))
    assert {amount.currency for amount in again.amounts.values()} == {"CNY"}
    assert Money.sum(again.amounts.values(), "CNY")


def test_waived_inspection_and_refused_cover() -> None:
    waived = inspection(result=InspectionResult.WAIVED)
    assert not redecide(story(scan=scan(door=waived)), Books.all_by(BOOK)).lightning
    bare = facts(covers=(cover(CoverKind.RFI, remaining=yuan("25.00")),))
    assert redecide(story(bare, scan=scan(bare)), Books.all_by(BOOK)).freight_insurer == yuan("14.00")
