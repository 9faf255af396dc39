"""The journal and what settlement makes of it. Domain 6."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, text
from sqlmodel import Field

from store.tables import column
from store.tables.base import Table


class JournalHeadRow(Table, table=True):
    """One row: the last sequence given out. Its lock is held to the commit, so that the order of sequences is the
    order of commits and a cut at N misses nothing below N. Written by every post, after everything else."""

    __tablename__ = "journal_head"

    id: int = Field(primary_key=True)
    last: int = Field(sa_type=BigInteger)


class EntryRow(Table, table=True):
    """A journal entry. Triggers refuse UPDATE and DELETE: a correction is a reversal."""

    __tablename__ = "journal_entries"

    sequence: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    entry_key: str = Field(unique=True)
    content_hash: str
    template: str
    merchant_id: str = Field(index=True)
    order_id: str | None = Field(default=None, index=True)
    consumer_ref: str | None = None
    case_key: str | None = Field(default=None, index=True)
    payment_key: str | None = Field(default=None, index=True)
    claim_ref: str | None = Field(default=None, index=True)
    waybill: str | None = Field(default=None, index=True)
    batch: str | None = Field(default=None, index=True)
    external_key: str | None = Field(default=None, index=True)
    reverses: str | None = Field(default=None, unique=True)
    book_version: str | None = None
    book_hash: str | None = None
    at: datetime = column.moment()


class EntryLineRow(Table, table=True):
    """One line of an entry: account of book P or I, debit or credit, a positive amount. Triggers refuse changes."""

    __tablename__ = "journal_lines"
    __table_args__ = (Index(None, "book", "account"),)

    sequence: int = Field(primary_key=True, sa_type=BigInteger, foreign_key="journal_entries.sequence")
    position: int = Field(primary_key=True)
    book: str
    account: str
    side: str
    minor: int = column.minor()
    currency: str = column.currency()
    party: str | None = Field(default=None, index=True)


class LegRow(Table, table=True):
    """What one line on P2000 means to the merchant: a credit is positive. In no batch, or in one for ever."""

    __tablename__ = "settlement_legs"
    __table_args__ = (
        ForeignKeyConstraint(["sequence", "position"], ["journal_lines.sequence", "journal_lines.position"]),
        Index(
            "ix_settlement_legs_open",
            "merchant_id",
            "sequence",
            sqlite_where=text("batch IS NULL"),
            postgresql_where=text("batch IS NULL"),
        ),
    )

    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    position: int = Field(primary_key=True)
    merchant_id: str
    case_key: str | None = Field(default=None, index=True)
    claim_ref: str | None = None
    minor: int = column.minor()
    currency: str = column.currency()
    batch: str | None = Field(default=None, foreign_key="settlement_batches.batch")


class BatchRow(Table, table=True):
    """One netting of a merchant's legs: a settlement of a cut and currency, or one advance.
    States: formed (a payout is to be made), paid, empty (nothing to pay), dissolved (its legs went on to the next one:
    it cannot be paid); a negative net (J71): shortfall, overdue (above the authority, waits for a second person), then
    cured or written_off.
    `net_minor` = legs; `payout_minor` = net less what J76 took for an earlier shortfall; `open_minor` is what the
    merchant still owes of this shortfall; `told_at`: when they were told of it; `overdue_cut` is the cut that found it
    overdue."""

    __tablename__ = "settlement_batches"
    __table_args__ = (
        Index(
            "ix_settlement_batches_owed",
            "merchant_id",
            sqlite_where=text("open_minor > 0"),
            postgresql_where=text("open_minor > 0"),
        ),
        Index("ix_settlement_batches_cut", "cut", "state", "merchant_id"),
    )
    batch: str = Field(primary_key=True)
    kind: str
    merchant_id: str = Field(index=True)
    cut: str | None = Field(default=None, foreign_key="cuts.cut")
    payout_key: str = Field(unique=True)
    legs: int
    net_minor: int = column.minor()
    netted_minor: int = column.minor(0)
    payout_minor: int = column.minor()
    open_minor: int = column.minor(0)
    currency: str = column.currency()
    state: str
    told_at: datetime | None = column.moment_or_none()
    overdue_cut: str | None = Field(default=None, foreign_key="cuts.cut")
    formed_at: datetime = column.moment()
    closed_at: datetime | None = column.moment_or_none()


class HoldRow(Table, table=True):
    """Money kept out of settlement: a merchant's (`case_key` empty) or one case's. `reason` tells holds of the same
    subject apart (`dispute:1`, `operator`); each is released on its own."""

    __tablename__ = "settlement_holds"
    __table_args__ = (
        Index(
            "ix_settlement_holds_open",
            "merchant_id",
            "case_key",
            sqlite_where=text("released_at IS NULL"),
            postgresql_where=text("released_at IS NULL"),
        ),
    )
    merchant_id: str = Field(primary_key=True)
    case_key: str = Field(primary_key=True)
    reason: str = Field(primary_key=True)
    held_by: str
    note: str = ""
    held_at: datetime = column.moment()
    released_by: str | None = None
    released_at: datetime | None = column.moment_or_none()


class CutRow(Table, table=True):
    """The last journal sequence that a cycle settles, and how many merchants had something open."""

    __tablename__ = "cuts"

    cut: str = Field(primary_key=True)
    sequence: int = Field(sa_type=BigInteger)
    merchants: int = 0
    at: datetime = column.moment()
