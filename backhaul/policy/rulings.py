"""What a person ruled, as a decision that explains itself beside those of the rules. Rule 4.5; X13, X15, X27, X28."""

from __future__ import annotations

from typing import NamedTuple

from backhaul.disputes import Seen
from backhaul.facts import BookRef, Liable, LineFinding, Verdict
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


def _shares(ruling: Ruling) -> dict[str, str]:
    """What each party is liable for, in words, where there are several: `L1 damage 30 % x 1, L2 missing x 2`."""
    if not ruling.shares:
        return {}
    each = {ruling.outcome: ruling.findings or (), **{one.liable.value: one.findings for one in ruling.shares}}
    return {f"share.{party}": ", ".join(_seen(one) for one in findings) for party, findings in each.items()}


def _seen(one: LineFinding) -> str:
    return f"{one.line_id} {Seen(finding=one.finding, units=one.quantity, severity=one.severity)}"


def ruled(ruling: Ruling, book: BookRef, about: About | None = None) -> Verdict:
    """The ruling as a decision: what it says in place of the rules, on which facts, and what it overrules. The
    reviewer's own words stay with the ruling. `book`: the case's; `about`: the recovery, where it is on one."""
    reasons, rules = [_SAYS[ruling.outcome]], ["X13" if ruling.decides == "authorization" else "4.5.ruling"]
    if ruling.shares:
        reasons.append(Code.RULED_SHARED)
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
        **_shares(ruling),
        **({} if about is None else about._asdict()),
    )
