"""Holds: money kept out of settlement, a merchant's or one case's. Domain 6: a batch takes every unheld leg.

A hold is a row and not a mark on legs, so that it also keeps back what is posted while it lasts. Once released, the
next batch takes the legs, however old they are. What is in a batch already stays there, and so does an advance.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, or_
from sqlmodel import col, exists, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.ids import parse_case_key
from store.sql import insert_once
from store.tables import HoldRow, LegRow

DISPUTE, OPERATOR = "dispute", "operator"
ITSELF = "backhaul"
"""Who holds and releases where the rules do, and no person."""


async def hold(
    session: AsyncSession,
    merchant_id: str,
    at: datetime,
    *,
    case_key: str = "",
    reason: str = OPERATOR,
    by: str = ITSELF,
    note: str = "",
) -> None:
    """Hold a merchant's money, or one case's. A repeat is no change; a released hold begins anew."""
    row = HoldRow(merchant_id=merchant_id, case_key=case_key, reason=reason, held_by=by, note=note, held_at=at)
    if await insert_once(session, row):
        return
    known = await _hold(session, merchant_id, case_key, reason)
    if known is not None and known.released_at is not None:
        known.held_by, known.note, known.held_at = by, note, at
        known.released_by = known.released_at = None
        session.add(known)


async def release(
    session: AsyncSession,
    merchant_id: str,
    at: datetime,
    *,
    case_key: str = "",
    reason: str = OPERATOR,
    by: str = ITSELF,
) -> bool:
    """End a hold; False where there was none."""
    known = await _hold(session, merchant_id, case_key, reason)
    if known is None or known.released_at is not None:
        return False
    known.released_by, known.released_at = by, at
    session.add(known)
    return True


async def hold_legs(session: AsyncSession, case_key: str, at: datetime, *, reason: str = DISPUTE) -> None:
    """A dispute opens: what the case owes and is owed waits for its end. `reason` tells a case's disputes apart."""
    await hold(session, parse_case_key(case_key).merchant_id, at, case_key=case_key, reason=reason)


async def release_legs(session: AsyncSession, case_key: str, at: datetime, *, reason: str = DISPUTE) -> None:
    """The dispute ended. A repeat, or a dispute that held nothing, is no change."""
    await release(session, parse_case_key(case_key).merchant_id, at, case_key=case_key, reason=reason)


async def release_disputed(session: AsyncSession, case_key: str, at: datetime) -> None:
    """The case closes: whatever a dispute of it still holds (one that was terminated, say) is let go."""
    for row in await holds_of(session, parse_case_key(case_key).merchant_id, case_key):
        if row.reason.startswith(DISPUTE):
            row.released_by, row.released_at = ITSELF, at
            session.add(row)


async def holds_of(session: AsyncSession, merchant_id: str, case_key: str | None = None) -> tuple[HoldRow, ...]:
    """The open holds of a merchant and its cases, or of one case, oldest first."""
    mine = select(HoldRow).where(HoldRow.merchant_id == merchant_id, col(HoldRow.released_at).is_(None))
    if case_key is not None:
        mine = mine.where(HoldRow.case_key == case_key)
    return tuple((await session.exec(mine.order_by(col(HoldRow.held_at), col(HoldRow.case_key)))).all())


def unheld() -> ColumnElement[bool]:
    """Condition on `settlement_legs`: nobody holds the leg's case or its merchant."""
    return ~exists().where(
        col(HoldRow.merchant_id) == col(LegRow.merchant_id),
        col(HoldRow.released_at).is_(None),
        or_(col(HoldRow.case_key) == "", col(HoldRow.case_key) == col(LegRow.case_key)),
    )


async def _hold(session: AsyncSession, merchant_id: str, case_key: str, reason: str) -> HoldRow | None:
    statement = select(HoldRow).where(
        HoldRow.merchant_id == merchant_id, HoldRow.case_key == case_key, HoldRow.reason == reason
    )
    return (await session.exec(statement.with_for_update().execution_options(populate_existing=True))).first()
