"""The inbox: every event from outside as it came, once per sender and event id. Architecture 3.3."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import or_, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal
from backhaul.inbox import EventState
from store.sql import insert_once
from store.tables import InboxRow

RECEIVED, DELIVERED, PARKED = (state.value for state in EventState)


async def receive(
    session: AsyncSession, sender: str, event_id: str, body: bytes, at: datetime, case_keys: Iterable[str] = ()
) -> bool:
    """Keep an event: is it new? The same event again is not. Raises Refusal(`event_conflict`) for another body."""
    body_hash = hashlib.sha256(body).hexdigest()
    row = InboxRow(
        sender=sender,
        event_id=event_id,
        body_hash=body_hash,
        body=body,
        state=RECEIVED,
        case_keys=list(case_keys),
        received_at=at,
        next_at=at,
    )
    if await insert_once(session, row):
        return True
    known = await get(session, sender, event_id)
    if known is None or known.body_hash != body_hash:
        raise Refusal("event_conflict", field="event_id")
    return False


async def get(session: AsyncSession, sender: str, event_id: str, *, lock: bool = False) -> InboxRow | None:
    """An event as it came; with `lock`, nobody else changes it till the commit."""
    statement = select(InboxRow).where(InboxRow.sender == sender, InboxRow.event_id == event_id)
    if lock:
        statement = statement.with_for_update()
    return (await session.exec(statement)).first()


async def claim(session: AsyncSession, at: datetime, lease: timedelta, limit: int = 100) -> tuple[InboxRow, ...]:
    """Undelivered events that are due, oldest first, for one dispatcher: nobody else gets them before the lease
    ends. A dispatcher that dies delivers twice; receivers know the event id."""
    statement = (
        select(InboxRow)
        .where(InboxRow.state == RECEIVED, or_(col(InboxRow.next_at).is_(None), col(InboxRow.next_at) <= at))
        .order_by(col(InboxRow.received_at), col(InboxRow.event_id))
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    rows = tuple((await session.exec(statement)).all())
    for row in rows:
        row.attempts += 1
        row.next_at = at + lease
        session.add(row)
    return rows


async def delivered(
    session: AsyncSession, sender: str, event_id: str, at: datetime, case_keys: Iterable[str] = ()
) -> None:
    """Every case concerned has the event; these cases."""
    await _set(
        session,
        sender,
        event_id,
        state=DELIVERED,
        delivered_at=at,
        next_at=None,
        error=None,
        case_keys=list(case_keys),
    )


async def failed(session: AsyncSession, sender: str, event_id: str, error: str, next_at: datetime) -> None:
    """It could not be delivered; it will be tried again."""
    await _set(session, sender, event_id, error=error[:500], next_at=next_at)


async def parked(session: AsyncSession, sender: str, event_id: str, error: str) -> None:
    """It cannot be delivered; a person looks at it, and `revive` tries again."""
    await _set(session, sender, event_id, state=PARKED, error=error[:500], next_at=None)


async def revive(session: AsyncSession, row: InboxRow, at: datetime) -> None:
    """Try a parked event again."""
    row.state, row.next_at = RECEIVED, at
    session.add(row)
    await session.flush()


async def _set(session: AsyncSession, sender: str, event_id: str, **values: object) -> None:
    await session.exec(
        update(InboxRow).where(col(InboxRow.sender) == sender, col(InboxRow.event_id) == event_id).values(**values)
    )


async def list_events(
    session: AsyncSession,
    state: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 100,
) -> tuple[InboxRow, ...]:
    """Events in order of sender and event id, of one state if named, after a pair of these."""
    statement = select(InboxRow)
    if state is not None:
        statement = statement.where(InboxRow.state == state)
    sender, event_id = col(InboxRow.sender), col(InboxRow.event_id)
    if after is not None:
        statement = statement.where(or_(sender > after[0], (sender == after[0]) & (event_id > after[1])))
    return tuple((await session.exec(statement.order_by(sender, event_id).limit(limit))).all())
