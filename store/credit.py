"""The consumer's credit line: reservations under a key, never above the limit. Domain 4.4, invariant 7.

A hold stands for the money from the reservation to its end: reserved, then advanced (P1130), then, where the consumer
turns out to owe it, receivable (P1110): `release(keep=...)` keeps that part on the line until it is collected.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Rejected
from backhaul.money import Money
from store.sql import insert_once
from store.tables import ConsumerRow, CreditHoldRow


async def reserve(session: AsyncSession, reservation_key: str, consumer_ref: str, amount: Money, at: datetime) -> bool:
    """Take an amount of the line, once per key: was there room? A repeat answers the same.

    Raises Rejected(`effect_conflict`) for another amount or consumer under the key."""
    known = await hold(session, reservation_key)
    if known is not None:
        if (known.consumer_ref, known.granted_minor) != (consumer_ref, amount.minor):
            raise Rejected("effect_conflict", f"{reservation_key} was reserved for another amount")
        return True
    after = col(ConsumerRow.used_minor) + amount.minor
    taken = await session.exec(
        update(ConsumerRow)
        .where(
            col(ConsumerRow.consumer_ref) == consumer_ref,
            col(ConsumerRow.currency) == amount.currency,
            col(ConsumerRow.frozen).is_(False),
            after <= col(ConsumerRow.limit_minor),
        )
        .values(used_minor=after)
    )
    if taken.rowcount != 1:
        return False
    row = CreditHoldRow(
        reservation_key=reservation_key,
        consumer_ref=consumer_ref,
        granted_minor=amount.minor,
        amount_minor=amount.minor,
        currency=amount.currency,
        state="held",
        at=at,
    )
    if not await insert_once(session, row):
        # Another transaction reserved under this key meanwhile: its hold counts, ours is taken back.
        await _give_back(session, consumer_ref, amount.minor)
    return True


async def hold(session: AsyncSession, reservation_key: str, *, lock: bool = False) -> CreditHoldRow | None:
    """The hold under a key, whatever became of it."""
    statement = select(CreditHoldRow).where(CreditHoldRow.reservation_key == reservation_key)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return (await session.exec(statement)).first()


async def release(session: AsyncSession, reservation_key: str, at: datetime, keep: Money | None = None) -> None:
    """Give the line back, but for `keep`, which the consumer owes. No hold, or released before: no change."""
    row = await hold(session, reservation_key, lock=True)
    if row is None or row.state == "released":
        return
    kept = min(keep.minor if keep else 0, row.amount_minor)
    await _give_back(session, row.consumer_ref, row.amount_minor - kept)
    row.amount_minor = kept
    if not kept:
        row.state, row.released_at = "released", at
    session.add(row)


async def freeze(session: AsyncSession, reservation_key: str) -> None:
    """Abuse was found: the hold stays and the whole line grants nothing more until it is thawed."""
    row = await hold(session, reservation_key, lock=True)
    if row is None or row.state == "released":
        return
    row.state = "frozen"
    session.add(row)
    await set_frozen(session, row.consumer_ref, frozen=True)


async def set_frozen(session: AsyncSession, consumer_ref: str, *, frozen: bool) -> None:
    """Freeze or thaw a consumer's line."""
    await session.exec(update(ConsumerRow).where(col(ConsumerRow.consumer_ref) == consumer_ref).values(frozen=frozen))


async def _give_back(session: AsyncSession, consumer_ref: str, minor: int) -> None:
    await session.exec(
        update(ConsumerRow)
        .where(col(ConsumerRow.consumer_ref) == consumer_ref)
        .values(used_minor=col(ConsumerRow.used_minor) - minor)
    )
