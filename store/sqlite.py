"""SQLite with one trip to a connection's thread for each statement.

aiosqlite makes four (open a cursor, execute, fetch, close it), each with a wake-up of the event loop: that was more
than a third of a worker's CPU on SQLite. Connections are made with `check_same_thread=False` (SQLAlchemy's own choice
for files), so that only what may take long has to go to the thread.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from typing import Any, Self

import aiosqlite

BUSY_TIMEOUT_MS = 5_000
"""How long SQLite waits for another process's write; another task of this process waits in line instead."""


def write_ahead(connection: Any) -> None:
    """Set a new connection up: wait for locks, write ahead.

    The switch to WAL itself does not wait for a lock, so two that open a new file at once would fail without the loop.
    """
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    end = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.005)
    cursor.close()


class OneTripCursor(aiosqlite.Cursor):
    """A cursor that brings the rows along when it executes."""

    _rows: list[Any]

    async def __aenter__(self) -> OneTripCursor:
        return self

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> OneTripCursor:
        """Execute and fetch."""
        trip: Any = self._conn._execute
        self._rows = await trip(self._all_of, sql, tuple(parameters or ()))
        return self

    def _all_of(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        self._cursor.execute(sql, parameters)
        return [] if self._cursor.description is None else self._cursor.fetchall()

    async def fetchall(self) -> list[Any]:
        """The rows of the last `execute`."""
        return self._rows

    async def close(self) -> None:
        """Nothing is under way in the thread, all rows were fetched: no need to go there."""
        self._cursor.close()


class Connection(aiosqlite.Connection):
    """A connection whose cursors take one trip a statement."""

    def cursor(self) -> OneTripCursor:  # type: ignore[override]
        """A cursor; nothing is asked of the thread yet."""
        return OneTripCursor(self, self._conn.cursor())

    @classmethod
    def to(cls, database: str, **options: Any) -> Self:
        """What SQLAlchemy calls in place of `aiosqlite.connect`; awaited, it is open."""
        connection = cls(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
        connection._thread.daemon = True  # as SQLAlchemy does: a process may end without closing
        return connection
