"""Combined pickups: who comes in time shares the visit, the last one out voids it, a scan beats a cancel."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlmodel import select

from backhaul.errors import BackhaulError, Rejected
from store import pickups, waybills
from store.engine import Store
from store.pickups import Joined, Todo, Visit
from store.tables import PickupMemberRow, PickupRow
from tests.store.support import AT, an_order, blocking_sqlite, import_order, yuan

SLOT = AT + timedelta(hours=4)


def visit(case: str = "r1", n: int = 1, *, order: str = "o1", courier: str = "sandbox") -> Visit:
    return Visit(
        case_key=f"m1/{case}",
        n=n,
        order_id=order,
        address_ref="addr1",
        zone="default",
        slot_start=SLOT,
        slot_end=SLOT + timedelta(hours=2),
        courier=courier,
        items=({"ref": f"m1/{case}/l1"},),
    )


async def join(store: Store, wanted: Visit) -> Joined:
    return await store.run(lambda session: pickups.join_or_create(session, wanted, AT))


async def book(store: Store, pickup_id: str, waybill: str = "W1") -> None:
    async with store.transaction() as session:
        await pickups.booked(session, pickup_id, "b1", waybill, SLOT, SLOT + timedelta(hours=2), AT)


async def state_of(store: Store, pickup_id: str) -> tuple[str, dict[str, str]]:
    async with store.read() as session:
        pickup = await pickups.need(session, pickup_id)
        return pickup.state, {one.case_key: one.state for one in await pickups.members(session, pickup_id)}


async def test_the_second_case_joins_the_first_ones_visit(store: Store) -> None:
    await import_order(store)
    first = await join(store, visit("r1"))
    assert first.todo is Todo.BOOK
    early = await join(store, visit("r2"))
    # Whoever sends the booking sends the one that is kept: the same body under the same key.
    assert (early.todo, early.pickup.pickup_id) == (Todo.BOOK, first.pickup.pickup_id)
    assert early.pickup.booking == [{"ref": "m1/r1/l1"}]
    await book(store, first.pickup.pickup_id)
    assert (await join(store, visit("r1"))).todo is Todo.NOTHING
    assert (await join(store, visit("r2"))).todo is Todo.ADD
    late = await join(store, visit("r3"))
    assert (late.todo, late.member.items) == (Todo.ADD, [{"ref": "m1/r3/l1"}])
    async with store.transaction() as session:
        await pickups.added(session, late.pickup.pickup_id, "m1/r3")
        assert await waybills.cases_of(session, "W1") == ("m1/r1", "m1/r2", "m1/r3")
    assert (await join(store, visit("r3"))).todo is Todo.NOTHING


async def test_other_orders_and_couriers_do_not_share(store: Store) -> None:
    await import_order(store)
    await import_order(store, an_order("o2"))
    ids = {
        (await join(store, wanted)).pickup.pickup_id
        for wanted in (visit("r1"), visit("r2", order="o2"), visit("r3", courier="other"))
    }
    assert len(ids) == 3


async def test_many_at_once_share_one_visit(stores: tuple[Store, Store]) -> None:
    await import_order(stores[0])
    joined = await asyncio.gather(*(join(stores[n % 2], visit(f"r{n % 6}")) for n in range(12)))
    assert len({one.pickup.pickup_id for one in joined}) == 1
    async with stores[0].read() as session:
        assert len(await pickups.members(session, joined[0].pickup.pickup_id)) == 6


async def test_the_last_one_out_voids_the_visit(store: Store) -> None:
    await import_order(store)
    pickup_id = (await join(store, visit("r1"))).pickup.pickup_id
    await join(store, visit("r2"))
    await book(store, pickup_id)
    async with store.transaction() as session:
        first = await pickups.leave(session, pickup_id, "m1/r1")
        assert (first.last, first.items) == (False, ({"ref": "m1/r1/l1"},))
    for _ in range(2):
        async with store.transaction() as session:
            assert (await pickups.leave(session, pickup_id, "m1/r2")).last
    assert (await state_of(store, pickup_id))[0] == "voiding"
    # While it is being called off nobody joins it: there is a new visit.
    other = await join(store, visit("r3"))
    assert (other.pickup.attempt, other.pickup.booking_key != "") == (2, True)
    async with store.transaction() as session:
        await pickups.voided(session, pickup_id)
    assert (await state_of(store, pickup_id))[0] == "voided"
    with pytest.raises(Rejected) as refused:
        await join(store, visit("r2"))
    assert refused.value.code == "not_waiting"


async def test_of_those_who_leave_at_once_one_is_the_last(stores: tuple[Store, Store]) -> None:
    await import_order(stores[0])
    pickup_id = ""
    for n in range(6):
        pickup_id = (await join(stores[0], visit(f"r{n}"))).pickup.pickup_id

    async def leave(n: int) -> bool:
        async with stores[n % 2].transaction() as session:
            return (await pickups.leave(session, pickup_id, f"m1/r{n}")).last

    assert sum(await asyncio.gather(*(leave(n) for n in range(6)))) == 1


@pytest.mark.parametrize("round_", range(3))
async def test_lives_of_many_at_once(stores: tuple[Store, Store], round_: int) -> None:
    """Twelve cases of one order from two processes: each joins, tells the courier what is to be told, and every other
    one leaves. Who stays is on one visit that will be made and knows of its goods; a visit is called off by one."""
    await import_order(stores[0])
    called_off: list[str] = []

    async def life(n: int) -> str:
        store, wanted = stores[(n + round_) % 2], visit(f"r{n}")
        while (joined := await join(store, wanted)).todo is not Todo.NOTHING:
            pickup_id = joined.pickup.pickup_id
            if joined.todo is Todo.BOOK:
                await book(store, pickup_id, f"W-{pickup_id}")
            else:
                await store.run(lambda session: pickups.added(session, pickup_id, wanted.case_key))  # noqa: B023
        if n % 2 == round_ % 2:
            leaving = await store.run(lambda session: pickups.leave(session, joined.pickup.pickup_id, wanted.case_key))
            if leaving.last:
                called_off.append(leaving.pickup.pickup_id)
                await store.run(lambda session: pickups.voided(session, leaving.pickup.pickup_id))
        return joined.pickup.pickup_id

    await asyncio.gather(*(life(n) for n in range(12)))
    async with stores[0].read() as session:
        both = select(PickupRow, PickupMemberRow).where(PickupRow.pickup_id == PickupMemberRow.pickup_id)
        rows = (await session.exec(both)).all()
    assert len(called_off) == len(set(called_off))
    assert {row.pickup_id for row, _ in rows if row.state == "voided"} == set(called_off)
    staying = [(row, member) for row, member in rows if member.state == "joined"]
    assert len(staying) == 6 and len(rows) == 12
    assert {row.state for row, _ in staying} == {"booked"} and len({row.pickup_id for row, _ in staying}) == 1
    assert all(member.added for _, member in staying)


async def test_a_border_between_slots_does_not_part_two_requests(store: Store) -> None:
    """The second request falls into the next slot by a moment; without a wish of its own it takes the visit that is
    booked. One that wished for its slot, wants packaging, or comes after the visit began, does not."""
    await import_order(store)
    first = await join(store, visit("r1"))
    await book(store, first.pickup.pickup_id)
    later = dataclasses.replace(
        visit("r2"), slot_start=SLOT + timedelta(hours=2), slot_end=SLOT + timedelta(hours=4), earliest=AT
    )
    assert (await join(store, later)).pickup.pickup_id == first.pickup.pickup_id
    others = (
        dataclasses.replace(later, case_key="m1/r3", earliest=None),
        dataclasses.replace(later, case_key="m1/r4", packaging=True),
        dataclasses.replace(later, case_key="m1/r5", earliest=SLOT),
    )
    for other in others:
        assert (await join(store, other)).pickup.pickup_id != first.pickup.pickup_id
    # A visit that is later than the slot that it would get is not waited for.
    sooner = dataclasses.replace(visit("r9"), slot_start=SLOT - timedelta(hours=2), slot_end=SLOT, earliest=AT)
    assert (await join(store, sooner)).pickup.slot_start == SLOT - timedelta(hours=2)


async def test_a_visit_with_packaging_is_another_one(store: Store) -> None:
    await import_order(store)
    plain = (await join(store, visit("r1"))).pickup
    brings = (await join(store, dataclasses.replace(visit("r2"), packaging=True))).pickup
    assert (plain.packaging, brings.packaging, plain.pickup_id != brings.pickup_id) == (False, True, True)


@pytest.mark.parametrize("round_", range(5))
async def test_a_join_that_races_the_last_leave(stores: tuple[Store, Store], round_: int) -> None:
    """Either the newcomer is on a visit that stays, or it has a visit of its own; never on one that is called off."""
    await import_order(stores[0])
    pickup_id = (await join(stores[0], visit("r1"))).pickup.pickup_id

    async def leave() -> bool:
        async with stores[round_ % 2].transaction() as session:
            return (await pickups.leave(session, pickup_id, "m1/r1")).last

    joined, last = await asyncio.gather(join(stores[1 - round_ % 2], visit("r2")), leave())
    assert last == (joined.pickup.pickup_id != pickup_id)
    state, _ = await state_of(stores[0], joined.pickup.pickup_id)
    assert state == "open"


async def test_a_scan_before_the_cancel_wins(store: Store) -> None:
    await import_order(store)
    pickup_id = (await join(store, visit("r1"))).pickup.pickup_id
    await book(store, pickup_id)
    async with store.transaction() as session:
        assert (await pickups.leave(session, pickup_id, "m1/r1")).last
    async with store.transaction() as session:
        await pickups.not_voided(session, pickup_id, "m1/r1", AT)
    async with store.transaction() as session:
        leaving = await pickups.leave(session, pickup_id, "m1/r1")
        assert (leaving.last, leaving.collected_at) == (False, AT)
    assert await state_of(store, pickup_id) == ("collected", {"m1/r1": "collected"})


async def test_one_freight_per_waybill_shared_once(store: Store) -> None:
    await import_order(store)
    pickup_id = (await join(store, visit("r1"))).pickup.pickup_id
    await join(store, visit("r2"))
    await join(store, visit("r3"))
    await book(store, pickup_id)
    async with store.transaction() as session:
        everybody = await pickups.scan(session, pickup_id, AT, {"m1/r1": 2000, "m1/r2": 1000})
        assert [(one.case_key, one.state, one.chargeable_g) for one in everybody] == [
            ("m1/r1", "collected", 2000),
            ("m1/r2", "collected", 1000),
            ("m1/r3", "joined", None),
        ]
    shares = {"m1/r1": yuan("10.00"), "m1/r2": yuan("4.00")}
    with pytest.raises(BackhaulError) as refused:
        async with store.transaction() as session:
            await pickups.set_freight(session, pickup_id, yuan("14.01"), shares)
    assert refused.value.code == "invariant_broken"
    async with store.transaction() as session:
        assert await pickups.set_freight(session, pickup_id, yuan("14.00"), shares) == shares
    async with store.transaction() as session:
        await pickups.scan(session, pickup_id, AT, {"m1/r1": 1})
        other = {"m1/r1": yuan("0.00"), "m1/r2": yuan("99.00")}
        assert await pickups.set_freight(session, pickup_id, yuan("99.00"), other) == shares
        assert (await pickups.members(session, pickup_id))[0].chargeable_g == 2000


async def test_a_missed_visit_is_over_for_the_next(store: Store) -> None:
    await import_order(store)
    first = (await join(store, visit("r1", 1))).pickup
    await join(store, visit("r2", 1))
    await book(store, first.pickup_id)
    second = (await join(store, visit("r1", 2))).pickup
    assert second.pickup_id != first.pickup_id
    assert (await state_of(store, first.pickup_id))[0] == "over"
    assert (await join(store, visit("r2", 2))).pickup.pickup_id == second.pickup_id
    # A late repeat of the first call still answers the first visit.
    assert (await join(store, visit("r1", 1))).pickup.pickup_id == first.pickup_id


async def test_who_left_gets_a_visit_of_its_own(store: Store) -> None:
    await import_order(store)
    shared = (await join(store, visit("r1"))).pickup.pickup_id
    await join(store, visit("r2"))
    async with store.transaction() as session:
        assert not (await pickups.leave(session, shared, "m1/r2")).last
    again = await join(store, visit("r2", 2))
    assert again.pickup.pickup_id != shared
    assert (await state_of(store, shared)) == ("open", {"m1/r1": "joined", "m1/r2": "left"})


async def test_a_self_sent_parcel_is_one_cases(store: Store) -> None:
    async with store.transaction() as session:
        await waybills.bind(session, "S1", "sandbox", "m1/r1", AT)
        row = await waybills.bind(session, "S1", "sandbox", "m1/r1", AT, yuan("11.00"))
        assert (row.freight_minor, await waybills.cases_of(session, "S1")) == (1_100, ("m1/r1",))
        await waybills.bind(session, "S2", "sandbox", "m1/r1", AT + timedelta(hours=1))
        latest = await waybills.waybill_of_self_ship(session, "m1/r1")
        assert latest is not None
        assert latest.waybill == "S2"
        assert await waybills.cases_of(session, "unknown") == ()
        with pytest.raises(BackhaulError) as refused:
            await waybills.bind(session, "S1", "sandbox", "m1/r2", AT)
    assert refused.value.code == "return_conflict"


class Pickups(RuleBasedStateMachine):
    """Any order of joins, leaves, bookings and scans: nobody is on a visit that was called off, nobody on two."""

    def __init__(self) -> None:
        super().__init__()
        self.loop, self.store, self.end = blocking_sqlite()
        self.loop(import_order(self.store))
        self.visits = dict.fromkeys(range(4), 0)
        self.on: dict[int, str] = {}

    def teardown(self) -> None:
        self.end()

    @rule(case=st.integers(0, 3))
    def join(self, case: int) -> None:
        self.visits[case] += 1
        joined: Joined = self.loop(join(self.store, visit(f"r{case}", self.visits[case])))
        assert joined.pickup.state in pickups.OPEN
        self.on[case] = joined.pickup.pickup_id

    @precondition(lambda self: bool(self.on))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        case = data.draw(st.sampled_from(sorted(self.on)))

        async def work() -> None:
            async with self.store.transaction() as session:
                await pickups.leave(session, self.on[case], f"m1/r{case}")

        self.loop(work())

    @precondition(lambda self: bool(self.on))
    @rule(data=st.data(), scanned=st.booleans())
    def courier_acts(self, data: st.DataObject, scanned: bool) -> None:
        case = data.draw(st.sampled_from(sorted(self.on)))
        pickup_id = self.on[case]

        async def work() -> None:
            async with self.store.transaction() as session:
                if scanned:
                    await pickups.scan(session, pickup_id, AT, {f"m1/r{case}": 1000})
                else:
                    await pickups.booked(session, pickup_id, f"b-{pickup_id}", f"W-{pickup_id}", SLOT, SLOT, AT)

        self.loop(work())

    @invariant()
    def a_visit_that_is_called_off_has_nobody(self) -> None:
        async def read() -> list[tuple[PickupRow, PickupMemberRow]]:
            async with self.store.read() as session:
                both = select(PickupRow, PickupMemberRow).where(PickupRow.pickup_id == PickupMemberRow.pickup_id)
                return list((await session.exec(both)).all())

        rows: list[tuple[PickupRow, PickupMemberRow]] = self.loop(read())
        waiting = [
            member.case_key for pickup, member in rows if member.state == "joined" and pickup.state in pickups.OPEN
        ]
        assert len(set(waiting)) == len(waiting)
        for pickup, member in rows:
            if pickup.state in ("voiding", "voided"):
                assert member.state == "left"
            if member.state == "collected":
                assert pickup.state == "collected"


TestPickupsInAnyOrder = Pickups.TestCase
TestPickupsInAnyOrder.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
