"""The 17 invariants of domain 6 as lines of the report: each a check over the database alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.policy.library import Library
from store.engine import Store
from store.reconcile.cover import (
    freight_shared,
    indemnities_within_loss,
    recoveries_within_indemnity,
    reserves_open,
    splits_round_down,
)
from store.reconcile.decisions import approved_by_another, decided_by_its_book, keys_rise_on_proof
from store.reconcile.journal import batches_add_up, books_agree, entries_balance, keys_used_once
from store.reconcile.look import PAGE, Books, Check, Finding
from store.reconcile.returns import (
    advances_covered,
    lines_within_sale,
    nothing_left_open,
    refunds_owed,
    remedies_exclude,
)

CHECKS: dict[int, Check] = {
    1: entries_balance,
    2: keys_used_once,
    3: lines_within_sale,
    4: indemnities_within_loss,
    5: remedies_exclude,
    6: recoveries_within_indemnity,
    7: advances_covered,
    8: reserves_open,
    9: refunds_owed,
    10: freight_shared,
    11: books_agree,
    12: batches_add_up,
    13: approved_by_another,
    14: keys_rise_on_proof,
    15: nothing_left_open,
    16: decided_by_its_book,
    17: splits_round_down,
}
"""By the number of the invariant. What each looks for is the first line of its docstring."""


@dataclass(frozen=True)
class Line:
    """One line of the report: how many rows (or keys) were looked at, and what was found."""

    invariant: int
    says: str
    looked: int
    findings: tuple[Finding, ...]


def says(invariant: int) -> str:
    """What an invariant demands, in a sentence."""
    first = (CHECKS[invariant].__doc__ or "").strip().splitlines()[0]
    return first.partition(": ")[2].rstrip(".")


async def check_line(books: Books, invariant: int) -> Line:
    """One invariant over the whole database."""
    books.looked = 0
    findings = [finding async for finding in CHECKS[invariant](books)]
    return Line(invariant, says(invariant), books.looked, tuple(findings))


async def check_lines(store: Store, library: Library | None = None, *, page: int = PAGE) -> tuple[Line, ...]:
    """Every invariant over one state of the database."""
    async with snapshot(store) as session:
        books = Books(session, library, page)
        return tuple([await check_line(books, number) for number in sorted(CHECKS)])


async def check_books(store: Store, library: Library | None = None, *, page: int = PAGE) -> tuple[Finding, ...]:
    """Everything that breaks an invariant now, by the database alone. Nothing is the right answer."""
    return tuple(finding for line in await check_lines(store, library, page=page) for finding in line.findings)


@asynccontextmanager
async def snapshot(store: Store) -> AsyncIterator[AsyncSession]:
    """A session that sees one state of the database throughout."""
    async with store.read() as session:
        if store.dialect != "sqlite":
            one_state: Any = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            await session.exec(one_state)
        yield session
