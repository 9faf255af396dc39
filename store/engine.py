"""The database: SQLite with WAL by default, PostgreSQL in production. One `Store` a process; no global state.

A step is one `async with store.transaction() as session`. On SQLite a transaction takes the write lock at its start
(BEGIN IMMEDIATE), so that nothing it read can have changed when it writes. On PostgreSQL it is read committed: rows
that are counted are locked or updated on condition, and uniqueness is the database's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import wraps
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Transient
from store import sqlite

T = TypeVar("T")

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
TRIES = 3
VARIABLE = "BACKHAUL_DATABASE_URL"
"""Where commands find the database, unless told by --url."""
_WRITES = "backhaul_writes"
_LOOKS = "backhaul_looks"
_RETRYABLE = {"40001", "40P01", "55P03", "57014"}
"""PostgreSQL: serialization failure, deadlock, lock not available, statement timeout."""


class WholeSession(AsyncSession):
    """A session of which no statement is cut off: a cancellation waits for the one under way, then takes effect.

    Activities are cancelled (timeouts, shutdown). A statement cut off in flight leaves the connection to be thrown
    away, and on SQLite that one goes on holding the write lock: every later write would wait for ever."""


def whole(method: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """The method, done to its end before a cancellation takes effect."""

    @wraps(method)
    async def to_its_end(*args: Any, **kwargs: Any) -> T:
        task = asyncio.ensure_future(method(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # seen: the cancellation is what the caller hears of
            raise

    return to_its_end


_AWAITED = "exec execute scalar scalars get refresh merge delete flush commit rollback close"
for _name in _AWAITED.split():
    setattr(WholeSession, _name, whole(getattr(AsyncSession, _name)))


class Store:
    """A database by its URL: `sqlite:///path` or `postgresql://user@host/name`."""

    def __init__(self, url: str | URL, *, pool_size: int = 10) -> None:
        self.url = normalise(url)
        self.dialect = self.url.get_backend_name()
        if self.dialect == "sqlite":
            opened_by = {"async_creator_fn": sqlite.Connection.to}
            self.engine = create_async_engine(self.url, pool_size=pool_size, max_overflow=0, connect_args=opened_by)
            _prepare_sqlite(self.engine)
        else:
            self.engine = create_async_engine(self.url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True)
        self._writer = self.engine.execution_options(**{_WRITES: True})
        self._looker = self.engine.execution_options(**{_LOOKS: True, "postgresql_readonly": True})
        self._line: asyncio.Lock | None = asyncio.Lock() if self.dialect == "sqlite" else None
        self._running: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Read and write as one: committed at the end, rolled back on any error.

        Raises Transient(`store_busy`) where the database was busy or chose this transaction to give way."""
        async with self._write(WholeSession) as session:
            yield session

    @asynccontextmanager
    async def _write(self, kind: type[AsyncSession]) -> AsyncIterator[AsyncSession]:
        async with self._line or nullcontext(), _session(self._writer, kind) as session:
            yield session

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Read only, from one snapshot on SQLite; never waits for a writer."""
        async with _session(self.engine, commit=False) as session:
            yield session

    @asynccontextmanager
    async def look(self) -> AsyncIterator[AsyncSession]:
        """As `read`, where the database itself refuses every write."""
        async with _session(self._looker, commit=False) as session:
            yield session

    async def run(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """One transaction, run again a few times where two met: on a deadlock, or on the same new unique key.

        It runs to its end even where the caller is cancelled meanwhile, as an activity that takes too long is: on a
        busy day a repeat that began anew each time would never get through. It finds what this one wrote."""
        task = asyncio.create_task(self._run(work))
        self._running.add(task)
        task.add_done_callback(self._ran)
        return await asyncio.shield(task)

    def _ran(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be left to look at it; the repeat will meet it again

    async def _run(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        for left in reversed(range(TRIES)):
            try:
                async with self._write(AsyncSession) as session:  # nobody cancels this task
                    return await work(session)
            except (Transient, IntegrityError) as error:
                busy = isinstance(error, Transient) and error.code == "store_busy"
                if left == 0 or not (busy or is_duplicate(error)):
                    raise
        raise AssertionError("unreachable")

    async def create_all(self) -> None:
        """Make every table without migrations: for tests and throw-away databases."""
        from store.tables import metadata

        async with self._writer.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        """Close every connection, after what `run` still has under way."""
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.engine.dispose()


def normalise(url: str | URL) -> URL:
    """A URL with the async driver this product uses. Raises ValueError for another database."""
    parsed = make_url(url.strip() if isinstance(url, str) else url)
    driver = DRIVERS.get(parsed.get_backend_name())
    if driver is None:
        raise ValueError(f"{parsed.get_backend_name()!r} is neither sqlite nor postgresql")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError("SQLite needs a file: connections must share it")
    return parsed.set(drivername=driver)


def is_duplicate(error: BaseException) -> bool:
    """Did the database refuse a second row under one unique key?"""
    if not isinstance(error, IntegrityError):
        return False
    cause: Any = error.orig
    if getattr(cause, "sqlstate", None) is not None:
        return bool(cause.sqlstate == "23505")
    name = getattr(cause, "sqlite_errorname", "")
    return name in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}


@asynccontextmanager
async def _session(
    engine: AsyncEngine, kind: type[AsyncSession] = WholeSession, *, commit: bool = True
) -> AsyncIterator[AsyncSession]:
    session = kind(engine, expire_on_commit=False)
    try:
        try:
            yield session
            if commit:
                await session.commit()
        finally:
            await session.close()
    except (DBAPIError, PoolTimeout) as error:
        if isinstance(error, PoolTimeout) or _is_busy(error):
            raise Transient("store_busy") from error
        raise


def _is_busy(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    cause: Any = error.orig
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return state in _RETRYABLE or state.startswith(("08", "57P"))
    name = getattr(cause, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return True
    # psycopg gives no state where the connection could not be made at all.
    return isinstance(error, OperationalError) and type(cause).__module__.startswith("psycopg")


def _prepare_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        # The driver must not begin transactions by itself: `_begin` does, and says which kind.
        connection.isolation_level = None
        sqlite.write_ahead(connection)
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        only = bool(options.get(_LOOKS, False))
        if only != connection.info.get(_LOOKS, False):  # what a connection was left as, whatever became of its user
            connection.exec_driver_sql(f"PRAGMA query_only={'ON' if only else 'OFF'}")
            connection.info[_LOOKS] = only
        immediate = options.get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
