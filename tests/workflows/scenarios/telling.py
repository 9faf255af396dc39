"""What stories of all subjects do and ask alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from backhaul.errors import Refusal
from backhaul.facts import Verdict
from backhaul.ledger import CaseRef, goodwill_granted, made, reversal
from backhaul.messages import OpenReturn
from store import authority, cases, ledger
from tests.workflows.world import Case, World, cny


async def refused(case: Case, update: str, body: object, code: str) -> None:
    """The update is refused with this code and leaves nothing behind."""
    with pytest.raises(Refusal) as error:
        await case.say(update, body)
    assert error.value.code == code, error.value.code


async def to_the_merchant(case: Case) -> None:
    """Scan, transit, delivery."""
    await case.waits_for("pickup")
    await case.pickup()
    await case.waits_for("delivery")
    await case.track("in_transit")
    await case.track("delivered")
    await case.waits_for("receipt")


async def unheard_of(case: Case) -> datetime:
    """Collected and delivered, of which the courier's news is lost. When the courier is asked for it."""
    await case.waits_for("pickup")
    await case.collect_outside(until="delivered")
    await case.pickup()
    waiting = (await case.waits_for("delivery")).waiting
    assert waiting is not None
    return waiting.due


async def told(case: Case) -> list[tuple[str, str]]:
    """Who was told what on the case, in order, by the inbox's own book."""
    return await case.world.outside.told(f"{case.request.merchant_id}/{case.request.rma_id}")


async def told_of(case: Case, ruling_id: str) -> datetime:
    """When both sides had been told of a ruling: the time to appeal begins there."""
    key = f"{case.request.merchant_id}/{case.request.rma_id}"

    async def noted() -> datetime | None:
        async with case.world.store.read() as session:
            return (await authority.find_ruling(session, ruling_id, key)).told_at

    at: datetime = await case.world.asked(noted, lambda told_at: told_at is not None, "told of the ruling")
    return at


async def decisions(case: Case) -> tuple[Verdict, ...]:
    """Every decision of the case, from the database."""
    async with case.world.store.read() as session:
        return await cases.decisions(session, f"{case.request.merchant_id}/{case.request.rma_id}")


def templates(entries: list[tuple[str, int]]) -> dict[str, int]:
    """Totals by template."""
    totals: dict[str, int] = {}
    for template, minor in entries:
        totals[template] = totals.get(template, 0) + minor
    return totals


@asynccontextmanager
async def books_that_do_not_add_up(world: World, of: OpenReturn) -> AsyncIterator[None]:
    """A stray entry of 0.05 on the case, over which it is not closed; reversed at the end."""
    ref = CaseRef(merchant_id=of.merchant_id, order_id=of.order_id, rma_id=of.rma_id, consumer_ref=f"c-{of.order_id}")
    (stray,) = made(goodwill_granted(ref, cny(5)))
    async with world.store.transaction() as session:
        await ledger.post(session, [stray], await world.now())
    yield
    async with world.store.transaction() as session:
        await ledger.post(session, [reversal(stray)], await world.now())
