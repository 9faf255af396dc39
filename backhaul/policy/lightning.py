"""May the refund leave before the goods arrive? Rule 4.4: every condition must hold."""

from __future__ import annotations

from backhaul.facts import CaseFacts, InspectionResult, Method, Risk, Verdict
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import Check, all_of


def lightning_gate(
    facts: CaseFacts,
    amount: Money,
    tracked: bool,
    doorstep: InspectionResult | None,
    book: PolicyBook,
    *,
    cancelled: bool = False,
) -> Verdict:
    """`open` or `closed`, with every condition that failed.

    `tracked`: the pickup scan, or a logistics trace for self-ship. `doorstep` is None where nobody looked.
    `cancelled`: by the consumer before the scan, so that the goods go back to them (X25)."""
    rules, consumer = book.lightning, facts.consumer
    free = consumer.credit_limit - consumer.credit_used
    categories = {line.category for line in facts.lines}
    named = "*" in rules.categories or categories <= set(rules.categories)
    in_scope = bool(categories) and named and not categories & set(rules.excluded_categories)
    self_ship = facts.method is Method.SELF_SHIP
    checks = (
        Check("4.4.tier", consumer.tier >= rules.min_tier, Code.TIER_TOO_LOW),
        Check("4.4.category", in_scope, Code.CATEGORY_OUT_OF_SCOPE),
        Check("4.4.amount", amount.minor > 0, Code.NOTHING_TO_REFUND),
        Check("4.4.amount", amount <= rules.max_amount, Code.AMOUNT_TOO_HIGH),
        Check("4.4.credit", amount <= free, Code.CREDIT_TOO_LOW),
        Check("4.4.credit", not consumer.frozen, Code.CREDIT_FROZEN),
        Check("4.4.tracked", tracked, Code.NOT_TRACKED),
        Check("4.4.doorstep", self_ship or doorstep is InspectionResult.OK, Code.DOORSTEP_NOT_PASSED),
        Check("4.4.doorstep", not self_ship or rules.self_ship_allowed, Code.SELF_SHIP_NOT_ALLOWED),
        Check("4.4.cancelled", not cancelled, Code.CANCELLED_FIRST),
        Check("4.4.risk", consumer.risk is Risk.ALLOW, Code.RISK_NOT_ALLOWED),
    )
    return all_of(
        "lightning_gate",
        ("open", "closed"),
        Code.LIGHTNING_OPEN,
        checks,
        facts,
        book,
        amount=amount,
        max_amount=rules.max_amount,
        free_credit=free,
        tier=consumer.tier,
        min_tier=rules.min_tier,
        tracked=tracked,
        doorstep=None if doorstep is None else doorstep.value,
        risk=consumer.risk.value,
    )
