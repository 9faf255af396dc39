"""Combined pickups: one visit and one waybill for several cases. Domain 2.3, 4.2; architecture 5."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from store.tables import column
from store.tables.base import Table


class PickupRow(Table, table=True):
    """One visit. `share_key` is the hash of order, address, slot and courier; `attempt` counts visits under it.

    States: open (the booking is being made), booked, voiding (the last case left), voided, collected, over
    (missed, no-show, refused: the next visit is another row). `packaging`: the courier brings some."""

    __tablename__ = "pickups"
    __table_args__ = (UniqueConstraint("share_key", "attempt"),)

    pickup_id: str = Field(primary_key=True)
    share_key: str
    attempt: int
    order_id: str = Field(foreign_key="orders.order_id", index=True)
    address_ref: str
    zone: str
    slot_start: datetime = column.moment()
    slot_end: datetime = column.moment()
    courier: str
    booking_key: str = Field(unique=True)
    booking: list[dict[str, Any]] = column.document()
    booked_for: str
    packaging: bool = False
    booking_id: str | None = None
    waybill: str | None = Field(default=None, index=True)
    state: str
    scanned_at: datetime | None = column.moment_or_none()
    freight_minor: int | None = column.minor_or_none()
    currency: str | None = column.currency_or_none()
    created_at: datetime = column.moment()


class PickupMemberRow(Table, table=True):
    """A case on a pickup: joined, left or collected. `added`: the courier knows of its items."""

    __tablename__ = "pickup_members"
    __table_args__ = (UniqueConstraint("case_key", "n"),)

    pickup_id: str = Field(primary_key=True, foreign_key="pickups.pickup_id")
    case_key: str = Field(primary_key=True, index=True)
    n: int
    state: str
    added: bool = False
    items: list[dict[str, Any]] = column.document()
    chargeable_g: int | None = None
    share_minor: int | None = column.minor_or_none()


class WaybillRow(Table, table=True):
    """What a waybill is of: a pickup's, or one case's that the consumer sent."""

    __tablename__ = "waybills"

    waybill: str = Field(primary_key=True)
    courier: str
    pickup_id: str | None = Field(default=None, foreign_key="pickups.pickup_id", index=True)
    case_key: str | None = Field(default=None, index=True)
    freight_minor: int | None = column.minor_or_none()
    currency: str | None = column.currency_or_none()
    bound_at: datetime = column.moment()
