"""Statements: a merchant's account (P2000) between two points of the journal, checked before anybody sees it.

A cut's statement goes from the cut before it to this one; a period's from the first entry at its start to the last
before its end. Either way the next statement begins where this one ended, whatever was posted late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, func, or_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal
from backhaul.ledger import P, Side
from backhaul.ledger.meanings import meaning
from backhaul.money import Money
from backhaul.statements import (
    PAYS,
    SettledCut,
    SettledCuts,
    Statement,
    StatementAccount,
    StatementBatch,
    StatementLine,
    checked,
)
from store import ledger
from store.orders import need_merchant
from store.settlement import need_cut
from store.tables import BatchRow, CutRow, EffectRow, EntryLineRow, EntryRow, LegRow

MOST_LINES = 10_000
"""A longer statement is refused: it has to add up as a whole, so it comes in one piece."""
_CHUNK = 500
_ACCOUNTS = (P.MERCHANT_PAYABLE, P.MERCHANT_RECEIVABLE, P.MERCHANT_DEPOSIT)


@dataclass(frozen=True)
class Span:
    """Sequences after one, up to and with another."""

    after: int
    upto: int
    cut: str | None = None


async def span_of_cut(session: AsyncSession, cut: str) -> Span:
    """From the cut before. Raises Refusal(`not_found`)."""
    row = await need_cut(session, cut)
    before = or_(
        col(CutRow.sequence) < row.sequence,
        and_(col(CutRow.sequence) == row.sequence, col(CutRow.at) < row.at),
        and_(col(CutRow.sequence) == row.sequence, col(CutRow.at) == row.at, col(CutRow.cut) < row.cut),
    )
    last = select(CutRow.sequence).where(before).order_by(col(CutRow.sequence).desc()).limit(1)
    return Span((await session.exec(last)).first() or 0, row.sequence, cut)


async def span_of_time(session: AsyncSession, merchant_id: str, since: datetime | None, until: datetime | None) -> Span:
    """What was posted from `since`, before `until`; everything, without them."""
    after = 0 if since is None else await _last_before(session, merchant_id, since)
    upto = await ledger.head(session) if until is None else await _last_before(session, merchant_id, until)
    return Span(after, max(after, upto))


async def _last_before(session: AsyncSession, merchant_id: str, at: datetime) -> int:
    statement = select(func.max(EntryRow.sequence)).where(EntryRow.merchant_id == merchant_id, EntryRow.at < at)
    return (await session.exec(statement)).one() or 0


async def statement(session: AsyncSession, merchant_id: str, span: Span) -> Statement:
    """The merchant's statement, in a fixed number of queries for up to 500 lines.

    Raises Refusal(`not_found`), Refusal(`invalid_input`) where it is too long, Rejected(`invariant_broken`) where it
    does not add up."""
    await need_merchant(session, merchant_id)
    sums = await _sums(session, merchant_id, span)
    found = await _lines(session, merchant_id, span)
    batches = await _by_key(session, BatchRow, BatchRow.batch, {batch for _, _, batch in found if batch})
    keys = {entry.payment_key for entry, _, _ in found if entry.payment_key} | {
        one.payout_key for one in batches.values()
    }
    effects = await _by_key(session, EffectRow, EffectRow.key, keys)
    refs = {key: row.provider_ref for key, row in effects.items() if row.state == "succeeded"}
    legs = await _legs(session, list(batches))
    currencies = sorted({currency for currency, _ in sums} | {line.currency for _, line, _ in found})
    accounts = []
    for currency in currencies:
        mine = [one for one in found if one[1].currency == currency]
        accounts.append(_account(merchant_id, currency, sums, mine, batches, refs))
    whole = Statement(merchant_id=merchant_id, cut=span.cut, after=span.after, upto=span.upto, accounts=tuple(accounts))
    return checked(whole, legs)


Found = tuple[EntryRow, EntryLineRow, str | None]
"""An entry, its line on P2000, and the batch: the leg's, or the one that the entry closes."""


