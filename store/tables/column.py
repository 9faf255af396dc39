"""The recurring columns, by name: `at: datetime = column.moment()`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger
from sqlmodel import Field

from store.tables.base import Currency, Json, UtcDateTime


def moment() -> Any:
    """Column: a moment in UTC."""
    return Field(sa_type=UtcDateTime)


def moment_or_none() -> Any:
    """Column: a moment in UTC, not reached yet while None."""
    return Field(default=None, sa_type=UtcDateTime)


def minor(default: int | None = None) -> Any:
    """Column: an amount in minor units, 64 bits."""
    return Field(sa_type=BigInteger) if default is None else Field(default=default, sa_type=BigInteger)


def minor_or_none() -> Any:
    """Column: an amount in minor units, or none."""
    return Field(default=None, sa_type=BigInteger)


def currency() -> Any:
    """Column: the currency of the amounts beside it."""
    return Field(sa_type=Currency)


def document() -> Any:
    """Column: JSON."""
    return Field(sa_type=Json)


def document_or_none() -> Any:
    """Column: JSON, or none."""
    return Field(default=None, sa_type=Json)


def currency_or_none() -> Any:
    """Column: the currency, or none while there is no amount."""
    return Field(default=None, sa_type=Currency)
