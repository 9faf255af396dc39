"""Corrections of closed cases, and money that waits to be claimed. Domain 2.10, 6 (J62, J63)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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
