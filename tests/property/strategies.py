"""Anything a decision may meet, within bounds of real life."""

from __future__ import annotations

from hypothesis import strategies as st

from backhaul.facts import CaseFacts, CoverFacts, Finding, LineFacts, LineFinding, Method, PaymentFacts, Reason
from backhaul.money import Money
from tests.unit.policy.build import cover, facts, fen, line

AMOUNTS = st.integers(0, 2_000_000).map(fen)
POSITIVE = st.integers(1, 2_000_000).map(fen)
SEVERITIES = st.sampled_from([10, 30, 50, 80, 100])


@st.composite
def lines(draw: st.DrawFn, line_id: str = "l1") -> LineFacts:
    """A line of which some units may have come back, and some money may have been refunded, before."""
    ordered = draw(st.integers(1, 9))
    before = draw(st.integers(0, ordered - 1))
    quantity = draw(st.integers(1, ordered - before))
    paid = draw(AMOUNTS)
    refunded = draw(st.none() | st.integers(0, paid.minor).map(fen))
    return line(
        line_id=line_id,
        ordered=ordered,
        quantity=quantity,
        already_returned=before,
        paid=paid,
        refunded_before=refunded,
        commission_bps=draw(st.integers(0, 10_000)),
    )


@st.composite
def findings(draw: st.DrawFn, line_ids: list[str]) -> list[LineFinding]:
    found = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(list(Finding)))
        found.append(
            LineFinding(
                line_id=draw(st.sampled_from(line_ids)),
                finding=kind,
                quantity=draw(st.integers(0, 12)),
                severity=draw(SEVERITIES) if kind is Finding.DAMAGE else None,
                salvage=draw(st.none() | AMOUNTS),
            )
        )
    return found


@st.composite
def covers(draw: st.DrawFn) -> CoverFacts:
    remaining: Money = draw(AMOUNTS)
    return cover(
        sum_insured=remaining,
        remaining=remaining,
        declared=draw(st.none() | AMOUNTS),
        insured_value=draw(st.none() | POSITIVE),
        upper_tier=draw(st.booleans()),
    )


@st.composite
def cases(draw: st.DrawFn) -> CaseFacts:
    count = draw(st.integers(1, 3))
    given = tuple(draw(lines(f"l{n}")) for n in range(1, count + 1))
    captured = Money.sum((one.paid for one in given), "CNY")
    return facts(
        lines=given,
        reason=draw(st.sampled_from(list(Reason))),
        method=draw(st.sampled_from(list(Method))),
        payments=(PaymentFacts(payment_id="p1", captured=captured, refunded=fen(0)),),
    )
