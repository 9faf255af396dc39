"""Premiums earned when cover ends (J04).

A cover ends once the order's goods can no longer be sent back for any reason, by the book at which it was bound
(invariant 16), and no case of the order is open. Goods that were never signed for keep their cover in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import col, exists, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.facts import BookRef
from backhaul.ledger import JournalEntry, OrderRef, made, premium_earned
from backhaul.money import Money
from store import ledger
from store.tables import CaseRow, CoverageRow, OrderRow


async def earn(session: AsyncSession, signed_before: Mapping[BookRef, datetime], limit: int, at: datetime) -> int:
    """Post J04 for at most `limit` covers that ended: of each book, those of goods signed before a moment. How many."""
    entries: list[JournalEntry] = []
    count = 0
    for book, before in signed_before.items():
        for cover, order in await _ended(session, book, before, limit - count):
            ref = OrderRef(merchant_id=order.merchant_id, order_id=order.order_id, consumer_ref=order.consumer_ref)
            premium = Money(minor=cover.premium_merchant_minor + cover.premium_platform_minor, currency=cover.currency)
            entries += made(premium_earned(ref, premium, coverage_id=cover.coverage_id))
            cover.earned_at = at
            session.add(cover)
            count += 1
        if count == limit:
            break
    await session.flush()
    await ledger.post(session, entries, at)
    return count


async def _ended(
    session: AsyncSession, book: BookRef, before: datetime, limit: int
) -> list[tuple[CoverageRow, OrderRow]]:
    under_way = exists().where(col(CaseRow.order_id) == col(OrderRow.order_id), col(CaseRow.closed_at).is_(None))
    statement = (
        select(CoverageRow, OrderRow)
        .join(OrderRow, col(OrderRow.order_id) == col(CoverageRow.order_id))
        .where(
            CoverageRow.book_version == book.version,
            CoverageRow.book_hash == book.hash,
            col(CoverageRow.earned_at).is_(None),
            col(OrderRow.signed_at) < before,
            ~under_way,
        )
        .order_by(col(CoverageRow.coverage_id))
        .limit(limit)
    )
    return list((await session.exec(statement)).all())
