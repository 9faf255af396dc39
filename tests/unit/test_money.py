"""Money: parsing, arithmetic, splits. Every refusal is planted."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from backhaul.money import MAX_MINOR, CurrencyMismatch, Money, cumulative_share


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.34", "CNY", 1234),
        ("12.3", "CNY", 1230),
        ("12", "CNY", 1200),
        ("-0.05", "CNY", -5),
        ("1000", "JPY", 1000),
        ("1.234", "KWD", 1234),
        ("12.340", "CNY", 1234),
    ],
)
def test_text_is_parsed(text: str, currency: str, minor: int) -> None:
    assert Money.of(text, currency).minor == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [("12.345", "CNY"), ("0.1", "JPY"), ("abc", "CNY"), ("", "CNY"), ("NaN", "CNY"), ("Infinity", "CNY"), ("1", "XYZ")],
)
def test_other_text_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match=r"not an amount|more digits|not supported"):
        Money.of(text, currency)


@pytest.mark.parametrize("minor", [1.0, "1", True, MAX_MINOR + 1, -MAX_MINOR - 1, None])
def test_only_integers_in_bounds_are_amounts(minor: object) -> None:
    with pytest.raises(ValidationError):
        Money.model_validate({"minor": minor, "currency": "CNY"})


def test_currencies_never_mix() -> None:
    yuan, dollar = Money(minor=1, currency="CNY"), Money(minor=1, currency="USD")
    for mix in (lambda: yuan + dollar, lambda: yuan - dollar, lambda: yuan < dollar, lambda: yuan.at_most(dollar)):
        with pytest.raises(CurrencyMismatch):
            mix()
    assert yuan != dollar


@pytest.mark.parametrize(
    ("minor", "currency", "major"),
    [
        (1234, "CNY", "12.34"),
        (5, "CNY", "0.05"),
        (-5, "CNY", "-0.05"),
        (7, "JPY", "7"),
        (1, "KWD", "0.001"),
        (0, "CNY", "0.00"),
    ],
)
def test_major_text(minor: int, currency: str, major: str) -> None:
    amount = Money(minor=minor, currency=currency)
    assert amount.major() == major
    assert str(amount) == f"{currency} {major}"
    assert Money.of(major, currency) == amount


@pytest.mark.parametrize(
    ("total", "weights", "shares"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (100, [1, 2, 3], [17, 33, 50]),
        (5, [0, 1], [0, 5]),
        (5, [0, 0], [3, 2]),
        (0, [1, 2], [0, 0]),
        (-100, [1, 1, 1], [-34, -33, -33]),
        (1, [1], [1]),
    ],
)
def test_splits(total: int, weights: list[int], shares: list[int]) -> None:
    assert [share.minor for share in Money(minor=total).split(weights)] == shares


@pytest.mark.parametrize("weights", [[], [1, -1]])
def test_bad_weights_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        Money(minor=1).split(weights)


def test_fractions_round_down() -> None:
    assert Money(minor=100).fraction(2, 3).minor == 66
    with pytest.raises(ValueError, match="denominator"):
        Money(minor=100).fraction(1, 0)


@pytest.mark.parametrize(("part", "of"), [(-1, 3), (4, 3), (0, 0)])
def test_a_share_is_within_the_whole(part: int, of: int) -> None:
    with pytest.raises(ValueError, match="not within"):
        cumulative_share(Money(minor=100), part, of)


def test_sum_of_nothing_is_zero_of_its_currency() -> None:
    assert Money.sum([], "USD") == Money(minor=0, currency="USD")
    assert not Money.zero()
    assert Money(minor=-1)
