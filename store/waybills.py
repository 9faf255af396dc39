"""Waybills: which cases a parcel is of. Domain 4.2 (one freight per waybill, rebinding), architecture 5."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal
from backhaul.money import Money
from store.sql import insert_once
from store.tables import PickupMemberRow, WaybillRow


async def bind(
    session: AsyncSession,
    waybill: str,
    courier: str,
    case_key: str,
    at: datetime,
    proven_freight: Money | None = None,
) -> WaybillRow:
    """A parcel that the consumer sent for this case. The same again is no change, but may bring the proof of freight.

    Raises Refusal(`return_conflict`) where the waybill is another case's or a pickup's."""
    fresh = WaybillRow(waybill=waybill, courier=courier, case_key=case_key, bound_at=at)
    if proven_freight is not None:
        fresh.freight_minor, fresh.currency = proven_freight.minor, proven_freight.currency
    await insert_once(session, fresh)
    row = await need(session, waybill)
    if row.case_key != case_key:
        raise Refusal("return_conflict", f"waybill {waybill} is of another return", field="waybill")
    if proven_freight is not None and row.freight_minor is None:
        row.freight_minor, row.currency = proven_freight.minor, proven_freight.currency
        session.add(row)
    return row


async def get(session: AsyncSession, waybill: str) -> WaybillRow | None:
    """What we know of a waybill."""
    statement = select(WaybillRow).where(WaybillRow.waybill == waybill)
    return (await session.exec(statement.execution_options(populate_existing=True))).first()


async def need(session: AsyncSession, waybill: str) -> WaybillRow:
    """A waybill that must be known. Raises Refusal(`not_found`)."""
    row = await get(session, waybill)
    if row is None:
        raise Refusal("not_found", f"there is no waybill {waybill}", field="waybill")
    return row


async def cases_of(session: AsyncSession, waybill: str) -> tuple[str, ...]:
    """The cases that a waybill's events go to: those on the pickup, also the ones that left (the courier decides
    whose goods went), or the one that was sent. Nothing for an unknown waybill."""
    row = await get(session, waybill)
    if row is None:
        return ()
    if row.case_key is not None:
        return (row.case_key,)
    found = select(PickupMemberRow.case_key).where(PickupMemberRow.pickup_id == row.pickup_id)
    return tuple((await session.exec(found.order_by(col(PickupMemberRow.case_key)))).all())


async def waybill_of_self_ship(session: AsyncSession, case_key: str) -> WaybillRow | None:
    """The parcel that the consumer sent for a case; the latest, where one replaced another."""
    statement = select(WaybillRow).where(WaybillRow.case_key == case_key)
    return (await session.exec(statement.order_by(col(WaybillRow.bound_at).desc()))).first()
