"""The inbox keeps each event once, as it came, until every case has it; the API's answers are kept alike."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from backhaul.errors import Refusal
from store import idempotency, inbox
from store.engine import Store
from tests.store.support import AT

LEASE = timedelta(seconds=30)


async def receive(store: Store, event_id: str = "e1", body: bytes = b"{}", sender: str = "sandbox") -> bool:
    async with store.transaction() as session:
        return await inbox.receive(session, sender, event_id, body, AT)


async def claim(store: Store, after: timedelta = timedelta(), limit: int = 100) -> list[str]:
    async with store.transaction() as session:
        return [row.event_id for row in await inbox.claim(session, AT + after, LEASE, limit)]


async def test_an_event_is_new_once(store: Store) -> None:
    body = '{"note": "收到"}'.encode()
    assert await receive(store, body=body)
    assert not await receive(store, body=body)
    assert await receive(store, body=b"other", sender="somebody else")
    with pytest.raises(Refusal) as refused:
        await receive(store, body=b"other")
    assert refused.value.code == "event_conflict"
    async with store.read() as session:
        row = await inbox.get(session, "sandbox", "e1")
    assert row is not None
    assert (row.body, row.state) == (body, "received")


async def test_an_event_received_by_many_is_new_to_one(stores: tuple[Store, Store]) -> None:
    new = await asyncio.gather(*(receive(stores[n % 2]) for n in range(10)))
    assert sum(new) == 1


async def test_a_claimed_event_comes_back_after_its_lease(store: Store) -> None:
    await receive(store)
    assert await claim(store) == ["e1"]
    assert await claim(store) == []
    assert await claim(store, LEASE) == ["e1"]
    async with store.transaction() as session:
        await inbox.delivered(session, "sandbox", "e1", AT, ["m1/r1"])
    assert await claim(store, 3 * LEASE) == []
    async with store.read() as session:
        (row,) = await inbox.list_events(session, "delivered")
        assert (row.case_keys, row.attempts, row.delivered_at) == (["m1/r1"], 2, AT)


async def test_failures_wait_and_parked_ones_wait_for_a_person(store: Store) -> None:
    await receive(store)
    async with store.transaction() as session:
        await inbox.failed(session, "sandbox", "e1", "x" * 9_999, AT + timedelta(minutes=5))
    assert await claim(store) == []
    assert await claim(store, timedelta(minutes=5)) == ["e1"]
    async with store.transaction() as session:
        await inbox.parked(session, "sandbox", "e1", "no such case")
    assert await claim(store, timedelta(days=1)) == []
    async with store.transaction() as session:
        row = await inbox.get(session, "sandbox", "e1", lock=True)
        assert row is not None
        await inbox.revive(session, row, AT)
    assert await claim(store) == ["e1"]


async def test_dispatchers_share_the_work(stores: tuple[Store, Store]) -> None:
    for n in range(20):
        await receive(stores[0], f"e{n:02}")
    claimed = await asyncio.gather(*(claim(stores[n % 2], limit=7) for n in range(6)))
    got = [event for some in claimed for event in some]
    assert len(set(got)) == len(got)
    rest = await claim(stores[0])
    assert sorted(got + rest) == [f"e{n:02}" for n in range(20)]


async def test_events_are_listed_in_pages(store: Store) -> None:
    for n in range(3):
        await receive(store, f"e{n}")
    async with store.read() as session:
        first = await inbox.list_events(session, "received", limit=2)
        assert [row.event_id for row in first] == ["e0", "e1"]
        rest = await inbox.list_events(session, after=(first[-1].sender, first[-1].event_id))
        assert [row.event_id for row in rest] == ["e2"]


async def test_an_answer_is_kept_under_the_callers_key(store: Store) -> None:
    async with store.transaction() as session:
        assert await idempotency.recall(session, "svc", "k", "h1") is None
        first = await idempotency.remember(session, "svc", "k", "h1", 201, {"outcome": "authorized"}, AT)
        again = await idempotency.remember(session, "svc", "k", "h1", 200, {"outcome": "declined"}, AT)
        assert again == first == await idempotency.recall(session, "svc", "k", "h1")
        assert await idempotency.recall(session, "another caller", "k", "h2") is None
        with pytest.raises(Refusal) as refused:
            await idempotency.recall(session, "svc", "k", "h2")
    assert refused.value.code == "idempotency_mismatch"
