"""Cases: the read model, and everything that was decided about them. Architecture 5."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Field

from store.tables import column
from store.tables.base import Table, UtcDateTime


class CaseRow(Table, table=True):
    """One return case as lists and late readers see it. `case_key` is `merchant/rma`."""

    __tablename__ = "cases"

    case_key: str = Field(primary_key=True)
    merchant_id: str = Field(foreign_key="merchants.merchant_id", index=True)
    rma_id: str
    order_id: str = Field(foreign_key="orders.order_id", index=True)
    consumer_ref: str = Field(foreign_key="consumers.consumer_ref", index=True)
    address_ref: str = Field(default="", index=True)
    workflow_id: str
    request: dict[str, Any] = column.document()
    request_hash: str
    reopens: str | None = Field(default=None, index=True)
    book_version: str
    book_hash: str
    stage: str = Field(index=True)
    outcome: str | None = None
    waiting_on: str | None = None
    attention: str | None = Field(default=None, index=True)
    due_at: datetime | None = column.moment_or_none()
    judgement: dict[str, Any] | None = column.document_or_none()
    status: dict[str, Any] | None = column.document_or_none()
    refundable_minor: int = column.minor(0)
    refunded_minor: int = column.minor(0)
    withheld_minor: int = column.minor(0)
    indemnified_minor: int = column.minor(0)
    freight_minor: int = column.minor(0)
    currency: str = column.currency()
    opened_at: datetime = Field(sa_type=UtcDateTime, index=True)
    updated_at: datetime = column.moment()
    closed_at: datetime | None = column.moment_or_none()


class CaseLineRow(Table, table=True):
    """Units of an order line in a case. Inactive once the case gave them back (declined, withdrawn, expired)."""

    __tablename__ = "case_lines"

    case_key: str = Field(primary_key=True, foreign_key="cases.case_key")
    line_id: str = Field(primary_key=True)
    order_id: str = Field(index=True)
    quantity: int
    active: bool = True


class FactRow(Table, table=True):
    """The facts a step was decided on, by hash. Written once."""

    __tablename__ = "facts"

    case_key: str = Field(primary_key=True, foreign_key="cases.case_key")
    step: str = Field(primary_key=True)
    hash: str
    facts: dict[str, Any] = column.document()


class DecisionRow(Table, table=True):
    """A verdict, in the order made. Written once."""

    __tablename__ = "decisions"

    case_key: str = Field(primary_key=True, foreign_key="cases.case_key")
    seq: int = Field(primary_key=True)
    step: str
    decision: str
    outcome: str
    verdict: dict[str, Any] = column.document()
    facts_hash: str
    book_version: str
    book_hash: str
    at: datetime = column.moment()


class CaseStepRow(Table, table=True):
    """What a step answered. A repeat of the step answers the same and does nothing."""

    __tablename__ = "case_steps"

    case_key: str = Field(primary_key=True)
    step: str = Field(primary_key=True)
    argument_hash: str
    result: dict[str, Any] = column.document()
    at: datetime = column.moment()


class InspectionRow(Table, table=True):
    """An inspection: `doorstep` or `receipt`, one of each a case; a ruling's findings replace none of them."""

    __tablename__ = "inspections"

    case_key: str = Field(primary_key=True, foreign_key="cases.case_key")
    kind: str = Field(primary_key=True)
    result: str
    findings: list[dict[str, Any]] = column.document()
    swaps: int = 0
    event_id: str | None = None
    at: datetime = column.moment()


class IdempotencyRow(Table, table=True):
    """An answer of the API kept under the caller's key, so that a repeat gets the same one."""

    __tablename__ = "idempotency_keys"

    scope: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    body_hash: str
    status: int
    answer: dict[str, Any] = column.document()
    at: datetime = column.moment()
