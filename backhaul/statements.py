"""A merchant's statement: the account with the platform (P2000), line by line, from one balance to the next.

Positive amounts are owed to the merchant. A statement that does not add up is never shown (`checked`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from pydantic import AwareDatetime

from backhaul.errors import Rejected
from backhaul.facts import Frozen, Text
from backhaul.money import Money

PAYS = frozenset({"J34", "J70"})
"""Lines with which money leaves to the merchant."""


class StatementLine(Frozen):
    """One line. `balance` is the account's after it; `batch` is the batch that settles the line, or that it closes."""

    sequence: int
    position: int
    at: AwareDatetime
    template: str
    entry: str
    meaning: Text
    amount: Money
    balance: Money
    case: str | None = None
    order_id: str | None = None
    link: str | None = None
    batch: str | None = None
    payment_key: str | None = None
    provider_ref: str | None = None
    reverses: str | None = None


class StatementBatch(Frozen):
    """One netting: `net` of its legs; `netted` paid an earlier shortfall, `payout` left or is to leave."""

    batch: str
    kind: str
    cut: str | None
    state: str
    legs: int
    net: Money
    netted: Money
    payout: Money
    payout_key: str
    provider_ref: str | None
    formed_at: AwareDatetime
    closed_at: AwareDatetime | None


class StatementAccount(Frozen):
    """One currency. `owed` is what the merchant owes after shortfalls, `deposit` what it left with the platform."""

    currency: str
    opening: Money
    closing: Money
    paid: Money
    owed_opening: Money
    owed_closing: Money
    deposit_opening: Money
    deposit_closing: Money
    lines: tuple[StatementLine, ...]
    batches: tuple[StatementBatch, ...]


class Statement(Frozen):
    """Everything on the merchant's account after one journal sequence, up to and with another."""

    merchant_id: str
    cut: str | None = None
    after: int
    upto: int
    accounts: tuple[StatementAccount, ...]


class SettledCut(Frozen):
    """One cut at which the merchant was settled."""

    cut: str
    at: AwareDatetime
    batches: tuple[StatementBatch, ...]


class SettledCuts(Frozen):
    """The cuts, newest first. `next` goes into `after` for the page that follows; null at the end."""

    cuts: tuple[SettledCut, ...]
    next: str | None = None


def checked(statement: Statement, legs: dict[str, int]) -> Statement:
    """The statement itself, if it adds up; `legs` is what the legs of each batch come to.

    Raises Rejected(`invariant_broken`) rather than show wrong numbers."""
    for account in statement.accounts:
        for wrong in _wrong(account, legs):
            raise Rejected("invariant_broken", f"the statement of {statement.merchant_id} does not add up: {wrong}")
    return statement


def _wrong(account: StatementAccount, legs: dict[str, int]) -> Iterable[str]:
    balance = account.opening
    for line in account.lines:
        balance = balance + line.amount
        if balance != line.balance:
            yield f"balance after {line.entry}"
    if balance != account.closing:
        yield f"{account.opening} and its lines come to {balance}, not {account.closing}"
    batches = {one.batch: one for one in account.batches}
    out = Money.zero(account.currency)
    for line in account.lines:
        if line.template not in PAYS:
            continue
        out = out - line.amount
        batch = batches.get(line.batch or "")
        if (
            batch is None
            or batch.state != "paid"
            or batch.payout != -line.amount
            or batch.payout_key != line.payment_key
        ):
            yield f"{line.entry} is no payout of its batch"
    if out != account.paid:
        yield f"payouts come to {out}, not {account.paid}"
    for one in account.batches:
        if legs.get(one.batch, 0) != one.net.minor:
            yield f"the legs of {one.batch} are not its net"
        if one.payout != max(one.net - one.netted, Money.zero(account.currency)):
            yield f"the payout of {one.batch} is not its net"


COLUMNS = (
    "currency", "sequence", "at", "template", "meaning", "meaning_zh", "case", "order", "amount", "balance", "batch",
    "payment_key", "provider_ref", "link",
)  # fmt: skip


def to_csv(statement: Statement) -> str:
    """The statement as a table: an opening row, the lines, a closing row for each currency. Amounts in major units."""
    sheet = io.StringIO()
    write = csv.DictWriter(sheet, COLUMNS, lineterminator="\r\n", restval="")
    write.writeheader()
    for account in statement.accounts:
        row = {"currency": account.currency}
        write.writerow(
            {**row, "meaning": "Opening balance", "meaning_zh": "期初余额", "balance": _major(account.opening)}
        )
        for line in account.lines:
            write.writerow(
                {
                    **row,
                    "sequence": line.sequence,
                    "at": line.at.isoformat(),
                    "template": line.template,
                    "meaning": line.meaning.en,
                    "meaning_zh": line.meaning.zh,
                    "case": _cell(line.case),
                    "order": _cell(line.order_id),
                    "amount": _major(line.amount),
                    "balance": _major(line.balance),
                    "batch": _cell(line.batch),
                    "payment_key": _cell(line.payment_key),
                    "provider_ref": _cell(line.provider_ref),
                    "link": _cell(line.link),
                }
            )
        write.writerow(
            {**row, "meaning": "Closing balance", "meaning_zh": "期末余额", "balance": _major(account.closing)}
        )
    return sheet.getvalue()


def _major(amount: Money) -> str:
    """The bare number: the currency has its own column."""
    return amount.major()


def _cell(text: str | None) -> str:
    """A text that no spreadsheet takes for a formula."""
    return "" if text is None else f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text
