"""Claims at the insurer and recoveries: what covers have left, and who owes what. Domain 4.2, 4.3, 4.5."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal, Rejected
from backhaul.money import Money
from store.sql import insert_once
from store.tables import ClaimRow, CoverageRow, RecoveryRow

ORDER = ("planned", "reserved", "approved", "paid")
"""A claim's states in order: it only moves on. Denied is the other end."""


async def plan(
    session: AsyncSession,
    claim_ref: str,
    kind: str,
    coverage_id: str,
    case_key: str,
    amount: Money,
    payee: str,
    *,
    waybill: str | None = None,
    at: datetime,
) -> ClaimRow:
    """Keep a claim and take its amount of what the cover has left (invariant 4). The same again is no change.

    Raises Rejected(`over_indemnity`) where less is left, Rejected(`effect_conflict`) for another claim of this name."""
    row = ClaimRow(
        claim_ref=claim_ref,
        kind=kind,
        coverage_id=coverage_id,
        case_key=case_key,
        waybill=waybill,
        payee=payee,
        reserved_minor=amount.minor,
        currency=amount.currency,
        state="planned",
        at=at,
        updated_at=at,
    )
    if not await insert_once(session, row):
        known = await need(session, claim_ref)
        same = (known.kind, known.coverage_id, known.case_key, known.reserved_minor, known.currency)
        if same != (kind, coverage_id, case_key, amount.minor, amount.currency):
            raise Rejected("effect_conflict", f"{claim_ref} stands for another claim")
        return known
    left = col(CoverageRow.remaining_minor) - amount.minor
    taken = await session.exec(
        update(CoverageRow)
        .where(
            col(CoverageRow.coverage_id) == coverage_id,
            col(CoverageRow.currency) == amount.currency,
            left >= 0,
        )
        .values(remaining_minor=left)
    )
    if amount.minor < 0 or taken.rowcount != 1:
        raise Rejected("over_indemnity", f"cover {coverage_id} has less than {amount} left")
    return await need(session, claim_ref)


async def advance(
    session: AsyncSession,
    claim_ref: str,
    state: str,
    at: datetime,
    *,
    approved: Money | None = None,
    paid: Money | None = None,
    claim_no: str | None = None,
) -> ClaimRow:
    """Move a claim on; never back. What was approved below the reserve is free for the cover again.

    Raises Rejected(`over_indemnity`) where more is approved than reserved, or paid than approved."""
    row = await need(session, claim_ref, lock=True)
    row.claim_no = claim_no or row.claim_no
    if row.state in ORDER and ORDER.index(state) > ORDER.index(row.state):
        row.state, row.updated_at = state, at
        if approved is not None:
            await _free(session, row.coverage_id, row.reserved_minor - approved.minor)
            row.approved_minor = approved.minor
        if paid is not None:
            row.paid_minor = paid.minor
    if not row.paid_minor <= row.approved_minor <= row.reserved_minor:
        raise Rejected("over_indemnity", f"{claim_ref}: paid, approved and reserved do not fit")
    session.add(row)
    return row


async def deny(session: AsyncSession, claim_ref: str, code: str, at: datetime) -> ClaimRow:
    """The insurer said no: the cover has the amount again. A repeat is no change."""
    row = await need(session, claim_ref, lock=True)
    if row.state in ("planned", "reserved"):
        await _free(session, row.coverage_id, row.reserved_minor)
        row.state, row.code, row.updated_at = "denied", code, at
        session.add(row)
    return row


async def _free(session: AsyncSession, coverage_id: str, minor: int) -> None:
    if minor < 0:
        raise Rejected("over_indemnity", "more is approved than was reserved")
    if minor:
        await session.exec(
            update(CoverageRow)
            .where(col(CoverageRow.coverage_id) == coverage_id)
            .values(remaining_minor=col(CoverageRow.remaining_minor) + minor)
        )


async def get(session: AsyncSession, claim_ref: str, *, lock: bool = False) -> ClaimRow | None:
    """A claim by our number."""
    statement = select(ClaimRow).where(ClaimRow.claim_ref == claim_ref)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return (await session.exec(statement)).first()


async def need(session: AsyncSession, claim_ref: str, *, lock: bool = False) -> ClaimRow:
    """A claim that must be there. Raises Refusal(`not_found`)."""
    row = await get(session, claim_ref, lock=lock)
    if row is None:
        raise Refusal("not_found", f"there is no claim {claim_ref}")
    return row


async def of_case(session: AsyncSession, case_key: str) -> tuple[ClaimRow, ...]:
    """A case's claims, in order of their numbers."""
    statement = select(ClaimRow).where(ClaimRow.case_key == case_key).order_by(col(ClaimRow.claim_ref))
    return tuple((await session.exec(statement)).all())


# ---- recoveries ------------------------------------------------------------------------------------------------------


async def open_recovery(
    session: AsyncSession,
    claim_ref: str,
    case_key: str,
    liable: str,
    amount: Money,
    workflow_id: str,
    plan: Mapping[str, Any],
    at: datetime,
) -> RecoveryRow:
    """Keep what is to be got back for a claim. The same again is no change."""
    row = RecoveryRow(
        claim_ref=claim_ref,
        case_key=case_key,
        plan=dict(plan),
        liable=liable,
        amount_minor=amount.minor,
        currency=amount.currency,
        in_hand_minor=_in_hand(plan, amount),
        state="identified",
        workflow_id=workflow_id,
        at=at,
        updated_at=at,
    )
    await insert_once(session, row)
    return await need_recovery(session, claim_ref)


def _in_hand(plan: Mapping[str, Any], amount: Money) -> int:
    """What of a recovery was withheld before it began."""
    part = plan.get("in_hand")
    return int(part["minor"]) if part else amount.minor if plan.get("withheld") else 0


async def need_recovery(session: AsyncSession, claim_ref: str, *, lock: bool = False) -> RecoveryRow:
    """A recovery that must be there. Raises Refusal(`not_found`)."""
    statement = select(RecoveryRow).where(RecoveryRow.claim_ref == claim_ref)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    row = (await session.exec(statement)).first()
    if row is None:
        raise Refusal("not_found", f"there is no recovery of {claim_ref}")
    return row
