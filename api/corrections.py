"""Starting corrections of closed cases, and what is known of them."""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog

from activities.steps.correcting import start_of
from api.views import correction_of
from backhaul.client import Backhaul
from backhaul.corrections import CorrectionEvent, CorrectionKind
from backhaul.errors import BackhaulError
from backhaul.ids import parse_case_key
from backhaul.messages import CorrectionStatus
from store import cases, corrections
from store.engine import Store
from store.tables import CaseRow, CorrectionRow

log = structlog.get_logger(__name__)


async def correct(
    store: Store, backhaul: Backhaul, case_key: str, kind: CorrectionKind, event: CorrectionEvent, now: datetime
) -> CorrectionRow:
    """Open the correction that this event asks for, once, and start it. The row is kept first: should nobody start
    the workflow after it, the sweeper does.

    Raises Refusal(`not_found`, `return_open`, `event_conflict`), Transient, Unknown."""
    row = await store.run(lambda session: corrections.open_for(session, case_key, kind, event, now))
    await start(store, backhaul, row)
    return row


async def start(store: Store, backhaul: Backhaul, row: CorrectionRow) -> None:
    """Start the workflow of an open correction; one that runs already is fine."""
    if row.state != corrections.OPEN:
        return
    async with store.read() as session:
        case = await cases.need(session, row.case_key)
    summary = f"Correction of return `{case.rma_id}`: {row.kind}"
    await backhaul.correct(row.workflow_id, start_of(row, case), summary)


async def of_case(store: Store, case: CaseRow, backhaul: Backhaul | None = None) -> tuple[CorrectionStatus, ...]:
    """A case's corrections from the database; with `backhaul`, the open ones as they say themselves, where they can."""
    async with store.read() as session:
        rows = await corrections.of_case(session, case.case_key)
    if backhaul is None:
        return tuple(correction_of(row) for row in rows)
    return tuple(await asyncio.gather(*(_asked(backhaul, row) for row in rows)))


async def _asked(backhaul: Backhaul, row: CorrectionRow) -> CorrectionStatus:
    if row.state == corrections.OPEN:
        try:
            return await backhaul.correction(parse_case_key(row.case_key), row.n)
        except BackhaulError as error:
            log.info("correction not asked", workflow_id=row.workflow_id, code=error.code)
    return correction_of(row)
