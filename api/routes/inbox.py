"""The inbox: what came from outside and could not be delivered, and the button that tries again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.auth import Identity, allowed
from api.openapi import documented
from api.services import Given
from backhaul.errors import Refusal
from backhaul.inbox import SHOWN_BODY, EventPage, EventState, EventView, RetryEvent
from backhaul.names import Role
from store import inbox
from store.tables import InboxRow

router = APIRouter(tags=["inbox"])

READERS = (Role.OPERATOR, Role.AUDITOR)
_BETWEEN = "/"
"""Between sender and event id in `after`. A sender's name has none."""


@router.get("/v1/inbox", summary="Events from outside", **documented(READERS, "not_found", "store_busy"))
async def get_events(
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*READERS))],
    state: EventState = EventState.PARKED,
    after: Annotated[str, Query(max_length=500)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> EventPage:
    """Events of one state, in order of sender and id: those that are parked wait for a person."""
    caller.of_the_platform("the inbox is")
    sender, _, event_id = after.partition(_BETWEEN)
    async with given.store.read() as session:
        rows = await inbox.list_events(session, state.value, (sender, event_id) if after else None, limit + 1)
    page = rows[:limit]
    last = page[-1] if len(rows) > limit else None
    return EventPage(
        events=tuple(view_of(row) for row in page),
        next=None if last is None else f"{last.sender}{_BETWEEN}{last.event_id}",
    )


@router.post(
    "/v1/inbox/retry",
    status_code=202,
    summary="Deliver a parked event again",
    **documented((Role.OPERATOR,), "not_found", "not_parked", "store_busy"),
)
async def post_retry(
    request: RetryEvent, given: Given, caller: Annotated[Identity, Depends(allowed(Role.OPERATOR))]
) -> EventView:
    """Once what kept it from its case is out of the way: a waybill was bound, a format is read now. It is delivered at
    once, under the same event id, so that nothing happens twice; or it is parked again, with its reason."""
    caller.of_the_platform("the inbox is")
    async with given.store.transaction() as session:
        row = await inbox.get(session, request.sender, request.event_id, lock=True)
        if row is None:
            raise Refusal("not_found", field="event_id")
        if row.state != inbox.PARKED:
            raise Refusal("not_parked", f"the event is {row.state}", field="event_id")
        await inbox.revive(session, row, given.now())
    given.dispatcher.wake()
    return view_of(row)


def view_of(row: InboxRow) -> EventView:
    """A kept event as people see it."""
    return EventView(
        sender=row.sender,
        event_id=row.event_id,
        state=EventState(row.state),
        received_at=row.received_at,
        delivered_at=row.delivered_at,
        next_at=row.next_at,
        attempts=row.attempts,
        error=row.error,
        cases=tuple(row.case_keys),
        body=row.body.decode(errors="replace")[:SHOWN_BODY],
    )
