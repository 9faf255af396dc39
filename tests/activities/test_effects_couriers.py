"""Pickups that cases share, races with the courier, events, and what a carrier owes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta, timezone
from typing import Any

import pytest

from activities.contract import (
    BookPickup,
    CheckDemand,
    ClaimIndemnity,
    CourierEvents,
    DemandRecovery,
    DemandState,
    FetchEvents,
    LeavePickup,
    Left,
    ReturnGoods,
)
from backhaul.ledger import CaseRef
from backhaul.messages import PickupOutcome, TrackingStatus
from backhaul.money import Money
from store import claims, pickups
from tests.activities.effects_kit import AT, DATABASES, PATIENCE, Kit, code_of, key_of, kit_on, loss_of, recovery_of
from tests.gateways.outside import HOLD_MS


@pytest.fixture(scope="module", params=DATABASES)
async def kit_(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    async with kit_on(request, tmp_path_factory.mktemp("couriers")) as made:
        yield made


@pytest.fixture
async def k(kit_: Kit) -> AsyncIterator[Kit]:
    yield kit_
    for party in kit_.world.servers:
        await kit_.world.faults(party)


def visit(case: CaseRef, n: int = 1, courier: str = "sandbox", **changes: Any) -> BookPickup:
    asked = BookPickup(
        case=case,
        address_ref="a1",
        zone="default",
        slot_start=AT + timedelta(hours=1),
        slot_end=AT + timedelta(hours=3),
        courier=courier,
        n=n,
        patience=PATIENCE,
    )
    return asked.model_copy(update=changes)


async def held(k: Kit, rma: str, order: str = "") -> CaseRef:
    """A case whose courier does not come by itself."""
    case = await k.case(rma, order)
    await k.world.script("courier", key_of(case), hold=True)
    return case


async def collected(k: Kit, rma: str, **script: Any) -> tuple[CaseRef, FetchEvents, str]:
    """A case whose goods are with the courier: how to ask for its events, and its pickup."""
    case = await k.case(rma)
    await k.world.script("courier", key_of(case), **({"visits": [{"after_ms": 0}], "tracking": []} | script))
    booked = await k.run(k.couriers.book_pickup, visit(case))
    ask = FetchEvents(case=case, courier=booked.courier, waybill=booked.waybill)
    async with asyncio.timeout(60):
        while not (await k.run(k.couriers.fetch_events, ask)).pickups:
            await asyncio.sleep(0.02)
    return case, ask, booked.pickup_id


async def refs(k: Kit, pickup_id: str) -> set[str]:
    """The items that the courier has for a pickup, from its own book."""
    async with k.store.read() as session:
        pickup = await pickups.need(session, pickup_id)
    url = f"{k.world.servers['courier'].url}/v1/bookings/{pickup.booking_id}"
    answer = await k.world.http.get(url, headers={"Authorization": "Bearer token"})
    body = answer.json()
    return set() if body["state"] == "cancelled" else set(body["refs"])


async def test_cases_of_one_order_share_a_visit(k: Kit) -> None:
    one = await held(k, "share1")
    two = await held(k, "share2", one.order_id)
    first = await k.run(k.couriers.book_pickup, visit(one))
    second = await k.run(k.couriers.book_pickup, visit(two))
    assert (first.pickup_id, first.waybill) == (second.pickup_id, second.waybill)
    assert await k.run(k.couriers.book_pickup, visit(one)) == first
    assert await k.run(k.couriers.book_pickup, visit(two)) == second
    assert await refs(k, first.pickup_id) == {"m1/share1/l1", "m1/share2/l1"}


async def test_cases_that_book_at_the_same_time_share_a_visit(k: Kit) -> None:
    one = await held(k, "crowd1")
    cases = [one, *[await held(k, f"crowd{n}", one.order_id) for n in (2, 3)]]
    booked = await asyncio.gather(*(k.run(k.couriers.book_pickup, visit(case)) for case in cases))
    assert len({each.waybill for each in booked}) == 1
    assert await refs(k, booked[0].pickup_id) == {f"{key_of(case)}/l1" for case in cases}


@pytest.mark.parametrize(
    "fault", [{"kind": "unavailable_before"}, {"kind": "error_after"}, {"kind": "timeout_after", "ms": HOLD_MS}]
)
@pytest.mark.parametrize("route", ["POST /v1/bookings", "POST /v1/bookings/*/items"])
async def test_trouble_ends_in_one_booking(k: Kit, route: str, fault: dict[str, Any]) -> None:
    name = f"{fault['kind']}.{len(route)}"
    one = await held(k, f"{name}.1")
    two = await held(k, f"{name}.2", one.order_id)
    local = visit(one).slot_start.astimezone(timezone(timedelta(hours=8)))
    await k.world.faults("courier", {"match": route, "times": 1, **fault})
    asked = {1: visit(one, slot_start=local), 2: visit(two)}
    troubled = 1 if route.endswith("bookings") else 2
    if troubled == 2:
        await k.run(k.couriers.book_pickup, asked[1])
    failed = await k.fails(k.couriers.book_pickup, asked[troubled])
    assert failed.type == ("Transient" if fault["kind"] == "unavailable_before" else "Unknown")
    booked = [await k.run(k.couriers.book_pickup, asked[n]) for n in (1, 2)]
    assert len({each.waybill for each in booked}) == 1
    assert await refs(k, booked[0].pickup_id) == {f"{key_of(case)}/l1" for case in (one, two)}


async def test_a_refused_slot_does_not_stay_in_the_way(k: Kit) -> None:
    case = await k.case("refused")
    await k.world.script("courier", key_of(case), refuse=["slot_unavailable"], hold=True)
    assert code_of(await k.fails(k.couriers.book_pickup, visit(case))) == ("Rejected", "provider_rejected")
    booked = await k.run(k.couriers.book_pickup, visit(case))
    assert await refs(k, booked.pickup_id) == {"m1/refused/l1"}


async def test_too_late_for_a_shared_visit_is_a_visit_of_its_own(k: Kit) -> None:
    one, _, first = await collected(k, "early")
    late = await held(k, "late", one.order_id)
    booked = await k.run(k.couriers.book_pickup, visit(late))
    assert booked.pickup_id != first
    assert await refs(k, booked.pickup_id) == {"m1/late/l1"}


async def test_another_courier_of_another_name(k: Kit) -> None:
    case = await held(k, "other")
    booked = await k.run(k.couriers.book_pickup, visit(case, courier="sandbox-b"))
    assert booked.courier == "sandbox-b"
    assert code_of(await k.fails(k.couriers.book_pickup, visit(case, n=2, courier="pigeon")))[0] == "Rejected"


async def test_a_second_visit_is_another_booking(k: Kit) -> None:
    case = await held(k, "again")
    first = await k.run(k.couriers.book_pickup, visit(case))
    second = await k.run(k.couriers.book_pickup, visit(case, n=2))
    assert first.waybill != second.waybill


async def test_rdv_waybills_are_declared(k: Kit) -> None:
    covered, bare = await held(k, "declared"), await k.case("bare", cover=False)
    await k.world.script("courier", key_of(bare), hold=True)
    for case, declared in ((covered, {"amount": 120_000, "currency": "CNY"}), (bare, None)):
        booked = await k.run(k.couriers.book_pickup, visit(case))
        async with k.store.read() as session:
            pickup = await pickups.need(session, booked.pickup_id)
        url = f"{k.world.servers['courier'].url}/v1/bookings/{pickup.booking_id}"
        answer = await k.world.http.get(url, headers={"Authorization": "Bearer token"})
        assert answer.json()["declared"] == declared


# ---- leaving ------------------------------------------------------------------------------------------------------


async def test_leaving_takes_one_case_off_and_the_last_one_voids(k: Kit) -> None:
    one = await held(k, "leave1")
    two = await held(k, "leave2", one.order_id)
    booked = [await k.run(k.couriers.book_pickup, visit(case)) for case in (one, two)]
    pickup_id = booked[0].pickup_id
    leave = [LeavePickup(case=case, pickup_id=pickup_id, patience=PATIENCE) for case in (one, two)]
    await k.world.faults("courier", {"match": "POST /v1/bookings/*/items/remove", "kind": "error_after", "times": 1})
    assert code_of(await k.fails(k.couriers.leave_pickup, leave[0])) == ("Unknown", "provider_unknown")
    assert await k.run(k.couriers.leave_pickup, leave[0]) == Left(voided=True)
    assert await refs(k, pickup_id) == {"m1/leave2/l1"}
    assert await k.run(k.couriers.leave_pickup, leave[1]) == Left(voided=True)
    assert await k.run(k.couriers.leave_pickup, leave[1]) == Left(voided=True)
    assert await k.run(k.couriers.leave_pickup, leave[0]) == Left(voided=True)
    assert await refs(k, pickup_id) == set()
    async with k.store.read() as session:
        assert (await pickups.need(session, pickup_id)).state == "voided"


async def test_a_scan_before_the_leave_wins(k: Kit) -> None:
    case, ask, pickup_id = await collected(k, "race")
    leave = LeavePickup(case=case, pickup_id=pickup_id, patience=PATIENCE)
    left = await k.run(k.couriers.leave_pickup, leave)
    scan = (await k.run(k.couriers.fetch_events, ask)).pickups[0].occurred_at
    assert left == Left(voided=False, collected_at=scan)
    assert await k.run(k.couriers.leave_pickup, leave) == left


# ---- events, goods sent back --------------------------------------------------------------------------------------


async def test_events_are_this_case_s_own(k: Kit) -> None:
    finding = {"finding": "damage", "severity": 30, "quantity": 1, "consumer": "disputes"}
    visits = [{"after_ms": 0, "inspection": {"l1": finding}}]
    tracking = [{"after_ms": 0, "status": "in_transit"}, {"after_ms": 0, "status": "delivered"}]
    _, ask, _ = await collected(k, "events", visits=visits, tracking=tracking)
    events = CourierEvents()
    async with asyncio.timeout(60):
        while len(events.trackings) < 2:
            events = await k.run(k.couriers.fetch_events, ask)
    (pickup,) = events.pickups
    assert (pickup.outcome, pickup.collected, pickup.waybill) == (PickupOutcome.PICKED_UP, ("l1",), ask.waybill)
    assert [(found.line_id, found.severity) for found in pickup.findings] == [("l1", 30)]
    assert [each.status for each in events.trackings] == [TrackingStatus.IN_TRANSIT, TrackingStatus.DELIVERED]


async def test_goods_go_back_to_the_consumer(k: Kit) -> None:
    case, ask, pickup_id = await collected(k, "back", returned_after_ms=0)
    asked = ReturnGoods(case=case, pickup_id=pickup_id, patience=PATIENCE)
    first = await k.run(k.couriers.return_goods, asked)
    assert await k.run(k.couriers.return_goods, asked) == first
    async with asyncio.timeout(60):
        while not (await k.run(k.couriers.fetch_events, ask)).trackings:
            await asyncio.sleep(0.02)


async def test_goods_of_others_are_not_sent_back(k: Kit) -> None:
    one = await held(k, "with1")
    two = await held(k, "with2", one.order_id)
    booked = [await k.run(k.couriers.book_pickup, visit(case)) for case in (one, two)]
    async with k.store.transaction() as session:
        await pickups.scan(session, booked[0].pickup_id, k.now, {key_of(one): 1500, key_of(two): 1500})
    asked = ReturnGoods(case=one, pickup_id=booked[0].pickup_id, patience=PATIENCE)
    assert code_of(await k.fails(k.couriers.return_goods, asked)) == ("Rejected", "not_returnable")


async def test_delivered_goods_are_not_sent_back(k: Kit) -> None:
    """The courier's own word, as one of ours: nobody needs to be asked about it."""
    case, ask, pickup_id = await collected(k, "there", tracking=[{"after_ms": 0, "status": "delivered"}])
    async with asyncio.timeout(60):
        while not (await k.run(k.couriers.fetch_events, ask)).trackings:
            await asyncio.sleep(0.02)
    asked = ReturnGoods(case=case, pickup_id=pickup_id, patience=PATIENCE)
    assert code_of(await k.fails(k.couriers.return_goods, asked)) == ("Rejected", "not_returnable")


