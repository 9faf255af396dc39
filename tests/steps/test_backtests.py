"""What was known of a case is read back from the store, decided again, and nothing is changed by it."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import DBAPIError

from backhaul.backtests import Known
from backhaul.errors import Refusal
from backhaul.facts import Reason
from backhaul.policy.backtest import Books, Story, compare, redecide
from store import backtests
from store.backtests import Wanted
from store.engine import Store
from store.tables import MerchantRow, metadata
from tests.steps.support import AT, LIBRARY, World, a_line, a_request, an_order, found, yuan
from tests.unit.policy.build import book_with


async def content(store: Store) -> str:
    """Digest of every row of every table."""
    digest = hashlib.sha256()
    async with store.read() as session:
        connection = await session.connection()
        for table in metadata.sorted_tables:
            rows = sorted(repr(tuple(row)) for row in await connection.execute(select(table)))
            digest.update(f"{table.name} {len(rows)} {rows}".encode())
    return digest.hexdigest()


async def stories(store: Store, wanted: Wanted | None = None) -> tuple[Story, ...]:
    async with store.look() as session:
        return (await backtests.stories(session, wanted or Wanted())).stories


def own(story: Story) -> Books:
    books = Books.own(story, LIBRARY)
    assert books is not None
    return books


async def write(store: Store) -> None:
    async with store.look() as session:
        session.add(MerchantRow(merchant_id="m9", commission_bps=0, updated_at=AT))
        await session.flush()


async def straight(world: World, rma_id: str = "r1", order_id: str = "o1") -> None:
    """By lightning, confirmed, closed."""
    case = (await world.judge(a_request(rma_id, order_id=order_id))).case
    scanned = await world.collect(case)
    await world.refund(case, scanned.refunds)
    assert scanned.freight is not None
    await world.claim_freight(case, scanned.freight)
    await world.settle(case)
    await world.end(case)


async def damaged(world: World) -> None:
    """Damaged at the door, indemnified, closed."""
    case = (await world.judge()).case
    scanned = await world.collect(case, found())
    assert scanned.freight is not None
    await world.claim_freight(case, scanned.freight)
    assessed = await world.assess(case, found())
    assert assessed.indemnity is not None
    await world.indemnify(case, assessed.indemnity)
    remedy = await world.settle(case)
    await world.refund(case, remedy.refunds)
    await world.end(case)


async def test_a_case_is_read_back_and_comes_to_the_same(world: World) -> None:
    await world.order()
    await damaged(world)
    (story,) = await stories(world.store)
    again = redecide(story, own(story))
    assert (again.refund, again.indemnity, again.charged) == (yuan("840.00"), yuan("360.00"), yuan("1200.00"))
    assert (again.freight_insurer, again.known) == (yuan("14.00"), Known.KNOWN)
    case = compare(story, own(story), Books.all_by(book_with("rdv", deductible=yuan("60.00"))))
    assert (case.rules, case.after.indemnity) == (("4.3.deductible",), yuan("300.00"))


async def test_reading_changes_nothing_and_may_change_nothing(world: World) -> None:
    await world.order()
    await straight(world)
    before = await content(world.store)
    (story,) = await stories(world.store)
    for version in LIBRARY.versions:
        compare(story, own(story), Books.all_by(LIBRARY.by_version(version)))
    assert await content(world.store) == before
    with pytest.raises(DBAPIError):
        await write(world.store)
    assert await content(world.store) == before
    await world.order(an_order(order_id="o2"))  # writing goes on afterwards
    assert await content(world.store) != before


async def test_a_shared_waybill_is_shared_out_again(world: World) -> None:
    """Two cases of one order on one visit, 1.5 kg each: 12.00 + 2 x 2.00 = 16.00, 8.00 each."""
    await world.order(an_order(a_line("l1"), a_line("l2")))
    one = (await world.judge(a_request("r1", lines={"l1": 1}))).case
    two = (await world.judge(a_request("r2", lines={"l2": 1}))).case
    pickup = await world.book("r1")
    assert await world.book("r2") == pickup
    for case, line in ((one, "l1"), (two, "l2")):
        scan = world.scan_of(case, pickup, collected=(line,))
        taken = ("m1/r1/l1", "m1/r2/l2")
        scan = scan.model_copy(update={"report": scan.report.model_copy(update={"taken": taken})})
        scanned = await world.run(world.steps.record_pickup, scan)
        await world.refund(case, scanned.refunds)
        assert scanned.freight is not None
        await world.claim_freight(case, scanned.freight)
        await world.settle(case)
        await world.end(case)
    told = await stories(world.store)
    assert [redecide(story, own(story)).freight_insurer for story in told] == [yuan("8.00"), yuan("8.00")]
    alone = await stories(world.store, Wanted(rma_id="r2"))
    assert redecide(alone[0], own(alone[0])).freight_insurer == yuan("8.00")
    light = Books.all_by(book_with("freight", first_g=3000))
    assert [redecide(story, light).freight_insurer for story in told] == [yuan("6.00"), yuan("6.00")]


async def test_filters_and_pages(world: World) -> None:
    for n in range(1, 6):
        await world.order(an_order(order_id=f"o{n}"))
        await world.judge(a_request(f"r{n}", order_id=f"o{n}", reason=Reason.QUALITY if n == 3 else Reason.NO_REASON))
    assert [one.rma_id for one in await stories(world.store, Wanted(reason="quality"))] == ["r3"]
    assert [one.rma_id for one in await stories(world.store, Wanted(order_id="o4", merchant_id="m1"))] == ["r4"]
    assert await stories(world.store, Wanted(merchant_id="m2")) == ()
    assert await stories(world.store, Wanted(outcome="refunded")) == ()
    assert await stories(world.store, Wanted(until=AT)) == ()
    assert len(await stories(world.store, Wanted(since=AT, until=AT + timedelta(seconds=1)))) == 5
    names: list[str] = []
    after: str | None = None
    async with world.store.look() as session:
        while True:
            page = await backtests.stories(session, Wanted(), after, 2)
            names += [one.rma_id for one in page.stories]
            after = page.next
            if after is None:
                break
        with pytest.raises(Refusal) as refusal:
            await backtests.stories(session, Wanted(), "x")
    assert names == ["r1", "r2", "r3", "r4", "r5"]
    assert refusal.value.code == "invalid_input"
    assert {redecide(one, own(one)).why for one in await stories(world.store)} == {"open"}


async def test_two_hundred_cases_take_as_many_queries_as_one(sqlite_world: World) -> None:
    """No query a case."""
    for n in range(1, 4):
        await sqlite_world.order(an_order(order_id=f"o{n}"))
        await straight(sqlite_world, f"r{n}", f"o{n}")
    counts = [await queries(sqlite_world.store, limit) for limit in (1, 3)]
    assert counts[0] == counts[1]


async def queries(store: Store, limit: int) -> int:
    seen: list[str] = []

    def count(_c: object, _cursor: object, statement: str, *_: object) -> None:
        seen.extend([statement] if statement.startswith("SELECT") else [])

    event.listen(store.engine.sync_engine, "before_cursor_execute", count)
    try:
        async with store.look() as session:
            await backtests.stories(session, Wanted(), None, limit)
    finally:
        event.remove(store.engine.sync_engine, "before_cursor_execute", count)
    return len(seen)
