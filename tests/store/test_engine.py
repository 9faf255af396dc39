"""Transactions: all or nothing, one after another where it matters, and errors that say whether to come again."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime

import pytest
from sqlalchemy import event, text, update
from sqlalchemy.exc import IntegrityError, StatementError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Transient
from store import engine, sqlite
from store.engine import Store, is_duplicate, normalise
from store.tables import CutRow, JournalHeadRow, OrderLineRow
from tests.store.support import AT


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:///x.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:////tmp/x.db", "sqlite+aiosqlite"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        (" postgres://u@h/d ", "postgresql+psycopg"),
    ],
)
def test_urls_get_the_async_driver(given: str, driver: str) -> None:
    assert normalise(given).drivername == driver


@pytest.mark.parametrize("given", ["mysql://u@h/d", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused(given: str) -> None:
    with pytest.raises(ValueError):
        normalise(given)


async def test_an_error_takes_everything_back(store: Store) -> None:
    async def fail() -> None:
        async with store.transaction() as session:
            session.add(CutRow(cut="a", sequence=1, at=AT))
            await session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with store.read() as session:
        assert (await session.exec(select(CutRow))).all() == []


async def test_concurrent_counters_lose_nothing(stores: tuple[Store, Store]) -> None:
    async with stores[0].transaction() as session:
        session.add(JournalHeadRow(id=7, last=0))

    async def count(store: Store) -> None:
        async with store.transaction() as session:
            row = update(JournalHeadRow).where(col(JournalHeadRow.id) == 7)
            await session.exec(row.values(last=col(JournalHeadRow.last) + 1))

    await asyncio.gather(*(count(stores[n % 2]) for n in range(50)))
    async with stores[0].read() as session:
        assert (await session.exec(select(JournalHeadRow.last).where(JournalHeadRow.id == 7))).one() == 50


async def test_moments_come_back_in_utc_and_naive_ones_are_refused(store: Store) -> None:
    async with store.transaction() as session:
        session.add(CutRow(cut="a", sequence=1, at=datetime.fromisoformat("2025-06-01T16:00:00+08:00")))
    async with store.read() as session:
        kept = (await session.exec(select(CutRow))).one().at
        assert kept == AT
        assert kept.utcoffset() == AT.utcoffset()
    with pytest.raises(StatementError, match="offset"):
        async with store.transaction() as session:
            session.add(CutRow(cut="b", sequence=1, at=datetime(2025, 6, 1)))  # noqa: DTZ001


async def test_foreign_keys_hold(store: Store) -> None:
    with pytest.raises(IntegrityError) as refused:
        async with store.transaction() as session:
            session.add(
                OrderLineRow(
                    order_id="none",
                    line_id="l",
                    position=0,
                    sku="s",
                    category="c",
                    quantity=1,
                    paid_minor=1,
                    currency="CNY",
                    weight_g=1,
                )
            )
    assert not is_duplicate(refused.value)


async def test_two_that_insert_one_key_meet_once(stores: tuple[Store, Store]) -> None:
    """`run` runs the loser again, which then sees the winner's row."""

    async def work(session: AsyncSession) -> bool:
        if (await session.exec(select(CutRow).where(CutRow.cut == "a"))).first() is not None:
            return False
        session.add(CutRow(cut="a", sequence=1, at=AT))
        await session.flush()
        return True

    made = await asyncio.gather(*(stores[n % 2].run(work) for n in range(20)))
    assert sorted(made) == [False] * 19 + [True]


