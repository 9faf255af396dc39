"""Pickup slots: a grid, so that returns of one address that are opened apart still meet in one visit (domain 4.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def next_slot(now: datetime, lead_s: float, length_s: float) -> tuple[datetime, datetime]:
    """The first slot of the grid that begins at or after `now + lead`: its start and end."""
    if length_s <= 0:
        raise ValueError("a slot has a length")
    length = timedelta(seconds=length_s)
    earliest = now + timedelta(seconds=lead_s)
    count = -((_EPOCH - earliest) // length)
    start = _EPOCH + count * length
    return start, start + length
