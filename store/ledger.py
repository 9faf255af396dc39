"""The journal: posting, and reading what was posted. Domain 6, invariants 1, 2, 12."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Rejected
from backhaul.facts import BookRef, digest
from backhaul.ledger import Account, JournalEntry, Line, P, Side, UnbalancedEntry, check_balanced
from backhaul.money import Money
from store.sql import insert_all, insert_into
from store.tables import EntryLineRow, EntryRow, JournalHeadRow, LegRow

CLOSES_A_BATCH = frozenset({"J34", "J70", "J71", "J76"})
"""Entries that close a batch to zero. Their lines on P2000 are no candidates for another one."""
_CHUNK = 500
"""Keys in one IN list: below every database's limit of parameters."""


@dataclass(frozen=True)
class Posted:
    """An entry as it stands in the journal."""

    sequence: int
    at: datetime
    entry: JournalEntry


async def post(
    session: AsyncSession, entries: Iterable[JournalEntry], at: datetime, book: BookRef | None = None
) -> tuple[str, ...]:
    """Post entries; the keys of those that are new. An entry posted before with the same lines is no change.

    Call it last in a transaction: from here to the commit no other transaction posts, which makes the order of
    sequences the order of commits. Raises Rejected(`unbalanced`, `entry_conflict`, `invariant_broken`)."""
    hashes: dict[str, str] = {}
    by_key: dict[str, JournalEntry] = {}
    for one in entries:
        _check(one)
        content = digest(one.model_dump(mode="json", exclude_none=True))
        if hashes.setdefault(one.key, content) != content:
            raise Rejected("entry_conflict", f"{one.key} is given twice with other lines")
        by_key[one.key] = one
    known = await _known(session, list(by_key))
    for key, content in known.items():
        if hashes[key] != content:
            raise Rejected("entry_conflict", f"{key} was posted before with other lines")
    new = [entry for key, entry in by_key.items() if key not in known]
    if new:
        await _write(session, new, hashes, at, book, await _allot(session, len(new)))
    return tuple(entry.key for entry in new)


def _check(entry: JournalEntry) -> None:
    try:
        check_balanced(entry)
    except UnbalancedEntry as error:
        raise Rejected("unbalanced", str(error)) from error
    if entry.template in CLOSES_A_BATCH and entry.batch is None and entry.reverses is None:
        raise Rejected("invariant_broken", f"{entry.key} closes no batch")


async def _known(session: AsyncSession, keys: Sequence[str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for start in range(0, len(keys), _CHUNK):
        some = keys[start : start + _CHUNK]
        found = await session.exec(
            select(EntryRow.entry_key, EntryRow.content_hash).where(col(EntryRow.entry_key).in_(some))
        )
        known.update(found.all())
    return known


async def _allot(session: AsyncSession, count: int) -> int:
    """Take `count` sequences; the first of them. Holds the head's row to the end of the transaction."""
    statement = insert_into(session, JournalHeadRow).values(id=1, last=count)
    bumped = statement.on_conflict_do_update(
        index_elements=["id"], set_={"last": col(JournalHeadRow.last) + count}
    ).returning(col(JournalHeadRow.last))
    last: int = (await session.exec(bumped)).scalar_one()
    return last - count + 1


async def _write(
    session: AsyncSession,
    entries: Sequence[JournalEntry],
    hashes: dict[str, str],
    at: datetime,
    book: BookRef | None,
    first: int,
) -> None:
    heads: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    legs: list[dict[str, Any]] = []
    for sequence, entry in enumerate(entries, first):
        heads.append(_head_of(sequence, entry, hashes[entry.key], at, book))
        for position, line in enumerate(entry.lines):
            lines.append(_line_of(sequence, position, line))
            if line.account is P.MERCHANT_PAYABLE and entry.batch is None:
                legs.append(_leg_of(sequence, position, line, entry))
    await insert_all(session, EntryRow, heads)
    await insert_all(session, EntryLineRow, lines)
    await insert_all(session, LegRow, legs)


def _case_key(entry: JournalEntry) -> str | None:
    return None if entry.rma_id is None else f"{entry.merchant_id}/{entry.rma_id}"


def _head_of(sequence: int, entry: JournalEntry, content: str, at: datetime, book: BookRef | None) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "entry_key": entry.key,
        "content_hash": content,
        "template": entry.template,
        "merchant_id": entry.merchant_id,
        "order_id": entry.order_id,
        "consumer_ref": entry.consumer_ref,
        "case_key": _case_key(entry),
        "payment_key": entry.payment_key,
        "claim_ref": entry.claim_ref,
        "waybill": entry.waybill,
        "batch": entry.batch,
        "external_key": entry.external_key,
        "reverses": entry.reverses,
        "book_version": book.version if book else None,
        "book_hash": book.hash if book else None,
        "at": at,
    }


def _line_of(sequence: int, position: int, line: Line) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "position": position,
        "book": line.book,
        "account": line.account.value,
        "side": line.side.value,
        "minor": line.amount.minor,
        "currency": line.amount.currency,
        "party": line.party,
    }


