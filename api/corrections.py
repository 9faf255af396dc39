"""What is known of a case's corrections: from the database, and from those that are open themselves."""

from __future__ import annotations

import asyncio

import structlog

from api.views import correction_of
from backhaul.client import Backhaul
from backhaul.errors import BackhaulError
from backhaul.ids import parse_case_key
from backhaul.messages import CorrectionStatus
from store import corrections
from store.engine import Store
from store.tables import CaseRow, CorrectionRow

log = structlog.get_logger(__name__)


async def of_case(store: Store, case: CaseRow, backhaul: Backhaul | None = None) -> tuple[CorrectionStatus, ...]:
    """A case's corrections from the database; with `backhaul`, the open ones as they say themselves, where they can."""
    async with store.read() as session:
        rows = await corrections.of_case(session, case.case_key)
    if backhaul is None:
        return tuple(correction_of(row) for row in rows)
    return tuple(await asyncio.gather(*(asked(backhaul, row) for row in rows)))


async def asked(backhaul: Backhaul, row: CorrectionRow) -> CorrectionStatus:
    """One correction as it says itself, or as the database knows it."""
    if row.state == corrections.OPEN:
        try:
            return await backhaul.correction(parse_case_key(row.case_key), row.n)
        except BackhaulError as error:
            log.info("correction not asked", workflow_id=row.workflow_id, code=error.code)
    return correction_of(row)
