"""The journal: accounts of both books, lines, entries, and the check that every entry passes before it is kept.

Two books, P platform and I insurer. Entries are append-only; a correction is a reversal (rule 6).
The entries themselves are made by the templates of the sibling modules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from backhaul.facts import Frozen, Token
from backhaul.money import Money

PLATFORM = "platform"
"""Stands for the merchant in entries that concern none (J05, J06)."""


class P(StrEnum):
    """Accounts of the platform's book."""

    PSP_CLEARING = "P1000"
    BANK = "P1010"
    MERCHANT_RECEIVABLE = "P1100"
    CONSUMER_RECEIVABLE = "P1110"
    INSURER_RECEIVABLE = "P1120"
    LIGHTNING_ADVANCES = "P1130"
    MERCHANT_PAYABLE = "P2000"
    REFUND_PAYABLE = "P2010"
    CARRIER_PAYABLE = "P2020"
    PREMIUM_PAYABLE = "P2030"
    RECOVERIES_OWED = "P2040"
    MERCHANT_DEPOSIT = "P2050"
    UNCLAIMED = "P2060"
    COMMISSION = "P4000"
    RDV_SUBSIDY = "P5000"
    GOODWILL = "P5010"
    BAD_DEBT = "P5020"


class I(StrEnum):  # noqa: E742 - the insurer's book is called I
    """Accounts of the insurer's book."""

    BANK = "I1000"
    PREMIUM_RECEIVABLE = "I1100"
    SUBROGATION = "I1200"
    UNEARNED_PREMIUM = "I2100"
    CASE_RESERVE = "I2200"
    CLAIMS_PAYABLE = "I2210"
    EARNED_PREMIUM = "I4000"
    INCURRED_LOSS = "I5000"
    RECOVERIES = "I5100"


Account = P | I


class Side(StrEnum):
    """Debit or credit."""

    DEBIT = "debit"
    CREDIT = "credit"


class UnbalancedEntry(ValueError):
    """An entry whose debits and credits differ, or with an amount that is not positive. It is a bug, never input."""

    code = "unbalanced"


class OrderRef(Frozen):
    """Whose order an entry concerns."""

    merchant_id: Token
    order_id: Token
    consumer_ref: Token


class CaseRef(OrderRef):
    """Whose return case an entry concerns."""

    rma_id: Token


class Line(Frozen):
    """One line of an entry. `party` is whose money it is where an account has many owners."""

    account: Account
    side: Side
    amount: Money
    party: str | None = None

    @property
    def book(self) -> str:
        """P or I: the first letter of the account."""
        return self.account.value[0]


class JournalEntry(Frozen):
    """One balanced entry. `key` is unique and built from the template and business facts, never from a run."""

    template: str
    key: str
    merchant_id: str
    order_id: str | None = None
    rma_id: str | None = None
    payment_key: str | None = None
    claim_ref: str | None = None
    waybill: str | None = None
    batch: str | None = None
    external_key: str | None = Field(default=None, description="the key under which the provider states it")
    consumer_ref: str | None = None
    reverses: str | None = Field(default=None, description="key of the entry that this one takes back")
    lines: tuple[Line, ...]

    def total(self, account: Account, side: Side) -> int:
        """Minor units on one side of one account."""
        return sum(line.amount.minor for line in self.lines if line.account is account and line.side is side)


Entry = JournalEntry | None
"""What a template returns: None where there is nothing to post."""


def debit(account: Account, amount: Money, party: str | None = None) -> Line:
    """A debit line."""
    return Line(account=account, side=Side.DEBIT, amount=amount, party=party)


def credit(account: Account, amount: Money, party: str | None = None) -> Line:
    """A credit line."""
    return Line(account=account, side=Side.CREDIT, amount=amount, party=party)


def check_balanced(entry: JournalEntry) -> JournalEntry:
    """The entry itself, if it balances in each book and currency (invariant 1). Raises UnbalancedEntry."""
    if not entry.lines:
        raise UnbalancedEntry(f"{entry.key}: no lines")
    balance: dict[tuple[str, str], int] = defaultdict(int)
    for line in entry.lines:
        if line.amount.minor <= 0:
            raise UnbalancedEntry(f"{entry.key}: {line.account.value} has {line.amount}")
        sign = 1 if line.side is Side.DEBIT else -1
        balance[line.book, line.amount.currency] += sign * line.amount.minor
    for (book, currency), rest in sorted(balance.items()):
        if rest:
            raise UnbalancedEntry(f"{entry.key}: book {book} is off by {rest} in {currency}")
    _check_books_agree(entry)
    return entry


def _check_books_agree(entry: JournalEntry) -> None:
    """What one book owes the other, the other is owed (invariant 11): premiums, and claims paid out by the platform."""
    pairs = [(P.PREMIUM_PAYABLE, I.PREMIUM_RECEIVABLE)]
    if any(line.account is P.INSURER_RECEIVABLE for line in entry.lines):
        pairs.append((P.INSURER_RECEIVABLE, I.CLAIMS_PAYABLE))
    for ours, theirs in pairs:
        off = sum(
            line.amount.minor if line.side is Side.DEBIT else -line.amount.minor
            for line in entry.lines
            if line.account in (ours, theirs)
        )
        if off:
            raise UnbalancedEntry(f"{entry.key}: {ours.value} and {theirs.value} differ by {off}")


def of_claim(claim_ref: str, part: str) -> str:
    """What tells an entry about a claim from others of its template: the claim, and the part unless it is the first."""
    return claim_ref if part == "1" else f"{claim_ref}:{part}"


def entry(
    template: str,
    about: OrderRef | str,
    what: str,
    lines: Sequence[Line],
    *,
    payment_key: str | None = None,
    claim_ref: str | None = None,
    waybill: str | None = None,
    batch: str | None = None,
    external_key: str | None = None,
) -> JournalEntry | None:
    """Make an entry about a case, an order, or (as text) a merchant. `what` tells it from others of its template.

    Lines of nothing are dropped; an entry without lines is not made: None. Raises UnbalancedEntry."""
    kept = tuple(line for line in lines if line.amount)
    if not kept:
        return None
    order = about if isinstance(about, OrderRef) else None
    case = about if isinstance(about, CaseRef) else None
    merchant_id = about if isinstance(about, str) else about.merchant_id
    scope = merchant_id
    if order is not None:
        scope += "/" + (order.order_id if case is None else case.rma_id)
    return check_balanced(
        JournalEntry(
            template=template,
            key=f"{template}:{scope}:{what}",
            merchant_id=merchant_id,
            order_id=order.order_id if order else None,
            rma_id=case.rma_id if case else None,
            consumer_ref=order.consumer_ref if order else None,
            payment_key=payment_key,
            claim_ref=claim_ref,
            waybill=waybill,
            batch=batch,
            external_key=external_key if external_key is not None else payment_key,
            lines=kept,
        )
    )


def made(*entries: JournalEntry | None) -> tuple[JournalEntry, ...]:
    """The entries that were made, without those of nothing."""
    return tuple(one for one in entries if one is not None)


def reversal(of: JournalEntry) -> JournalEntry:
    """The entry that takes another back: sides swapped, its own key, at most one per entry."""
    swapped = {Side.DEBIT: Side.CREDIT, Side.CREDIT: Side.DEBIT}
    lines = tuple(line.model_copy(update={"side": swapped[line.side]}) for line in of.lines)
    update = {"key": f"{of.key}:reversed", "reverses": of.key, "lines": lines, "batch": None}
    return of.model_copy(update=update)
