"""Claims at the insurer and recoveries: what covers have left, and who owes what. Domain 4.2, 4.3, 4.5."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal, Rejected
from backhaul.ids import recovery_ref
from backhaul.money import Money
from store import waybills
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
    appeal_of: str | None = None,
    second_person: bool = False,
    at: datetime,
) -> ClaimRow:
    """Keep a claim and take its amount of what the cover has left (invariant 4). The same again is no change.

    Raises Rejected(`over_indemnity`) where less is left, or the loss is claimed under another cover,
    Rejected(`effect_conflict`) for another claim of this name."""
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
        appeal_of=appeal_of,
        second_person=second_person,
        at=at,
        updated_at=at,
    )
    if not await insert_once(session, row):
        known = await need(session, claim_ref)
        same = (known.kind, known.coverage_id, known.case_key, known.reserved_minor, known.currency)
        if same != (kind, coverage_id, case_key, amount.minor, amount.currency):
            raise Rejected("effect_conflict", f"{claim_ref} stands for another claim")
        return known
    if kind == "loss":
        await _one_coverage(session, row)
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


async def _one_coverage(session: AsyncSession, row: ClaimRow) -> None:
    """No loss is paid under two coverages (invariant 4). Raises Rejected(`over_indemnity`)."""
    others = select(ClaimRow.claim_ref).where(
        ClaimRow.case_key == row.case_key,
        ClaimRow.kind == row.kind,
        ClaimRow.state != "denied",
        ClaimRow.coverage_id != row.coverage_id,
    )
    other = (await session.exec(others.limit(1))).first()
    if other is not None:
        raise Rejected("over_indemnity", f"the loss of {row.claim_ref} is claimed as {other} under another cover")


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
            await _free(session, row.coverage_id, reserve_of(row) - approved.minor)
            row.approved_minor, row.reserve_change_minor = approved.minor, approved.minor - row.reserved_minor
            await _recover_less(session, claim_ref, approved, at)
        if paid is not None:
            row.paid_minor = paid.minor
    if not row.paid_minor <= row.approved_minor <= reserve_of(row):
        raise Rejected("over_indemnity", f"{claim_ref}: paid, approved and reserved do not fit")
    session.add(row)
    return row


async def deny(session: AsyncSession, claim_ref: str, code: str, at: datetime) -> ClaimRow:
    """The insurer said no: the cover has the amount again. A repeat is no change."""
    row = await need(session, claim_ref, lock=True)
    if row.state in ("planned", "reserved"):
        await _free(session, row.coverage_id, reserve_of(row))
        row.state, row.code, row.updated_at = "denied", code, at
        session.add(row)
        await _recover_less(session, claim_ref, Money.zero(row.currency), at)
    return row


async def change_reserve(session: AsyncSession, claim_ref: str, reserve: Money, at: datetime) -> Money:
    """The insurer reserves another amount for an undecided claim: by how much more (J33), below zero for less.

    Raises Rejected(`over_indemnity`) where the cover has not that much left."""
    row = await need(session, claim_ref, lock=True)
    more = reserve.minor - reserve_of(row)
    if row.state != "reserved" or not more:
        return Money.zero(row.currency)
    left = col(CoverageRow.remaining_minor) - more
    taken = await session.exec(
        update(CoverageRow)
        .where(col(CoverageRow.coverage_id) == row.coverage_id, left >= 0)
        .values(remaining_minor=left)
    )
    if taken.rowcount != 1 or reserve.minor < 0:
        raise Rejected("over_indemnity", f"cover {row.coverage_id} has not {reserve} left for {claim_ref}")
    row.reserve_change_minor, row.updated_at = reserve.minor - row.reserved_minor, at
    session.add(row)
    return Money(minor=more, currency=row.currency)


async def overturn(session: AsyncSession, claim_ref: str, amount: Money, at: datetime) -> ClaimRow:
    """Indemnity that is taken back: the cover has the amount again. Raises Rejected(`over_indemnity`) above what
    stands of the claim."""
    row = await need(session, claim_ref, lock=True)
    if not 0 <= amount.minor <= stands(row):
        raise Rejected("over_indemnity", f"{claim_ref}: {amount} is more than stands of it")
    row.overturned_minor, row.updated_at = row.overturned_minor + amount.minor, at
    session.add(row)
    await _free(session, row.coverage_id, amount.minor)
    return row


async def give_up(session: AsyncSession, claim_ref: str, code: str, at: datetime) -> ClaimRow:
    """Nothing of an approved claim was paid and nothing will be: the cover has it again. A repeat is no change."""
    row = await need(session, claim_ref, lock=True)
    if row.state == "approved" and not row.paid_minor:
        await _free(session, row.coverage_id, stands(row))
        row.state, row.code, row.updated_at = "closed", code, at
        session.add(row)
        return row
    return await deny(session, claim_ref, code, at)


def stands(row: ClaimRow) -> int:
    """What a claim takes of its cover now, minor units: the reserve, then what was approved and not overturned."""
    if row.state not in ORDER:
        return 0
    return (row.approved_minor if row.state in ("approved", "paid") else reserve_of(row)) - row.overturned_minor


def reserve_of(row: ClaimRow) -> int:
    """What the insurer has reserved for a claim: what was claimed, and every change since. Minor units."""
    return row.reserved_minor + row.reserve_change_minor


async def begin_funding(session: AsyncSession, claim_ref: str, funding_key: str) -> Money:
    """From now on the insurer pays the platform: what stands then is to be paid, whatever is overturned since. Another
    key follows one that it refused."""
    row = await need(session, claim_ref, lock=True)
    if row.funding_key != funding_key or row.funding_minor is None:
        row.funding_key, row.funding_minor = funding_key, stands(row)
        session.add(row)
    return Money(minor=row.funding_minor or 0, currency=row.currency)


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
    statement = (
        select(ClaimRow).where(ClaimRow.case_key == case_key).order_by(col(ClaimRow.at), col(ClaimRow.claim_ref))
    )
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
    *,
    n: int = 1,
) -> RecoveryRow:
    """Keep what is to be got back for a claim, for the nth time. The same again is no change.

    Raises Rejected(`over_indemnity`) where all recoveries of the claim would be of more than was indemnified."""
    ref = recovery_ref(claim_ref, n)
    claim = await get(session, claim_ref)
    if claim is not None:
        others = sum(row.amount_minor for row in await recoveries_of(session, claim_ref) if row.recovery_ref != ref)
        if others and others + amount.minor > indemnity_of(claim):
            raise Rejected("over_indemnity", f"{claim_ref}: {others} are recovered already, {amount} more is too much")
    row = RecoveryRow(
        recovery_ref=ref,
        claim_ref=claim_ref,
        n=n,
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
    return await need_recovery(session, ref)


def indemnity_of(row: ClaimRow) -> int:
    """What was indemnified for a claim, or is reserved for it until the insurer decides. Minor units."""
    return row.approved_minor if row.state in ("approved", "paid") else reserve_of(row)


def _in_hand(plan: Mapping[str, Any], amount: Money) -> int:
    """What of a recovery was withheld before it began."""
    part = plan.get("in_hand")
    return int(part["minor"]) if part else amount.minor if plan.get("withheld") else 0


async def need_recovery(session: AsyncSession, ref: str, *, lock: bool = False) -> RecoveryRow:
    """The recovery of this name. Raises Refusal(`not_found`)."""
    statement = select(RecoveryRow).where(RecoveryRow.recovery_ref == ref)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    row = (await session.exec(statement)).first()
    if row is None:
        raise Refusal("not_found", f"there is no recovery {ref}")
    return row


async def _recover_less(session: AsyncSession, claim_ref: str, at_most: Money, at: datetime) -> None:
    """A recovery that has not begun is for no more than was approved; for a denied claim there is none."""
    for row in await recoveries_of(session, claim_ref):
        if row.state != "identified" or row.amount_minor <= at_most.minor:
            continue
        row.amount_minor, row.updated_at = at_most.minor, at
        if not at_most:
            row.state = "waived"
        session.add(row)


async def recoveries_of(session: AsyncSession, claim_ref: str, *, lock: bool = False) -> tuple[RecoveryRow, ...]:
    """A claim's recoveries in the order opened: one for each party that was ever to pay it."""
    statement = select(RecoveryRow).where(RecoveryRow.claim_ref == claim_ref).order_by(col(RecoveryRow.n))
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return tuple((await session.exec(statement)).all())