async def _lines(session: AsyncSession, merchant_id: str, span: Span) -> list[Found]:
    statement = (
        select(EntryRow, EntryLineRow, LegRow.batch)
        .join(EntryLineRow, col(EntryLineRow.sequence) == col(EntryRow.sequence))
        .outerjoin(
            LegRow,
            and_(
                col(LegRow.sequence) == col(EntryLineRow.sequence), col(LegRow.position) == col(EntryLineRow.position)
            ),
        )
        .where(
            EntryLineRow.account == P.MERCHANT_PAYABLE.value,
            EntryLineRow.party == merchant_id,
            EntryLineRow.sequence > span.after,
            EntryLineRow.sequence <= span.upto,
        )
        .order_by(col(EntryLineRow.sequence), col(EntryLineRow.position))
        .limit(MOST_LINES + 1)
    )
    found = [(entry, line, batch or entry.batch) for entry, line, batch in (await session.exec(statement)).all()]
    if len(found) > MOST_LINES:
        raise Refusal("invalid_input", f"more than {MOST_LINES} lines: ask for a shorter period", field="from")
    return found


async def _sums(session: AsyncSession, merchant_id: str, span: Span) -> dict[tuple[str, str], tuple[int, int]]:
    """Currency and account: credits less debits at the opening, and at the closing."""
    signed: Any = case(
        (col(EntryLineRow.side) == Side.CREDIT.value, EntryLineRow.minor), else_=-col(EntryLineRow.minor)
    )
    early: Any = case((col(EntryLineRow.sequence) <= span.after, signed), else_=0)
    statement = (
        select(EntryLineRow.currency, EntryLineRow.account, func.sum(early), func.sum(signed))
        .where(
            col(EntryLineRow.account).in_([one.value for one in _ACCOUNTS]),
            EntryLineRow.party == merchant_id,
            EntryLineRow.sequence <= span.upto,
        )
        .group_by(col(EntryLineRow.currency), col(EntryLineRow.account))
    )
    rows = (await session.exec(statement)).all()
    return {(currency, account): (int(first), int(last)) for currency, account, first, last in rows}


