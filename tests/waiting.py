"""Waiting for what is to come: on a condition, and for longer than any machine stalls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 120.0
"""A test that passes never waits that long; one that fails may."""


async def eventually(
    probe: Callable[[], Awaitable[T]],
    wanted: Callable[[T], bool] = bool,
    what: str = "it",
    *,
    pause_s: float = 0.05,
    tell: Callable[[T], str] = repr,
) -> T:
    """Ask until the answer is wanted; fail with the last one."""
    end = time.monotonic() + PATIENCE_S
    while True:
        result = await probe()
        if wanted(result):
            return result
        assert time.monotonic() < end, f"{what} never came: {tell(result)}"
        await asyncio.sleep(pause_s)
