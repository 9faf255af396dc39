"""Splits add up and are fair; commission never drifts (invariants 3 and 17)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backhaul.facts import PaymentFacts
from backhaul.money import Money, cumulative_share
from backhaul.policy.refunds import allocate_payments, commission_reversal, refund_rest, refund_value, refundable
from tests.property.strategies import AMOUNTS, cases
from tests.unit.policy.build import facts, fen, line

WEIGHTS = st.lists(st.integers(0, 10_000), min_size=1, max_size=12)


@given(total=st.integers(-(10**9), 10**9), weights=WEIGHTS)
def test_a_split_adds_up_and_is_fair(total: int, weights: list[int]) -> None:
    shares = Money(minor=total).split(weights)
    assert sum(share.minor for share in shares) == total
    whole = sum(weights)
    if whole:
        for share, weight in zip(shares, weights, strict=True):
            assert abs(share.minor * whole - total * weight) < whole  # off by less than one unit
            assert weight or not share
    for one, first in zip(shares, weights, strict=True):
        for other, second in zip(shares, weights, strict=True):
            assert first <= second or abs(one.minor) >= abs(other.minor)


@given(total=AMOUNTS, of=st.integers(1, 40))
def test_units_one_after_another_add_up(total: Money, of: int) -> None:
    shares = [cumulative_share(total, n + 1, of) - cumulative_share(total, n, of) for n in range(of)]
    assert Money.sum(shares, "CNY") == total
    assert max(shares).minor - min(shares).minor <= 1


@given(minor=st.integers(-(10**12), 10**12), currency=st.sampled_from(["CNY", "JPY", "KWD"]))
def test_text_round_trips(minor: int, currency: str) -> None:
    amount = Money(minor=minor, currency=currency)
    assert Money.of(amount.major(), currency) == amount


@given(
    paid=st.integers(1, 1_000_000),
    bps=st.integers(0, 10_000),
    cuts=st.lists(st.integers(0, 1_000_000), max_size=8),
    stored=st.booleans(),
)
def test_commission_never_drifts_over_any_sequence_of_refunds(
    paid: int, bps: int, cuts: list[int], stored: bool
) -> None:
    points = sorted({min(cut, paid) for cut in cuts} | {paid})
    refunded = reversed_ = 0
    sale = paid * bps // 10_000
    for point in points:
        one = line(
            paid=fen(paid),
            commission_bps=bps,
            refunded_before=fen(refunded),
            commission_reversed_before=fen(reversed_) if stored else None,
        )
        part = commission_reversal(one, fen(point - refunded))
        assert 0 <= part.minor <= point - refunded
        refunded, reversed_ = point, reversed_ + part.minor
        assert reversed_ == sale * refunded // paid
    assert reversed_ == sale


@given(paid=AMOUNTS, ordered=st.integers(1, 12), bps=st.integers(0, 10_000), data=st.data())
def test_returns_of_a_line_one_after_another_refund_exactly_what_was_paid(
    paid: Money, ordered: int, bps: int, data: st.DataObject
) -> None:
    returned, refunded, reversed_ = 0, fen(0), fen(0)
    while returned < ordered:
        quantity = data.draw(st.integers(1, ordered - returned))
        one = line(
            paid=paid,
            ordered=ordered,
            quantity=quantity,
            already_returned=returned,
            commission_bps=bps,
            refunded_before=refunded,
            commission_reversed_before=reversed_,
        )
        value = refund_value(facts(lines=(one,)))
        returned, refunded, reversed_ = returned + quantity, refunded + value.total, reversed_ + value.commission
        assert refunded <= paid
    assert refunded == paid
    assert reversed_ == paid.fraction(bps, 10_000)


@given(case=cases(), data=st.data())
def test_a_refund_in_two_parts_is_the_refund_in_one(case: object, data: st.DataObject) -> None:
    given_case = facts(lines=case.lines)  # type: ignore[attr-defined]
    less = {one.line_id: fen(data.draw(st.integers(0, refundable(one).minor))) for one in given_case.lines}
    first, whole = refund_value(given_case, less), refund_value(given_case)
    rest = refund_rest(given_case, first.lines)
    assert first.total + rest.total == whole.total
    assert first.commission + rest.commission == whole.commission
    for part in (*first.lines, *rest.lines):
        assert 0 <= part.commission.minor <= part.amount.minor


@given(rows=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), max_size=6), share=st.integers(0, 100))
def test_payments_take_back_what_is_asked_within_their_bounds(rows: list[tuple[int, int]], share: int) -> None:
    payments = [
        PaymentFacts(payment_id=f"p{n}", captured=fen(captured), refunded=fen(refunded))
        for n, (captured, refunded) in enumerate(rows)
    ]
    left = {one.payment_id: max(0, one.captured.minor - one.refunded.minor) for one in payments}
    amount = sum(left.values()) * share // 100
    parts = allocate_payments(fen(amount), payments)
    assert sum(part.minor for _, part in parts) == amount
    assert all(0 < part.minor <= left[key] for key, part in parts)
    assert len({key for key, _ in parts}) == len(parts)


def test_the_naive_commission_drifts_so_the_property_can_fail() -> None:
    """Planted: a floor per refund instead of a cumulative one loses fen that the merchant paid."""
    paid, bps, parts = 10_000, 333, (3_333, 3_333, 3_334)
    naive = sum(part * bps // 10_000 for part in parts)
    assert naive == 331
    refunded = cumulative = 0
    for part in parts:
        one = line(paid=fen(paid), commission_bps=bps, refunded_before=fen(refunded))
        cumulative += commission_reversal(one, fen(part)).minor
        refunded += part
    assert cumulative == paid * bps // 10_000 == 333
