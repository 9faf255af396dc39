"""Combined pickups: cases of one order, address, slot and courier share a visit. Domain 2.3, 4.2; architecture 5.

The order's row is the lock of all its pickups: joins, leaves and scans of one order follow each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal, Rejected
from backhaul.facts import digest
from backhaul.money import Money
from store.sql import insert_once
from store.tables import OrderRow, PickupMemberRow, PickupRow, WaybillRow

OPEN = ("open", "booked")
"""States in which a case can join. The next visit of anybody else is another row."""


@dataclass(frozen=True)
class Visit:
    """What a case wants: its `n`-th visit, with these items (as the courier is told of them). `earliest`: no slot was
    wished for, any visit will do that begins after it and not later than this one would."""

    case_key: str
    n: int
    order_id: str
    address_ref: str
    zone: str
    slot_start: datetime
    slot_end: datetime
    courier: str
    items: tuple[Mapping[str, Any], ...]
    earliest: datetime | None = None
    packaging: bool = False


class Todo(StrEnum):
    """What is left to be told to the courier. Book: with the pickup's `booking`, under its `booking_key`, whoever
    sends it. Add: the member's own items, under `add_key`."""

    BOOK = "book"
    ADD = "add"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Joined:
    """The case is on this pickup."""

    pickup: PickupRow
    member: PickupMemberRow
    todo: Todo


@dataclass(frozen=True)
class Leaving:
    """The case is off this pickup, for us. `last`: nobody is left, so the whole visit is to be called off; else the
    courier is to be told of this case's items only. `collected_at`: too late, the goods are with the courier."""

    pickup: PickupRow
    items: tuple[Mapping[str, Any], ...]
    last: bool
    collected_at: datetime | None = None


def share_key(visit: Visit) -> str:
    """What cases must have in common to share a visit."""
    slot = [moment.astimezone(UTC).isoformat() for moment in (visit.slot_start, visit.slot_end)]
    extra = ["packaging"] if visit.packaging else []
    return digest([visit.order_id, visit.address_ref, visit.zone, visit.courier, *slot, *extra])


def add_key(pickup: PickupRow, case_key: str) -> str:
    """The key under which a case's items are added to a visit that is booked."""
    return f"{pickup.booking_key}:add:{case_key}"


async def join_or_create(session: AsyncSession, visit: Visit, at: datetime) -> Joined:
    """Put the case on a pickup: the one it is on, one that it can share, or a new one. A repeat answers the same.

    Raises Refusal(`order_unknown`), Rejected(`not_waiting`) where the case left this visit before."""
    await _lock_order(session, visit.order_id)
    mine = select(PickupMemberRow).where(PickupMemberRow.case_key == visit.case_key)
    members = (await session.exec(mine.execution_options(populate_existing=True))).all()
    same = next((member for member in members if member.n == visit.n), None)
    if same is not None:
        pickup = await need(session, same.pickup_id)
        if same.state == "left":
            raise Rejected("not_waiting", f"{visit.case_key} left visit {visit.n}")
        return Joined(pickup, same, _todo(pickup, same))
    for earlier in members:
        await _end_visit(session, earlier)
    key = share_key(visit)
    newest = select(PickupRow).where(PickupRow.share_key == key).order_by(col(PickupRow.attempt).desc()).limit(1)
    latest = (await session.exec(newest)).first()
    been_there = {member.pickup_id for member in members}
    # Who left a visit does not come back to it: the courier took the items off, and would not take them on again
    # under the same key.
    shared = latest if latest is not None and latest.state in OPEN and latest.pickup_id not in been_there else None
    shared = shared or await _nearby(session, visit, been_there)
    if shared is not None:
        pickup = shared
    else:
        pickup = _new_pickup(visit, key, 1 if latest is None else latest.attempt + 1, at)
        session.add(pickup)
        await session.flush()
    member = PickupMemberRow(
        pickup_id=pickup.pickup_id,
        case_key=visit.case_key,
        n=visit.n,
        state="joined",
        items=[dict(item) for item in visit.items],
    )
    session.add(member)
    await session.flush()
    return Joined(pickup, member, _todo(pickup, member))


