"""A consumer's credit line: what it is used for, its history, and freezing it by hand. Domain 4.4, X26."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import Identity, allowed
from api.openapi import documented
from api.services import Given
from backhaul.credit import CreditEvent, CreditHold, CreditLine, FreezeCredit, UnfreezeCredit
from backhaul.facts import Token
from backhaul.money import Money
from backhaul.names import Role
from store import credit

router = APIRouter(tags=["consumers"])

READERS = (Role.OPERATOR, Role.AUDITOR)


@router.get(
    "/v1/consumers/{consumer_ref}/credit",
    summary="A consumer's credit line",
    **documented(READERS, "not_found", "store_busy"),
)
async def get_credit(
    consumer_ref: Token, given: Given, caller: Annotated[Identity, Depends(allowed(*READERS))]
) -> CreditLine:
    """Limit, use, what each case holds of it, and every change with who made it and why (the last 200)."""
    caller.of_the_platform("a credit line is")
    async with given.store.read() as session:
        return await _line(session, consumer_ref)


@router.post(
    "/v1/consumers/{consumer_ref}/credit/freeze",
    summary="Freeze a credit line",
    **documented((Role.OPERATOR,), "not_found", "store_busy"),
)
async def freeze_credit(
    consumer_ref: Token,
    request: FreezeCredit,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(Role.OPERATOR))],
) -> CreditLine:
    """Nothing more is granted; no rule thaws it. A line that a person froze before stays as it is."""
    return await _set(given, caller, consumer_ref, frozen=True, reason=request.reason)


@router.post(
    "/v1/consumers/{consumer_ref}/credit/unfreeze",
    summary="Thaw a credit line",
    **documented((Role.OPERATOR,), "not_found", "store_busy"),
)
async def unfreeze_credit(
    consumer_ref: Token,
    request: UnfreezeCredit,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(Role.OPERATOR))],
) -> CreditLine:
    """The line grants again, whether a person or a rule froze it. What is owed on it stays on it."""
    return await _set(given, caller, consumer_ref, frozen=False, reason=request.reason)


async def _set(given: Given, caller: Identity, consumer_ref: str, *, frozen: bool, reason: str) -> CreditLine:
    caller.of_the_platform("a credit line is")

    async def change(session: AsyncSession) -> CreditLine:
        at = given.now()
        await credit.set_frozen(session, consumer_ref, frozen=frozen, at=at, by=caller.name, reason=reason)
        return await _line(session, consumer_ref)

    return await given.store.run(change)


async def _line(session: AsyncSession, consumer_ref: str) -> CreditLine:
    row = await credit.line_of(session, consumer_ref)

    def money(minor: int) -> Money:
        return Money(minor=minor, currency=row.currency)

    return CreditLine(
        consumer_ref=consumer_ref,
        tier=row.tier,
        limit=money(row.limit_minor),
        used=money(row.used_minor),
        free=money(max(0, row.limit_minor - row.used_minor)),
        frozen=row.frozen,
        frozen_by=row.frozen_by,
        holds=tuple(
            CreditHold(
                case=one.reservation_key,
                granted=money(one.granted_minor),
                amount=money(one.amount_minor),
                state=one.state,
                at=one.at,
            )
            for one in await credit.holds_of(session, consumer_ref)
        ),
        events=tuple(
            CreditEvent(
                seq=one.seq,
                kind=one.kind,
                case=one.reservation_key,
                amount=money(one.minor),
                used=money(one.used_minor),
                limit=money(one.limit_minor),
                frozen=one.frozen,
                by=one.by,
                reason=one.reason,
                at=one.at,
            )
            for one in await credit.history(session, consumer_ref)
        ),
    )
