"""The Reconciliation workflow: clean books end at once; a difference parks until it is explained or gone."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio.client import WorkflowHandle

from backhaul.ids import reconciliation_id
from backhaul.names import QUEUE, REPORT_QUERY, RESOLVE_FINDING, WorkflowType
from backhaul.reconciliation import ReconcileRequest, ReconciliationReport, ResolveFinding
from tests.workflows.world import Plan, World

PHANTOM = "pay-of-nobody"


async def begin(world: World, **wanted: Any) -> WorkflowHandle[Any, ReconciliationReport]:
    request = ReconcileRequest(cut="c1", lag_s=0, **wanted)
    return await world.env.client.start_workflow(
        WorkflowType.RECONCILIATION.value,
        request,
        id=reconciliation_id(request.cut),
        task_queue=QUEUE,
        result_type=ReconciliationReport,
    )


async def parked(handle: WorkflowHandle[Any, ReconciliationReport]) -> ReconciliationReport:
    for _ in range(200):
        report: ReconciliationReport | None = await handle.query(
            REPORT_QUERY,
            result_type=ReconciliationReport | None,  # type: ignore[arg-type]
        )
        if report is not None and report.open:
            return report
        await asyncio.sleep(0.05)
    raise AssertionError("it never found anything")


async def test_clean_books_end_with_a_report(skipping: World) -> None:
    await skipping.import_order(Plan())
    handle = await begin(skipping)
    report = await handle.result()
    assert (report.open, report.in_flight) == (0, 0)
    assert [line.invariant for line in report.lines] == list(range(1, 18))
    assert {(one.provider, one.kind, one.rows) for one in report.totals} == {
        ("psp", "capture", 1),
        ("insurer", "premium", 2),
    }


async def test_a_difference_parks_until_it_is_explained(skipping: World) -> None:
    await skipping.outside.capture(PHANTOM, 1_234)
    handle = await begin(skipping)
    report = await parked(handle)
    (finding,) = report.findings
    assert (finding.code, finding.subject, finding.found) == (
        "not_in_journal",
        f"psp capture {PHANTOM}",
        "CNY 12.34 to m1",
    )
    described = await handle.describe()
    attention = described.typed_search_attributes
    assert "reconciliation_difference" in str(attention)
    await handle.execute_update(RESOLVE_FINDING, ResolveFinding(finding_id=finding.finding_id, note="a test payment"))
    ended = await handle.result()
    assert (ended.open, ended.explained) == (0, 1)


async def test_a_run_that_is_told_not_to_hold_ends_with_what_it_found(skipping: World) -> None:
    await skipping.outside.capture(PHANTOM, 1_234)
    report = await (await begin(skipping, hold=False)).result()
    assert report.open == 1
    assert report.lines[1].findings == 1