async def _nearby(session: AsyncSession, visit: Visit, been_there: set[str]) -> PickupRow | None:
    """A visit of this order and address that is booked already, for a case that wished for no slot of its own: two
    requests a moment apart may fall to both sides of a slot's border."""
    if visit.earliest is None:
        return None
    found = select(PickupRow).where(
        PickupRow.order_id == visit.order_id,
        PickupRow.address_ref == visit.address_ref,
        PickupRow.zone == visit.zone,
        PickupRow.courier == visit.courier,
        PickupRow.packaging == visit.packaging,
        col(PickupRow.state).in_(OPEN),
        col(PickupRow.slot_start) > visit.earliest,
        col(PickupRow.slot_start) <= visit.slot_start,
        col(PickupRow.pickup_id).not_in(been_there),
    )
    return (await session.exec(found.order_by(col(PickupRow.slot_start), col(PickupRow.attempt)).limit(1))).first()


def _new_pickup(visit: Visit, key: str, attempt: int, at: datetime) -> PickupRow:
    pickup_id = f"{key[:24]}.{attempt}"
    return PickupRow(
        pickup_id=pickup_id,
        share_key=key,
        attempt=attempt,
        order_id=visit.order_id,
        address_ref=visit.address_ref,
        zone=visit.zone,
        slot_start=visit.slot_start,
        slot_end=visit.slot_end,
        courier=visit.courier,
        booking_key=f"pickup:{key[:24]}:{attempt}",
        booking=[dict(item) for item in visit.items],
        booked_for=visit.case_key,
        packaging=visit.packaging,
        state="open",
        created_at=at,
    )


def _todo(pickup: PickupRow, member: PickupMemberRow) -> Todo:
    if pickup.state == "open":
        return Todo.BOOK
    if pickup.state == "booked" and not member.added:
        return Todo.ADD
    return Todo.NOTHING


async def _end_visit(session: AsyncSession, member: PickupMemberRow) -> None:
    """The case asks for another visit: the earlier one came to nothing, for everybody who was on it."""
    if member.state != "joined":
        return
    pickup = await need(session, member.pickup_id)
    if pickup.state in OPEN:
        pickup.state = "over"
        session.add(pickup)


async def booked(
    session: AsyncSession,
    pickup_id: str,
    booking_id: str,
    waybill: str,
    slot_start: datetime,
    slot_end: datetime,
    at: datetime,
) -> PickupRow:
    """The courier has taken the visit on. A repeat changes nothing; a state beyond `open` stays."""
    pickup = await _locked(session, pickup_id)
    if pickup.booking_id is None:
        pickup.booking_id, pickup.waybill = booking_id, waybill
        pickup.slot_start, pickup.slot_end = slot_start, slot_end
        pickup.state = "booked" if pickup.state == "open" else pickup.state
        session.add(pickup)
        await insert_once(
            session, WaybillRow(waybill=waybill, courier=pickup.courier, pickup_id=pickup_id, bound_at=at)
        )
        await added(session, pickup_id, pickup.booked_for)
    return pickup


async def added(session: AsyncSession, pickup_id: str, case_key: str) -> None:
    """The courier knows of this case's items."""
    member = await session.get(PickupMemberRow, (pickup_id, case_key))
    if member is not None and not member.added:
        member.added = True
        session.add(member)


async def leave(session: AsyncSession, pickup_id: str, case_key: str) -> Leaving:
    """Take the case off. Then tell the courier: `remove` its items, or `cancel` where it was the last one.

    Until `voided` or `collected` a visit of which the last case left takes no new ones. Raises Refusal(`not_found`)."""
    pickup = await _locked(session, pickup_id)
    everybody = await members(session, pickup_id)
    member = next((one for one in everybody if one.case_key == case_key), None)
    if member is None:
        raise Refusal("not_found", f"{case_key} is not on pickup {pickup_id}")
    items: tuple[Mapping[str, Any], ...] = tuple(member.items)
    if member.state == "collected":
        return Leaving(pickup, items, last=False, collected_at=pickup.scanned_at)
    if member.state == "joined":
        member.state = "left"
        session.add(member)
    last = not any(one.state in ("joined", "collected") for one in everybody)
    if last and pickup.state in OPEN:
        pickup.state = "voiding"
        session.add(pickup)
    return Leaving(pickup, items, last=last)


async def voided(session: AsyncSession, pickup_id: str) -> None:
    """The courier called the visit off."""
    pickup = await _locked(session, pickup_id)
    if pickup.state in ("voiding", *OPEN):
        pickup.state = "voided"
        session.add(pickup)


