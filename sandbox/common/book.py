"""A party's own book: one SQLite file, one writer, one commit for all that belongs together.

A handler runs inside `Book.transaction`: what happened, its statement row, the work planned from it and the answer kept
under the idempotency key are committed together or not at all. A killed party loses nothing it has answered.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.common.clock import now_us, rfc3339

Row = sqlite3.Row

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS operations (
  key TEXT PRIMARY KEY, request_hash TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL, made INTEGER NOT NULL,
  kind TEXT NOT NULL, ref TEXT, amount INTEGER, currency TEXT, payee TEXT, at_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS statement (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, kind TEXT NOT NULL, ref TEXT NOT NULL,
  amount INTEGER NOT NULL, currency TEXT NOT NULL, payee TEXT, at_us INTEGER NOT NULL, UNIQUE (kind, key));
CREATE TABLE IF NOT EXISTS due (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
  payload TEXT NOT NULL, held INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS due_at ON due (held, at_us);
CREATE TABLE IF NOT EXISTS fault_uses (
  rule INTEGER NOT NULL, key TEXT NOT NULL, attempts INTEGER NOT NULL, fired INTEGER NOT NULL, PRIMARY KEY (rule, key));
CREATE TABLE IF NOT EXISTS fault_log (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, rule INTEGER NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL,
  key TEXT NOT NULL, attempt INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS scripts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, match TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS statement_no_update BEFORE UPDATE ON statement
  BEGIN SELECT RAISE(ABORT, 'the statement is append-only'); END;
"""


class Book:
    """The book of one party.

    Use it from one thread at a time. Statement rows are unique by (kind, key): a second one is an IntegrityError that
    takes its whole transaction with it.
    """

    def __init__(self, path: Path, party: str, schema: str, *, seed: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._party = party
        self._depth = 0
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA + schema)
        owner = self.meta("party")
        if owner not in (None, party):
            self._db.close()
            raise ValueError(f"{path} is the book of the {owner}, not of the {party}")
        self.set_meta("party", party)
        if self.meta("seed") is None:
            self.set_meta("seed", str(seed))
        self.seed = int(self.meta("seed") or seed)

    def close(self) -> None:
        """Close the file; everything committed stays."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One commit for the block; nested blocks join the outer one."""
        if self._depth:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        else:
            self._db.execute("COMMIT")
        finally:
            self._depth -= 1

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of a transaction that can fail alone: what it did is undone, what came before stays."""
        self._db.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK TO part")
            raise
        finally:
            self._db.execute("RELEASE part")

    def run(self, sql: str, *args: Any) -> int:
        """Execute one statement and return how many rows it changed."""
        return self._db.execute(sql, args).rowcount

    def all(self, sql: str, *args: Any) -> list[Row]:
        """All rows of a query."""
        return self._db.execute(sql, args).fetchall()

    def one(self, sql: str, *args: Any) -> Row | None:
        """The first row of a query, or None."""
        row: Row | None = self._db.execute(sql, args).fetchone()
        return row

    def number(self, sql: str, *args: Any) -> int:
        """The single integer of a query; NULL and no row are 0."""
        row = self.one(sql, *args)
        return 0 if row is None or row[0] is None else int(row[0])

    def meta(self, name: str) -> str | None:
        """A remembered setting."""
        row = self.one("SELECT value FROM meta WHERE name = ?", name)
        return None if row is None else str(row["value"])

    def set_meta(self, name: str, value: str) -> None:
        """Remember a setting over restarts."""
        self.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)

    def reseed(self, seed: int) -> None:
        """Give out ids from another seed from now on."""
        self.set_meta("seed", str(seed))
        self.seed = seed

    def new_id(self, prefix: str, *parts: object, digits: bool = False) -> str:
        """An id made from the seed and `parts` alone, so that a repeated run gives out the same ids."""
        text = "|".join([str(self.seed), self._party, prefix, *map(str, parts)])
        digest = hashlib.sha256(text.encode()).hexdigest()
        return prefix + (str(int(digest[:16], 16)).zfill(20)[-14:] if digits else digest[:20])

    def post(self, *, key: str, kind: str, ref: str, amount: int, currency: str, payee: str | None, at_us: int) -> None:
        """Append a statement row: money that really moved."""
        sql = "INSERT INTO statement (key, kind, ref, amount, currency, payee, at_us) VALUES (?, ?, ?, ?, ?, ?, ?)"
        self.run(sql, key, kind, ref, amount, currency, payee, at_us)

    def statement(self, since: int, limit: int) -> dict[str, Any]:
        """A page of the statement after sequence number `since`."""
        rows = self.all("SELECT * FROM statement WHERE seq > ? ORDER BY seq LIMIT ?", since, limit + 1)
        page = [
            {name: row[name] for name in ("seq", "key", "kind", "ref", "amount", "currency", "payee")}
            | {"at": rfc3339(row["at_us"])}
            for row in rows[:limit]
        ]
        return {"rows": page, "next": page[-1]["seq"] if len(rows) > limit else None}

    def plan(self, kind: str, subject: str, payload: dict[str, Any], *, at_us: int, held: bool = False) -> None:
        """Plan work for later; it survives a restart. Held work waits until it is released."""
        sql = "INSERT INTO due (at_us, kind, subject, payload, held) VALUES (?, ?, ?, ?, ?)"
        self.run(sql, at_us, kind, subject, json.dumps(payload), int(held))

    def unplan(self, kind: str, subject: str) -> None:
        """Forget planned work."""
        self.run("DELETE FROM due WHERE kind = ? AND subject = ?", kind, subject)

    def wipe(self) -> None:
        """Empty every table but the remembered settings."""
        tables = self.all("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        with self.transaction():
            for table in tables:
                if table["name"] != "meta":
                    self.run(f"DELETE FROM {table['name']}")  # noqa: S608 - names come from our own schema


def after(ms: int, *, start_us: int | None = None) -> int:
    """The instant `ms` milliseconds after `start_us` (now by default), in microseconds."""
    return (now_us() if start_us is None else start_us) + ms * 1000
