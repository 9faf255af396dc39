"""Evidence of a case by reference: who gave what, when, about which line. Domain 4.5, X8, X14."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.facts import Party, digest
from backhaul.messages import DoorstepFinding, Evidence, EvidenceKind, EvidenceRef
from store.sql import insert_once
from store.tables import EvidenceRow

REQUEST, DOOR, RECEIPT, PARTY = "request", "door", "receipt", "party"
"""How a piece came in: with the request, the courier's visit, the merchant's objection, or by itself."""


async def keep(
    session: AsyncSession,
    case_key: str,
    given: Iterable[EvidenceRef],
    source: str,
    at: datetime,
    given_by: str | None = None,
) -> int:
    """Keep what a party gave; how much of it was new. The same piece by the same party again is the first one."""
    new = 0
    for one in given:
        row = EvidenceRow(
            evidence_id=_id(case_key, one.by, one.ref, one.sha256),
            case_key=case_key,
            ref=one.ref,
            sha256=one.sha256,
            by=one.by.value,
            given_by=given_by,
            kind=None if one.kind is None else one.kind.value,
            line_id=one.line_id,
            source=source,
            received_at=at,
        )
        new += await insert_once(session, row)
    return new


async def keep_photos(session: AsyncSession, case_key: str, findings: Iterable[DoorstepFinding], at: datetime) -> None:
    """The courier's photos at the door: references only, their hashes are not reported."""
    for finding in findings:
        for ref in finding.photos:
            row = EvidenceRow(
                evidence_id=_id(case_key, Party.COURIER, ref, None),
                case_key=case_key,
                ref=ref,
                by=Party.COURIER.value,
                kind=EvidenceKind.PHOTO.value,
                line_id=finding.line_id,
                source=DOOR,
                received_at=at,
            )
            await insert_once(session, row)


async def of_case(session: AsyncSession, case_key: str) -> tuple[Evidence, ...]:
    """All evidence of a case, in the order received."""
    found = select(EvidenceRow).where(EvidenceRow.case_key == case_key)
    rows = await session.exec(found.order_by(col(EvidenceRow.received_at), col(EvidenceRow.evidence_id)))
    return tuple(_evidence(row) for row in rows)


def _id(case_key: str, by: Party, ref: str, sha256: str | None) -> str:
    return digest({"case": case_key, "by": by.value, "ref": ref, "sha256": sha256})[:32]


def _evidence(row: EvidenceRow) -> Evidence:
    return Evidence(
        evidence_id=row.evidence_id,
        ref=row.ref,
        sha256=row.sha256,
        by=Party(row.by),
        given_by=row.given_by,
        kind=None if row.kind is None else EvidenceKind(row.kind),
        line_id=row.line_id,
        source=row.source,
        received_at=row.received_at,
    )
