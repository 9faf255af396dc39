"""Findings kept from run to run: once per code and subject, until nobody finds them or a person explains them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Rejected
from backhaul.facts import digest
from backhaul.money import Money
from backhaul.reconciliation import FindingView
from store.reconcile.look import Finding
from store.sql import insert_once
from store.tables import FindingRow, ReconciliationRow

IN_FLIGHT, OPEN, EXPLAINED, CLOSED = "in_flight", "open", "explained", "closed"


def finding_id(finding: Finding) -> str:
    """The same as long as code and subject are."""
    return digest([finding.code, finding.subject])[:16]


async def begin(session: AsyncSession, cut: str, workflow_id: str, at: datetime) -> ReconciliationRow:
    """A run by its cut; a repeat answers the one that is there."""
    await insert_once(session, ReconciliationRow(cut=cut, workflow_id=workflow_id, began_at=at))
    return (await session.exec(select(ReconciliationRow).where(ReconciliationRow.cut == cut))).one()


async def end(session: AsyncSession, cut: str, report: dict[str, Any], at: datetime) -> None:
    """Keep what a run reports; a later look of the same run takes its place."""
    row = (await session.exec(select(ReconciliationRow).where(ReconciliationRow.cut == cut))).one()
    row.report, row.ended_at = report, at
    session.add(row)


async def latest(session: AsyncSession, cut: str | None = None) -> ReconciliationRow | None:
    """The run of this cut, or the last one that ended."""
    runs = select(ReconciliationRow).where(col(ReconciliationRow.ended_at).is_not(None))
    if cut is not None:
        runs = select(ReconciliationRow).where(ReconciliationRow.cut == cut)
    return (await session.exec(runs.order_by(col(ReconciliationRow.ended_at).desc()).limit(1))).first()


async def keep(
    session: AsyncSession, cut: str, found: Iterable[Finding], under_way: Iterable[Finding], at: datetime
) -> None:
    """Note what was found now; what was found before and is not any more is closed.

    An explained finding stays explained while it says the same; where it says something else it is open again."""
    kept = {row.finding_id: row for row in await session.exec(select(FindingRow).where(FindingRow.state != CLOSED))}
    seen: set[str] = set()
    for finding, state in [*((one, OPEN) for one in found), *((one, IN_FLIGHT) for one in under_way)]:
        ref = finding_id(finding)
        if ref in seen:
            continue
        seen.add(ref)
        row = kept.get(ref) or await _again(session, ref) or _fresh(finding, cut, at)
        if row.state != EXPLAINED or (row.expected, row.found) != (finding.expected, finding.found):
            row.state = state
        row.expected, row.found = finding.expected, finding.found
        row.minor, row.currency = finding.minor, finding.currency
        row.last_cut, row.last_at, row.ended_at = cut, at, None
        session.add(row)
    for ref, row in kept.items():
        if ref not in seen:
            row.state, row.ended_at = CLOSED, at
            session.add(row)
    await session.flush()


async def _again(session: AsyncSession, ref: str) -> FindingRow | None:
    return (await session.exec(select(FindingRow).where(FindingRow.finding_id == ref))).first()


def _fresh(finding: Finding, cut: str, at: datetime) -> FindingRow:
    return FindingRow(
        finding_id=finding_id(finding),
        invariant=finding.invariant,
        code=finding.code,
        subject=finding.subject,
        expected=finding.expected,
        found=finding.found,
        state=OPEN,
        first_cut=cut,
        last_cut=cut,
        first_at=at,
        last_at=at,
    )


async def explain(session: AsyncSession, ref: str, note: str, by: str, at: datetime) -> FindingRow:
    """A person says why a finding is no trouble. The same again is no change.

    Raises Rejected(`not_found`), Rejected(`already_decided`) for a finding that is over."""
    found = select(FindingRow).where(FindingRow.finding_id == ref).with_for_update()
    row = (await session.exec(found)).first()
    if row is None:
        raise Rejected("not_found", f"there is no finding {ref}")
    if row.state == CLOSED:
        raise Rejected("already_decided", f"finding {ref} is closed")
    row.state, row.note, row.explained_by = EXPLAINED, note, by
    session.add(row)
    return row


async def some(
    session: AsyncSession, state: str | None = OPEN, after: str = "", limit: int = 100
) -> tuple[FindingRow, ...]:
    """Findings in order of their ids, of one state or all."""
    wanted = select(FindingRow).where(col(FindingRow.finding_id) > after)
    if state is not None:
        wanted = wanted.where(FindingRow.state == state)
    return tuple((await session.exec(wanted.order_by(col(FindingRow.finding_id)).limit(limit))).all())


async def counts(session: AsyncSession) -> dict[str, int]:
    """How many findings there are by state; closed ones left out."""
    found = select(FindingRow.state, func.count()).where(FindingRow.state != CLOSED).group_by(col(FindingRow.state))
    return dict((await session.exec(found)).all())


def view_of(row: FindingRow) -> FindingView:
    """A kept finding as reports and the API show it."""
    return FindingView(
        finding_id=row.finding_id,
        invariant=row.invariant,
        code=row.code,
        subject=row.subject,
        expected=row.expected,
        found=row.found,
        amount=Money(minor=row.minor, currency=row.currency) if row.currency else None,
        state=row.state,
        since=row.first_at,
        note=row.note,
        explained_by=row.explained_by,
    )
