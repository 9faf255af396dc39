"""The straight paths to the fen: lightning, ordinary, the coat of the worked example."""

from __future__ import annotations

import asyncio

from backhaul.facts import Liable
from tests.steps.support import World, a_line, a_request, an_order, claim_of, found, refused, yuan

COAT = 120_000


async def test_lightning_refund_then_accepted(world: World) -> None:
    await world.order()
    judged = await world.judge()
    assert judged.outcome == "authorized"
    assert (judged.refundable, judged.paid) == (yuan("1200.00"), yuan("1200.00"))
    scanned = await world.collect(judged.case)
    assert scanned.lightning
    assert [(part.payment_key, part.amount) for part in scanned.refunds] == [("m1:r1:refund.o1-p1:1", yuan("1200.00"))]
    assert scanned.freight is not None
    assert (scanned.freight_share, scanned.freight.amount) == (yuan("14.00"), yuan("14.00"))
    assert (scanned.freight.claim_ref, scanned.freight.payee) == (
        claim_of("r1", "freight", 1),
        "courier:sandbox",
    )
    await world.refund(judged.case, scanned.refunds)
    await world.claim_freight(judged.case, scanned.freight)
    remedy = await world.settle(judged.case, "receipt_silence")
    assert (remedy.liable, remedy.refunds, remedy.indemnity) == (Liable.NOBODY, (), None)
    await world.end(judged.case)
    assert await world.templates() == ["J20", "J21", "J10", "J11", "J12", "J22"]
    books = await world.balances()
    assert (books["P1130"], books["P2010"]) == (0, 0)
    assert books["P2000"] == 36  # the merchant is left with the premium only
    assert books["P4000"] == 0


async def test_ordinary_refund(world: World) -> None:
    await world.order(an_order(tier=0))
    judged = await world.judge()
    scanned = await world.collect(judged.case)
    assert not scanned.lightning
    assert "tier_too_low" in scanned.reasons
    remedy = await world.settle(judged.case)
    assert [part.amount for part in remedy.refunds] == [yuan("1200.00")]
    await world.refund(judged.case, remedy.refunds)
    assert scanned.freight is not None
    await world.claim_freight(judged.case, scanned.freight)
    await world.end(judged.case)
    assert await world.templates() == ["J23", "J21", "J10", "J11", "J12"]
    assert (await world.balances())["P1000"] == 0


async def test_the_coat_damaged_at_the_door(world: World) -> None:
    """Domain 6: the consumer gets 840.00, the merchant is charged 1200.00 and paid 360.00, the insurer nets 0."""
    await world.order()
    case = (await world.judge()).case
    scanned = await world.collect(case, found())
    assert not scanned.lightning
    assert scanned.reasons == ("doorstep_not_passed",)
    assessed = await world.assess(case, found())
    assert (assessed.liable, assessed.loss) == (Liable.CONSUMER, yuan("360.00"))
    plan = assessed.indemnity
    assert plan is not None
    assert (plan.amount, plan.payee, plan.approval_needed) == (yuan("360.00"), "m1", False)
    assert (plan.claim_ref, plan.advance_key) == (
        claim_of("r1", "loss", 1),
        f"m1:r1:advance.{plan.claim_ref}:1",
    )
    await world.indemnify(case, plan)
    remedy = await world.settle(case)
    assert [part.amount for part in remedy.refunds] == [yuan("840.00")]
    assert remedy.withheld == yuan("360.00")
    assert remedy.indemnity is None
    assert remedy.recovery is not None
    assert (remedy.recovery.amount, remedy.recovery.withheld) == (yuan("360.00"), True)
    await world.refund(case, remedy.refunds)
    await world.remit(case, remedy.recovery.claim_ref, remedy.recovery.amount)
    assert scanned.freight is not None
    await world.claim_freight(case, scanned.freight)
    await world.end(case)
    books = await world.balances()
    assert books["P1000"] == 120_000 - 84_000
    assert books["I1000"] == 96 - 1_400  # premium and freight; the loss nets to nothing
    assert (books["P2040"], books["P1120"], books["I1200"], books["I2200"]) == (0, 0, 0, 0)
    assert (books["P2000"], books["P4000"]) == (36, 0)


async def test_repeats_answer_the_same_and_post_nothing(world: World) -> None:
    await world.order()
    first = await world.judge()
    assert await world.judge() == first
    case = first.case
    pickup_id = await world.book()
    argument = world.scan_of(case, pickup_id)
    scanned = await world.run(world.steps.record_pickup, argument)
    assert await world.run(world.steps.record_pickup, argument) == scanned
    remedy = await world.settle(case)
    assert await world.settle(case) == remedy
    assert await world.settle(case, "receipt_silence") == remedy  # a case that is carried on may ask with another event
    await world.refund(case, scanned.refunds)
    await world.end(case)
    await world.end(case)
    assert await world.templates() == ["J20", "J22", "J21"]


async def test_what_cannot_be_opened(world: World) -> None:
    assert await refused(world.judge()) == "order_unknown"
    await world.order()
    assert await refused(world.judge(a_request(lines={"l9": 1}))) == "line_unknown"
    assert (await world.judge()).outcome == "authorized"
    assert await refused(world.judge(a_request(lines={"l1": 2}))) == "return_conflict"
    second = await world.judge(a_request("r2"))
    assert (second.outcome, second.reasons) == ("declined", ("quantity_over_ordered",))


async def test_two_payments_are_refunded_in_their_order(world: World) -> None:
    await world.order(an_order(a_line(), payments=("1000.00", "200.00")))
    case = (await world.judge()).case
    scanned = await world.collect(case)
    assert [(part.payment_id, part.amount.minor) for part in scanned.refunds] == [("o1-p1", 100_000), ("o1-p2", 20_000)]


async def test_a_step_that_is_cancelled_happens_whole_or_not_at_all(world: World) -> None:
    """A local activity is cancelled when it takes too long, in any statement; the store must stay usable."""
    await world.order(an_order(a_line(quantity=40)))
    for number in range(20):
        asking = asyncio.create_task(world.judge(a_request(f"r{number}")))
        await asyncio.sleep(number * 0.001)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        again = await world.judge(a_request(f"r{number}"))
        assert again.outcome == "authorized"
