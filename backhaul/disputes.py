"""Disputes: what they are about, who may say what, and what a ruling on them may say. Domain 4.5, X8, X12 to X15."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from backhaul.facts import Finding, Frozen, Liable, Party, Token


class Question(StrEnum):
    """What a human is asked."""

    LIABILITY = "liability"
    AUTHORIZATION = "authorization"
    APPEAL = "appeal"


LIABLE = frozenset(liable.value for liable in Liable) - {Liable.UNDETERMINED.value}
AUTHORIZING = frozenset({"authorize", "uphold"})
OUTCOMES: dict[Question, frozenset[str]] = {
    Question.LIABILITY: LIABLE,
    Question.AUTHORIZATION: AUTHORIZING,
    Question.APPEAL: LIABLE,
}
"""What a ruling on each question may say. An appeal asks again who is liable."""

REASON: dict[Question, str] = {
    Question.LIABILITY: "ruling_needed",
    Question.AUTHORIZATION: "arbitration_needed",
    Question.APPEAL: "ruling_needed",
}
"""Why a dispute is parked while nobody has ruled."""

SIDES = (Party.CONSUMER, Party.MERCHANT)
"""Who is heard in a dispute."""


class Phase(StrEnum):
    """How far a dispute is. In `evidence` the sides are heard, in `ruling` a human is asked."""

    EVIDENCE = "evidence"
    RULING = "ruling"


class DisputeProgress(Frozen):
    """What a dispute tells the workflow that waits for it: how far it is, on whom it waits, and until when."""

    workflow_id: str
    phase: Phase
    on: Party
    due: datetime


class LodgeAppeal(Frozen):
    """What the API sends to an open case once it has taken an appeal."""

    appeal_id: Token
    ruling_id: Token
    by: Party
    reason: str = ""


def appeal_refusal(
    ruling_id: str,
    goes_by: str | None,
    *,
    appealed: bool,
    told_at: datetime | None,
    now: datetime,
    within: timedelta,
) -> str | None:
    """The code with which an appeal against a ruling on liability is refused, or None (X15): it is against the ruling
    that the case goes by, in time, and the only one of the case. Its time begins at `told_at`, when both sides had been
    told of the ruling; before that no appeal is late."""
    if appealed:
        return "appealed_before"
    if ruling_id != goes_by:
        return "not_appealable"
    return "appeal_late" if told_at is not None and now > told_at + within else None


class Interval(StrEnum):
    """Between which two looks at the goods a line changed."""

    UNCHANGED = "unchanged"
    BEFORE_PICKUP = "before_pickup"
    IN_TRANSIT = "in_transit"
    AFTER_RECEIPT = "after_receipt"
    UNKNOWN = "unknown"


class Seen(Frozen):
    """What an inspection saw on one line. `units` affected; `severity` in percent, for damage."""

    finding: Finding
    units: int
    severity: int | None = None

    def __str__(self) -> str:
        of = f" {self.severity} %" if self.severity is not None else ""
        return f"{self.finding.value}{of} x {self.units}"


class ItemCompared(Frozen):
    """One line at the door and at the receipt. None: nobody looked; empty: nothing was wrong."""

    line_id: str
    door: tuple[Seen, ...] | None = None
    receipt: tuple[Seen, ...] | None = None
    interval: Interval
    liable: Liable
    code: str
