"""Amounts where part of the refund has left already: the undisputed part, or what a correction meets. Domain 4.5."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backhaul.facts import Liable
from backhaul.money import Money
from backhaul.policy.consequences import consequences
from tests.unit.policy.build import BOOK, facts, yuan


@given(st.data())
def test_what_left_before_stands_and_nothing_is_paid_twice(data: st.DataObject) -> None:
    """Charged in all = before + now + withheld + freight; what cannot be withheld any more is a receivable."""
    refund = data.draw(st.integers(0, 500_000))
    loss = data.draw(st.integers(0, refund))
    covered = data.draw(st.integers(0, loss))
    before = data.draw(st.integers(0, refund))
    liable = data.draw(st.sampled_from([Liable.CONSUMER, Liable.CARRIER, Liable.MERCHANT]))
    gone, due = Money(minor=before), Money(minor=covered)
    whole, lost = Money(minor=refund), Money(minor=loss)
    result = consequences(facts(), whole, lost, due, liable, False, yuan("0.00"), BOOK, (), gone)
    assert result.merchant_charge >= gone
    left = result.refund_now + result.withhold + result.freight_withheld
    assert result.merchant_charge == gone + left
    assert result.relieved + result.indemnify <= result.loss
    if liable is Liable.CONSUMER:
        assert result.withhold + result.consumer_receivable + result.not_demanded == result.indemnify
