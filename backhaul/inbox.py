"""Events from outside as operators see them: what came, which cases have it, why it is parked. Architecture 3.3."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from backhaul.facts import Frozen, Token

EventRef = Annotated[str, Field(min_length=1, max_length=400)]
SHOWN_BODY = 2_000
"""Characters of an event's body that are shown."""


class EventState(StrEnum):
    """Where an event is: to be delivered, with every case concerned, or parked for a person."""

    RECEIVED = "received"
    DELIVERED = "delivered"
    PARKED = "parked"


class EventView(Frozen):
    """One event as it was kept. `body`: the first 2,000 characters of what was signed; `error`: what became of the
    last attempt; `cases`: as merchant/rma."""

    sender: str
    event_id: str
    state: EventState
    received_at: AwareDatetime
    delivered_at: AwareDatetime | None = None
    next_at: AwareDatetime | None = None
    attempts: int = 0
    error: str | None = None
    cases: tuple[str, ...] = ()
    body: str = ""


class EventPage(Frozen):
    """Some events in order of sender and id; `next` goes into `after` for the page that follows."""

    events: tuple[EventView, ...]
    next: str | None = None


class RetryEvent(Frozen):
    """The parked event that is to be delivered again."""

    sender: Token
    event_id: EventRef
