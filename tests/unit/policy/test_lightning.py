"""The lightning gate: rule 4.4. Every condition is planted once, alone."""

from __future__ import annotations

from typing import Any

import pytest

from backhaul.facts import InspectionResult, Method, Risk, Verdict
from backhaul.policy.lightning import lightning_gate
from tests.unit.policy.build import BOOK, book_with, consumer, facts, line, yuan


def gate(
    amount: str = "1200.00",
    tracked: bool = True,
    doorstep: InspectionResult | None = InspectionResult.OK,
    rules: dict[str, Any] | None = None,
    cancelled: bool = False,
    **over: Any,
) -> Verdict:
    book = book_with("lightning", **(rules or {}))
    return lightning_gate(facts(**over), yuan(amount), tracked, doorstep, book, cancelled=cancelled)


def test_open_when_everything_holds() -> None:
    verdict = gate()
    assert (verdict.outcome, verdict.yes, verdict.reasons) == ("open", True, ("lightning_open",))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ({"consumer": consumer(tier=1)}, "tier_too_low"),
        ({"lines": (line(), line(line_id="l2", category="jewellery"))}, "category_out_of_scope"),
        ({"rules": {"categories": ("shoes",)}}, "category_out_of_scope"),
        ({"amount": "0.00"}, "nothing_to_refund"),
        ({"amount": "3000.01", "consumer": consumer(credit_limit=yuan("9000.00"))}, "amount_too_high"),
        ({"consumer": consumer(credit_used=yuan("1800.01"))}, "credit_too_low"),
        ({"consumer": consumer(frozen=True)}, "credit_frozen"),
        ({"tracked": False}, "not_tracked"),
        ({"cancelled": True}, "cancelled_first"),
        ({"doorstep": InspectionResult.FINDING}, "doorstep_not_passed"),
        ({"doorstep": InspectionResult.WAIVED}, "doorstep_not_passed"),
        ({"doorstep": InspectionResult.IMPOSSIBLE}, "doorstep_not_passed"),
        ({"doorstep": None}, "doorstep_not_passed"),
        (
            {"method": Method.SELF_SHIP, "doorstep": None, "rules": {"self_ship_allowed": False}},
            "self_ship_not_allowed",
        ),
        ({"consumer": consumer(risk=Risk.STEP_UP)}, "risk_not_allowed"),
        ({"consumer": consumer(risk=Risk.REFER)}, "risk_not_allowed"),
        ({"consumer": consumer(risk=Risk.DENY)}, "risk_not_allowed"),
    ],
)
def test_each_condition_closes_the_gate_by_itself(case: dict[str, Any], reason: str) -> None:
    verdict = gate(**case)
    assert (verdict.outcome, verdict.yes, verdict.reasons) == ("closed", False, (reason,))


@pytest.mark.parametrize(
    "case",
    [
        {"consumer": consumer(tier=2)},
        {"amount": "3000.00"},
        {"consumer": consumer(credit_used=yuan("1800.00"))},
        {"method": Method.SELF_SHIP, "doorstep": None},
        {"rules": {"categories": ("clothing",)}},
    ],
)
def test_exactly_at_the_boundary_it_is_open(case: dict[str, Any]) -> None:
    assert gate(**case).yes


def test_every_failing_reason_is_given() -> None:
    bad = consumer(tier=0, frozen=True, risk=Risk.DENY, credit_used=yuan("3000.00"))
    verdict = gate(amount="3000.01", tracked=False, doorstep=None, consumer=bad, lines=(line(category="fresh_food"),))
    assert set(verdict.reasons) == {
        "tier_too_low",
        "category_out_of_scope",
        "amount_too_high",
        "credit_too_low",
        "credit_frozen",
        "not_tracked",
        "doorstep_not_passed",
        "risk_not_allowed",
    }
    assert verdict.numbers["free_credit"] == 0
    assert verdict.numbers["amount"] == 300_001
    assert {rule.split(".")[2] for rule in verdict.rules} == {
        "tier",
        "category",
        "amount",
        "credit",
        "tracked",
        "doorstep",
        "cancelled",
        "risk",
    }


def test_a_case_without_lines_is_closed() -> None:
    assert "category_out_of_scope" in gate(lines=()).reasons
    assert BOOK.lightning.categories == ("*",)
