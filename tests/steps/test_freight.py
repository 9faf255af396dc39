"""Freight: shared to the fen, cover used in order of rma_id, self-ship, and what is above the cap."""

from __future__ import annotations

from datetime import timedelta

import pytest

from activities.contract import Collected, RecordWaybill
from backhaul.facts import Method, Reason
from backhaul.ids import account_key
from backhaul.ledger import CaseRef, alternate_payout
from backhaul.messages import ProvideWaybill
from store import claims, consumer_money, pickups
from tests.steps.support import World, a_line, a_request, an_order, claim_of, refused, yuan

THREE = (
    a_line("l1", "100.00", weight_g=1_000),
    a_line("l2", "200.00", weight_g=1_000),
    a_line("l3", "300.00", weight_g=1_000),
    a_line("l4", "400.00", weight_g=9_000),
)


async def open_three(world: World) -> dict[str, CaseRef]:
    """r1 to r3 with a kilogram each, r4 with nine; all on one pickup, which r4 leaves before the scan."""
    refs = {}
    for n in range(1, 5):
        refs[f"r{n}"] = (await world.judge(a_request(f"r{n}", lines={f"l{n}": 1}))).case
        pickup_id = await world.book(f"r{n}")
    async with world.store.transaction() as session:
        await pickups.leave(session, pickup_id, "m1/r4")
    return refs


async def scan_all(world: World, refs: dict[str, CaseRef], order: tuple[str, ...]) -> dict[str, Collected]:
    scanned = {}
    for rma_id in order:
        pickup_id = await world.book(rma_id)
        argument = world.scan_of(refs[rma_id], pickup_id, collected=(f"l{rma_id[1]}",))
        scanned[rma_id] = await world.run(world.steps.record_pickup, argument)
    return scanned


@pytest.mark.parametrize("order", [("r1", "r2", "r3"), ("r3", "r1", "r2")])
async def test_three_cases_share_one_waybill(world: World, order: tuple[str, ...]) -> None:
    """3 kg: 12.00 + 2 x 2.00 = 16.00; 5.34 + 5.33 + 5.33, whoever reports first; the one that left pays nothing."""
    await world.order(an_order(*THREE))
    refs = await open_three(world)
    scanned = await scan_all(world, refs, order)
    assert [scanned[f"r{n}"].freight_share.minor for n in (1, 2, 3)] == [534, 533, 533]
    for rma_id, one in scanned.items():
        assert one.freight is not None
        assert one.freight.amount == one.freight_share
        await world.claim_freight(refs[rma_id], one.freight)
    assert (await world.balances())["I5000"] == 1_600
    assert "J14" not in await world.templates("r2")


@pytest.mark.parametrize("order", [("r1", "r2", "r3"), ("r3", "r2", "r1")])
async def test_cover_is_used_in_order_of_rma_id(world: World, order: tuple[str, ...]) -> None:
    """8.00 of cover for 16.00: r1 has all of its share, r2 what is left, r3 nothing; the consumer bears the rest."""
    await world.order(an_order(*THREE, rfi="8.00"))
    refs = await open_three(world)
    scanned = await scan_all(world, refs, order)
    assert [one.freight and one.freight.amount.minor for one in (scanned[f"r{n}"] for n in (1, 2, 3))] == [
        534,
        266,
        None,
    ]
    books = await world.balances()
    assert (books["P1110"], books["P1010"], books["P2020"]) == (800, -96 - 800, 0)
    assert [len(await world.entries("J15", rma_id)) for rma_id in ("r1", "r2", "r3")] == [0, 1, 1]


async def test_above_the_cap_the_merchants_reason_is_the_merchants(world: World) -> None:
    await world.order(an_order(rfi="5.00"))
    case = (await world.judge(a_request(reason=Reason.WRONG_ITEM))).case
    await world.collect(case)
    assert [line.account.value for line in (await world.entries("J14"))[0].lines] == ["P2000", "P2020"]
    assert (await world.balances())["P2000"] == -114_000 + 36 + 900


async def test_the_consumers_freight_is_taken_from_the_refund(world: World) -> None:
    """No cover, the consumer's reason: J14 on the consumer, J56 from the ordinary refund."""
    await world.order(an_order(rfi=None, rdv=None, tier=0))
    case = (await world.judge()).case
    await world.collect(case)
    remedy = await world.settle(case)
    assert [part.amount for part in remedy.refunds] == [yuan("1186.00")]
    await world.refund(case, remedy.refunds)
    await world.end(case)
    assert await world.templates() == ["J14", "J15", "J23", "J56", "J21"]
    assert (await world.balances())["P1110"] == 0


