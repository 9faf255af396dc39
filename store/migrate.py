"""Bring a database to the newest schema: `python -m store.migrate`, as often as one likes, also at the same time.

Takes --url, else $BACKHAUL_DATABASE_URL. From async code: `await asyncio.to_thread(migrate, url)`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, Engine, create_engine, event, text

from store.engine import VARIABLE, normalise
from store.sqlite import write_ahead

LOCK = 7_236_001
"""PostgreSQL advisory lock held while the schema changes: a second migration waits and then finds nothing to do."""


def migrate(url: str | URL) -> str:
    """Upgrade to the newest schema in one transaction: all of it or nothing. Returns its revision."""
    engine = sync_engine(url)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            command.upgrade(configuration(connection), "head")
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
    finally:
        engine.dispose()


def configuration(connection: Connection) -> Config:
    """Alembic's configuration, on this connection; no ini file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def sync_engine(url: str | URL) -> Engine:
    """An engine for schema work: Alembic is not async."""
    parsed = normalise(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed)
    engine = create_engine(parsed.set(drivername="sqlite+pysqlite"))

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # `_begin` begins; the driver would not for DDL
        write_ahead(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m store.migrate", description="Upgrade the database's schema.")
    parser.add_argument("--url", help=f"the database; else ${VARIABLE}")
    url = parser.parse_args(arguments).url or os.environ.get(VARIABLE, "").strip()
    if not url:
        parser.error(f"no database: give --url or set {VARIABLE}")
    revision = migrate(url)
    sys.stdout.write(f"schema at revision {revision}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
