"""The few statements that both databases spell alike but SQLAlchemy keeps in each dialect's module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel.ext.asyncio.session import AsyncSession

from store.tables.base import Table


def insert_into(session: AsyncSession, table: type[Table]) -> sqlite.Insert | postgresql.Insert:
    """INSERT in the session's dialect: it has `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


async def insert_once(session: AsyncSession, row: Table) -> bool:
    """Insert unless a row with one of its unique keys is there. Says whether it did.

    On PostgreSQL this waits for another transaction that is inserting the same key."""
    await session.flush()
    statement = insert_into(session, type(row)).values(**row.model_dump()).on_conflict_do_nothing()
    # The driver's row count says nothing here on PostgreSQL; a returned row does.
    result = await session.exec(statement.returning(literal(1)))
    return result.first() is not None


async def insert_all(session: AsyncSession, table: type[Table], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows in one statement; every column is given."""
    if rows:
        await session.flush()
        await session.exec(insert_into(session, table), params=list(rows))


async def upsert(session: AsyncSession, row: Table, keys: Sequence[str], change: Sequence[str]) -> None:
    """Insert, or change the named columns of the row that has these keys."""
    await session.flush()
    values = row.model_dump()
    statement = insert_into(session, type(row)).values(**values)
    changed = {name: values[name] for name in change}
    await session.exec(statement.on_conflict_do_update(index_elements=list(keys), set_=changed))