async def test_after_lightning_the_freight_stays_owed(world: World) -> None:
    await world.order(an_order(rfi=None, rdv=None))
    case = (await world.judge()).case
    scanned = await world.collect(case)
    await world.refund(case, scanned.refunds)
    await world.settle(case)
    await world.end(case)
    assert (await world.balances())["P1110"] == 1_400


# ---- self-ship -------------------------------------------------------------------------------------------------------


async def test_self_ship_pays_what_is_proven_up_to_the_table(world: World) -> None:
    await world.order()
    case = (await world.judge(a_request(method=Method.SELF_SHIP))).case
    scanned = await world.self_ship(case, "8.00")
    assert scanned.lightning
    assert scanned.freight is not None
    assert (scanned.freight.amount, scanned.freight.payee) == (yuan("8.00"), "consumer:c1")
    await world.claim_freight(case, scanned.freight)
    assert "J13" in await world.templates()


async def test_self_ship_without_proof_pays_nothing(world: World) -> None:
    await world.order()
    case = (await world.judge(a_request(method=Method.SELF_SHIP))).case
    scanned = await world.self_ship(case)
    assert (scanned.freight, scanned.freight_share) == (None, yuan("0.00"))


async def test_self_ship_rest_by_the_merchants_reason_goes_with_the_refund(world: World) -> None:
    """18.00 proven, 14.00 by the tariff, 10.00 insured: J16 of 4.00, the last 4.00 are the sender's own. One of two
    units comes back, so the payment has room for it."""
    await world.order(an_order(a_line(quantity=2), tier=0))
    case = (await world.judge(a_request(method=Method.SELF_SHIP, reason=Reason.WRONG_ITEM))).case
    scanned = await world.self_ship(case, "18.00")
    assert scanned.freight is not None
    assert scanned.freight.amount == yuan("10.00")
    remedy = await world.settle(case)
    assert [line.amount for line in (await world.entries("J16"))[0].lines] == [yuan("4.00")] * 2
    assert [part.amount for part in remedy.refunds] == [yuan("604.00")]
    await world.refund(case, remedy.refunds)
    await world.end(case)
    assert (await world.balances())["P2010"] == 0


@pytest.mark.parametrize("tier", [3, 0])
async def test_freight_that_no_payment_can_take_is_paid_to_the_account(world: World, tier: int) -> None:
    """The whole order comes back, by lightning or not: a payment takes no more than it brought, and the freight is
    owed to the consumer's account. Nothing becomes unclaimed of itself."""
    await world.order(an_order(tier=tier))
    case = (await world.judge(a_request(method=Method.SELF_SHIP, reason=Reason.WRONG_ITEM))).case
    scanned = await world.self_ship(case, "18.00")
    await world.refund(case, scanned.refunds)
    remedy = await world.settle(case)
    await world.refund(case, remedy.refunds)
    assert [part.amount for part in (*scanned.refunds, *remedy.refunds)] == [yuan("1200.00")]
    assert bool(scanned.repayments) is (tier == 3)
    (owed,) = (*scanned.repayments, *remedy.repayments)
    assert (owed.key, owed.amount) == ("m1:r1:owed.self_ship_freight:1", yuan("4.00"))
    books = await world.balances()
    assert (books["P2010"], books.get("P2060", 0)) == (-400, 0)
    async with world.store.read() as session:
        assert await consumer_money.owed_besides(session, "m1/r1", owed.key) == yuan("4.00")
        assert await consumer_money.owed_besides(session, "m1/r1", "m1:r1:refund.freight:1") is None
    await world.post(alternate_payout(case, owed.amount, key=account_key(owed.key)))
    await world.end(case)
    assert (await world.balances())["P2010"] == 0


async def test_self_shipping_without_cover_earns_nothing(world: World) -> None:
    """The merchant's reason, no cover, a receipt of 80.00: the merchant pays the 14.00 of a pickup and no more."""
    await world.order(an_order(a_line(quantity=2), rfi=None, rdv=None, tier=0))
    case = (await world.judge(a_request(method=Method.SELF_SHIP, reason=Reason.WRONG_ITEM))).case
    scanned = await world.self_ship(case, "80.00")
    assert scanned.freight is None
    assert [line.amount for line in (await world.entries("J16"))[0].lines] == [yuan("14.00")] * 2
    assert "freight_above_tariff" in scanned.verdicts[0].reasons


