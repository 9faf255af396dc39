"""Facts that come after the close of a case, each of which starts one correction of it. Domain 2.10."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from backhaul.facts import Frozen, Party, Token
from backhaul.money import Money

EventId = Annotated[str, Field(min_length=1, max_length=400)]


class CorrectionKind(StrEnum):
    """What came up: each has a module of its own in workflows/corrections."""

    REFUND_BOUNCED = "refund_bounced"
    REFUND_CLAIMED = "refund_claimed"
    PARCEL_FOUND = "parcel_found"
    LATE_SCAN = "late_scan"
    APPEAL = "appeal"


LOST_AGAIN = "lost_again"
"""How a correction of a parcel that was found ends when it is lost once more: what turns up after that is new."""


class CorrectionEvent(Frozen):
    """The fact itself. `event_id` is the same however often and whichever way the fact comes in: it starts one
    correction. What else is given depends on the kind."""

    event_id: EventId
    occurred_at: AwareDatetime
    by: Party | None = None
    payment_key: str | None = None
    amount: Money | None = None
    account_ref: Token | None = None
    waybill: str | None = None
    ruling_id: Token | None = None
    reason: Annotated[str, Field(max_length=300)] = ""


def appeal_event(ruling_id: str) -> str:
    """The event id of an appeal: a ruling is appealed against once."""
    return f"appeal:{ruling_id}"


def bounce_event(payment_key: str) -> str:
    """The event id of a refund that came back: a webhook and a statement that tell of it tell of one event."""
    return f"bounced:{payment_key}"
