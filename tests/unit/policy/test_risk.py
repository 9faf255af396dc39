"""The risk rules (4.6): thresholds, what each coefficient gives, and that nothing outside makes it milder."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from backhaul.facts import CaseFacts, Risk, RiskProfile
from backhaul.policy.library import load_library
from backhaul.policy.risk import contributions, risk, under_risk
from tests.unit.policy.build import BOOK, consumer, facts

NEW = load_library().by_version("2025-09")
SINCE = datetime(2025, 9, 1, tzinfo=UTC)


def known(counts: dict[str, int] | None = None, *, signal: Risk = Risk.ALLOW, frozen: bool = False) -> CaseFacts:
    profile = RiskProfile(since=SINCE).model_copy(update=counts or {})
    return facts(consumer=consumer(risk=signal, frozen=frozen)).model_copy(update={"profile": profile})


@pytest.mark.parametrize(
    ("counts", "outcome", "score", "rule"),
    [
        ({}, "allow", 0, "4.6.score"),
        ({"orders": 10, "returns": 10}, "step_up", 40, "4.6.score"),  # 100 %: 40 points, at the threshold
        ({"orders": 10, "returns": 9}, "allow", 30, "4.6.score"),
        ({"orders": 3, "returns": 3}, "allow", 0, "4.6.score"),  # three returns say nothing yet
        ({"claims": 5}, "step_up", 40, "4.6.score"),
        ({"claims": 4}, "allow", 30, "4.6.score"),
        ({"swaps": 1}, "allow", 30, "4.6.score"),
        ({"swaps": 2}, "refer", 60, "4.6.swaps"),
        ({"swaps": 3}, "deny", 60, "4.6.swaps"),
        ({"self_ships": 9}, "allow", 30, "4.6.score"),
        ({"shared_address": 6}, "step_up", 40, "4.6.score"),
        ({"claims": 5, "shared_address": 6}, "refer", 80, "4.6.score"),
    ],
)
def test_rules_first_then_the_score(counts: dict[str, int], outcome: str, score: int, rule: str) -> None:
    said = risk(known(counts), NEW)
    assert (said.outcome, said.numbers["score"]) == (outcome, score)
    assert rule in said.rules


def test_a_score_alone_never_refuses_cover() -> None:
    most = {"orders": 1, "returns": 99, "claims": 99, "self_ships": 99, "shared_address": 99}
    assert risk(known(most), NEW).outcome == "refer"


@pytest.mark.parametrize("signal", list(Risk))
def test_the_outside_signal_only_makes_it_stricter(signal: Risk) -> None:
    assert risk(known(signal=signal), NEW).outcome == signal.value
    assert risk(known({"swaps": 3}, signal=signal), NEW).outcome == "deny"


def test_a_frozen_line_is_checked() -> None:
    said = risk(known(frozen=True), NEW)
    assert (said.outcome, said.reasons) == ("step_up", ("risk_frozen",))


def test_every_coefficient_is_told_in_both_languages() -> None:
    said = risk(known({"orders": 10, "returns": 8, "claims": 2, "swaps": 1, "self_ships": 4, "shared_address": 3}), NEW)
    assert "Return rate 80 %: 20 points." in said.text.en
    assert "退货率80%：20分。" in said.text.zh
    parts: dict[str, Any] = {name: value for name, value in said.numbers.items() if name.endswith("_points")}
    assert parts == {
        "return_rate_points": 20,
        "claims_points": 10,
        "swaps_points": 30,
        "self_ships_points": 5,
        "shared_address_points": 10,
    }
    assert said.numbers["score"] == sum(parts.values()) == 75
    assert (said.numbers["step_up_from"], said.numbers["refer_from"]) == (40, 80)


def test_a_book_without_risk_rules_goes_by_the_signal() -> None:
    assert BOOK.risk is None
    assert risk(known({"swaps": 9}, signal=Risk.STEP_UP), BOOK).outcome == "step_up"
    assert risk(facts(), NEW).outcome == "allow"


def test_refused_cover_is_no_cover_and_the_return_goes_on() -> None:
    denied = under_risk(known(), Risk.DENY)
    assert (denied.covers, denied.consumer.risk, denied.lines) == ((), Risk.DENY, known().lines)
    assert under_risk(known(), Risk.STEP_UP).covers == known().covers


def test_points_have_a_ceiling() -> None:
    assert NEW.risk is not None
    parts = contributions(RiskProfile(since=SINCE, orders=1, returns=50, claims=1000, swaps=1000), NEW.risk)
    assert [part.points for part in parts] == [40, 40, 60, 0, 0]
