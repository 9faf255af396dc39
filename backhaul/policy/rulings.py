"""What a person ruled, as a decision that explains itself beside those of the rules. Rule 4.5; X13, X15, X27, X28."""

from __future__ import annotations

from backhaul.facts import BookRef, Verdict
from backhaul.messages import Ruling
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import outside

DECISION = "ruling"
_SAYS = {
    "merchant": Code.RULED_MERCHANT,
    "consumer": Code.RULED_CONSUMER,
    "carrier": Code.RULED_CARRIER,
    "insurer": Code.RULED_INSURER,
    "nobody": Code.RULED_NOBODY,
    "authorize": Code.RULED_AUTHORIZE,
    "uphold": Code.RULED_UPHOLD,
    "owed": Code.RULED_OWED,
    "uncollectable": Code.RULED_UNCOLLECTABLE,
}
"""Everything that a ruling may say, and how it is told."""


def ruled(ruling: Ruling, book: BookRef) -> Verdict:
    """The ruling as a decision: what it says in place of the rules, on which facts, and what it overrules. The
    reviewer's own words stay with the ruling. `book`: the case's."""
    reasons, rules = [_SAYS[ruling.outcome]], ["X13" if ruling.decides == "authorization" else "4.5.ruling"]
    if ruling.overrules is not None:
        reasons.append(Code.RULED_ON_APPEAL)
        rules.append("X15")
    return outside(
        DECISION,
        ruling.outcome,
        reasons,
        rules,
        ruling.book or book,
        ruling.facts_hash,
        ruling=ruling.ruling_id,
        decides=ruling.decides,
        overrules=ruling.overrules,
    )