async def test_goods_that_stayed_at_the_door_bear_no_freight(world: World) -> None:
    """r1 and r2 on one visit; the courier names r1's goods only: the whole 14.00 of 1.5 kg is r1's. Before, r2 had a
    half of a freight of 16.00 that nobody invoiced. What r2 sends itself later is not held up by it."""
    await world.order(an_order(a_line("l1", "100.00"), a_line("l2", "200.00")))
    first = (await world.judge(a_request("r1", lines={"l1": 1}))).case
    second = (await world.judge(a_request("r2", lines={"l2": 1}))).case
    pickup_id = await world.book("r1")
    await world.book("r2")
    scan = world.scan_of(first, pickup_id, collected=("l1",))
    scan = scan.model_copy(update={"report": scan.report.model_copy(update={"taken": ("m1/r1/l1",)})})
    scanned = await world.run(world.steps.record_pickup, scan)
    assert scanned.freight_share == yuan("14.00")
    async with world.store.read() as session:
        states = {row.case_key: (row.state, row.share_minor) for row in await pickups.members(session, pickup_id)}
        assert await claims.of_case(session, "m1/r2") == ()
    assert states == {"m1/r1": ("collected", 1_400), "m1/r2": ("joined", None)}
    assert (await world.self_ship(second, "9.00")).freight_share == yuan("9.00")


@pytest.mark.parametrize("order", [("r1", "r2"), ("r2", "r1")])
async def test_who_left_but_was_taken_bears_freight(world: World, order: tuple[str, str]) -> None:
    """r2 left the visit and its goods went all the same: 3 kg, 16.00, 8.00 each, whoever is recorded first."""
    await world.order(an_order(a_line("l1", "100.00"), a_line("l2", "200.00")))
    refs = {f"r{n}": (await world.judge(a_request(f"r{n}", lines={f"l{n}": 1}))).case for n in (1, 2)}
    pickup_id = await world.book("r1")
    await world.book("r2")
    async with world.store.transaction() as session:
        await pickups.leave(session, pickup_id, "m1/r2")
    shares = {}
    for rma_id in order:
        scan = world.scan_of(refs[rma_id], pickup_id, collected=(f"l{rma_id[1]}",))
        taken = {"taken": ("m1/r1/l1", "m1/r2/l2", "m1/stranger/l9")}
        scan = scan.model_copy(update={"report": scan.report.model_copy(update=taken)})
        shares[rma_id] = (await world.run(world.steps.record_pickup, scan)).freight_share.minor
    assert shares == {"r1": 800, "r2": 800}


async def test_a_late_scan_is_of_its_own_visit(world: World) -> None:
    """The case waits for its second visit when the first one's scan comes in: the freight is the first pickup's."""
    await world.order()
    case = (await world.judge()).case
    first = await world.book()
    second = await world.book(n=2, slot=timedelta(days=1))
    assert first != second
    scan = world.scan_of(case, first)
    await world.run(world.steps.record_pickup, scan.model_copy(update={"pickup_id": second}))
    async with world.store.read() as session:
        rows = [await pickups.need(session, one) for one in (first, second)]
    assert [(row.state, row.freight_minor) for row in rows] == [("collected", 1_400), ("booked", None)]


async def test_a_waybill_is_of_one_case(world: World) -> None:
    await world.order(an_order(a_line(quantity=2)))
    first = (await world.judge(a_request("r1", method=Method.SELF_SHIP))).case
    second = (await world.judge(a_request("r2", method=Method.SELF_SHIP))).case
    await world.self_ship(first)
    argument = RecordWaybill(case=second, waybill=ProvideWaybill(waybill="sf1"))
    assert await refused(world.run(world.steps.record_waybill, argument)) == "effect_conflict"


async def test_a_cancelled_waybill_rebinds_its_claim_to_the_parcel_sent(world: World) -> None:
    """r2's share was planned when r1 was scanned, but r2's goods were not taken and were sent later."""
    await world.order(an_order(a_line("l1", "100.00"), a_line("l2", "200.00"), rfi="14.00"))
    first = (await world.judge(a_request("r1", lines={"l1": 1}))).case
    second = (await world.judge(a_request("r2", lines={"l2": 1}))).case
    pickup_id = await world.book("r1")
    await world.book("r2")
    await world.run(world.steps.record_pickup, world.scan_of(first, pickup_id, collected=("l1",)))
    sent = await world.self_ship(second, "9.00")
    assert sent.freight is not None
    assert (sent.freight.claim_ref, sent.freight.amount) == (claim_of("r2", "freight", 2), yuan("6.00"))
    async with world.store.read() as session:
        rows = await claims.of_case(session, "m1/r2")
    assert [(row.claim_ref, row.state) for row in rows] == [
        (claim_of("r2", "freight", 1), "denied"),
        (claim_of("r2", "freight", 2), "planned"),
    ]