async def cut_recovery(session: AsyncSession, ref: str, to_minor: int, at: datetime) -> None:
    """A correction took part of a recovery back: what is beyond `to_minor` is not demanded any more. What came of it
    is given back by the correction, and the recovery ends where nothing is left. Raises Refusal(`not_found`)."""
    row = await need_recovery(session, ref, lock=True)
    if row.amount_minor <= to_minor:
        return
    row.amount_minor = max(0, to_minor)
    row.in_hand_minor = min(row.in_hand_minor, row.amount_minor)
    demanded = row.amount_minor - row.in_hand_minor
    row.accepted_minor = min(row.accepted_minor, demanded)
    row.collected_minor = min(row.collected_minor, demanded)
    row.cash_minor = min(row.cash_minor, row.collected_minor)
    row.remitted_minor = min(row.remitted_minor, row.amount_minor)
    row.withdrawn, row.updated_at = True, at
    if not to_minor:
        row.state = "waived"
    session.add(row)


async def take_in_hand(session: AsyncSession, row: RecoveryRow, minor: int, at: datetime) -> None:
    """What was in hand of a recovery that has not begun goes another way."""
    row.amount_minor, row.in_hand_minor = row.amount_minor - minor, row.in_hand_minor - minor
    row.withdrawn, row.updated_at = True, at
    if not row.amount_minor:
        row.state = "waived"
    session.add(row)


async def plan_recovery(session: AsyncSession, row: RecoveryRow, plan: Mapping[str, Any], at: datetime) -> None:
    """A recovery that has not begun is begun as it stands: nobody was asked for what was taken back of it."""
    row.plan, row.withdrawn, row.updated_at = dict(plan), False, at
    session.add(row)


async def courier_of(session: AsyncSession, waybill: str | None) -> str | None:
    """Who carried a waybill."""
    if waybill is None:
        return None
    known = await waybills.get(session, waybill)
    return None if known is None else known.courier
