"""Corrections of closed cases: opened once an event, numbered by case, closed once. Domain 2.10."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.corrections import LOST_AGAIN, CorrectionEvent, CorrectionKind
from backhaul.errors import Refusal, Rejected
from backhaul.ids import correction_id, parse_case_key
from store import cases
from store.tables import CorrectionRow

OPEN, CLOSED = "open", "closed"


async def open_for(
    session: AsyncSession, case_key: str, kind: CorrectionKind, event: CorrectionEvent, at: datetime
) -> CorrectionRow:
    """The correction that this event starts: a new one with the next number, or the one it has started before. A parcel
    that turns up after it was lost again starts another one, under an id of its own.

    Raises Refusal(`not_found`, `return_open`), Refusal(`event_conflict`) for another case or kind under the event."""
    case = await cases.need(session, case_key, lock=True)
    known, named = await by_event(session, event.event_id), event.event_id
    while known is not None and _lost_before(known, event):
        event = event.model_copy(update={"event_id": f"{named}:{known.n}"})
        known = await by_event(session, event.event_id)
    if known is not None:
        if (known.case_key, known.kind) != (case_key, kind):
            raise Refusal("event_conflict", f"{event.event_id} started another correction")
        return known
    if case.closed_at is None:
        raise Refusal("return_open")
    last = select(func.coalesce(func.max(CorrectionRow.n), 0)).where(CorrectionRow.case_key == case_key)
    n = (await session.exec(last)).one() + 1
    row = CorrectionRow(
        case_key=case_key,
        n=n,
        kind=kind.value,
        event_id=event.event_id,
        event=event.model_dump(mode="json"),
        state=OPEN,
        workflow_id=correction_id(parse_case_key(case_key), n),
        opened_at=at,
    )
    session.add(row)
    await session.flush()
    return row


def _lost_before(known: CorrectionRow, event: CorrectionEvent) -> bool:
    """Had the correction ended as lost again when this happened?"""
    return known.outcome == LOST_AGAIN and known.closed_at is not None and event.occurred_at > known.closed_at


async def following(session: AsyncSession, case_key: str) -> CorrectionRow | None:
    """The open correction that follows a parcel of the case which was found, if any."""
    rows = await of_case(session, case_key)
    return next((row for row in rows if row.state == OPEN and row.kind == CorrectionKind.PARCEL_FOUND), None)


async def by_event(session: AsyncSession, event_id: str) -> CorrectionRow | None:
    """The correction that an event started."""
    return (await session.exec(select(CorrectionRow).where(CorrectionRow.event_id == event_id))).first()


async def of_case(session: AsyncSession, case_key: str) -> tuple[CorrectionRow, ...]:
    """A case's corrections in the order opened."""
    found = select(CorrectionRow).where(CorrectionRow.case_key == case_key).order_by(col(CorrectionRow.n))
    return tuple((await session.exec(found)).all())


async def open_ones(session: AsyncSession, before: datetime) -> tuple[CorrectionRow, ...]:
    """All that are open and were opened before then, oldest first: for the sweeper."""
    found = select(CorrectionRow).where(CorrectionRow.state == OPEN, col(CorrectionRow.opened_at) < before)
    return tuple((await session.exec(found.order_by(col(CorrectionRow.opened_at)))).all())


async def need(session: AsyncSession, case_key: str, n: int, *, lock: bool = False) -> CorrectionRow:
    """One correction. Raises Rejected(`not_found`)."""
    statement = select(CorrectionRow).where(CorrectionRow.case_key == case_key, CorrectionRow.n == n)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    row = (await session.exec(statement)).first()
    if row is None:
        raise Rejected("not_found", f"{case_key} has no correction {n}")
    return row


async def close(session: AsyncSession, case_key: str, n: int, outcome: str, at: datetime) -> None:
    """The correction is over; the first close stays."""
    row = await need(session, case_key, n, lock=True)
    if row.state != CLOSED:
        row.state, row.outcome, row.closed_at = CLOSED, outcome, at
        session.add(row)
