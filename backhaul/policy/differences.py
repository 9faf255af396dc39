"""Which rules made two books decide a case differently."""

from __future__ import annotations

from collections.abc import Iterator

from backhaul.backtests import DecisionView, Figures, Known
from backhaul.policy.texts import Code

RULE_OF: dict[str, str] = {
    Code.INSIDE_WINDOW: "4.1.window",
    Code.NOT_SIGNED: "4.1.signed",
    Code.WINDOW_OVER: "4.1.window",
    Code.CATEGORY_EXCLUDED: "4.1.category",
    Code.QUANTITY_INVALID: "4.1.quantity",
    Code.QUANTITY_OVER_ORDERED: "4.1.quantity",
    Code.NO_LINES: "4.1.lines",
    Code.CURRENCY_UNSUPPORTED: "6.currency",
    Code.FREIGHT_ABOVE_CAP: "4.2.cap",
    Code.MERCHANT_BEARS_FREIGHT: "4.2.bearer",
    Code.CONSUMER_BEARS_FREIGHT: "4.2.bearer",
    Code.RFI_NOT_IN_FORCE: "4.3.rfi",
    Code.UPPER_TIER_NOT_BOUGHT: "4.3.tier",
    Code.UNDER_DECLARED: "4.3.declared",
    Code.LIMIT_REACHED: "4.3.limit",
    Code.DEDUCTIBLE_APPLIED: "4.3.deductible",
    Code.TIER_TOO_LOW: "4.4.tier",
    Code.CATEGORY_OUT_OF_SCOPE: "4.4.category",
    Code.AMOUNT_TOO_HIGH: "4.4.amount",
    Code.NOTHING_TO_REFUND: "4.4.amount",
    Code.CREDIT_TOO_LOW: "4.4.credit",
    Code.CREDIT_FROZEN: "4.4.credit",
    Code.NOT_TRACKED: "4.4.tracked",
    Code.DOORSTEP_NOT_PASSED: "4.4.doorstep",
    Code.SELF_SHIP_NOT_ALLOWED: "4.4.doorstep",
    Code.RISK_NOT_ALLOWED: "4.4.risk",
    Code.CANCELLED_FIRST: "4.4.cancelled",
    Code.OFFER_NOT_WANTED: "4.7.merchant",
    Code.OFFER_REASON: "4.7.reason",
    Code.OFFER_VALUE_TOO_LOW: "4.7.value",
    Code.OFFER_WORTH_NOTHING: "4.7.amount",
}
"""The rule behind a reason, where a decision applies several. A decision of one rule has that one."""
PASSED = frozenset({Code.INSIDE_WINDOW, Code.LIGHTNING_OPEN, Code.OFFER_MADE, Code.LOSS_COVERED, Code.FREIGHT_COVERED})
"""Reasons that say only that nothing stood against it."""
RESULTS = frozenset({"loss", "indemnity", "freight", "insured", "above"})
"""Numbers that a decision comes to, not those that it starts from."""
AMOUNTS = "4.5.amounts"
"""Where every decision is the same, and only what follows from them is not."""
WAITS = "X11"


def rules_that_differ(before: Figures, after: Figures) -> tuple[str, ...]:
    """Rule ids in the order of the case, once each: the first is the decisive one."""
    rules: dict[str, None] = {}
    for one, other in _pairs(before.decisions, after.decisions):
        if _same(one, other):
            continue
        for rule in _rules_of(one, other):
            rules.setdefault(rule)
    if not rules and Known.UNKNOWN_AFTER not in (before.known, after.known):
        if before.amounts != after.amounts:
            rules[AMOUNTS] = None
        elif before.float_s != after.float_s:
            rules[WAITS] = None
    return tuple(rules)


def _pairs(
    before: tuple[DecisionView, ...], after: tuple[DecisionView, ...]
) -> Iterator[tuple[DecisionView, DecisionView]]:
    """The nth decision of a kind against the nth of the other book; what only one book came to is left out."""
    theirs: dict[str, list[DecisionView]] = {}
    for each in after:
        theirs.setdefault(each.decision, []).append(each)
    for one in before:
        if theirs.get(one.decision):
            yield one, theirs[one.decision].pop(0)


def _same(one: DecisionView, other: DecisionView) -> bool:
    same = one.outcome == other.outcome and set(one.reasons) == set(other.reasons)
    return same and all(one.numbers.get(name) == other.numbers.get(name) for name in RESULTS)


def _rules_of(one: DecisionView, other: DecisionView) -> tuple[str, ...]:
    """By the reasons that only one of them has; a decision of one rule, or whose numbers alone differ, by its own."""
    changed = [
        reason for reason in (*one.reasons, *other.reasons) if (reason in one.reasons) != (reason in other.reasons)
    ]
    named = [RULE_OF[reason] for reason in changed if reason in RULE_OF and reason not in PASSED]
    if named:
        return tuple(dict.fromkeys(named))
    single = [*other.rules[:1], *one.rules[:1]] if set(one.rules) != set(other.rules) else [*one.rules[:1]]
    return tuple(dict.fromkeys(single))
