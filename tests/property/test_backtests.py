"""A backtest against the same books shows nothing; against others, there and back is nothing in money."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from backhaul.backtests import Known, changes
from backhaul.facts import CaseFacts, CoverKind, Inspection, InspectionResult, Liable
from backhaul.policy.backtest import Again, Books, Claimed, Scanned, Settled, Story, compare, redecide
from backhaul.policy.book import PolicyBook
from backhaul.policy.library import load_library
from backhaul.policy.settling import Liability
from tests.property.strategies import AMOUNTS, cases, covers, findings
from tests.unit.policy.build import BOOK, REQUESTED, book_with, cover, fen

DELIVERED = REQUESTED + timedelta(days=2)
OTHERS = (
    *load_library().books,
    book_with("rdv", deductible=fen(6_000)),
    book_with("rdv", severities=(10, 50, 80, 100)),
    book_with("lightning", max_amount=fen(50_000)),
    book_with("lightning", min_tier=4),
    book_with("eligibility", no_reason_days=1),
    book_with("freight", self_ship_flat=fen(500)),
    book_with("recovery", waiver_below=fen(20_000)),
    book_with("timers", receipt_silence=timedelta(days=3)),
    book_with("liability", outbound_evidence_counts=False),
)
BOOKS = st.sampled_from(OTHERS)


@st.composite
def inspections(draw: st.DrawFn, facts: CaseFacts) -> Inspection:
    found = tuple(draw(findings([line.line_id for line in facts.lines])))
    result = draw(st.sampled_from(list(InspectionResult)))
    return Inspection(result=result, findings=found, at=DELIVERED + timedelta(hours=draw(st.integers(0, 300))))


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Any case that was settled: by a ruling or by the rules, after an objection or none, whatever the insurer said."""
    facts = draw(cases())
    rfi = cover(CoverKind.RFI, remaining=fen(draw(st.integers(0, 3_000))))
    facts = facts.model_copy(update={"covers": (rfi, draw(covers()))})
    door, receipt = draw(inspections(facts)), draw(st.none() | inspections(facts))
    event = draw(st.sampled_from(["received_ok", "receipt_issue", "receipt_silence", "lost", "returned"]))
    ruled = draw(st.booleans())
    liable = draw(st.sampled_from([one for one in Liable if one is not Liable.UNDETERMINED]))
    found = Liability(liable=liable, findings=door.findings, lost=event == "lost", ruled=ruled)
    settled = Settled(
        facts=facts,
        at=DELIVERED + timedelta(hours=draw(st.integers(0, 300))),
        event=event,
        found=found,
        receipt=receipt,
        delivered_at=draw(st.none() | st.just(DELIVERED)),
        remaining=draw(st.none() | AMOUNTS),
    )
    again = Again(facts, Liability(liable=draw(st.sampled_from([Liable.NOBODY, Liable.MERCHANT])), ruled=True))
    claimed = draw(AMOUNTS)
    claims = (
        Claimed("freight", fen(1_400), draw(st.sampled_from([fen(0), fen(1_400)]))),
        Claimed("loss", claimed, draw(st.sampled_from([fen(0), claimed.fraction(1, 2), claimed]))),
    )
    scan = Scanned(
        facts=facts,
        at=REQUESTED + timedelta(hours=3),
        door=door,
        share=draw(st.none() | st.integers(0, 5_000).map(fen)),
        remaining=rfi.remaining,
        undisputed=draw(st.none() | st.just(facts)),
        settled=settled,
        again=draw(st.just(()) | st.just((again,))),
    )
    return Story(
        merchant_id="m1",
        rma_id="r1",
        order_id="o1",
        opened_at=REQUESTED,
        book=BOOK.ref,
        facts=facts,
        first="authorized",
        outcome="refunded",
        scan=scan,
        claims=claims,
    )


@given(stories(), BOOKS)
@settings(max_examples=300, deadline=None)
def test_against_itself_nothing_differs(story: Story, book: PolicyBook) -> None:
    case = compare(story, Books.all_by(book), Books.all_by(book))
    assert case.before == case.after
    assert case.rules == ()
    assert not changes(case)


@given(stories(), BOOKS, BOOKS)
@settings(max_examples=400, deadline=None)
def test_there_and_back_is_nothing_in_money(story: Story, one: PolicyBook, other: PolicyBook) -> None:
    there = compare(story, Books.all_by(one), Books.all_by(other))
    back = compare(story, Books.all_by(other), Books.all_by(one))
    if not (there.counted and back.counted):
        return
    assert changes(there) == {name: -amount for name, amount in changes(back).items()}
    assert set(there.rules) == set(back.rules)


@given(stories(), BOOKS)
@settings(max_examples=400, deadline=None)
def test_figures_stay_within_what_there_is(story: Story, book: PolicyBook) -> None:
    """No amount is below zero; nobody gets back more than the goods are worth; what is unknown counts nothing."""
    again = redecide(story, Books.all_by(book))
    assert all(amount >= fen(0) for amount in again.amounts.values())
    worth = sum(line.paid.minor for line in story.facts.lines)
    assert again.refund.minor <= worth
    assert again.charged.minor <= worth
    assert again.known is not Known.NOT_COMPARABLE, again.why
    if again.known is not Known.KNOWN:
        assert not any(again.amounts.values())
