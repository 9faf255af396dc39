"""Units and money of a line over several cases: never more than was ordered or paid."""

from __future__ import annotations

import asyncio

from activities.contract import Judgement
from store.orders import get
from tests.steps.support import World, a_line, a_request, an_order, yuan


async def test_three_thirds_add_up_and_so_does_the_commission(world: World) -> None:
    await world.order(an_order(a_line(paid="100.00", quantity=3), tier=0))
    refunded, reversed_ = [], []
    for rma_id in ("r1", "r2", "r3"):
        judged = await world.judge(a_request(rma_id))
        await world.collect(judged.case)
        remedy = await world.settle(judged.case)
        await world.refund(judged.case, remedy.refunds)
        await world.end(judged.case)
        refunded.append(remedy.refunds[0].amount.minor)
        charge = (await world.entries("J23", rma_id))[0]
        reversed_ += [line.amount.minor for line in charge.lines if line.account.value == "P4000"]
    assert refunded == [3_333, 3_333, 3_334]
    assert reversed_ == [166, 167, 167]
    assert (await world.balances())["P4000"] == 0


async def test_a_lightning_grant_keeps_its_place_in_the_commission(world: World) -> None:
    """r1 is refunded first and charged last; what both reverse is the commission of the sale."""
    await world.order(an_order(a_line(paid="100.00", quantity=2)))
    first = (await world.judge(a_request("r1"))).case
    second = (await world.judge(a_request("r2"))).case
    assert (await world.collect(first)).lightning
    await world.collect(second)
    await world.settle(second)
    await world.settle(first)
    assert (await world.balances())["P4000"] == 0


async def test_the_last_fen_is_not_refunded_twice(world: World) -> None:
    """After r1 is withdrawn its place is free, but the third unit's odd fen was given out: never above the paid."""
    await world.order(an_order(a_line(paid="100.00", quantity=3), tier=0))
    opened = [(await world.judge(a_request(f"r{n}"))).case for n in (1, 2, 3)]
    await world.end(opened[0], "withdrawn")
    fourth = (await world.judge(a_request("r4"))).case
    for case in (opened[1], opened[2], fourth):
        await world.collect(case)
        await world.refund(case, (await world.settle(case)).refunds)
        await world.end(case)
    async with world.store.read() as session:
        bundle = await get(session, "o1")
    assert bundle is not None
    assert bundle.lines[0].refunded_minor == 10_000
    assert (await world.balances())["P1000"] == 0


async def test_units_of_a_withdrawn_case_come_back(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    assert (await world.judge(a_request("r2"))).outcome == "declined"
    await world.end(case, "withdrawn")
    assert (await world.judge(a_request("r3"))).outcome == "authorized"


async def test_a_line_left_behind_is_not_refunded_and_can_come_back_later(world: World) -> None:
    await world.order(an_order(a_line("l1", "100.00"), a_line("l2", "200.00")))
    case = (await world.judge(a_request(lines={"l1": 1, "l2": 1}))).case
    scanned = await world.collect(case, collected=("l1",))
    assert [part.amount for part in scanned.refunds] == [yuan("100.00")]
    await world.refund(case, scanned.refunds)
    await world.settle(case)
    await world.end(case)
    assert (await world.judge(a_request("r2", lines={"l2": 1}))).outcome == "authorized"


async def test_opened_at_once_a_line_never_returns_more_than_was_ordered(worlds: tuple[World, World]) -> None:
    """Twelve requests for a line of three, from two workers at once."""
    await worlds[0].order(an_order(a_line(paid="100.00", quantity=3)))
    requests = [a_request(f"r{n}") for n in range(12)]
    opened: list[Judgement] = await asyncio.gather(
        *(worlds[n % 2].judge(request) for n, request in enumerate(requests))
    )
    assert sorted(one.outcome for one in opened) == ["authorized"] * 3 + ["declined"] * 9
    assert sum(one.refundable.minor for one in opened) == 10_000


async def test_one_case_opened_twice_at_once_is_one_case(worlds: tuple[World, World]) -> None:
    await worlds[0].order()
    first, second = await asyncio.gather(worlds[0].judge(), worlds[1].judge())
    assert first == second
    assert first.outcome == "authorized"


async def test_scanned_twice_at_once_is_one_grant(worlds: tuple[World, World]) -> None:
    await worlds[0].order()
    case = (await worlds[0].judge()).case
    argument = worlds[0].scan_of(case, await worlds[0].book())
    both = await asyncio.gather(*(world.run(world.steps.record_pickup, argument) for world in worlds))
    assert both[0] == both[1]
    assert await worlds[0].templates() == ["J20"]


async def test_two_cases_at_once_share_one_credit_line(worlds: tuple[World, World]) -> None:
    """1200.00 of credit, two coats of 1200.00 in two orders: one is refunded by lightning, the other waits."""
    for number in (1, 2):
        await worlds[0].order(an_order(order_id=f"o{number}", limit="1200.00"))
    cases = [(await worlds[0].judge(a_request(f"r{n}", order_id=f"o{n}"))).case for n in (1, 2)]
    scans = [worlds[0].scan_of(case, await worlds[0].book(case.rma_id)) for case in cases]
    done = await asyncio.gather(
        *(world.run(world.steps.record_pickup, scan) for world, scan in zip(worlds, scans, strict=True))
    )
    assert sorted(one.lightning for one in done) == [False, True]
    assert next(one.reasons for one in done if not one.lightning) == ("credit_too_low",)
