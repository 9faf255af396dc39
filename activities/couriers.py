"""Effects at couriers: pickups booked, left and sent back; events fetched; recoveries demanded. Domain 2.3, X27."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities.contract import (
    Booked,
    BookPickup,
    CheckDemand,
    CourierEvents,
    DemandRecovery,
    DemandState,
    FetchEvents,
    LeavePickup,
    Left,
    Receipt,
    ReturnGoods,
    SetOff,
    SetOffDemand,
)
from activities.demands import check, demand, set_off
from activities.effects_store import step_back
from activities.effects_support import KEY_LIFETIME, World, case_id, case_key, receipt, run
from activities.errors import effect
from backhaul.errors import Refusal, Rejected, Transient, Unknown
from backhaul.facts import CoverKind
from backhaul.ids import item_ref
from backhaul.ledger import CaseRef
from backhaul.messages import PickupReport, TrackingReport
from backhaul.money import Money
from gateways.ports import Booking, BookingRequest, CourierGateway, Parcel, VoidResult
from gateways.registry import Gateways
from gateways.webhooks import reports_for
from store import cases, claims, orders, pickups
from store.effects import Clock
from store.engine import Store
from store.pickups import Joined, Leaving, Todo, Visit
from store.tables import PickupRow

log = logging.getLogger(__name__)
TURNS = 4
"""Book, then add to what somebody else booked, be too late for it once, then be done."""


class CourierActivities:
    """Every effect at couriers."""

    def __init__(self, store: Store, gateways: Gateways, clock: Clock | None = None):
        self._world = World(store, gateways) if clock is None else World(store, gateways, clock)

    @activity.defn(name="book_pickup")
    @effect
    async def book_pickup(self, asked: BookPickup) -> Booked:
        """Join or make the pickup of this order, address and slot (combined pickup).

        Idempotency: the pickup's row has the booking's key and items, fixed when it was made, so that any of its
        cases may send it; a case that joins later adds its items under a key of its own.
        Retries: Transient backs off; after an unknown answer the same request is sent under the same key, which the
        courier answers as it did before, until the key is too old for that.
        Raises: Rejected(`provider_rejected`) when the slot or the area is not served, Transient, Unknown."""
        courier = self._world.gateways.courier(asked.courier)
        for _ in range(TURNS):
            joined = await self._join(asked)
            if joined.todo is Todo.BOOK:
                await self._make(courier, asked, joined)
            elif joined.todo is Todo.ADD:
                await self._add(courier, asked, joined)
            elif joined.pickup.waybill is None:  # whoever was to book it was refused
                await self._step_back(asked, joined)
            else:
                return _booked(joined.pickup, joined.pickup.waybill)
        raise Transient("provider_unavailable", "the pickup changes under our hands; again")

    async def _join(self, asked: BookPickup) -> Joined:
        world, case = self._world, asked.case

        async def join(session: AsyncSession) -> Joined:
            visit = Visit(
                case_key=case_key(case),
                n=asked.n,
                order_id=case.order_id,
                address_ref=asked.address_ref,
                zone=asked.zone,
                slot_start=asked.slot_start,
                slot_end=asked.slot_end,
                courier=asked.courier,
                items=tuple(one.model_dump(mode="json") for one in await parcels(session, case)),
                earliest=asked.earliest,
                packaging=asked.packaging,
            )
            return await pickups.join_or_create(session, visit, world.clock())

        return await world.store.run(join)

    async def _make(self, courier: CourierGateway, asked: BookPickup, joined: Joined) -> None:
        world, pickup = self._world, joined.pickup
        async with world.store.read() as session:
            declared = await declared_value(session, asked.case)
        request = BookingRequest(
            client_ref=pickup.booking_key,
            address_ref=pickup.address_ref,
            destination_ref=asked.case.merchant_id,
            slot_start=pickup.slot_start,
            slot_end=pickup.slot_end,
            declared=declared,
            packaging=pickup.packaging,
            parcels=tuple(Parcel.model_validate(item) for item in pickup.booking),
        )
        try:
            booking = await _book_once(courier, pickup, request, world.clock())
        except Rejected as refused:
            if refused.code != "effect_conflict":  # that one says that there is a booking, and not the one we mean
                await self._step_back(asked, joined)
            raise

        async def keep(session: AsyncSession) -> None:
            start, end = booking.slot_start, booking.slot_end
            at = world.clock()
            await pickups.booked(session, pickup.pickup_id, booking.booking_id, booking.waybill, start, end, at)

        await world.store.run(keep)

    async def _add(self, courier: CourierGateway, asked: BookPickup, joined: Joined) -> None:
        world, pickup, key = self._world, joined.pickup, case_key(asked.case)
        items = tuple(Parcel.model_validate(item) for item in joined.member.items)
        try:
            await courier.add_parcels(pickups.add_key(pickup, key), _booking_id(pickup), items)
        except Rejected as refused:
            # The courier was quicker, or the visit is called off: this case gets a visit of its own.
            log.info("pickup %s takes no more goods: %s", pickup.pickup_id, refused.code)
            await self._step_back(asked, joined, collected=refused.code == "already_collected")
            return
        await world.store.run(lambda session: pickups.added(session, pickup.pickup_id, key))

    async def _step_back(self, asked: BookPickup, joined: Joined, *, collected: bool = False) -> None:
        """The case was never on this visit, and nobody can join it any more: the next turn, or the next attempt, makes
        another one under another key."""
        pickup_id, key = joined.pickup.pickup_id, case_key(asked.case)

        async def back(session: AsyncSession) -> None:
            await step_back(session, pickup_id, key, collected=collected)

        await self._world.store.run(back)

    @activity.defn(name="leave_pickup")
    @effect
    async def leave_pickup(self, asked: LeavePickup) -> Left:
        """Take the case off its pickup; the last one out cancels the visit.

        Idempotency: keys of the pickup and the case. Until the courier has confirmed, the case still hears of the
        waybill, and a scan puts it back on the pickup (X25).
        Retries: Transient backs off; an unknown answer is asked for again under the same key.
        Raises: Rejected(`not_found`, `provider_rejected`), Transient, Unknown. Goods that the courier has already
        are no error: `voided` is false and the case learns since when."""
        world, key = self._world, case_key(asked.case)

        async def begin(session: AsyncSession) -> Leaving:
            return await pickups.leave(session, asked.pickup_id, key)

        leaving = await world.store.run(begin)
        pickup_id = leaving.pickup.pickup_id
        if leaving.collected_at is not None:
            return Left(voided=False, collected_at=leaving.collected_at)
        void = await self._void(asked.case, leaving)
        collected_at = None if void.voided else void.at or world.clock()

        async def keep(session: AsyncSession) -> None:
            if collected_at is not None:
                await pickups.not_voided(session, pickup_id, key, collected_at)
            elif leaving.last or void.booking_cancelled:
                await pickups.voided(session, pickup_id)

        await world.store.run(keep)
        return Left(voided=void.voided, collected_at=collected_at)

    async def _void(self, case: CaseRef, leaving: Leaving) -> VoidResult:
        pickup, key = leaving.pickup, case_key(case)
        courier = self._world.gateways.courier(pickup.courier)
        if leaving.last:
            return await courier.cancel(f"{pickup.booking_key}:cancel", _booking_id(pickup))
        refs = tuple(str(item["ref"]) for item in leaving.items)
        return await courier.remove_parcels(f"{pickup.booking_key}:remove:{key}", _booking_id(pickup), refs)

    @activity.defn(name="return_goods")
    @effect
    async def return_goods(self, asked: ReturnGoods) -> Receipt:
        """Have collected goods brought back to the consumer.

        Idempotency: one key of the pickup.
        Retries: Transient backs off; an unknown answer is asked for again under the same key.
        Raises: Rejected(`not_returnable`) after the delivery or a loss, or where goods of other cases travel with them,
        Rejected(`not_found`, `provider_rejected`), Transient, Unknown."""
        world = self._world
        async with world.store.read() as session:
            pickup = await pickups.need(session, asked.pickup_id)
            members = await pickups.members(session, asked.pickup_id)
            case = await cases.need(session, case_key(asked.case))
        others = [one.case_key for one in members if one.state == "collected" and one.case_key != case.case_key]
        if others:
            raise Rejected("not_returnable", "goods of other cases travel under the same waybill")
        key = f"{pickup.booking_key}:return"
        await world.gateways.courier(pickup.courier).send_back(key, _booking_id(pickup))
        return Receipt(key=key, ref=_booking_id(pickup), amount=Money.zero(case.currency))

    @activity.defn(name="fetch_events")
    @effect
    async def fetch_events(self, asked: FetchEvents) -> CourierEvents:
        """What the courier's own log says about this case: makes up for lost webhooks.

        Idempotency: reads only; the events carry the ids that the webhooks have.
        Retries: Transient backs off.
        Raises: Rejected(`not_found`, `provider_rejected`), Transient, Unknown(`provider_malformed`)."""
        mine, courier = case_id(asked.case), asked.courier
        if courier is None:
            async with self._world.store.read() as session:
                courier = await claims.courier_of(session, asked.waybill)
        if courier is None:
            raise Rejected("not_found", f"nobody is known to carry {asked.waybill}")
        reports: list[PickupReport | TrackingReport] = []
        for event in await self._world.gateways.courier(courier).events(asked.waybill):
            try:
                reports.append(reports_for(event, [mine])[mine])
            except Refusal as refusal:  # the webhook's copy of it is parked in the inbox, for people
                log.warning("event %s of waybill %s: %s", event.event_id, asked.waybill, refusal.code)
        return CourierEvents(
            pickups=tuple(one for one in reports if isinstance(one, PickupReport)),
            trackings=tuple(one for one in reports if isinstance(one, TrackingReport)),
        )

    @activity.defn(name="demand_recovery")
    @effect
    async def demand_recovery(self, asked: DemandRecovery) -> Receipt:
        """Demand an indemnity from the carrier who lost or damaged the goods (X27).

        Idempotency: one effect under `{recovery_ref}:demand`.
        Retries: Transient backs off; an unknown answer is looked up as the book says (X18).
        Raises: Rejected(`not_found`, `effect_conflict`, `provider_rejected`), Transient, Unknown."""
        plan = await demand(self._world, asked.case, asked.plan, asked.cap_freights)
        return receipt(await run(self._world, plan))

    @activity.defn(name="check_demand")
    @effect
    async def check_demand(self, asked: CheckDemand) -> DemandState:
        """What the carrier answered: accepted posts J40, paid in cash posts J44 (and J40, if it was not seen).
        Of a demand that was withdrawn meanwhile J45 and J15 send back what is not owed any more.

        Idempotency: each entry is keyed by the claim and posted once.
        Retries: Transient backs off.
        Raises: Rejected(`not_found`, `provider_rejected`, `entry_conflict`), Transient, Unknown(
        `provider_malformed`)."""
        return await check(self._world, asked.case, asked.plan)

    @activity.defn(name="set_off_demand")
    @effect
    async def set_off_demand(self, asked: SetOffDemand) -> SetOff:
        """Set a demand off against what we owe the carrier (J41), telling it so; nothing where we owe it nothing.

        Idempotency: one effect under `{recovery_ref}:set_off`, numbered from the second on. The payable is taken
        with the intent, under the journal's lock: two recoveries never use the same.
        Retries: Transient backs off; an unknown answer is looked up as the book says (X18).
        Raises: Rejected(`already_decided`) where the carrier has paid in cash: this key sets nothing off any more;
        Rejected(`over_indemnity`, `not_found`, `effect_conflict`, `provider_rejected`), Transient, Unknown."""
        return await set_off(self._world, asked)


async def parcels(session: AsyncSession, case: CaseRef) -> tuple[Parcel, ...]:
    """The case's goods as the courier sees them; weights and volumes are those of the order's lines."""
    units = await cases.lines_of(session, case_key(case))
    return tuple(
        Parcel(
            ref=item_ref(case_id(case), line.line_id),
            sku=line.sku,
            quantity=units[line.line_id],
            weight_g=line.weight_g,
            volume_cm3=line.volume_cm3,
        )
        for line in await orders.lines(session, case.order_id)
        if line.line_id in units
    )


async def declared_value(session: AsyncSession, case: CaseRef) -> Money | None:
    """What a waybill under RDV is declared at (X27): the value of the order's goods, any of which may join it."""
    order = await orders.need(session, case.order_id)
    for cover in await orders.coverages(session, case.order_id):
        if cover.kind == CoverKind.RDV:
            minor = order.paid_minor if cover.declared_minor is None else cover.declared_minor
            return Money(minor=minor, currency=order.currency)
    return None


async def _book_once(courier: CourierGateway, pickup: PickupRow, request: BookingRequest, at: datetime) -> Booking:
    """The booking, made or found. Past half of the key's life it is not sent again, only looked for."""
    if at - pickup.created_at <= KEY_LIFETIME / 2:
        return await courier.book(pickup.booking_key, request)
    found = await courier.operation(pickup.booking_key)
    if found is None or found.ref is None:
        raise Unknown("provider_unknown", "the booking is too old to be sent again")
    return await courier.booking(found.ref)


def _booked(pickup: PickupRow, waybill: str) -> Booked:
    return Booked(
        pickup_id=pickup.pickup_id,
        courier=pickup.courier,
        waybill=waybill,
        slot_start=pickup.slot_start,
        slot_end=pickup.slot_end,
    )


def _booking_id(pickup: PickupRow) -> str:
    if pickup.booking_id is None:
        raise Transient("provider_unavailable", f"pickup {pickup.pickup_id} is not booked yet")
    return pickup.booking_id