def _leg_of(sequence: int, position: int, line: Line, entry: JournalEntry) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "position": position,
        "merchant_id": line.party or entry.merchant_id,
        "case_key": _case_key(entry),
        "claim_ref": entry.claim_ref,
        "minor": line.amount.minor if line.side is Side.CREDIT else -line.amount.minor,
        "currency": line.amount.currency,
        "batch": None,
    }


async def head(session: AsyncSession) -> int:
    """The last committed sequence: every entry up to it is there to be read."""
    return (await session.exec(select(JournalHeadRow.last).where(JournalHeadRow.id == 1))).first() or 0


def _signed() -> Any:
    return case((col(EntryLineRow.side) == Side.DEBIT.value, EntryLineRow.minor), else_=-col(EntryLineRow.minor))


async def trial_balance(session: AsyncSession, upto: int | None = None) -> dict[str, dict[str, dict[str, int]]]:
    """Book, account, currency: debits less credits, up to a sequence. Each book adds up to zero per currency."""
    statement = select(EntryLineRow.book, EntryLineRow.account, EntryLineRow.currency, func.sum(_signed())).group_by(
        col(EntryLineRow.book), col(EntryLineRow.account), col(EntryLineRow.currency)
    )
    if upto is not None:
        statement = statement.where(EntryLineRow.sequence <= upto)
    balance: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for book, account, currency, total in await session.exec(statement):
        balance[book][account][currency] = int(total)
    return {book: dict(accounts) for book, accounts in balance.items()}


async def balance(
    session: AsyncSession,
    account: Account,
    currency: str,
    *,
    case_key: str | None = None,
    order_id: str | None = None,
    merchant_id: str | None = None,
    consumer_ref: str | None = None,
    claim_ref: str | None = None,
    waybill: str | None = None,
    batch: str | None = None,
    party: str | None = None,
) -> Money:
    """Debits less credits on one account, of the entries (and lines' party) that fit every filter given."""
    statement = (
        select(func.coalesce(func.sum(_signed()), 0))
        .select_from(EntryLineRow)
        .join(EntryRow, col(EntryRow.sequence) == col(EntryLineRow.sequence))
        .where(EntryLineRow.account == account.value, EntryLineRow.currency == currency)
    )
    wanted = {
        EntryRow.case_key: case_key,
        EntryRow.order_id: order_id,
        EntryRow.merchant_id: merchant_id,
        EntryRow.consumer_ref: consumer_ref,
        EntryRow.claim_ref: claim_ref,
        EntryRow.waybill: waybill,
        EntryRow.batch: batch,
        EntryLineRow.party: party,
    }
    for column, value in wanted.items():
        if value is not None:
            statement = statement.where(col(column) == value)
    return Money(minor=int((await session.exec(statement)).one()), currency=currency)


async def entries_of(session: AsyncSession, case_key: str) -> tuple[Posted, ...]:
    """A case's entries, oldest first."""
    return await find(session, case_key=case_key)


async def find(
    session: AsyncSession,
    *,
    case_key: str | None = None,
    order_id: str | None = None,
    batch: str | None = None,
    templates: Iterable[str] = (),
    after: int = 0,
    limit: int = 1000,
) -> tuple[Posted, ...]:
    """Entries in the order posted, by any of these; `after` is a sequence."""
    heads = select(EntryRow).where(EntryRow.sequence > after)
    if case_key is not None:
        heads = heads.where(EntryRow.case_key == case_key)
    if order_id is not None:
        heads = heads.where(EntryRow.order_id == order_id)
    if batch is not None:
        heads = heads.where(EntryRow.batch == batch)
    if chosen := list(templates):
        heads = heads.where(col(EntryRow.template).in_(chosen))
    rows = (await session.exec(heads.order_by(col(EntryRow.sequence)).limit(limit))).all()
    lines: dict[int, list[Line]] = defaultdict(list)
    sequences = [row.sequence for row in rows]
    for start in range(0, len(sequences), _CHUNK):
        some = sequences[start : start + _CHUNK]
        found = await session.exec(
            select(EntryLineRow)
            .where(col(EntryLineRow.sequence).in_(some))
            .order_by(col(EntryLineRow.sequence), col(EntryLineRow.position))
        )
        for line in found:
            lines[line.sequence].append(_read_line(line))
    return tuple(Posted(row.sequence, row.at, _read(row, lines[row.sequence])) for row in rows)


def _read_line(row: EntryLineRow) -> Line:
    return Line.model_validate(
        {
            "account": row.account,
            "side": row.side,
            "amount": Money(minor=row.minor, currency=row.currency),
            "party": row.party,
        }
    )


def _read(row: EntryRow, lines: Sequence[Line]) -> JournalEntry:
    return JournalEntry(
        template=row.template,
        key=row.entry_key,
        merchant_id=row.merchant_id,
        order_id=row.order_id,
        rma_id=row.case_key.partition("/")[2] if row.case_key else None,
        payment_key=row.payment_key,
        claim_ref=row.claim_ref,
        waybill=row.waybill,
        batch=row.batch,
        external_key=row.external_key,
        consumer_ref=row.consumer_ref,
        reverses=row.reverses,
        lines=tuple(lines),
    )