# ---- recovery -----------------------------------------------------------------------------------------------------


async def _demanded(k: Kit, rma: str, **demand: Any) -> tuple[DemandRecovery, CheckDemand]:
    case, ask, _ = await collected(k, rma, demand=demand)
    await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=loss_of(case), patience=PATIENCE))
    plan = recovery_of(case, ask.waybill)
    await k.recovery(case, plan)
    demand_ = DemandRecovery(case=case, plan=plan, patience=PATIENCE)
    await k.world.faults("courier", {"match": "POST /v1/demands", "kind": "error_after", "times": 1})
    assert code_of(await k.fails(k.couriers.demand_recovery, demand_)) == ("Unknown", "provider_unknown")
    first = await k.run(k.couriers.demand_recovery, demand_)
    assert await k.run(k.couriers.demand_recovery, demand_) == first
    return demand_, CheckDemand(case=case, plan=plan)


async def test_a_carrier_that_accepts_and_pays(k: Kit) -> None:
    demand, check = await _demanded(k, "pays", answer="accept", after_ms=0, pay_after_ms=300)
    seen: list[DemandState] = []
    async with asyncio.timeout(60):
        while not seen or seen[-1].state != "paid":
            seen.append(await k.run(k.couriers.check_demand, check))
    assert {state.state for state in seen} <= {"received", "accepted", "paid"}
    assert seen[-1].accepted == demand.plan.amount
    assert await k.run(k.couriers.check_demand, check) == seen[-1]
    assert (await k.numbers(demand.case))[-2:] == ["J40", "J44"]
    (paid,) = await k.entries(demand.case, "J44")
    (row,) = await k.world.statement("courier", demand.plan.claim_ref)
    assert (paid.external_key, row.amount) == (row.key, demand.plan.amount)
    async with k.store.read() as session:
        kept = await claims.need_recovery(session, demand.plan.claim_ref)
    assert (kept.state, kept.accepted_minor, kept.collected_minor) == ("accepted", 36_000, 36_000)


