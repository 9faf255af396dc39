"""Reconciliation from a terminal: start a run or read one, and show its report."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.table import Table
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import TemporalError, WorkflowAlreadyStartedError

from backhaul.client.failures import translate
from backhaul.errors import Refusal
from backhaul.ids import reconciliation_id
from backhaul.names import QUEUE, REPORT_QUERY, RESOLVE_FINDING, WorkflowType
from backhaul.reconciliation import ReconcileRequest, ReconciliationReport, ResolveFinding

LOOKS_EVERY_S = 0.5

Run = WorkflowHandle[object, ReconciliationReport]


async def begin(client: Client, request: ReconcileRequest) -> ReconciliationReport:
    """Start the run of a cut, or join it, and wait for its report. Raises coded errors."""
    run = reconciliation_id(request.cut)
    try:
        await client.start_workflow(
            WorkflowType.RECONCILIATION.value,
            request,
            id=run,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            task_queue=QUEUE,
            static_summary=f"Reconciliation at `{request.cut}`",
        )
    except WorkflowAlreadyStartedError:
        pass
    except TemporalError as error:
        raise (translate(error) or error) from error
    while True:
        report = await _ask(client.get_workflow_handle(run, result_type=ReconciliationReport))
        if report is not None:
            return report
        await asyncio.sleep(LOOKS_EVERY_S)


async def latest(client: Client, cut: str | None) -> ReconciliationReport:
    """The report of a cut's run, or of the newest one. Raises Refusal(`not_found`) where there is none."""
    run = reconciliation_id(cut) if cut is not None else None
    if run is None:
        query = f"WorkflowType = '{WorkflowType.RECONCILIATION.value}'"
        async for one in client.list_workflows(query, limit=1):
            run = one.id
    if run is None:
        raise Refusal("not_found", "no reconciliation has run yet")
    report = await _ask(client.get_workflow_handle(run, result_type=ReconciliationReport))
    if report is None:
        raise Refusal("not_found", f"{run} has compared nothing yet")
    return report


async def explain(client: Client, cut: str, said: ResolveFinding) -> None:
    """Say why a finding is no trouble, to the run that is parked over it. Raises coded errors."""
    handle = client.get_workflow_handle(cut if ":" in cut else reconciliation_id(cut))
    try:
        await handle.execute_update(RESOLVE_FINDING, said)
    except TemporalError as error:
        raise (translate(error) or error) from error


async def _ask(handle: Run) -> ReconciliationReport | None:
    try:
        raw = await handle.query(REPORT_QUERY)
        return None if raw is None else ReconciliationReport.model_validate(raw)
    except (TemporalError, WorkflowFailureError) as error:
        raise (translate(error) or error) from error


def show(console: Console, report: ReconciliationReport) -> None:
    """A line per invariant, the totals of every provider, and what is open."""
    console.print(f"Reconciliation {report.cut}", highlight=False)
    table = Table(box=None)
    for name in ("", "invariant", "looked at", "findings"):
        table.add_column(name, justify="left" if name == "invariant" else "right")
    for line in report.lines:
        style = "red" if line.findings else None
        table.add_row(str(line.invariant), line.says, str(line.looked), str(line.findings), style=style)
    console.print(table)
    totals = Table(box=None)
    for name in ("provider", "movement", "rows", "total"):
        totals.add_column(name, justify="right" if name in ("rows", "total") else "left")
    for each in report.totals:
        totals.add_row(each.provider, each.kind, str(each.rows), str(each.total))
    console.print(totals)
    for finding in report.findings:
        console.print(
            f"{finding.finding_id} {finding.code} {finding.subject}: {finding.expected}, is {finding.found}",
            style="red",
            soft_wrap=True,
            highlight=False,
        )
    console.print(f"{report.open} open, {report.in_flight} under way, {report.explained} explained")