async def test_a_locked_database_is_busy_not_broken(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    first, second = Store(database_url), Store(database_url)
    async with first.transaction() as session:
        session.add(JournalHeadRow(id=7, last=0))
    row = update(JournalHeadRow).where(col(JournalHeadRow.id) == 7).values(last=1)

    async def wait_a_little() -> None:
        async with second.transaction() as session:
            if second.dialect == "postgresql":
                await session.exec(text("SET LOCAL lock_timeout = '50ms'"))  # type: ignore[call-overload]
            await session.exec(row)

    async with first.transaction() as holder:
        await holder.exec(row)
        with pytest.raises(Transient) as busy:
            await wait_a_little()
        assert busy.value.code == "store_busy"
    await first.close()
    await second.close()


async def write_slowly(session: AsyncSession) -> None:
    for _ in range(20):
        row = update(JournalHeadRow).where(col(JournalHeadRow.id) == 7)
        await session.exec(row.values(last=col(JournalHeadRow.last) + 1))


async def cancel_writers(store: Store, rounds: int) -> None:
    """Cancel writers wherever they are, then write: the lock must be free, and half a transaction never kept."""
    chance = random.Random(7)
    async with store.transaction() as session:
        session.add(JournalHeadRow(id=7, last=0))
    for _ in range(rounds):
        writers = [asyncio.create_task(store.run(write_slowly)) for _ in range(4)]
        await asyncio.sleep(chance.random() * 0.03)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        async with asyncio.timeout(120):
            await store.run(write_slowly)
    async with store.read() as session:
        written = (await session.exec(select(JournalHeadRow.last).where(JournalHeadRow.id == 7))).one()
    assert written % 20 == 0
    assert written >= rounds * 20


async def test_a_cancelled_transaction_lets_go(store: Store) -> None:
    await cancel_writers(store, rounds=30)


async def test_a_run_whose_caller_is_gone_ends_before_the_store_closes(database_url: str) -> None:
    store = Store(database_url)
    started = asyncio.Event()

    async def work(session: AsyncSession) -> None:
        session.add(CutRow(cut="a", sequence=1, at=AT))
        await session.flush()
        started.set()
        await asyncio.sleep(0.05)

    caller = asyncio.create_task(store.run(work))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await store.close()
    again = Store(database_url)
    async with again.read() as session:
        assert len((await session.exec(select(CutRow))).all()) == 1
    await again.close()


@pytest.mark.parametrize("within", ["before_cursor_execute", "commit", "reset"])
async def test_a_cancelled_block_lets_go(store: Store, caplog: pytest.LogCaptureFixture, within: str) -> None:
    """Also a transaction that is no `run`, cancelled in the middle of a statement or of its end: the connection stays
    whole (the pool has nothing to complain of), nothing is kept by half, and the next one writes."""
    async with store.transaction() as session:
        session.add(JournalHeadRow(id=7, last=0))
    victims: list[asyncio.Task[None]] = []

    @event.listens_for(store.engine.sync_engine, within)
    def _cancel(*_: object) -> None:
        if victims:
            victims.pop().cancel()

    async def block() -> None:
        async with store.transaction() as session:
            await write_slowly(session)

    for _ in range(5):
        victims.append(asyncio.create_task(block()))
        with pytest.raises(asyncio.CancelledError):
            await victims[0]
    async with asyncio.timeout(120):
        await block()
    async with store.read() as session:
        assert (await session.exec(select(JournalHeadRow.last))).one() % 20 == 0
    assert [record.message for record in caplog.records if record.name.startswith("sqlalchemy.pool")] == []


async def test_a_cancellation_waits_for_the_statement(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it comes twice: the statement ends first, and so does the rollback."""
    running, ended = asyncio.Event(), asyncio.Event()

    async def slow(self: AsyncSession) -> None:
        running.set()
        await asyncio.sleep(0.05)
        ended.set()

    monkeypatch.setattr(engine.WholeSession, "flush", engine.whole(slow))

    async def work() -> None:
        async with store.transaction() as session:
            await session.flush()

    writer = asyncio.create_task(work())
    await running.wait()
    for _ in range(2):
        writer.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await writer
    assert ended.is_set()


async def test_a_database_that_is_not_there_is_busy() -> None:
    store = Store("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Transient) as busy:
        async with store.read() as session:
            await session.exec(select(CutRow))
    assert busy.value.code == "store_busy"
    await store.close()


async def test_sqlite_is_durable(sqlite_url: str) -> None:
    store = Store(sqlite_url)
    async with store.read() as session:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            assert (await session.exec(text(f"PRAGMA {pragma}"))).scalar_one() == value  # type: ignore[call-overload]
    await store.close()


async def test_cancelled_transactions_leave_no_lock(store: Store) -> None:
    """Callers cancelled at any moment: the next one still gets to write."""

    async def work(session: AsyncSession) -> None:
        for _ in range(10):
            await session.exec(text("select 1"))  # type: ignore[call-overload]

    for pause in range(30):
        callers = [asyncio.create_task(store.run(work)) for _ in range(4)]
        await asyncio.sleep(pause / 3000)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        async with asyncio.timeout(120):
            await store.run(work)
