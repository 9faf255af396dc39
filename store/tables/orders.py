"""Orders as imported: who sold what to whom, how it was paid, which cover is in force. Domain 2, 4.2 to 4.4."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, text
from sqlmodel import Field

from store.tables import column
from store.tables.base import Table


class MerchantRow(Table, table=True):
    """A merchant's profile, from the latest import."""

    __tablename__ = "merchants"

    merchant_id: str = Field(primary_key=True)
    name: str = ""
    commission_bps: int = 0
    auto_authorize: bool = True
    offers: bool = False
    credit_tier: int = 0
    updated_at: datetime = column.moment()


class ConsumerRow(Table, table=True):
    """A consumer as a token. `used_minor` is what all open credit holds take; never above the limit (4.4).

    `frozen_by` is the person who froze the line, None where a rule did; `credit_seq` counts the line's events."""

    __tablename__ = "consumers"

    consumer_ref: str = Field(primary_key=True)
    tier: int = 0
    risk: str = "allow"
    frozen: bool = False
    frozen_by: str | None = None
    limit_minor: int = column.minor()
    used_minor: int = column.minor(0)
    credit_seq: int = 0
    currency: str = column.currency()
    updated_at: datetime = column.moment()


class OrderRow(Table, table=True):
    """One imported order. Its row is the lock of everything that counts units or money of the order."""

    __tablename__ = "orders"

    order_id: str = Field(primary_key=True)
    merchant_id: str = Field(foreign_key="merchants.merchant_id", index=True)
    consumer_ref: str = Field(foreign_key="consumers.consumer_ref", index=True)
    paid_minor: int = column.minor()
    currency: str = column.currency()
    captured_at: datetime = column.moment()
    signed_at: datetime | None = column.moment_or_none()
    shipped_at: datetime | None = column.moment_or_none()
    content_hash: str


class OrderLineRow(Table, table=True):
    """One line. `paid_minor` is for the whole line; weight and volume are per unit; the last two only ever grow."""

    __tablename__ = "order_lines"

    order_id: str = Field(primary_key=True, foreign_key="orders.order_id")
    line_id: str = Field(primary_key=True)
    position: int
    sku: str
    category: str
    quantity: int
    paid_minor: int = column.minor()
    currency: str = column.currency()
    weight_g: int
    volume_cm3: int = 0
    commission_bps: int = 0
    refunded_minor: int = column.minor(0)
    commission_reversed_minor: int = column.minor(0)


class PaymentRow(Table, table=True):
    """One captured payment. `refunded_minor`: what refunds under way or done take of it, at most the captured."""

    __tablename__ = "payments"

    payment_id: str = Field(primary_key=True)
    order_id: str = Field(foreign_key="orders.order_id", index=True)
    position: int
    captured_minor: int = column.minor()
    refunded_minor: int = column.minor(0)
    currency: str = column.currency()


class CoverageRow(Table, table=True):
    """One cover in force. `remaining_minor` is the sum insured less everything reserved or paid under it; `earned_at`:
    it ended, and its premium is earned (J04)."""

    __tablename__ = "coverages"
    __table_args__ = (
        Index(
            "ix_coverages_unearned",
            "book_version",
            sqlite_where=text("earned_at IS NULL"),
            postgresql_where=text("earned_at IS NULL"),
        ),
    )

    coverage_id: str = Field(primary_key=True)
    order_id: str = Field(foreign_key="orders.order_id", index=True)
    position: int
    kind: str
    sum_insured_minor: int = column.minor()
    remaining_minor: int = column.minor()
    declared_minor: int | None = column.minor_or_none()
    currency: str = column.currency()
    upper_tier: bool = False
    premium_merchant_minor: int = column.minor()
    premium_platform_minor: int = column.minor()
    bound_at: datetime = column.moment()
    book_version: str
    book_hash: str
    earned_at: datetime | None = column.moment_or_none()
