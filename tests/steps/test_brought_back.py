"""Goods that the courier brings back to the consumer: nothing is refunded, what lightning refunded is owed."""

from __future__ import annotations

import pytest

from tests.steps.support import World, a_line, an_order, found, yuan


@pytest.mark.parametrize("rdv", ["max", None])
async def test_before_any_refund_nothing_is_owed(world: World, rdv: str | None) -> None:
    await world.order(an_order(rdv=rdv, tier=0))
    case = (await world.judge()).case
    scanned = await world.collect(case)
    assert scanned.freight is not None
    await world.claim_freight(case, scanned.freight)
    remedy = await world.settle(case, "returned")
    assert (remedy.refunds, remedy.indemnity, remedy.recovery) == ((), None, None)
    assert remedy.reasons[0] == "returned_to_consumer"
    await world.end(case, "expired")
    assert await world.templates() == ["J10", "J11", "J12"]


async def test_after_lightning_all_of_it_is_the_consumer_s_debt(world: World) -> None:
    await world.order(an_order(tier=3))
    case = (await world.judge()).case
    scanned = await world.collect(case)
    assert scanned.freight is not None
    await world.claim_freight(case, scanned.freight)
    await world.refund(case, scanned.refunds)
    remedy = await world.settle(case, "returned")
    assert (remedy.refunds, remedy.indemnity, remedy.withheld) == ((), None, yuan("0.00"))
    await world.end(case)
    books = await world.balances()
    assert (books["P1110"], books["P1130"], books["P2000"]) == (120_000, 0, -114_000 + 36)


async def test_under_the_waiver_it_is_written_off(world: World) -> None:
    await world.order(an_order(a_line(paid="4.99")))
    case = (await world.judge()).case
    scanned = await world.collect(case)
    await world.refund(case, scanned.refunds)
    assert scanned.freight is not None
    await world.claim_freight(case, scanned.freight)
    await world.settle(case, "returned")
    await world.end(case)
    books = await world.balances()
    assert (books["P1110"], books["P5020"]) == (0, 499)


async def test_an_indemnity_of_the_door_is_overturned(world: World) -> None:
    """30 % found at the door, 360.00 advanced to the merchant; then the goods go back to the consumer: the merchant
    keeps the sale, and the insurer gets its money back."""
    await world.order()
    case = (await world.judge()).case
    scanned = await world.collect(case, found())
    assert scanned.freight is not None
    await world.claim_freight(case, scanned.freight)
    assessed = await world.assess(case, found())
    assert assessed.indemnity is not None
    await world.indemnify(case, assessed.indemnity)
    remedy = await world.settle(case, "returned")
    assert remedy.refunds == ()
    assert "J75b" in await world.templates()
    books = await world.balances()
    assert (books["P2000"], books["P2040"]) == (-114_000 + 36 + 36_000, -36_000)
