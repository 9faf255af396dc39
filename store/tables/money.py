"""Effects, claims, credit holds, recoveries: money on its way. Architecture 3.1; domain 4.2 to 4.5."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Field

from store.tables import column
from store.tables.base import Table


class EffectRow(Table, table=True):
    """One thing done outside under one key, whatever happens in between: intent, sent, succeeded, failed."""

    __tablename__ = "effects"

    key: str = Field(primary_key=True)
    kind: str
    case_key: str | None = Field(default=None, index=True)
    provider: str
    amount_minor: int = column.minor()
    currency: str = column.currency()
    payee: str
    request: dict[str, Any] = column.document()
    request_hash: str
    state: str
    attempts: int = 0
    first_sent_at: datetime | None = column.moment_or_none()
    last_sent_at: datetime | None = column.moment_or_none()
    provider_ref: str | None = None
    code: str | None = None
    result: dict[str, Any] | None = column.document_or_none()
    approval_id: str | None = None
    created_at: datetime = column.moment()
    finished_at: datetime | None = column.moment_or_none()


class CreditHoldRow(Table, table=True):
    """A reservation on a consumer's credit line: held, frozen, written_off or released. The key is the case's."""

    __tablename__ = "credit_holds"

    reservation_key: str = Field(primary_key=True)
    consumer_ref: str = Field(foreign_key="consumers.consumer_ref", index=True)
    granted_minor: int = column.minor()
    amount_minor: int = column.minor()
    currency: str = column.currency()
    state: str
    at: datetime = column.moment()
    released_at: datetime | None = column.moment_or_none()


class CreditEventRow(Table, table=True):
    """What happened to a consumer's credit line: reserved, released, collected, written_off, frozen, unfrozen, limit.

    The line as it was after it stands beside. Triggers refuse UPDATE and DELETE."""

    __tablename__ = "credit_events"

    consumer_ref: str = Field(primary_key=True, foreign_key="consumers.consumer_ref")
    seq: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    kind: str
    reservation_key: str | None = Field(default=None, index=True)
    minor: int = column.minor(0)
    used_minor: int = column.minor()
    limit_minor: int = column.minor()
    currency: str = column.currency()
    frozen: bool
    by: str
    reason: str
    at: datetime = column.moment()


class ClaimRow(Table, table=True):
    """A claim at the insurer: planned, reserved, approved, paid, denied or closed. Kind: freight or loss."""

    __tablename__ = "claims"

    claim_ref: str = Field(primary_key=True)
    kind: str
    coverage_id: str = Field(foreign_key="coverages.coverage_id", index=True)
    case_key: str = Field(index=True)
    waybill: str | None = None
    payee: str
    reserved_minor: int = column.minor()
    approved_minor: int = column.minor(0)
    paid_minor: int = column.minor(0)
    reserve_change_minor: int = column.minor(0)
    overturned_minor: int = column.minor(0)
    currency: str = column.currency()
    state: str
    funding_key: str | None = None
    funding_minor: int | None = column.minor_or_none()
    appeal_of: str | None = None
    second_person: bool = False
    claim_no: str | None = None
    code: str | None = None
    at: datetime = column.moment()
    updated_at: datetime = column.moment()


class RecoveryRow(Table, table=True):
    """Getting an indemnity back: identified, demanded, accepted, contested, collected, partial, waived.

    `accepted_minor` is what J40 recognised, `collected_minor` what came in by cash, set-off or charge, `in_hand_minor`
    what was withheld before. Collected and in hand are never more than the amount, nor over all recoveries of a claim
    more than its indemnity (invariant 6). `n` counts those of the claim, and `recovery_ref` is named after both."""

    __tablename__ = "recoveries"

    recovery_ref: str = Field(primary_key=True)
    claim_ref: str = Field(index=True)
    n: int = 1
    case_key: str = Field(index=True)
    plan: dict[str, Any] = column.document()
    liable: str
    amount_minor: int = column.minor()
    accepted_minor: int = column.minor(0)
    collected_minor: int = column.minor(0)
    remitted_minor: int = column.minor(0)
    in_hand_minor: int = column.minor(0)
    demanded_minor: int = column.minor(0)
    cash_minor: int = column.minor(0)
    written_off_minor: int = column.minor(0)
    withdrawn: bool = False
    currency: str = column.currency()
    state: str
    workflow_id: str
    at: datetime = column.moment()
    updated_at: datetime = column.moment()


class ApprovalRow(Table, table=True):
    """A second person's yes to one money step, bound to case, subject, amount and payee by hash. Used once."""

    __tablename__ = "approvals"

    approval_id: str = Field(primary_key=True)
    case_key: str = Field(index=True)
    subject: str
    amount_minor: int = column.minor()
    currency: str = column.currency()
    payee: str
    prepared_by: str
    approved_by: str | None = None
    note: str = ""
    binding: str
    at: datetime = column.moment()
    used_at: datetime | None = column.moment_or_none()
    used_by: str | None = None


class RulingRow(Table, table=True):
    """A human decision on a question of a case. Written once; `told_at`, when both sides had been told of it, is noted
    after it: the time to appeal begins there."""

    __tablename__ = "rulings"

    ruling_id: str = Field(primary_key=True)
    case_key: str = Field(index=True)
    decides: str
    outcome: str
    findings: list[dict[str, Any]] | None = column.document_or_none()
    shares: list[dict[str, Any]] | None = column.document_or_none()
    reason: str
    ruled_by: str
    overrules: str | None = None
    facts_hash: str | None = None
    book_version: str | None = None
    book_hash: str | None = None
    at: datetime = column.moment()
    told_at: datetime | None = column.moment_or_none()


class InboxRow(Table, table=True):
    """An event from outside as received: received, delivered or parked. Unique by sender and event id."""

    __tablename__ = "inbox"

    sender: str = Field(primary_key=True)
    event_id: str = Field(primary_key=True)
    body_hash: str
    body: bytes
    state: str = Field(index=True)
    case_keys: list[str] = column.document()
    attempts: int = 0
    error: str | None = None
    received_at: datetime = column.moment()
    next_at: datetime | None = column.moment_or_none()
    delivered_at: datetime | None = column.moment_or_none()
