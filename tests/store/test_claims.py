"""Covers pay no more than they have left, whatever claims come at once (invariants 4, 6, 8)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backhaul.errors import BackhaulError
from backhaul.money import Money
from store import claims, orders
from store.engine import Store
from tests.store.support import AT, import_order, yuan

RDV = "o1-rdv"


async def left(store: Store) -> Money:
    async with store.read() as session:
        bundle = await orders.get(session, "o1")
    assert bundle is not None
    (cover,) = [cover for cover in bundle.coverages if cover.coverage_id == RDV]
    return Money(minor=cover.remaining_minor, currency=cover.currency)


async def plan(store: Store, ref: str = "c1", amount: str = "360.00", coverage: str = RDV) -> None:
    async with store.transaction() as session:
        await claims.plan(session, ref, "loss", coverage, "m1/r1", yuan(amount), "m1", at=AT)


async def advance(store: Store, state: str, ref: str = "c1", **amounts: Any) -> str:
    async with store.transaction() as session:
        return (await claims.advance(session, ref, state, AT, **amounts)).state


async def code(doing: Any) -> str:
    with pytest.raises(BackhaulError) as error:
        await doing
    return error.value.code


async def test_a_claim_takes_of_the_cover_once(store: Store) -> None:
    await import_order(store)
    await plan(store)
    await plan(store)
    assert await left(store) == yuan("840.00")
    assert await code(plan(store, amount="1.00")) == "effect_conflict"
    assert await code(plan(store, "c2", "840.01")) == "over_indemnity"
    assert await code(plan(store, "c2", "-1.00")) == "over_indemnity"
    assert await left(store) == yuan("840.00")
    async with store.read() as session:
        assert [row.claim_ref for row in await claims.of_case(session, "m1/r1")] == ["c1"]


async def test_claims_at_once_stay_within_the_cover(stores: tuple[Store, Store]) -> None:
    await import_order(stores[0])
    done = await asyncio.gather(*(plan(stores[n % 2], f"c{n}", "100.00") for n in range(20)), return_exceptions=True)
    assert sum(one is None for one in done) == 12
    assert await left(stores[0]) == yuan("0.00")


async def test_a_denied_claim_gives_the_cover_back_once(store: Store) -> None:
    await import_order(store)
    await plan(store)
    for _ in range(2):
        async with store.transaction() as session:
            await claims.deny(session, "c1", "claim_denied", AT)
    assert await left(store) == yuan("1200.00")
    assert await advance(store, "approved", approved=yuan("360.00")) == "denied"


async def test_a_claim_only_moves_on(store: Store) -> None:
    await import_order(store)
    await plan(store)
    assert await advance(store, "reserved", claim_no="N1") == "reserved"
    assert await advance(store, "approved", approved=yuan("300.00")) == "approved"
    # Approved for less than was reserved: the rest is free for another claim.
    assert await left(store) == yuan("900.00")
    assert await advance(store, "reserved") == "approved"
    assert await code(advance(store, "paid", paid=yuan("300.01"))) == "over_indemnity"
    assert await advance(store, "paid", paid=yuan("300.00")) == "paid"
    async with store.transaction() as session:
        assert (await claims.deny(session, "c1", "claim_denied", AT)).state == "paid"
        assert (await claims.need(session, "c1")).claim_no == "N1"
    assert await left(store) == yuan("900.00")


async def test_no_more_is_approved_than_reserved(store: Store) -> None:
    await import_order(store)
    await plan(store)
    assert await code(advance(store, "approved", approved=yuan("360.01"))) == "over_indemnity"
    assert await code(advance(store, "paid", paid=yuan("1.00"))) == "over_indemnity"
    assert await code(advance(store, "approved", ref="none")) == "not_found"


async def test_a_loss_is_claimed_under_one_cover(store: Store) -> None:
    """Invariant 4: the other cover is free for it only once the first claim was denied."""
    await import_order(store)
    await plan(store, "c1", "10.00")
    assert await code(plan(store, "c2", "10.00", "o1-rfi")) == "over_indemnity"
    async with store.transaction() as session:
        await claims.deny(session, "c1", "claim_denied", AT)
    await plan(store, "c2", "10.00", "o1-rfi")
