"""A backtest: stored cases decided again under another policy book. What it says on the wire."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, Field

from backhaul.facts import Frozen
from backhaul.money import Money


class Known(StrEnum):
    """How much a book's figures of a case say."""

    KNOWN = "known"
    UNKNOWN_AFTER = "unknown_after"
    NOT_COMPARABLE = "not_comparable"


class DecisionView(Frozen):
    """One decision of a case under one book: what explains a difference."""

    decision: str
    outcome: str
    reasons: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    numbers: dict[str, int | str | bool | None] = Field(default_factory=dict)


class Figures(Frozen):
    """What a case comes to under a book. Amounts are totals over the whole case, corrections included.

    `known` says whether the book's turns were all taken in fact: where it would have asked somebody who was never
    asked, `why` names the question and no amount is counted; `not_comparable` cases are never counted."""

    outcome: str = Field(description="as the case's own; `ends_declined` where the book refuses what went on")
    known: Known = Known.KNOWN
    why: str = ""
    refund: Money = Field(description="left for the consumer for the goods: J21, J61, J62 less J60, J16, J45")
    charged: Money = Field(description="of it charged to the merchant: J22, J23, J82")
    indemnity: Money = Field(description="for the merchant under RDV: J31 less J75, J75b")
    freight_insurer: Money = Field(description="J12, J13")
    freight_merchant: Money = Field(description="J14 on the merchant, J16")
    freight_consumer: Money = Field(description="J14 on the consumer")
    denied: bool = False
    lightning: bool = False
    float_s: int | None = Field(default=None, description="from the scan to the refund, seconds; None: no scan or none")
    decisions: tuple[DecisionView, ...] = ()

    @property
    def amounts(self) -> dict[str, Money]:
        """The money by name, in the order of a report."""
        return {name: getattr(self, name) for name in MONEY}


MONEY = ("refund", "charged", "indemnity", "freight_insurer", "freight_merchant", "freight_consumer")
"""Names of the amounts, in the order of a report."""


class CaseBacktest(Frozen):
    """One case under two books. `rules`: which decide differently, in the order of the case; the first is decisive."""

    merchant_id: str
    rma_id: str
    order_id: str
    opened_at: datetime
    outcome: str | None = Field(description="how it ended in fact; None: it has not")
    before: Figures
    after: Figures
    rules: tuple[str, ...] = ()

    def without_decisions(self) -> Self:
        """The figures alone, for a long list."""
        sides = {name: getattr(self, name).model_copy(update={"decisions": ()}) for name in ("before", "after")}
        return self.model_copy(update=sides)

    @property
    def why(self) -> str:
        """Why the case cannot be compared; empty where it can."""
        return next((one.why for one in (self.before, self.after) if one.known is Known.NOT_COMPARABLE), "")

    @property
    def counted(self) -> bool:
        """Are both sides known, so that the difference means something?"""
        return self.before.known is Known.KNOWN and self.after.known is Known.KNOWN

    @property
    def differs(self) -> bool:
        """Does anything come out otherwise?"""
        if not self.counted:
            return self.after.known is Known.UNKNOWN_AFTER or self.before.known is Known.UNKNOWN_AFTER
        one, other = self.before, self.after
        return bool(self.rules) or one.amounts != other.amounts or one.float_s != other.float_s


class BacktestPage(Frozen):
    """Some cases, oldest first, and where to go on. `book` None: each case's own."""

    book: str | None
    against: str
    cases: tuple[CaseBacktest, ...]
    looked: int = Field(description="cases of this page, with those that are left out")
    not_comparable: dict[str, int] = Field(default_factory=dict, description="of these, by reason")
    next: str | None = None


Sums = dict[str, dict[str, int]]
"""Currency to name of an amount to minor units."""


class RuleLine(BaseModel):
    """One rule: in how many cases it decides otherwise, and the change in money of those in which it is decisive."""

    rule: str
    cases: int = 0
    decisive: int = 0
    money: Sums = Field(default_factory=dict)


class BacktestReport(BaseModel):
    """Pages added up. Every change is the other book's figure less the baseline's, over the cases both decide."""

    book: str | None
    against: str
    looked: int = 0
    differ: int = 0
    ends_declined: int = 0
    denials: int = 0
    float_s: int = Field(default=0, description="of cases that are refunded under both")
    lightning: int = 0
    money: Sums = Field(default_factory=dict)
    rules: dict[str, RuleLine] = Field(default_factory=dict)
    unknown: dict[str, int] = Field(default_factory=dict, description="cases that end in a question, by question")
    not_comparable: dict[str, int] = Field(default_factory=dict)

    @property
    def equal(self) -> int:
        """Cases in which nothing differs."""
        return self.looked - self.differ - sum(self.unknown.values()) - sum(self.not_comparable.values())

    def add(self, page: BacktestPage) -> None:
        """One page more; cases of it that do not differ may be left out."""
        self.looked += page.looked
        for why, count in page.not_comparable.items():
            self.not_comparable[why] = self.not_comparable.get(why, 0) + count
        for case in page.cases:
            if case.counted:
                self._count(case)
            elif case.differs:
                why = case.after.why or case.before.why
                self.unknown[why] = self.unknown.get(why, 0) + 1

    def _count(self, case: CaseBacktest) -> None:
        if not case.differs:
            return
        self.differ += 1
        before, after = case.before, case.after
        self.ends_declined += (after.outcome == "ends_declined") - (before.outcome == "ends_declined")
        self.denials += after.denied - before.denied
        self.lightning += after.lightning - before.lightning
        if before.float_s is not None and after.float_s is not None:
            self.float_s += after.float_s - before.float_s
        change = changes(case)
        _add(self.money, change)
        for place, rule in enumerate(case.rules):
            line = self.rules.setdefault(rule, RuleLine(rule=rule))
            line.cases += 1
            if place == 0:
                line.decisive += 1
                _add(line.money, change)


def changes(case: CaseBacktest) -> dict[str, Money]:
    """By how much each amount changes; what stays is left out."""
    pairs = {name: case.after.amounts[name] - amount for name, amount in case.before.amounts.items()}
    return {name: amount for name, amount in pairs.items() if amount}


def _add(sums: Sums, change: dict[str, Money]) -> None:
    for name, amount in change.items():
        of = sums.setdefault(amount.currency, {})
        of[name] = of.get(name, 0) + amount.minor
