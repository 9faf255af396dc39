"""Consumers' money that waits to be claimed: kept with J62, paid with J63. Domain 6, X20."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Rejected
from backhaul.ids import CaseId
from backhaul.ledger import CaseRef
from backhaul.money import Money
from store.sql import insert_once
from store.tables import UnclaimedRow

OPEN, CLAIMING, CLAIMED = "open", "claiming", "claimed"


async def keep(session: AsyncSession, case: CaseRef, key: str, amount: Money, at: datetime) -> None:
    """Keep money under its key, once; J62 goes with it. Nothing is kept of no amount."""
    if not amount:
        return
    row = UnclaimedRow(
        key=key,
        case_key=CaseId(case.merchant_id, case.rma_id).key,
        consumer_ref=case.consumer_ref,
        amount_minor=amount.minor,
        currency=amount.currency,
        state=OPEN,
        at=at,
    )
    await insert_once(session, row)


async def get(session: AsyncSession, key: str, *, lock: bool = False) -> UnclaimedRow | None:
    """What is kept under a key."""
    statement = select(UnclaimedRow).where(UnclaimedRow.key == key)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return (await session.exec(statement)).first()


async def of_case(session: AsyncSession, case_key: str, *, lock: bool = False) -> tuple[UnclaimedRow, ...]:
    """Everything that was ever kept for a case, in order of keys."""
    statement = select(UnclaimedRow).where(UnclaimedRow.case_key == case_key).order_by(col(UnclaimedRow.key))
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return tuple((await session.exec(statement)).all())


async def take(session: AsyncSession, case_key: str, n: int) -> tuple[UnclaimedRow, ...]:
    """The money that correction `n` pays out: what is open, and what it took before."""
    taken = []
    for row in await of_case(session, case_key, lock=True):
        if row.state == OPEN:
            row.state, row.correction = CLAIMING, n
            session.add(row)
        if row.state == CLAIMING and row.correction == n:
            taken.append(row)
    return tuple(taken)


async def leave(session: AsyncSession, key: str, n: int) -> None:
    """What correction `n` could not pay out waits again."""
    row = await get(session, key, lock=True)
    if row is not None and row.state == CLAIMING and row.correction == n:
        row.state, row.correction = OPEN, None
        session.add(row)


async def paid(session: AsyncSession, key: str, at: datetime) -> None:
    """It was claimed and paid. Raises Rejected(`invariant_broken`) for money that no correction had taken."""
    row = await get(session, key, lock=True)
    if row is None or row.state == OPEN:
        raise Rejected("invariant_broken", f"{key} is not claimed by anybody")
    row.state, row.claimed_at = CLAIMED, row.claimed_at or at
    session.add(row)
