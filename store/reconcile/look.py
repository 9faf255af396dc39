"""How the books are looked at: windows over a key, aggregates inside each, findings out. Nothing is loaded whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.money import Money
from backhaul.policy.library import Library

PAGE = 2_000
"""Keys in one window."""
NET = "CASE WHEN l.side = 'debit' THEN l.minor ELSE -l.minor END"


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is not as the invariant says. `minor`: by how much, where it is about an amount."""

    invariant: int
    code: str
    subject: str
    expected: str
    found: str
    minor: int = 0
    currency: str = ""


class Books:
    """One look at one database. `library`: the policy books; without it nothing is asked of them."""

    def __init__(self, session: AsyncSession, library: Library | None = None, page: int = PAGE) -> None:
        self.session, self.library, self.page = session, library, page
        self.looked = 0
        self._whole: dict[str, tuple[int, dict[str, Any]]] = {}
        self.last: Any = None
        """What a line read last, for the next one that asks for the same window."""

    async def rows(self, sql: str, **bound: Any) -> Sequence[Any]:
        """The rows of one statement; `{net}` in it stands for a journal line l as debits less credits."""
        statement: Any = text(sql.replace("{net}", NET))
        rows: Sequence[Any] = (await self.session.exec(statement, params=bound)).all()
        return rows

    async def windows(self, key: Any) -> AsyncIterator[dict[str, Any]]:
        """The table of a column cut into windows of that column's values: `after` (not in it) and `upto` (in it).

        A table that is one window is cut once for all lines: they look at one state of it."""
        name = str(key)
        if name in self._whole:
            count, window = self._whole[name]
            self.looked += count
            if count:
                yield window
            return
        after: Any = -1 if key.type.python_type is int else ""
        first = after
        while True:
            column = col(key)
            some: Any = select(column.label("k")).where(column.is_not(None), column > after)
            some_keys = some.distinct().order_by(column).limit(self.page).subquery()
            bounds = select(func.max(some_keys.c.k), func.count()).select_from(some_keys)
            last, count = (await self.session.exec(bounds)).one()
            if after == first and count < self.page:
                self._whole[name] = count, {"after": after, "upto": last}
            if not count:
                return
            self.looked += count
            yield {"after": after, "upto": last}
            if count < self.page:
                return
            after = last

    async def found(self, key: Any, sql: str, **bound: Any) -> AsyncIterator[Any]:
        """What a statement with `:after` and `:upto` gives, window by window."""
        async for window in self.windows(key):
            for row in await self.rows(sql, **window, **bound):
                yield row


Check = Callable[[Books], AsyncIterator[Finding]]


def amount(minor: Any, currency: str) -> str:
    """An amount for people."""
    return str(Money(minor=int(minor or 0), currency=currency))


__all__ = ["PAGE", "Books", "Check", "Finding", "amount"]
