"""The credit line: whatever happens at once, no more than the limit is out (domain 4.4, invariant 7)."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from backhaul.errors import Rejected
from store import credit
from store.engine import Store
from store.tables import ConsumerRow, CreditHoldRow
from tests.store.support import AT, an_order, fresh_sqlite, import_order, yuan


async def used(store: Store) -> tuple[int, int]:
    """What the line says is used, and what its holds add up to."""
    async with store.read() as session:
        line = (await session.exec(select(ConsumerRow.used_minor))).one()
        holds = (await session.exec(select(CreditHoldRow.amount_minor))).all()
    return line, sum(holds)


async def test_fifty_at_once_stay_under_the_limit(stores: tuple[Store, Store]) -> None:
    await import_order(stores[0], an_order(limit="3000.00"))

    async def reserve(n: int) -> bool:
        async with stores[n % 2].transaction() as session:
            return await credit.reserve(session, f"m1/r{n}", "c1", yuan("140.00"), AT)

    granted = await asyncio.gather(*(reserve(n) for n in range(50)))
    assert sum(granted) == 21  # 21 x 140 = 2940
    assert await used(stores[0]) == (294_000, 294_000)


async def test_one_key_at_once_reserves_once(stores: tuple[Store, Store]) -> None:
    await import_order(stores[0])

    async def reserve(n: int) -> bool:
        return await stores[n % 2].run(lambda session: credit.reserve(session, "m1/r1", "c1", yuan("1200.00"), AT))

    assert all(await asyncio.gather(*(reserve(n) for n in range(10))))
    assert await used(stores[0]) == (120_000, 120_000)


async def test_release_gives_back_once_and_keeps_what_is_owed(store: Store) -> None:
    await import_order(store)
    async with store.transaction() as session:
        assert await credit.reserve(session, "k", "c1", yuan("1200.00"), AT)
        await credit.release(session, "k", AT, keep=yuan("360.00"))
    assert await used(store) == (36_000, 36_000)
    for _ in range(2):
        async with store.transaction() as session:
            await credit.release(session, "k", AT)
    assert await used(store) == (0, 0)
    async with store.transaction() as session:
        await credit.release(session, "never reserved", AT)
        with pytest.raises(Rejected) as refused:
            await credit.reserve(session, "k", "c1", yuan("1.00"), AT)
    assert refused.value.code == "effect_conflict"


async def test_a_frozen_line_grants_nothing(store: Store) -> None:
    await import_order(store)
    async with store.transaction() as session:
        assert await credit.reserve(session, "k1", "c1", yuan("1.00"), AT)
        await credit.freeze(session, "k1", AT)
        assert not await credit.reserve(session, "k2", "c1", yuan("1.00"), AT)
        await credit.set_frozen(session, "c1", frozen=False, at=AT, by="ops-1", reason="spoken to them")
        assert await credit.reserve(session, "k2", "c1", yuan("1.00"), AT)


async def test_no_line_no_credit(store: Store) -> None:
    async with store.transaction() as session:
        assert not await credit.reserve(session, "k", "nobody", yuan("1.00"), AT)


@settings(max_examples=15)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["reserve", "release", "keep", "freeze"]), st.integers(0, 4), st.integers(1, 2000)),
        max_size=12,
    )
)
async def test_any_order_of_moves_keeps_the_line(moves: list[tuple[str, int, int]]) -> None:
    """Used is what the holds add up to, and never more than the limit."""
    async with fresh_sqlite() as store:
        await import_order(store, an_order(limit="30.00"))
        for move, key, amount in moves:
            async with store.transaction() as session:
                if move == "reserve" and await credit.hold(session, f"k{key}") is None:
                    await credit.reserve(session, f"k{key}", "c1", yuan(f"{amount / 100:.2f}"), AT)
                elif move == "freeze":
                    await credit.freeze(session, f"k{key}", AT)
                elif move != "reserve":
                    keep = yuan(f"{amount / 100:.2f}") if move == "keep" else None
                    await credit.release(session, f"k{key}", AT, keep=keep)
            line, holds = await used(store)
            assert line == holds
            assert 0 <= line <= 3_000


# ---- the history, and who freezes and thaws -----------------------------------------------------------------------


async def kinds(store: Store, consumer_ref: str = "c1") -> list[str]:
    async with store.read() as session:
        return [event.kind for event in await credit.history(session, consumer_ref)]


async def at_fault(store: Store, key: str, owed: str = "360.00") -> None:
    """Advanced, then owed in part: what settle_case does to the line."""
    async with store.transaction() as session:
        assert await credit.reserve(session, key, "c1", yuan("1200.00"), AT)
        await credit.release(session, key, AT, keep=yuan(owed))
        await credit.freeze(session, key, AT)


async def test_what_is_collected_in_full_thaws_the_line(store: Store) -> None:
    await import_order(store)
    await at_fault(store, "k")
    async with store.transaction() as session:
        assert not await credit.collected(session, "k", yuan("100.00"), AT)
        assert (await credit.line_of(session, "c1")).frozen
        assert await credit.collected(session, "k", yuan("260.00"), AT)
        assert not (await credit.line_of(session, "c1")).frozen
        assert not await credit.collected(session, "k", yuan("1.00"), AT)
    assert await used(store) == (0, 0)
    assert await kinds(store) == ["reserved", "released", "frozen", "collected", "collected", "unfrozen"]


async def test_a_write_off_leaves_the_line_frozen_until_a_person_thaws_it(store: Store) -> None:
    await import_order(store)
    await at_fault(store, "k")
    async with store.transaction() as session:
        await credit.write_off(session, "k", AT)
        await credit.write_off(session, "k", AT)
        assert (await credit.line_of(session, "c1")).frozen
        await credit.set_frozen(session, "c1", frozen=False, at=AT, by="ops-1", reason="paid at the counter")
        assert await credit.reserve(session, "k2", "c1", yuan("1.00"), AT)
    async with store.read() as session:
        last = (await credit.history(session, "c1"))[-2]
    assert (last.kind, last.by, last.reason, last.frozen) == ("unfrozen", "ops-1", "paid at the counter", False)


async def test_another_debt_keeps_the_line_frozen(store: Store) -> None:
    await import_order(store)
    async with store.transaction() as session:
        assert await credit.reserve(session, "k1", "c1", yuan("100.00"), AT)
        assert await credit.reserve(session, "k2", "c1", yuan("100.00"), AT)
        await credit.freeze(session, "k1", AT)
        await credit.freeze(session, "k2", AT)
        assert not await credit.collected(session, "k1", yuan("100.00"), AT)
        assert (await credit.line_of(session, "c1")).frozen
        assert await credit.collected(session, "k2", yuan("100.00"), AT)
        assert not (await credit.line_of(session, "c1")).frozen


async def test_no_rule_thaws_what_a_person_froze(store: Store) -> None:
    await import_order(store)
    await at_fault(store, "k")
    async with store.transaction() as session:
        await credit.set_frozen(session, "c1", frozen=True, at=AT, by="ops-1", reason="looked at")
        assert not await credit.collected(session, "k", yuan("360.00"), AT)
        line = await credit.line_of(session, "c1")
    assert (line.frozen, line.frozen_by) == (True, "ops-1")


async def test_another_limit_is_an_event_and_moves_no_hold(store: Store) -> None:
    await import_order(store, an_order(limit="3000.00"))
    async with store.transaction() as session:
        assert await credit.reserve(session, "k", "c1", yuan("1200.00"), AT)
    await import_order(store, an_order(limit="1000.00"))
    await import_order(store, an_order(limit="1000.00"))
    assert await kinds(store) == ["reserved", "limit"]
    async with store.transaction() as session:
        assert not await credit.reserve(session, "k2", "c1", yuan("0.01"), AT)
    assert await used(store) == (120_000, 120_000)


async def test_collecting_and_reserving_at_once_never_pass_the_limit(stores: tuple[Store, Store]) -> None:
    """Ten debts of 100.00 are collected while fifty refunds of 100.00 want the line of 1000.00."""
    await import_order(stores[0], an_order(limit="1000.00"))
    for n in range(10):
        async with stores[0].transaction() as session:
            assert await credit.reserve(session, f"old{n}", "c1", yuan("100.00"), AT)

    async def collect(n: int) -> bool:
        return await stores[n % 2].run(lambda session: credit.collected(session, f"old{n}", yuan("100.00"), AT))

    async def reserve(n: int) -> bool:
        return await stores[n % 2].run(lambda session: credit.reserve(session, f"new{n}", "c1", yuan("100.00"), AT))

    await asyncio.gather(*(collect(n) for n in range(10)), *(reserve(n) for n in range(50)))
    line, holds = await used(stores[0])
    assert line == holds <= 100_000
    async with stores[0].read() as session:
        events = await credit.history(session, "c1")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert all(0 <= event.used_minor <= event.limit_minor for event in events)


async def test_the_history_is_append_only(store: Store) -> None:
    await import_order(store)
    await at_fault(store, "k")
    for statement in ("UPDATE credit_events SET minor = 0", "DELETE FROM credit_events"):
        with pytest.raises(DBAPIError, match="append-only"):
            async with store.transaction() as session:
                await session.exec(text(statement))  # type: ignore[call-overload]
