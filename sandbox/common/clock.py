"""Time as the parties keep it: integer microseconds since the epoch inside, RFC 3339 UTC outside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _wall() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _wall


def use(source: Callable[[], datetime] | None) -> None:
    """Take the time from elsewhere: simulations let it jump. None goes back to the machine's clock."""
    global _source
    _source = source or _wall


def now_us() -> int:
    """This instant in microseconds since the epoch."""
    return (_source() - _EPOCH) // timedelta(microseconds=1)


def rfc3339(us: int) -> str:
    """An instant as RFC 3339 text in UTC with exactly six decimals, so that texts sort like instants."""
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rfc3339_or_none(us: int | None) -> str | None:
    """Like `rfc3339`, and None stays None."""
    return None if us is None else rfc3339(us)
