"""What a story leaves for the replay tests: the history of its case, and of every workflow that the case led to."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

from sqlmodel import col, select
from temporalio.service import RPCError

from backhaul.ids import correction_id, dispute_id, settlement_id
from store import corrections
from store.tables import BatchRow, RecoveryRow
from tests.replay.recorded import FOLDER, record
from tests.workflows.world import Case


async def record_story(name: str, case: Case) -> None:
    """Record the case under the story's name, the others under `{name}.{what they are}`."""
    for old in FOLDER.glob(f"{name}.*"):
        old.unlink()
    await record(name, case.handle)
    async for what, workflow_id in _beside(case):
        await _recorded(f"{name}.{what}", case, workflow_id)
    for n in itertools.count(1):
        if not await _recorded(f"{name}.dispute-{n}", case, dispute_id(case.id, n)):
            return


async def _recorded(name: str, case: Case, workflow_id: str) -> bool:
    """False: there is no such workflow; it was planned and not begun."""
    try:
        await record(name, case.world.env.client.get_workflow_handle(workflow_id))
    except RPCError:
        return False
    return True


async def _beside(case: Case) -> AsyncIterator[tuple[str, str]]:
    """What the case led to, by the books: what it is, and its id."""
    async with case.world.store.read() as session:
        corrected = await corrections.of_case(session, case.id.key)
        wanted = select(RecoveryRow.workflow_id).where(RecoveryRow.case_key == case.id.key)
        recoveries = (await session.exec(wanted.order_by(RecoveryRow.workflow_id))).all()
        settled = select(BatchRow.cut).where(BatchRow.merchant_id == case.request.merchant_id)
        cuts = (await session.exec(settled.where(col(BatchRow.cut).is_not(None)).distinct())).all()
    for row in corrected:
        yield f"correction-{row.n}", correction_id(case.id, row.n)
    for n, workflow_id in enumerate(recoveries, start=1):
        yield f"recovery-{n}", workflow_id
    for n, cut in enumerate(sorted(filter(None, cuts)), start=1):
        yield f"settlement-{n}", settlement_id(case.request.merchant_id, cut)
