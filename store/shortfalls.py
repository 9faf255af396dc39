"""Shortfalls: what merchants owe after a negative net. X22, in its order: later sales (J76), the deposit (J72), a
receivable for its time from the notice, then written off (J74), above the authority only by a second person.

Each shortfall is a batch (J71); `open_minor` is what is still owed of it. What comes in pays the oldest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Rejected
from backhaul.ledger import JournalEntry, P, deposit_drawn, made, shortfall_written_off
from backhaul.money import Money
from store import authority, ledger
from store.tables import BatchRow, CutRow, EntryRow

OPEN = text("settlement_batches.open_minor > 0")
"""As the partial index says it: a bound number would not be recognised."""
SHORTFALL, OVERDUE, CURED, WRITTEN_OFF = "shortfall", "overdue", "cured", "written_off"


@dataclass(frozen=True)
class Patience:
    """How long a shortfall stays a receivable, and what may then be written off by rule, per merchant."""

    receivable: timedelta
    authority: Money


async def owed(session: AsyncSession, merchant_id: str, currency: str | None = None) -> list[BatchRow]:
    """The merchant's open shortfalls, oldest first."""
    mine = select(BatchRow).where(BatchRow.merchant_id == merchant_id, OPEN)
    if currency is not None:
        mine = mine.where(BatchRow.currency == currency)
    fresh = mine.order_by(col(BatchRow.formed_at), col(BatchRow.batch)).execution_options(populate_existing=True)
    return list((await session.exec(fresh)).all())


def total(rows: Iterable[BatchRow], currency: str) -> Money:
    """What is open in one currency."""
    return Money(minor=sum(row.open_minor for row in rows if row.currency == currency), currency=currency)


def cure(rows: Sequence[BatchRow], amount: Money, at: datetime) -> None:
    """Pay shortfalls off with what came in, the oldest first; never more than is open."""
    left = amount.minor
    for row in rows:
        if row.currency != amount.currency:
            continue
        part = min(left, row.open_minor)
        left -= part
        row.open_minor -= part
        if part and not row.open_minor:
            row.state, row.closed_at = CURED, at


def reopen(rows: Sequence[BatchRow], amount: Money) -> None:
    """Take back a cure (J76 of a batch that could not be paid), the newest shortfall first."""
    left = amount.minor
    for row in reversed(rows):
        if row.currency != amount.currency or row.net_minor >= 0 or row.state == WRITTEN_OFF:
            continue
        part = min(left, -row.net_minor - row.open_minor)
        left -= part
        row.open_minor += part
        if part and row.state == CURED:
            row.state, row.closed_at = SHORTFALL, None


async def draw_deposit(
    session: AsyncSession, merchant_id: str, rows: Sequence[BatchRow], at: datetime
) -> tuple[JournalEntry, ...]:
    """J72 for what later sales left open: at most the deposit."""
    entries: list[JournalEntry | None] = []
    for currency in sorted({row.currency for row in rows}):
        balance = await ledger.balance(session, P.MERCHANT_DEPOSIT, currency, party=merchant_id)
        drawn = total(rows, currency).at_most(max(-balance, Money.zero(currency)))
        if drawn:
            n = await _count(session, "J72", merchant_id) + 1 + len(entries)
            cure(rows, drawn, at)
            entries.append(deposit_drawn(merchant_id, drawn, reference=str(n)))
    return made(*entries)


async def _count(session: AsyncSession, template: str, merchant_id: str) -> int:
    """How many of these the merchant has; its row is locked, so that the next number is nobody else's."""
    mine = select(func.count()).where(EntryRow.template == template, EntryRow.merchant_id == merchant_id)
    return (await session.exec(mine)).one()


async def end_overdue(
    session: AsyncSession, rows: Sequence[BatchRow], cut: CutRow, patience: Patience, at: datetime
) -> tuple[JournalEntry, ...]:
    """What is open longer than the receivable's time at the cut: written off (J74) where all that a merchant owes
    overdue is within the authority, else `overdue` until a second person approves or the merchant pays."""
    late = [row for row in rows if row.open_minor and _late(row, cut, patience)]
    small = total(late, patience.authority.currency) <= patience.authority
    entries: list[JournalEntry | None] = []
    for row in late:
        if small and row.currency == patience.authority.currency:
            entries.append(_written_off(row, at))
        elif row.state == SHORTFALL:
            row.state, row.overdue_cut = OVERDUE, cut.cut
    return made(*entries)


def is_untold(row: BatchRow) -> bool:
    """Is the merchant still to be told of it? Until then it is a receivable without an end."""
    return row.state == SHORTFALL and bool(row.open_minor) and row.told_at is None


def told(row: BatchRow, at: datetime) -> None:
    """The merchant knows since then. The first time stays."""
    row.told_at = row.told_at or at


def _late(row: BatchRow, cut: CutRow, patience: Patience) -> bool:
    return row.told_at is not None and cut.at >= row.told_at + patience.receivable


def _written_off(row: BatchRow, at: datetime) -> JournalEntry | None:
    amount = Money(minor=row.open_minor, currency=row.currency)
    row.open_minor, row.state, row.closed_at = 0, WRITTEN_OFF, at
    return shortfall_written_off(row.merchant_id, amount, reference=row.batch)


async def write_off(session: AsyncSession, row: BatchRow, approval_id: str, by: str, at: datetime) -> bool:
    """Write an overdue shortfall off under a second person's approval (J74); False where nothing is open any more.

    Raises Rejected(`not_waiting`) for one that is not overdue, and what `authority.consume` raises."""
    if not row.open_minor:
        return False
    if row.state != OVERDUE:
        raise Rejected("not_waiting", f"{row.batch} is not overdue")
    amount = Money(minor=row.open_minor, currency=row.currency)
    await authority.consume(
        session,
        approval_id,
        case_key=authority.merchant_key(row.merchant_id),
        subject=write_off_subject(row.batch),
        amount=amount,
        payee=row.merchant_id,
        by=by,
        at=at,
    )
    session.add(row)
    await ledger.post(session, made(_written_off(row, at)), at)
    return True


def write_off_subject(batch: str) -> str:
    """What the approval of a write-off is for."""
    return f"write_off:{batch}"
