"""What we know of a consumer from our own books, over a window: the facts of the risk rules. Domain 4.6.

One statement, read once at the request. Nobody's word but ours: outside signals are kept apart.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ScalarSelect, func, or_, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.facts import RiskProfile
from store.tables import CaseRow, ClaimRow, InspectionRow, OrderRow

NOT_RETURNED = ("declined", "withdrawn", "expired", "retained")
"""Outcomes of cases in which no goods came back."""
TO_THE_CONSUMER = "consumer:%"
"""Payee of a freight benefit that a self-shipping consumer got."""


async def profile(
    session: AsyncSession, consumer_ref: str, address_ref: str, since: datetime, until: datetime
) -> RiskProfile:
    """Count orders, returns, claims for losses, swaps found at the door, self-ship benefits, and other consumers at the
    same address. The case that is being judged is not in the store yet."""
    own = (col(CaseRow.consumer_ref) == consumer_ref, col(CaseRow.opened_at).between(since, until))
    orders = _count(OrderRow.order_id).where(
        col(OrderRow.consumer_ref) == consumer_ref, col(OrderRow.captured_at).between(since, until)
    )
    returns = _count(CaseRow.case_key).where(
        *own, or_(col(CaseRow.outcome).is_(None), col(CaseRow.outcome).not_in(NOT_RETURNED))
    )
    claimed = _count(ClaimRow.claim_ref).where(
        col(ClaimRow.case_key) == col(CaseRow.case_key), col(ClaimRow.state) != "denied", *own
    )
    swapped = select(func.coalesce(func.sum(InspectionRow.swaps), 0)).where(
        col(InspectionRow.case_key) == col(CaseRow.case_key), col(InspectionRow.kind) == "doorstep", *own
    )
    sharing = select(func.count(func.distinct(CaseRow.consumer_ref))).where(
        col(CaseRow.address_ref) == address_ref,
        col(CaseRow.consumer_ref) != consumer_ref,
        col(CaseRow.opened_at).between(since, until),
    )
    statement: Any = select(
        _one(orders),
        _one(returns),
        _one(claimed.where(col(ClaimRow.kind) == "loss")),
        _one(swapped),
        _one(claimed.where(col(ClaimRow.kind) == "freight", col(ClaimRow.payee).like(TO_THE_CONSUMER))),
        _one(sharing),
    )
    row = (await session.exec(statement)).one()
    counted = [int(value) for value in row]
    return RiskProfile(
        since=since,
        orders=counted[0],
        returns=counted[1],
        claims=counted[2],
        swaps=counted[3],
        self_ships=counted[4],
        shared_address=counted[5],
    )


def _count(column: Any) -> Any:
    return select(func.count(column))


def _one(statement: Any) -> ScalarSelect[Any]:
    scalar: ScalarSelect[Any] = statement.scalar_subquery()
    return scalar
