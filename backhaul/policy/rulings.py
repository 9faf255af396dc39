"""What a person ruled, as a decision that explains itself beside those of the rules. Rule 4.5; X13, X15, X27, X28."""

from __future__ import annotations

from typing import NamedTuple

from backhaul.facts import BookRef, Liable, Verdict
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


class About(NamedTuple):
    """The recovery that a ruling is about, as it was then: from whom, what of it was collected, and what was left."""

    recovery: str
    liable: str
    collected: int
    left: int


def ruled(ruling: Ruling, book: BookRef, about: About | None = None) -> Verdict:
    """The ruling as a decision: what it says in place of the rules, on which facts, and what it overrules. The
    reviewer's own words stay with the ruling. `book`: the case's; `about`: the recovery, where it is on one."""
    reasons, rules = [_SAYS[ruling.outcome]], ["X13" if ruling.decides == "authorization" else "4.5.ruling"]
    if about is not None:
        rules.append("X28" if about.liable == Liable.CONSUMER else "X27")
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
        **({} if about is None else about._asdict()),
    )
