"""Corrections are opened once an event; unclaimed money is kept, taken and paid once; cursors never move back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.client import Backhaul
from backhaul.corrections import CorrectionEvent, CorrectionKind, bounce_event
from backhaul.errors import BackhaulError, Refusal, Transient
from backhaul.messages import PaymentNews
from backhaul.money import Money
from store import cases, corrections, cursors, effects, unclaimed
from store.effects import Intent
from store.engine import Store
from store.tables import CorrectionRow
from tests.store.support import AT, key_of, open_case, yuan
from worker.corrections import tell_payment


async def code(doing: Any) -> str:
    with pytest.raises(BackhaulError) as error:
        await doing
    return error.value.code


def event(name: str = "bounced:k1") -> CorrectionEvent:
    return CorrectionEvent(event_id=name, occurred_at=AT, payment_key="k1")


async def closed_case(store: Store) -> str:
    case = await open_case(store)
    async with store.transaction() as session:
        await cases.close(session, key_of(case), "refunded", AT)
    return key_of(case)


def test_a_bounce_has_one_name() -> None:
    assert bounce_event("m1:r1:refund.p:1") == "bounced:m1:r1:refund.p:1"


async def test_an_open_case_is_not_corrected(store: Store) -> None:
    case = await open_case(store)
    async with store.transaction() as session:
        opening = corrections.open_for(session, key_of(case), CorrectionKind.REFUND_BOUNCED, event(), AT)
        assert await code(opening) == "return_open"
        missing = corrections.open_for(session, "m1/none", CorrectionKind.REFUND_BOUNCED, event(), AT)
        assert await code(missing) == "not_found"


async def test_the_same_event_opens_one_whoever_tells(stores: tuple[Store, Store]) -> None:
    """A webhook and the statement at once: one correction, one number."""
    key = await closed_case(stores[0])

    async def tell(store: Store, name: str) -> CorrectionRow:
        async def work(session: AsyncSession) -> CorrectionRow:
            return await corrections.open_for(session, key, CorrectionKind.REFUND_BOUNCED, event(name), AT)

        return await store.run(work)

    rows = await asyncio.gather(*(tell(store, name) for store in stores for name in ("bounced:a", "bounced:b") * 2))
    assert {row.n for row in rows} == {1, 2}
    assert len({(row.n, row.event_id) for row in rows}) == 2
    async with stores[0].read() as session:
        kept = await corrections.of_case(session, key)
    assert [row.n for row in kept] == [1, 2]
    assert {row.workflow_id for row in kept} == {f"correction:m1:r1:{n}" for n in (1, 2)}


async def test_an_event_is_of_one_case_and_kind(store: Store) -> None:
    key = await closed_case(store)
    async with store.transaction() as session:
        await corrections.open_for(session, key, CorrectionKind.REFUND_BOUNCED, event(), AT)
        other = corrections.open_for(session, key, CorrectionKind.APPEAL, event(), AT)
        assert await code(other) == "event_conflict"


async def test_the_first_close_stays(store: Store) -> None:
    key = await closed_case(store)
    async with store.transaction() as session:
        await corrections.open_for(session, key, CorrectionKind.REFUND_BOUNCED, event(), AT)
        assert [row.n for row in await corrections.open_ones(session, AT.replace(year=2100))] == [1]
        for outcome in ("paid_otherwise", "unclaimed"):
            await corrections.close(session, key, 1, outcome, AT)
        row = await corrections.need(session, key, 1)
        assert (row.state, row.outcome) == (corrections.CLOSED, "paid_otherwise")
        assert await corrections.open_ones(session, AT.replace(year=2100)) == ()
        assert await code(corrections.need(session, key, 2)) == "not_found"


async def test_unclaimed_money_is_one_corrections_at_a_time(store: Store) -> None:
    case = await open_case(store)
    key = key_of(case)
    async with store.transaction() as session:
        await unclaimed.keep(session, case, "k0", Money(minor=0), AT)
        for _ in range(2):
            await unclaimed.keep(session, case, "k1", yuan("12.00"), AT)
        assert [row.key for row in await unclaimed.of_case(session, key)] == ["k1"]
        assert await code(unclaimed.paid(session, "k1", AT)) == "invariant_broken"
        assert [row.key for row in await unclaimed.take(session, key, 1)] == ["k1"]
        assert [row.key for row in await unclaimed.take(session, key, 1)] == ["k1"]
        assert await unclaimed.take(session, key, 2) == ()
        await unclaimed.leave(session, "k1", 2)
        assert await unclaimed.take(session, key, 2) == ()
        await unclaimed.leave(session, "k1", 1)
        assert [row.key for row in await unclaimed.take(session, key, 2)] == ["k1"]
        await unclaimed.paid(session, "k1", AT)
        await unclaimed.leave(session, "k1", 2)
        assert await unclaimed.take(session, key, 3) == ()


async def test_a_cursor_never_moves_back(store: Store) -> None:
    async with store.transaction() as session:
        assert await cursors.at(session, "psp", "bounces") == 0
        for seq in (5, 3, 9, 9):
            await cursors.move(session, "psp", "bounces", seq)
    async with store.read() as session:
        assert await cursors.at(session, "psp", "bounces") == 9
        assert await cursors.at(session, "psp", "else") == 0


async def test_news_of_a_payment_that_a_full_case_refuses_is_tried_again(store: Store) -> None:
    await open_case(store)
    key = "m1:r1:refund.o1-p1:1"
    async with store.transaction() as session:
        intent = Intent(key, "refund", "psp", yuan("1.00"), "c1", timedelta(days=30), case_key="m1/r1")
        await effects.begin(session, intent, AT)

    class Full:
        async def report(self, *_: object) -> None:
            raise Refusal("too_many_messages")

    with pytest.raises(Transient):
        await tell_payment(store, cast(Backhaul, Full()), key, PaymentNews.SETTLED, AT, AT)
