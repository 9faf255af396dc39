"""The providers' statements, kept as fetched, against our journal: a bijection on key, amount, currency and payee.

Both sides only grow, so that each run compares what is new on either side, and what did not agree before.
Money under way is no finding: a movement that only one side has so far, for as long as a day's lag explains it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, text, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from store.reconcile.look import Finding, amount
from store.reconcile.outside import COURIER, INVOICE, Booked, StatementLine, booked_outside
from store.sql import insert_all, insert_once
from store.tables import ClaimRow, EffectRow, EntryRow, FindingRow, StatementCursorRow, StatementRow

JOURNAL = "journal"
LAG = timedelta(days=1)
"""How much later than the other side may tell of a movement before it is a finding."""
_SLOW = {"compensation": 3}
"""Kinds that we ask for only now and then: days of lag."""
_PAGE = 500
BOUNCE = "bounce"

Key = tuple[str, str, str]
"""Party, kind, key."""


@dataclass(frozen=True)
class Told:
    """A row of a statement, as a provider told it."""

    seq: int
    kind: str
    key: str
    minor: int
    currency: str
    payee: str
    at: datetime


@dataclass(frozen=True)
class Compared:
    """What the statements and the journal do not agree on. `under_way` may still come; `bounced` refunds came back
    and nobody told us: (case, payment key, amount, when)."""

    findings: tuple[Finding, ...]
    under_way: tuple[Finding, ...]
    bounced: tuple[tuple[str, StatementLine, datetime], ...]


# ---- fetching ----------------------------------------------------------------------------------------------------


async def fetched(session: AsyncSession, provider: str, party: str) -> int:
    """The last row of a provider's statement that is kept here."""
    await insert_once(session, StatementCursorRow(provider=provider, party=party))
    found = select(StatementCursorRow.fetched).where(StatementCursorRow.provider == provider)
    return (await session.exec(found)).one()


async def keep(session: AsyncSession, provider: str, party: str, rows: Sequence[Told], at: datetime) -> None:
    """Keep a page after the last row that is kept; rows that are there already are no change."""
    last = await fetched(session, provider, party)
    fresh = [row for row in rows if row.seq > last]
    if not fresh:
        return
    values = [
        {
            "provider": provider,
            "seq": row.seq,
            "party": party,
            "kind": row.kind,
            "key": row.key,
            "minor": row.minor,
            "currency": row.currency,
            "payee": row.payee,
            "at": row.at,
            "fetched_at": at,
        }
        for row in fresh
    ]
    await insert_all(session, StatementRow, values)
    await session.exec(
        update(StatementCursorRow)
        .where(col(StatementCursorRow.provider) == provider)
        .values(fetched=max(row.seq for row in fresh))
    )


async def totals(session: AsyncSession) -> list[tuple[str, str, str, int, int]]:
    """Provider, kind, currency, rows and minor units of everything kept."""
    sums: Any = text(
        "SELECT provider, kind, currency, count(*), sum(minor) FROM statement_rows "
        "GROUP BY provider, kind, currency ORDER BY provider, kind, currency"
    )
    rows = await session.exec(sums)
    return [(provider, kind, currency, count, int(minor)) for provider, kind, currency, count, minor in rows]


# ---- comparing ---------------------------------------------------------------------------------------------------


async def compare_statements(
    session: AsyncSession, at: datetime, *, lag: timedelta = LAG, whole: bool = False
) -> Compared:
    """Compare what is new on either side and what did not agree before; `whole`: everything there is.

    Moves the cursors: call it in a transaction."""
    found: dict[Finding, None] = {}
    under_way: dict[Finding, None] = {}
    bounced: dict[str, tuple[str, StatementLine, datetime]] = {}
    async for keys in _touched(session, whole):
        for start in range(0, len(keys), _PAGE):
            part = await _compare(session, keys[start : start + _PAGE], at, lag)
            found.update(dict.fromkeys(part.findings))
            under_way.update(dict.fromkeys(part.under_way))
            bounced.update({line.key: (case, line, when) for case, line, when in part.bounced})
    return Compared(tuple(found), tuple(under_way), tuple(bounced.values()))


async def _touched(session: AsyncSession, whole: bool) -> AsyncIterator[list[Key]]:
    """Keys to look at, in pages: of new rows, of new entries, and of what is open or under way."""
    for cursor in (await session.exec(select(StatementCursorRow).where(StatementCursorRow.provider != JOURNAL))).all():
        after = 0 if whole else cursor.compared
        while True:
            rows = (
                await session.exec(
                    select(StatementRow)
                    .where(StatementRow.provider == cursor.provider, col(StatementRow.seq) > after)
                    .order_by(col(StatementRow.seq))
                    .limit(_PAGE)
                )
            ).all()
            if not rows:
                break
            after = rows[-1].seq
            yield [(row.party, row.kind, row.key) for row in rows]
        cursor.compared = after
        session.add(cursor)
    await insert_once(session, StatementCursorRow(provider=JOURNAL, party=JOURNAL))
    ours = (await session.exec(select(StatementCursorRow).where(StatementCursorRow.provider == JOURNAL))).one()
    after = 0 if whole else ours.compared
    last = (await session.exec(select(func.coalesce(func.max(EntryRow.sequence), 0)))).one()
    while after < last:
        upto = min(after + _PAGE, last)
        inside = (col(EntryRow.sequence) > after, col(EntryRow.sequence) <= upto)
        yield [_key(booked.line) for booked in await booked_outside(session, *inside)]
        after = upto
    ours.compared = after
    session.add(ours)
    watched = select(FindingRow.subject).where(
        col(FindingRow.state) != "closed", col(FindingRow.code).in_(sorted(CODES))
    )
    yield [_parsed(subject) for subject in await session.exec(watched)]


