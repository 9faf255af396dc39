"""The schema that migrations make is the one that the tables say, with the journal's guards, on both engines."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from threading import Timer

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from store.engine import Store
from store.migrate import configuration, main, migrate, sync_engine
from store.tables import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


def test_the_migrated_schema_is_the_tables(database_url: str) -> None:
    engine = sync_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        foreign = {
            table: {tuple(key["constrained_columns"]) for key in inspect(connection).get_foreign_keys(table)}
            for table in metadata.tables
        }
    engine.dispose()
    assert foreign == {
        name: {tuple(key.column_keys) for key in table.foreign_key_constraints}
        for name, table in metadata.tables.items()
    }


def test_the_comparison_can_fail(database_url: str) -> None:
    engine = sync_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE cuts ADD COLUMN planted INTEGER"))
        assert compare_metadata(MigrationContext.configure(connection), metadata) != []
    engine.dispose()


def test_migrating_again_changes_nothing(empty_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate(empty_url) == migrate(empty_url)
    assert main(["--url", empty_url]) == 0
    assert "schema at revision" in capsys.readouterr().out


async def test_two_migrations_at_once(empty_url: str) -> None:
    first, second = await asyncio.gather(*(asyncio.to_thread(migrate, empty_url) for _ in range(2)))
    assert first == second


def test_a_new_file_that_another_process_sets_up(tmp_path: Path) -> None:
    """SQLite's switch to WAL does not wait for a writer, whatever its timeout says: it fails at once."""
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    Timer(0.3, lambda: other.execute("COMMIT")).start()
    engine = sync_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    engine.dispose()
    other.close()


def test_without_a_database_the_command_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BACKHAUL_DATABASE_URL", "  ")
    with pytest.raises(SystemExit):
        main([])
    assert "BACKHAUL_DATABASE_URL" in capsys.readouterr().err


ENTRY = (
    "INSERT INTO journal_entries (sequence, entry_key, content_hash, template, merchant_id, at) "
    "VALUES (1, 'k', 'h', 'J20', 'm', '2025-06-01 08:00:00')"
)
LINE = (
    "INSERT INTO journal_lines (sequence, position, book, account, side, minor, currency) "
    "VALUES (1, 0, 'P', 'P1130', 'debit', 1, 'CNY')"
)


@pytest.mark.parametrize("by", ["migrate", "create_all"])
@pytest.mark.parametrize("attack", [
    "UPDATE journal_entries SET template = 'J99'",
    "DELETE FROM journal_entries",
    "UPDATE journal_lines SET minor = 2",
    "DELETE FROM journal_lines",
])  # fmt: skip
async def test_the_journal_is_append_only(empty_url: str, by: str, attack: str) -> None:
    if by == "migrate":
        await asyncio.to_thread(migrate, empty_url)
    else:
        store = Store(empty_url)
        await store.create_all()
        await store.close()
    engine = sync_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text(ENTRY))
        connection.execute(text(LINE))
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(attack))
    engine.dispose()


def test_the_journal_cannot_be_truncated(postgres_url: str) -> None:
    engine = sync_engine(postgres_url)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text("TRUNCATE journal_entries, journal_lines, settlement_legs"))
    engine.dispose()


BEFORE = (
    (
        "INSERT INTO merchants (merchant_id, name, commission_bps, auto_authorize, credit_tier, updated_at) "
        "VALUES ('m', 'M', 500, true, 0, '2025-06-01 08:00:00')"
    ),
    (
        "INSERT INTO consumers (consumer_ref, tier, risk, frozen, limit_minor, used_minor, currency, updated_at) "
        "VALUES ('c', 3, 'allow', false, 1000, 0, 'CNY', '2025-06-01 08:00:00')"
    ),
    (
        "INSERT INTO orders (order_id, merchant_id, consumer_ref, paid_minor, currency, captured_at, content_hash) "
        "VALUES ('o', 'm', 'c', 1000, 'CNY', '2025-06-01 08:00:00', 'h')"
    ),
    (
        "INSERT INTO cases (case_key, merchant_id, rma_id, order_id, consumer_ref, workflow_id, request, request_hash, "
        "book_version, book_hash, stage, refundable_minor, refunded_minor, withheld_minor, indemnified_minor, "
        "freight_minor, currency, opened_at, updated_at) VALUES ('m/r', 'm', 'r', 'o', 'c', 'return:m:r', "
        "'{\"address_ref\": \"addr-7\"}', 'h', '2025-05', 'h', 'pickup', 1000, 0, 0, 0, 0, 'CNY', "
        "'2025-06-01 08:00:00', '2025-06-01 08:00:00')"
    ),
)


def test_a_database_of_the_first_schema_is_carried_over(empty_url: str) -> None:
    engine = sync_engine(empty_url)
    with engine.begin() as connection:
        command.upgrade(configuration(connection), "0001")
        for statement in BEFORE:
            connection.execute(text(statement.replace(":", "\\:")))
    migrate(empty_url)
    with engine.connect() as connection:
        carried = connection.execute(text("SELECT case_key, address_ref, reopens FROM cases")).one()
        merchant = connection.execute(text("SELECT merchant_id, offers FROM merchants")).one()
        credit = connection.execute(text("SELECT credit_seq FROM consumers")).scalar_one()
    engine.dispose()
    assert tuple(carried) == ("m/r", "addr-7", None)
    assert (merchant[0], bool(merchant[1]), credit) == ("m", False, 0)
