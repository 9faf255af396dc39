"""How a book writes its values: amounts as decimal text of its currency, durations such as "48h"."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, PlainSerializer, ValidationInfo

from backhaul.facts import Frozen
from backhaul.money import Money

_DURATION = re.compile(r"(\d{1,15})(ms|s|m|h|d)")
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Section(Frozen):
    """Base of the parts of a book: frozen, every field given, an unknown field is an error."""


def parse_duration(value: object) -> timedelta:
    """Read "48h", "10d", "20s", "15m" or "500ms". Anything else is refused: a bare number has no unit."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration such as 500ms, 20s, 15m, 48h or 10d")
    return timedelta(milliseconds=int(match[1]) * _MILLISECONDS[match[2]])


def _show_duration(value: timedelta) -> str:
    # Our own text, not pydantic's: the hash of a book must not change with the library that prints it.
    return f"{value // timedelta(milliseconds=1)}ms"


def _show_instant(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat()


def _parse_amount(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return value
    currency = (info.context or {}).get("currency")
    if currency is None:
        raise ValueError("an amount as text needs the book's currency: use PolicyBook.from_document")
    amount = Money.of(value, currency)
    if amount.minor < 0:
        raise ValueError("an amount in a book is not negative")
    return amount


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(_show_duration, when_used="json")]
"""A span of time, never negative."""

Amount = Annotated[Money, BeforeValidator(_parse_amount)]
"""Money of the book's currency, written as decimal text in the document."""

Instant = Annotated[AwareDatetime, PlainSerializer(_show_instant, when_used="json")]
"""A moment with its offset."""
