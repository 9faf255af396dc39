"""Our error kinds as Temporal's failures, and the heartbeat of effects. Every activity is a `step` or an `effect`.

A bug is none of the kinds and passes through unchanged: Temporal retries it, and people see its own type. So does a
pydantic ValidationError: data that we stored ourselves and cannot read any more is a bug.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.contract import Patience
from backhaul.errors import BackhaulError, Rejected, Transient, Unknown

S = TypeVar("S")
A = TypeVar("A")
R = TypeVar("R")

HEARTBEAT_S = 1.0
DAYS = frozenset({"payer_short"})
"""Unknown answers that stay open for days: the workflow waits, not the activity's retries."""
MESSAGE_LIMIT = 500
"""Characters of a failure's text: histories are no place for a provider's error page."""


def failure_of(error: BackhaulError, *, attempt: int, patience: Patience | None = None) -> ApplicationError:
    """The failure of one of our kinds: `type` is the kind, details are [{code, message, field}].

    Rejected is never retried; Transient waits as long as the other side asked; Unknown and pending wait as long as
    the book says after this attempt (X18)."""
    message = error.message[:MESSAGE_LIMIT]
    details = {"code": error.code, "message": message, "field": error.field}
    delay: float | None = None
    if isinstance(error, Unknown):
        delay = delay_after(attempt, patience)
    elif isinstance(error, Transient):
        delay = error.retry_after_s
    return ApplicationError(
        message,
        details,
        type=error.kind,
        non_retryable=isinstance(error, Rejected) or error.code in DAYS,
        next_retry_delay=None if delay is None else timedelta(seconds=delay),
    )


def delay_after(attempt: int, patience: Patience | None) -> float | None:
    """Seconds to wait after this attempt (the first is 1); the last delay goes on for ever."""
    if patience is None or not patience.delays_s:
        return None
    return patience.delays_s[min(attempt, len(patience.delays_s)) - 1]


def step(method: Callable[[S, A], Awaitable[R]]) -> Callable[[S, A], Awaitable[R]]:
    """An activity on our own database only: maps our errors. Goes under `@activity.defn`."""

    @wraps(method)
    async def mapped(self: S, argument: A) -> R:
        try:
            return await method(self, argument)
        except BackhaulError as error:
            # Without its cause: that may quote what a provider sent, and a history keeps it for months.
            raise failure_of(
                error, attempt=activity.info().attempt, patience=getattr(argument, "patience", None)
            ) from None

    return mapped


def effect(method: Callable[[S, A], Awaitable[R]]) -> Callable[[S, A], Awaitable[R]]:
    """An activity on the world outside: maps our errors and heartbeats while it runs. Goes under `@activity.defn`."""

    @wraps(method)
    async def beating(self: S, argument: A) -> R:
        async with heartbeating():
            return await method(self, argument)

    return step(beating)


@asynccontextmanager
async def heartbeating(every_s: float = HEARTBEAT_S) -> AsyncIterator[None]:
    """Heartbeat at once and then regularly, so that a killed worker is noticed before the activity's whole time."""
    beat = asyncio.create_task(_beat(every_s))
    try:
        yield
    finally:
        beat.cancel()
        await asyncio.wait({beat})


async def _beat(every_s: float) -> Any:
    while True:
        activity.heartbeat()
        await asyncio.sleep(every_s)
