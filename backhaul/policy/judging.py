"""The first judgement of a request: eligible? who says yes? is something offered? Rules 4.1, 4.6, 4.7, X29."""

from __future__ import annotations

from backhaul.facts import CaseFacts, Frozen, Risk, Verdict
from backhaul.money import Money
from backhaul.policy.authorization import authorization, may_decline
from backhaul.policy.book import PolicyBook
from backhaul.policy.eligibility import eligibility
from backhaul.policy.freight import chargeable_g, freight_amount
from backhaul.policy.offer import retention_offer
from backhaul.policy.refund_only import refund_only
from backhaul.policy.refunds import refund_value
from backhaul.policy.risk import risk, under_risk
from backhaul.policy.windows import is_shipped, is_signed

_OUTCOMES = {
    "auto": "authorized",
    "merchant": "merchant_review",
    "info": "info_requested",
    "refer": "referred",
}
_RISKY = {"refer": "referred", "deny": "declined"}
"""Money without goods is no right of the statute: the risk rules may refuse it (X29)."""
_REFUND_ONLY = {"yes": "authorized", "merchant": "merchant_review", "platform": "merchant_review", "no": "declined"}


class Judged(Frozen):
    """How a request goes on, and why. `platform`: it may grant what the merchant refuses (X29)."""

    outcome: str
    decisive: Verdict
    verdicts: tuple[Verdict, ...]
    risk: Risk
    refundable: Money
    may_decline: bool = True
    offer: Money | None = None
    platform: bool = False


def judged(facts: CaseFacts, book: PolicyBook, zone: str | None = None) -> Judged:
    """Eligible? If so: who says yes, and may the merchant say no? Is something offered for keeping the goods?"""
    first = eligibility(facts, book)
    if not facts.remedy.is_return:
        return _refund_only(facts, book, first)
    if not first.yes:
        return _judged(facts, "declined", (first,))
    scored = risk(facts, book)
    decisive, declinable = authorization(facts, book, Risk(scored.outcome)), may_decline(facts, book)
    verdicts: tuple[Verdict, ...] = (first, scored, decisive, declinable)
    outcome, offer = _OUTCOMES[decisive.outcome], None
    if facts.merchant.offers:
        result = retention_offer(facts, freight_amount(chargeable_g(facts.lines, book), zone, book), book)
        verdicts += (result.verdict,)
        offer = result.amount if result.verdict.yes else None
    said = _judged(facts, outcome, verdicts, decisive)
    return said.model_copy(update={"may_decline": declinable.outcome != "no", "offer": offer})


def _refund_only(facts: CaseFacts, book: PolicyBook, first: Verdict) -> Judged:
    """X29: not shipped, at once; under way, no; received, the merchant decides, unless the risk rules do."""
    rule = refund_only(facts, is_shipped(facts), is_signed(facts), book)
    if rule.outcome == "no" or not first.yes:
        return _judged(facts, "declined", (first, rule), first if rule.outcome != "no" else rule)
    if rule.outcome != "yes":
        scored = risk(facts, book)
        if scored.outcome in _RISKY:
            return _judged(facts, _RISKY[scored.outcome], (first, rule, scored), scored)
    said = _judged(facts, _REFUND_ONLY[rule.outcome], (first, rule), rule)
    return said.model_copy(update={"platform": rule.outcome == "platform"})


def _judged(facts: CaseFacts, outcome: str, verdicts: tuple[Verdict, ...], decisive: Verdict | None = None) -> Judged:
    scored = next((Risk(one.outcome) for one in verdicts if one.decision == "risk"), facts.consumer.risk)
    currency = facts.lines[0].paid.currency
    return Judged(
        outcome=outcome,
        decisive=decisive or verdicts[0],
        verdicts=verdicts,
        risk=scored,
        refundable=refund_value(under_risk(facts, scored)).total if verdicts[0].yes else Money.zero(currency),
    )
