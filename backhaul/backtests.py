"""A backtest: stored cases decided again under another policy book. What it says on the wire."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

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
    looked: int = Field(description="cases of this page, with those that do not differ")
    next: str | None = None