async def _by_key(session: AsyncSession, table: Any, column: Any, keys: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    wanted = sorted(keys)
    for start in range(0, len(wanted), _CHUNK):
        rows = await session.exec(select(table).where(col(column).in_(wanted[start : start + _CHUNK])))
        found.update((getattr(row, column.key), row) for row in rows)
    return found


async def _refs(session: AsyncSession, keys: Iterable[str]) -> dict[str, str | None]:
    """The provider's references of what succeeded, by payment key."""
    effects = await _by_key(session, EffectRow, EffectRow.key, keys)
    return {key: row.provider_ref for key, row in effects.items() if row.state == "succeeded"}


async def _legs(session: AsyncSession, batches: Sequence[str]) -> dict[str, int]:
    """What the legs of each batch come to, counted and not remembered."""
    sums: dict[str, int] = defaultdict(int)
    for start in range(0, len(batches), _CHUNK):
        some = batches[start : start + _CHUNK]
        statement = select(LegRow.batch, func.sum(LegRow.minor)).where(col(LegRow.batch).in_(some))
        for batch, minor in await session.exec(statement.group_by(col(LegRow.batch))):
            sums[str(batch)] = int(minor)
    return sums


def _account(
    merchant_id: str,
    currency: str,
    sums: dict[tuple[str, str], tuple[int, int]],
    found: Sequence[Found],
    batches: dict[str, BatchRow],
    refs: dict[str, str | None],
) -> StatementAccount:
    def at(account: P, which: int, sign: int = 1) -> Money:
        return Money(minor=sign * sums.get((currency, account.value), (0, 0))[which], currency=currency)

    balance, paid, lines = at(P.MERCHANT_PAYABLE, 0), Money.zero(currency), []
    for entry, line, batch in found:
        minor = line.minor if line.side == Side.CREDIT.value else -line.minor
        amount = Money(minor=minor, currency=currency)
        balance = balance + amount
        if entry.template in PAYS and entry.reverses is None:
            paid = paid - amount
        lines.append(_line(merchant_id, entry, line, batch, amount, balance, refs))
    named = sorted({batch for _, _, batch in found if batch})
    return StatementAccount(
        currency=currency,
        opening=at(P.MERCHANT_PAYABLE, 0),
        closing=at(P.MERCHANT_PAYABLE, 1),
        paid=paid,
        owed_opening=at(P.MERCHANT_RECEIVABLE, 0, -1),
        owed_closing=at(P.MERCHANT_RECEIVABLE, 1, -1),
        deposit_opening=at(P.MERCHANT_DEPOSIT, 0),
        deposit_closing=at(P.MERCHANT_DEPOSIT, 1),
        lines=tuple(lines),
        batches=tuple(_batch(batches[name], refs) for name in named if name in batches),
    )


def _line(
    merchant_id: str,
    entry: EntryRow,
    line: EntryLineRow,
    batch: str | None,
    amount: Money,
    balance: Money,
    refs: dict[str, str | None],
) -> StatementLine:
    return StatementLine(
        sequence=entry.sequence,
        position=line.position,
        at=entry.at,
        template=entry.template,
        entry=entry.entry_key,
        meaning=meaning(entry.template, reversed_=entry.reverses is not None),
        amount=amount,
        balance=balance,
        case=entry.case_key,
        order_id=entry.order_id,
        link=_link(merchant_id, entry),
        batch=batch,
        payment_key=entry.payment_key,
        provider_ref=refs.get(entry.payment_key or ""),
        reverses=entry.reverses,
    )


def _link(merchant_id: str, entry: EntryRow) -> str | None:
    """Where the API tells more: the case, or the returns of the order."""
    if entry.case_key:
        return f"/v1/returns/{entry.case_key.partition('/')[2]}?merchant_id={merchant_id}"
    if entry.order_id:
        return f"/v1/returns?order_id={entry.order_id}&merchant_id={merchant_id}"
    return None


def _batch(row: BatchRow, refs: dict[str, str | None]) -> StatementBatch:
    def money(minor: int) -> Money:
        return Money(minor=minor, currency=row.currency)

    return StatementBatch(
        batch=row.batch,
        kind=row.kind,
        cut=row.cut,
        state=row.state,
        legs=row.legs,
        net=money(row.net_minor),
        netted=money(row.netted_minor),
        payout=money(row.payout_minor),
        payout_key=row.payout_key,
        provider_ref=refs.get(row.payout_key),
        formed_at=row.formed_at,
        closed_at=row.closed_at,
    )


async def settled_cuts(
    session: AsyncSession, merchant_id: str, after: str | None = None, limit: int = 50
) -> SettledCuts:
    """The cuts at which the merchant had a batch, newest first. Raises Refusal(`not_found`)."""
    await need_merchant(session, merchant_id)
    mine = select(BatchRow.cut).where(BatchRow.merchant_id == merchant_id, col(BatchRow.cut).is_not(None))
    cuts = select(CutRow).where(col(CutRow.cut).in_(mine))
    if after is not None:
        last = await need_cut(session, after)
        cuts = cuts.where(or_(col(CutRow.at) < last.at, and_(col(CutRow.at) == last.at, col(CutRow.cut) < last.cut)))
    ordered = cuts.order_by(col(CutRow.at).desc(), col(CutRow.cut).desc()).limit(limit + 1)
    rows = (await session.exec(ordered)).all()
    page = rows[:limit]
    of = select(BatchRow).where(BatchRow.merchant_id == merchant_id, col(BatchRow.cut).in_([row.cut for row in page]))
    batches: dict[str, list[BatchRow]] = defaultdict(list)
    for batch in (await session.exec(of.order_by(col(BatchRow.currency)))).all():
        batches[batch.cut or ""].append(batch)
    keys = {batch.payout_key for some in batches.values() for batch in some}
    refs = await _refs(session, keys)
    told = (
        SettledCut(cut=row.cut, at=row.at, batches=tuple(_batch(one, refs) for one in batches[row.cut])) for row in page
    )
    return SettledCuts(cuts=tuple(told), next=page[-1].cut if len(rows) > limit else None)
