"""The sweeper: finds cases that cannot speak for themselves, and carries on those whose workflow was terminated.

A parked case says so in ReturnAttention. A case whose workflow is gone, or whose workflow task fails again and again,
cannot (architecture 3.2): the store knows that it is open, Temporal knows how its workflow is.

`python -m worker.sweeper --once` prints what it finds, one JSON object a line; without `--once` it goes on looking.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from pydantic import ValidationError
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from activities.contract import SettlementRequest
from backhaul.client import Backhaul
from backhaul.ids import settlement_id
from backhaul.messages import OpenReturn
from backhaul.names import MERCHANT_ID, ORDER_ID, QUEUE, STAGE, WorkflowType, clamp
from gateways.ports import Provider
from store import cases, corrections, settlement
from store.engine import Store
from store.tables import CaseRow, CorrectionRow
from worker.corrections import start as start_correction
from worker.corrections import sweep_bounces
from worker.log import configure
from worker.process import Misconfigured, connect_with, read_settings, run_main, stop_on_signals
from worker.settings import Settings

TERMINATED: Final = "case_terminated"
FAILED: Final = "case_failed"
MISSING: Final = "case_missing"
UNCLOSED: Final = "case_unclosed"
TASK_FAILING: Final = "task_failing"
MEANINGS: Final = {
    TERMINATED: "The workflow was terminated or timed out while the case is open.",
    FAILED: "The workflow failed or was cancelled while the case is open.",
    MISSING: "Temporal knows no workflow of this open case.",
    UNCLOSED: "The workflow completed and the case is still open in the store.",
    TASK_FAILING: "The workflow's task fails again and again: a bug, or a worker of the wrong version.",
}
"""Every finding by its code."""

CLOSED_AS: Final = {
    WorkflowExecutionStatus.TERMINATED: TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT: TERMINATED,
    WorkflowExecutionStatus.FAILED: FAILED,
    WorkflowExecutionStatus.CANCELED: FAILED,
    WorkflowExecutionStatus.COMPLETED: UNCLOSED,
}
FAILING_QUERY: Final = "TemporalReportedProblems IS NOT NULL AND ExecutionStatus = 'Running'"
PAGE: Final = 100
AT_ONCE: Final = 10
REPORTED_LIMIT: Final = 1_000
SETTLING: Final = timedelta(seconds=10)
"""A case touched more recently is left alone: its workflow may be closing just now."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Finding:
    """One thing found. `carried_on`: the workflow was started again."""

    code: str
    workflow_id: str
    run_id: str | None = None
    carried_on: bool = False


async def sweep_once(
    client: Client, store: Store, *, restart: bool = True, settling: timedelta = SETTLING
) -> list[Finding]:
    """Everything wrong now. With `restart`, a terminated case goes on from what is stored: its steps and effects are
    keyed by the case, so that what was done is not done again.

    A failed or missing workflow is only reported: people decide whether it is to go on."""
    found: list[Finding] = []
    before = datetime.now(UTC) - settling
    async for page in _open_cases(store):
        rows = [row for row in page if row.updated_at < before]
        for start in range(0, len(rows), AT_ONCE):
            some = await asyncio.gather(*(_look(client, row, restart) for row in rows[start : start + AT_ONCE]))
            found += [finding for finding in some if finding is not None]
    found += await _corrections(client, store, before, restart)
    return found + await _settlements(client, store, before, restart) + await _failing(client)


async def _settlements(client: Client, store: Store, before: datetime, restart: bool) -> list[Finding]:
    """Settlements with a payout to make, or a write-off to decide, and no workflow: a terminated one goes on from its
    stored batches, under their payout keys."""
    async with store.read() as session:
        open_ones = await settlement.under_way(session, before)
    found = []
    for merchant_id, cut in open_ones:
        workflow_id = settlement_id(merchant_id, cut)
        code, run_id = await _ended(client, workflow_id)
        if code is not None:
            carried_on = restart and code == TERMINATED and await _settle(client, merchant_id, cut)
            found.append(Finding(code, workflow_id, run_id, carried_on))
    return found


async def _settle(client: Client, merchant_id: str, cut: str) -> bool:
    with suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            WorkflowType.SETTLEMENT.value,
            SettlementRequest(merchant_id=merchant_id, cut=cut),
            id=settlement_id(merchant_id, cut),
            task_queue=QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            static_summary=f"Settle {merchant_id} at {cut}, carried on",
        )
    return True


async def _corrections(client: Client, store: Store, before: datetime, restart: bool) -> list[Finding]:
    """Corrections that are open and whose workflow is not running. One that is missing was opened by a process that
    died before it could start it: it is started as a terminated one is carried on."""
    async with store.read() as session:
        rows = await corrections.open_ones(session, before)
    found = []
    for row in rows:
        code, run_id = await _ended(client, row.workflow_id)
        if code is not None:
            carried_on = restart and code in {TERMINATED, MISSING} and await _correct(client, store, row)
            found.append(Finding(code, row.workflow_id, run_id, carried_on))
    return found


