"""Evidence, and appeals against rulings. Domain 4.5, X8, X14, X15."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field

from store.tables import column
from store.tables.base import Table


class EvidenceRow(Table, table=True):
    """A piece of evidence by reference. Written once; nothing is ever replaced."""

    __tablename__ = "evidence"

    evidence_id: str = Field(primary_key=True)
    case_key: str = Field(foreign_key="cases.case_key", index=True)
    ref: str
    sha256: str | None = None
    by: str
    given_by: str | None = None
    kind: str | None = None
    line_id: str | None = None
    source: str
    received_at: datetime = column.moment()


class AppealRow(Table, table=True):
    """An appeal against a ruling: one a ruling. `how` it is heard: dispute, kept or correction."""

    __tablename__ = "appeals"

    appeal_id: str = Field(primary_key=True)
    ruling_id: str = Field(foreign_key="rulings.ruling_id", unique=True)
    case_key: str = Field(foreign_key="cases.case_key", index=True)
    by: str
    given_by: str
    reason: str
    how: str = ""
    at: datetime = column.moment()
