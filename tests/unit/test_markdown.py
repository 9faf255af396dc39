"""Tables in the Temporal UI."""

from __future__ import annotations

from backhaul.markdown import GAP, table


def test_a_table_keeps_its_shape_whatever_is_in_it() -> None:
    made = table(("side", "said"), [("consumer", "a | b\nc"), ("merchant", 7)], numbers=frozenset({"said"}))
    assert made.replace(GAP, "_").splitlines() == [
        "|side_|said_|",
        "|---|---:|",
        "|consumer_|a / b c_|",
        "|merchant_|7_|",
    ]
