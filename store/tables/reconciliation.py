"""What providers state, how far it was compared, and what did not agree. Domain 6, invariants."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from store.tables import column
from store.tables.base import Table


class StatementRow(Table, table=True):
    """One row of a provider's own statement, as fetched. `party` is what it is to us: psp, insurer or courier."""

    __tablename__ = "statement_rows"
    __table_args__ = (Index(None, "party", "kind", "key"),)

    provider: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    party: str
    kind: str
    key: str = Field(index=True)
    minor: int = column.minor()
    currency: str = column.currency()
    payee: str
    at: datetime = column.moment()
    fetched_at: datetime = column.moment()


class StatementCursorRow(Table, table=True):
    """How far a provider's statement was fetched and compared; the row `journal` says how far our own side was."""

    __tablename__ = "statement_cursors"

    provider: str = Field(primary_key=True)
    party: str
    fetched: int = Field(default=0, sa_type=BigInteger)
    compared: int = Field(default=0, sa_type=BigInteger)


class ReconciliationRow(Table, table=True):
    """One run: what it looked at and found, as the report shows it."""

    __tablename__ = "reconciliations"

    cut: str = Field(primary_key=True)
    workflow_id: str
    began_at: datetime = column.moment()
    ended_at: datetime | None = column.moment_or_none()
    report: dict[str, Any] | None = column.document_or_none()


class FindingRow(Table, table=True):
    """Something that is not as it should be, once per code and subject.

    States: in_flight (money under way, young enough), open, explained (by a person), closed (not found any more)."""

    __tablename__ = "findings"

    finding_id: str = Field(primary_key=True)
    invariant: int
    code: str
    subject: str
    expected: str
    found: str
    minor: int = column.minor(0)
    currency: str = ""
    state: str = Field(index=True)
    first_cut: str
    last_cut: str
    first_at: datetime = column.moment()
    last_at: datetime = column.moment()
    note: str = ""
    explained_by: str = ""
    ended_at: datetime | None = column.moment_or_none()
