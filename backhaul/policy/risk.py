"""How much checking does this request need? Rule 4.6: rules first, then a score whose coefficients are the book's.

The score alone refers at most; only a rule refuses cover. Whatever comes from outside can only make it stricter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from backhaul.facts import CaseFacts, Risk, RiskProfile, Text, Verdict
from backhaul.policy.book import PolicyBook
from backhaul.policy.sections import Coefficient, RiskRules
from backhaul.policy.texts import SCORED, Code
from backhaul.policy.verdicts import Number, verdict

ORDER = (Risk.ALLOW, Risk.STEP_UP, Risk.REFER, Risk.DENY)
"""From the mildest to the strictest."""
CHECKED = frozenset({Risk.STEP_UP, Risk.DENY})
"""With these the goods are looked at before the money leaves: silence of the merchant accepts nothing by itself."""


class Part(NamedTuple):
    """One coefficient's contribution: the input, and the points it gave."""

    name: str
    value: int
    points: int


class Reached(NamedTuple):
    """An outcome that something asks for, and why."""

    outcome: Risk
    code: Code
    rule: str


def risk(facts: CaseFacts, book: PolicyBook) -> Verdict:
    """`allow`, `step_up` (no lightning, the goods are checked at the receipt), `refer` (a person looks first) or `deny`
    (拒赔: cover is refused; the return itself goes on). The strictest of the rules, the score and the outside signal.

    A book without risk rules, or facts without a profile, leave it at the outside signal."""
    rules, profile = book.risk, facts.profile
    parts = () if rules is None or profile is None else contributions(profile, rules)
    score = sum(part.points for part in parts)
    reached = [Reached(facts.consumer.risk, Code.RISK_SIGNAL, "4.6.signal"), *_rules(facts, book)]
    if rules is not None:
        reached += _by_score(score, rules)
    outcome = max((one.outcome for one in reached), key=ORDER.index)
    asked = [one for one in reached if one.outcome is outcome]
    if outcome is Risk.ALLOW:
        asked = [Reached(outcome, Code.RISK_ALLOWED, "4.6.score" if parts else "4.6.signal")]
    numbers: dict[str, Number] = {"signal": facts.consumer.risk.value, "frozen": facts.consumer.frozen, "score": score}
    for part in parts:
        numbers |= {part.name: part.value, f"{part.name}_points": part.points}
    if rules is not None:
        numbers |= {"step_up_from": rules.step_up_from, "refer_from": rules.refer_from}
    said = verdict(
        "risk", outcome.value, [one.code for one in asked], [one.rule for one in asked], facts, book, **numbers
    )
    return said.model_copy(update={"text": _told(said.text, parts)})


def contributions(profile: RiskProfile, rules: RiskRules) -> tuple[Part, ...]:
    """Every coefficient's points. More of anything never scores less, more orders never score more."""
    rate = profile.returns * 100 // max(1, profile.orders)
    counts = profile.returns >= rules.min_returns
    return (
        Part("return_rate", rate, _points(rate, rules.return_rate) if counts else 0),
        Part("claims", profile.claims, _points(profile.claims, rules.claims)),
        Part("swaps", profile.swaps, _points(profile.swaps, rules.swaps)),
        Part("self_ships", profile.self_ships, _points(profile.self_ships, rules.self_ships)),
        Part("shared_address", profile.shared_address, _points(profile.shared_address, rules.shared_address)),
    )


def under_risk(facts: CaseFacts, outcome: Risk) -> CaseFacts:
    """The facts that later decisions go by: the outcome as it was decided, and no cover where it was refused."""
    consumer = facts.consumer.model_copy(update={"risk": outcome})
    covers = () if outcome is Risk.DENY else facts.covers
    return facts.model_copy(update={"consumer": consumer, "covers": covers})


def _points(value: int, coefficient: Coefficient) -> int:
    return min(coefficient.most, coefficient.weight * max(0, value - coefficient.free))


def _rules(facts: CaseFacts, book: PolicyBook) -> list[Reached]:
    rules, profile = book.risk, facts.profile
    if rules is None or profile is None:
        return []
    found = []
    if facts.consumer.frozen:
        found.append(Reached(Risk.STEP_UP, Code.RISK_FROZEN, "4.6.frozen"))
    if profile.swaps >= rules.refer_swaps:
        found.append(Reached(Risk.REFER, Code.RISK_SWAPS, "4.6.swaps"))
    if profile.swaps >= rules.deny_swaps:
        found.append(Reached(Risk.DENY, Code.RISK_SWAPS, "4.6.swaps"))
    return found


def _by_score(score: int, rules: RiskRules) -> list[Reached]:
    if score >= rules.refer_from:
        return [Reached(Risk.REFER, Code.RISK_SCORE, "4.6.score")]
    if score >= rules.step_up_from:
        return [Reached(Risk.STEP_UP, Code.RISK_SCORE, "4.6.score")]
    return []


def _told(text: Text, parts: Sequence[Part]) -> Text:
    """The reasons, then what each coefficient gave."""
    told = [(SCORED[part.name], part) for part in parts]
    english = [words.en.format(value=part.value, points=part.points) for words, part in told]
    chinese = [words.zh.format(value=part.value, points=part.points) for words, part in told]
    return Text(en=" ".join([text.en, *english]), zh="".join([text.zh, *chinese]))