async def _correct(client: Client, store: Store, row: CorrectionRow) -> bool:
    await start_correction(store, Backhaul(client), row)
    return True


async def _open_cases(store: Store) -> AsyncIterator[tuple[CaseRow, ...]]:
    after: str | None = None
    while True:
        async with store.read() as session:
            page = await cases.list_cases(session, cases.CaseFilter(closed=False), after, PAGE)
        yield page.cases
        if page.next is None:
            return
        after = page.next


async def _look(client: Client, row: CaseRow, restart: bool) -> Finding | None:
    code, run_id = await _ended(client, row.workflow_id)
    if code is None:
        return None
    carried_on = restart and code == TERMINATED and await _carry_on(client, row)
    return Finding(code, row.workflow_id, run_id, carried_on)


async def _ended(client: Client, workflow_id: str) -> tuple[str | None, str | None]:
    """Why the workflow of something open is not running: a code, or None where it runs; and its last run."""
    try:
        seen = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return MISSING, None
    return CLOSED_AS.get(seen.status) if seen.status is not None else None, seen.run_id


async def _carry_on(client: Client, row: CaseRow) -> bool:
    """Start the case again under its id. Another process may have been faster: then it runs, which is what we want."""
    try:
        request = OpenReturn.model_validate(row.request)
    except ValidationError:
        log.exception("the stored request cannot be read", workflow_id=row.workflow_id)
        return False
    attributes = {STAGE: row.stage, MERCHANT_ID: row.merchant_id, ORDER_ID: row.order_id}
    with suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            WorkflowType.RETURN_CASE.value,
            request,
            id=row.workflow_id,
            task_queue=QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(SearchAttributeKey.for_keyword(name), clamp(value))
                    for name, value in attributes.items()
                ]
            ),
            static_summary=f"Return `{row.rma_id}` of order `{row.order_id}`, carried on",
        )
    return True


async def _failing(client: Client) -> list[Finding]:
    """Workflows of ours whose task fails; the server says so about 45 s after the first failure."""
    ours = {kind.value for kind in WorkflowType}
    return [
        Finding(TASK_FAILING, each.id, each.run_id)
        async for each in client.list_workflows(FAILING_QUERY, limit=REPORTED_LIMIT)
        if each.workflow_type in ours
    ]


async def sweep_forever(
    client: Client, store: Store, settings: Settings, runtime: Runtime | None = None, psp: Provider | None = None
) -> None:
    """Sweep, log what was found, wait, until cancelled. Trouble is logged and tried again at the next turn. With the
    payment provider, refunds that came back without a webhook are looked for as well."""
    if settings.sweep_every_s <= 0:
        return
    meter = (runtime or Runtime.default()).metric_meter
    counter = meter.create_counter("backhaul_findings", "What the sweeper found, by code")
    while True:
        await asyncio.sleep(settings.sweep_every_s)
        try:
            found = await sweep_once(client, store, restart=settings.sweep_restart)
            if psp is not None:
                await sweep_bounces(store, Backhaul(client), psp, datetime.now(UTC))
        except Exception:
            log.exception("the sweep failed")
            continue
        for finding in found:
            counter.add(1, {"code": finding.code})
            log.warning(MEANINGS[finding.code], **asdict(finding))


async def main() -> int:
    """Read the command line and sweep. With --once: 1 when something was found, so that a monitor can use it."""
    parser = argparse.ArgumentParser(prog="python -m worker.sweeper", description="Finds cases that cannot speak.")
    parser.add_argument("--once", action="store_true", help="look once, print what is found, exit 1 if anything is")
    options = parser.parse_args()
    settings = read_settings(Settings)
    configure(settings.log_format, settings.log_level)
    client = await connect_with(settings)
    try:
        store = Store(settings.database_url)
    except ValueError as error:
        raise Misconfigured(f"BACKHAUL_DATABASE_URL: {error}") from None
    try:
        if options.once:
            found = await sweep_once(client, store, restart=settings.sweep_restart)
            for finding in found:
                sys.stdout.write(json.dumps(asdict(finding)) + "\n")
            return 1 if found else 0
        if settings.sweep_every_s <= 0:
            raise Misconfigured("BACKHAUL_SWEEP_EVERY_S is 0: never; --once looks once")
        stopped = asyncio.create_task(stop_on_signals().wait())
        sweeping = asyncio.create_task(sweep_forever(client, store, settings))
        await asyncio.wait([stopped, sweeping], return_when=asyncio.FIRST_COMPLETED)
        sweeping.cancel()
        return 0
    finally:
        await store.close()


if __name__ == "__main__":
    run_main(main)
