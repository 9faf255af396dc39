"""What a line is worth, its commission, and the payments it goes back to: rule 6."""

from __future__ import annotations

import pytest

from backhaul.facts import PaymentFacts
from backhaul.policy.refunds import (
    PaymentsShort,
    allocate_payments,
    commission_reversal,
    refund_rest,
    refund_value,
    refundable,
)
from tests.unit.policy.build import facts, fen, line, yuan


def test_units_are_handed_out_by_cumulative_floor() -> None:
    worth = [refundable(line(paid=yuan("100.00"), ordered=3, already_returned=n)).major() for n in range(3)]
    assert worth == ["33.33", "33.33", "33.34"]
    assert refundable(line(paid=yuan("100.00"), ordered=3, quantity=2, already_returned=1)) == yuan("66.67")


def test_a_refund_never_exceeds_what_of_the_line_is_left() -> None:
    assert refundable(line(paid=yuan("100.00"), refunded_before=yuan("15.00"))) == yuan("85.00")
    assert refundable(line(paid=yuan("100.00"), refunded_before=yuan("100.00"))) == yuan("0.00")


def test_more_units_than_ordered_are_refused() -> None:
    with pytest.raises(ValueError, match="not within"):
        refundable(line(ordered=1, quantity=2))


def test_the_coat_reverses_its_whole_commission() -> None:
    value = refund_value(facts())
    assert (value.total, value.commission) == (yuan("1200.00"), yuan("60.00"))


def test_less_a_loss_the_commission_follows_the_line() -> None:
    lines = (line(), line(line_id="l2", paid=yuan("99.99"), commission_bps=333))
    value = refund_value(facts(lines=lines), {"l1": yuan("360.00")})
    assert [(part.amount.major(), part.commission.major()) for part in value.lines] == [
        ("840.00", "42.00"),
        ("99.99", "3.32"),
    ]
    assert refund_value(facts(lines=lines), {"l1": yuan("5000.00")}).lines[0].amount == yuan("0.00")


def test_a_negative_deduction_is_refused() -> None:
    with pytest.raises(ValueError, match="taken off"):
        refund_value(facts(), {"l1": yuan("-1.00")})


@pytest.mark.parametrize(
    ("before", "reversed_before", "amount", "expected"),
    [
        (None, None, 10_000, 333),
        (fen(3_333), fen(110), 3_333, 111),
        (fen(3_333), None, 3_333, 111),
        (fen(6_666), fen(221), 3_334, 112),
    ],
)
def test_commission_is_cumulative(before: object, reversed_before: object, amount: int, expected: int) -> None:
    one = line(
        paid=yuan("100.00"), commission_bps=333, refunded_before=before, commission_reversed_before=reversed_before
    )
    assert commission_reversal(one, fen(amount)).minor == expected


def test_a_free_line_has_no_commission() -> None:
    assert refund_value(facts(lines=(line(paid=yuan("0.00")),))).commission == yuan("0.00")


def test_the_rest_after_a_ruling_completes_the_refund_to_the_fen() -> None:
    case = facts(lines=(line(paid=yuan("99.99"), commission_bps=333),))
    first = refund_value(case, {"l1": yuan("33.34")})
    second = refund_rest(case, first.lines)
    whole = refund_value(case)
    assert first.total + second.total == whole.total
    assert first.commission + second.commission == whole.commission
    assert refund_rest(case, [*first.lines, *second.lines]).total == yuan("0.00")


def payments(*rows: tuple[int, int]) -> list[PaymentFacts]:
    return [
        PaymentFacts(payment_id=f"p{n}", captured=fen(captured), refunded=fen(refunded))
        for n, (captured, refunded) in enumerate(rows, 1)
    ]


@pytest.mark.parametrize(
    ("amount", "rows", "expected"),
    [
        (100, [(100, 0)], [("p1", 100)]),
        (100, [(60, 0), (60, 0)], [("p1", 60), ("p2", 40)]),
        (100, [(60, 60), (100, 0)], [("p2", 100)]),
        (100, [(60, 10), (50, 0), (9, 0)], [("p1", 50), ("p2", 50)]),
        (100, [(60, 70), (100, 0)], [("p2", 100)]),
        (0, [(60, 0)], []),
        (0, [], []),
    ],
)
def test_payments_take_the_refund_back_in_order(
    amount: int, rows: list[tuple[int, int]], expected: list[tuple[str, int]]
) -> None:
    assert [(key, part.minor) for key, part in allocate_payments(fen(amount), payments(*rows))] == expected


@pytest.mark.parametrize(("amount", "rows"), [(101, [(60, 0), (40, 0)]), (1, []), (1, [(5, 5)]), (-1, [(5, 0)])])
def test_payments_that_fall_short_are_an_error(amount: int, rows: list[tuple[int, int]]) -> None:
    with pytest.raises(PaymentsShort):
        allocate_payments(fen(amount), payments(*rows))