async def _compare(session: AsyncSession, keys: Sequence[Key], at: datetime, lag: timedelta) -> Compared:
    names = sorted({key for _, _, key in keys})
    wanted = set(keys)
    theirs: dict[Key, list[StatementRow]] = defaultdict(list)
    for row in await session.exec(select(StatementRow).where(col(StatementRow.key).in_(names))):
        theirs[row.party, row.kind, row.key].append(row)
    here = or_(
        col(EntryRow.external_key).in_(names), col(EntryRow.waybill).in_(names), col(EntryRow.entry_key).in_(names)
    )
    ours: dict[Key, list[Booked]] = defaultdict(list)
    for booked in await booked_outside(session, here):
        ours[_key(booked.line)].append(booked)
    effects = {row.key: row for row in await session.exec(select(EffectRow).where(col(EffectRow.key).in_(names)))}
    claimed = select(ClaimRow.waybill).where(
        col(ClaimRow.waybill).in_(names), col(ClaimRow.state).in_(("planned", "reserved", "approved"))
    )
    unpaid = set(await session.exec(claimed))
    found, under_way, bounced = [], [], []
    for key in sorted(wanted):
        mine, their = ours.get(key, []), theirs.get(key, [])
        for finding in _differences(key, [booked.line for booked in mine], [_line(row) for row in their]):
            effect = effects.get(key[2])
            if _explained_by_time(key, mine, their, effect, key[2] in unpaid, at, lag):
                under_way.append(finding)
                continue
            found.append(finding)
            if key[1] == BOUNCE and not mine and effect is not None and effect.case_key is not None:
                bounced.append((effect.case_key, _line(their[0]), their[0].at))
    return Compared(tuple(found), tuple(under_way), tuple(bounced))


def _explained_by_time(
    key: Key,
    mine: Sequence[Booked],
    their: Sequence[StatementRow],
    effect: EffectRow | None,
    unpaid: bool,
    at: datetime,
    lag: timedelta,
) -> bool:
    """Is this money under way? Only where one side is silent, or a waybill's freight is not all paid yet."""
    lag = lag * _SLOW.get(key[1], 1)
    if key[1] == BOUNCE:
        return False
    if key[:2] == (COURIER, INVOICE):
        young = any(row.at > at - lag for row in their) or any(booked.at > at - lag for booked in mine)
        paid, owed = sum(booked.line.minor for booked in mine), sum(row.minor for row in their)
        return len(their) <= 1 and (not their or paid < owed) and (young or unpaid)
    if mine and their:
        return False
    if mine:
        return len(mine) == 1 and mine[0].at > at - lag
    begun = effect is not None and effect.state in ("intent", "sent") and (effect.first_sent_at or at) > at - lag
    return len(their) == 1 and (begun or (effect is None and their[0].at > at - lag))


CODES = frozenset(
    {"not_in_journal", "not_on_statement", "there_twice", "amount_differs", "currency_differs", "payee_differs"}
)
"""What two sides can disagree on."""


def _differences(key: Key, mine: Sequence[StatementLine], their: Sequence[StatementLine]) -> list[Finding]:
    """Ours is what is expected where both have it; nothing where they are the same, once."""
    subject = " ".join(key)
    if Counter(mine) == Counter(their) and len(mine) <= 1:
        return []
    one, other = (mine[0] if mine else None), (their[0] if their else None)
    minor, currency = (other or one or _NOTHING).minor, (other or one or _NOTHING).currency
    if one is None:
        return [Finding(2, "not_in_journal", subject, "an entry", _said(their), minor, currency)]
    if other is None:
        return [Finding(2, "not_on_statement", subject, _said(mine), "no row", minor, currency)]
    if len(mine) > 1 or len(their) > 1:
        return [Finding(2, "there_twice", subject, _said(mine), _said(their), minor, currency)]
    codes = []
    if one.minor != other.minor:
        codes.append("amount_differs")
    if one.currency != other.currency:
        codes.append("currency_differs")
    if one.payee != other.payee:
        codes.append("payee_differs")
    off = other.minor - one.minor
    return [Finding(2, code, subject, _said(mine), _said(their), off, other.currency) for code in codes]


_NOTHING = StatementLine("", "", "", 0, "", "")


def _said(lines: Iterable[StatementLine]) -> str:
    return " and ".join(f"{amount(line.minor, line.currency)} to {line.payee or 'nobody named'}" for line in lines)


def _key(line: StatementLine) -> Key:
    return line.provider, line.kind, line.key


def _line(row: StatementRow) -> StatementLine:
    return StatementLine(row.party, row.kind, row.key, row.minor, row.currency, row.payee)


def _parsed(subject: str) -> Key:
    party, kind, key = subject.split(" ", 2)
    return party, kind, key