async def not_voided(session: AsyncSession, pickup_id: str, case_key: str, collected_at: datetime) -> None:
    """The courier had the goods already: the case that left is on the pickup again, as collected (X25)."""
    pickup = await _locked(session, pickup_id)
    member = await session.get(PickupMemberRow, (pickup_id, case_key))
    if member is None:
        raise Refusal("not_found", f"{case_key} is not on pickup {pickup_id}")
    member.state = "collected"
    pickup.state, pickup.scanned_at = "collected", pickup.scanned_at or collected_at
    session.add_all([member, pickup])


async def visit_over(session: AsyncSession, pickup_id: str) -> None:
    """The visit came to nothing: missed, no-show, refused."""
    pickup = await _locked(session, pickup_id)
    if pickup.state in OPEN:
        pickup.state = "over"
        session.add(pickup)


async def scan(
    session: AsyncSession, pickup_id: str, at: datetime, collected: Mapping[str, int]
) -> tuple[PickupMemberRow, ...]:
    """The courier took goods: chargeable grams per case that had any. The first scan of a case stays; whoever is
    scanned is collected, also one that had left. All members as they are now, in order of case key."""
    pickup = await _locked(session, pickup_id)
    pickup.state, pickup.scanned_at = "collected", pickup.scanned_at or at
    session.add(pickup)
    everybody = await members(session, pickup_id)
    for member in everybody:
        grams = collected.get(member.case_key)
        if grams is not None:
            member.state = "collected"
            member.chargeable_g = grams if member.chargeable_g is None else member.chargeable_g
            session.add(member)
    return everybody


async def set_freight(
    session: AsyncSession, pickup_id: str, freight: Money, shares: Mapping[str, Money]
) -> dict[str, Money]:
    """One freight per waybill, shared once (invariant 10): the first shares stay, and are what this returns.

    Raises Rejected(`invariant_broken`) where the shares do not add up to the freight."""
    pickup = await _locked(session, pickup_id)
    everybody = await members(session, pickup_id)
    if pickup.freight_minor is None:
        if Money.sum(shares.values(), freight.currency) != freight:
            raise Rejected("invariant_broken", f"the shares of {pickup_id} are not its freight of {freight}")
        pickup.freight_minor, pickup.currency = freight.minor, freight.currency
        session.add(pickup)
        for member in everybody:
            share = shares.get(member.case_key)
            member.share_minor = share.minor if share else None
            session.add(member)
    currency = pickup.currency or freight.currency
    return {
        member.case_key: Money(minor=member.share_minor, currency=currency)
        for member in everybody
        if member.share_minor is not None
    }


# ---- reading ---------------------------------------------------------------------------------------------------------


async def get(session: AsyncSession, pickup_id: str) -> PickupRow | None:
    """A pickup by its id."""
    statement = select(PickupRow).where(PickupRow.pickup_id == pickup_id)
    return (await session.exec(statement.execution_options(populate_existing=True))).first()


async def need(session: AsyncSession, pickup_id: str) -> PickupRow:
    """A pickup that must be there. Raises Refusal(`not_found`)."""
    pickup = await get(session, pickup_id)
    if pickup is None:
        raise Refusal("not_found", f"there is no pickup {pickup_id}")
    return pickup


async def members(session: AsyncSession, pickup_id: str) -> tuple[PickupMemberRow, ...]:
    """Every case that is or was on the pickup, in order of case key."""
    statement = select(PickupMemberRow).where(PickupMemberRow.pickup_id == pickup_id)
    ordered = statement.order_by(col(PickupMemberRow.case_key)).execution_options(populate_existing=True)
    return tuple((await session.exec(ordered)).all())


async def _locked(session: AsyncSession, pickup_id: str) -> PickupRow:
    pickup = await need(session, pickup_id)
    await _lock_order(session, pickup.order_id)
    return await need(session, pickup_id)


async def _lock_order(session: AsyncSession, order_id: str) -> None:
    await session.flush()  # what this transaction changed must be written before rows are read anew
    statement = select(OrderRow.order_id).where(OrderRow.order_id == order_id).with_for_update()
    if (await session.exec(statement)).first() is None:
        raise Refusal("order_unknown", field="order_id")