async def test_a_carrier_that_accepts_a_part_only(k: Kit) -> None:
    demand, check = await _demanded(k, "part", answer="accept", after_ms=0, pay_after_ms=0, accepted_amount=10_000)
    async with asyncio.timeout(60):
        while (said := await k.run(k.couriers.check_demand, check)).state != "paid":
            await asyncio.sleep(0.02)
    assert said.accepted == Money(minor=10_000)
    async with k.store.read() as session:
        kept = await claims.need_recovery(session, demand.plan.claim_ref)
    assert (kept.state, kept.accepted_minor, kept.collected_minor) == ("accepted", 10_000, 10_000)


@pytest.mark.parametrize(("answer", "state"), [("contest", "contested"), ("silent", "received")])
async def test_a_carrier_that_does_not_accept_posts_nothing(k: Kit, answer: str, state: str) -> None:
    demand, check = await _demanded(k, answer, answer=answer, after_ms=0)
    async with asyncio.timeout(60):
        while (said := await k.run(k.couriers.check_demand, check)).state != state:
            await asyncio.sleep(0.02)
    assert said.accepted is None
    assert await k.entries(demand.case, "J40", "J44") == []


async def test_a_demand_for_a_parcel_that_we_do_not_know(k: Kit) -> None:
    case = await k.case("unknown")
    for waybill in (None, "SB404"):
        asked = CheckDemand(case=case, plan=recovery_of(case, waybill))
        assert code_of(await k.fails(k.couriers.check_demand, asked)) == ("Rejected", "not_found")
