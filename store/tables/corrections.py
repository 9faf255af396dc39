"""Corrections of closed cases, and money that waits to be claimed. Domain 2.10, 6 (J62, J63)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlmodel import Field

from store.tables import column
from store.tables.base import Table


class CorrectionRow(Table, table=True):
    """One correction of a closed case: open or closed. The same event never starts two."""

    __tablename__ = "corrections"

    case_key: str = Field(primary_key=True, foreign_key="cases.case_key")
    n: int = Field(primary_key=True)
    kind: str
    event_id: str = Field(unique=True)
    event: dict[str, Any] = column.document()
    state: str = Field(index=True)
    outcome: str | None = None
    workflow_id: str
    opened_at: datetime = column.moment()
    closed_at: datetime | None = column.moment_or_none()


class UnclaimedRow(Table, table=True):
    """A consumer's money that nobody could be paid (J62): open, claiming (a correction pays it), claimed (J63).

    `key` is the payment key of the refund that it was, or names what else it was owed for."""

    __tablename__ = "unclaimed_money"

    key: str = Field(primary_key=True)
    case_key: str = Field(foreign_key="cases.case_key", index=True)
    consumer_ref: str = Field(index=True)
    amount_minor: int = column.minor()
    currency: str = column.currency()
    state: str = Field(index=True)
    correction: int | None = None
    at: datetime = column.moment()
    claimed_at: datetime | None = column.moment_or_none()


class SweepCursorRow(Table, table=True):
    """How far a reader has read a provider's statement."""

    __tablename__ = "sweep_cursors"

    provider: str = Field(primary_key=True)
    reader: str = Field(primary_key=True)
    seq: int = Field(sa_type=BigInteger)
