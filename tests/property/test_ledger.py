"""Every template balances for any amounts, and its reversal takes it back (invariant 1)."""

from __future__ import annotations

import inspect
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backhaul.ledger import JournalEntry, Side, UnbalancedEntry, check_balanced, reversal
from backhaul.money import MAX_MINOR, Money
from tests.unit.test_ledger import ANYTHING, templates

NAMES = sorted(templates())


def made(name: str, minor: int, part: int, currency: str) -> JournalEntry:
    """The template's entry; `part` of the amount goes to a second amount (commission, the platform's premium)."""
    function = templates()[name]
    amount = Money(minor=minor, currency=currency)
    given = {}
    for field, parameter in inspect.signature(function).parameters.items():
        if field in ("commission", "by_platform"):
            given[field] = amount.fraction(part, 100)
        else:
            given[field] = amount if parameter.annotation == "Money" else ANYTHING[field]
    entry = function(**given)
    assert entry is not None
    return entry


@given(
    name=st.sampled_from(NAMES),
    minor=st.integers(1, MAX_MINOR // 2),
    part=st.integers(0, 100),
    currency=st.sampled_from(["CNY", "JPY", "KWD"]),
)
def test_every_template_balances_for_any_amount(name: str, minor: int, part: int, currency: str) -> None:
    entry = made(name, minor, part, currency)
    check_balanced(entry)
    net: Counter[str] = Counter()
    for one in (*entry.lines, *check_balanced(reversal(entry)).lines):
        net[one.account.value] += one.amount.minor if one.side is Side.DEBIT else -one.amount.minor
    assert not any(net.values())


@given(name=st.sampled_from(NAMES), minor=st.integers(1, 10**9), off=st.integers(1, 10**6), data=st.data())
def test_any_line_off_by_anything_is_caught(name: str, minor: int, off: int, data: st.DataObject) -> None:
    entry = made(name, minor, 50, "CNY")
    at = data.draw(st.integers(0, len(entry.lines) - 1))
    wrong = entry.lines[at].model_copy(update={"amount": entry.lines[at].amount + Money(minor=off)})
    lines = (*entry.lines[:at], wrong, *entry.lines[at + 1 :])
    with pytest.raises(UnbalancedEntry):
        check_balanced(entry.model_copy(update={"lines": lines}))
