"""The Reconciliation workflow: clean books end at once; a difference parks until it is explained or gone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError

from backhaul.corrections import CorrectionKind, bounce_event
from backhaul.ids import reconciliation_id
from backhaul.ledger import OrderRef, made, sale_captured
from backhaul.messages import ConfirmReceipt, RetryStep
from backhaul.names import QUEUE, REPORT_QUERY, RESOLVE_FINDING, WorkflowType
from backhaul.reconciliation import ReconcileRequest, ReconciliationReport, ResolveFinding
from store import corrections, ledger
from store.reconcile import findings
from tests.replay.recorded import commands_of, record
from tests.waiting import eventually
from tests.workflows.scenarios.refunds import accepted, bounce, refund_key
from tests.workflows.world import Plan, World, cny

PHANTOM = "pay-of-nobody"


async def begin(world: World, **wanted: Any) -> WorkflowHandle[Any, ReconciliationReport]:
    request = ReconcileRequest(cut="c1", **{"lag_s": 0, **wanted})
    return await world.env.client.start_workflow(
        WorkflowType.RECONCILIATION.value,
        request,
        id=reconciliation_id(request.cut),
        task_queue=QUEUE,
        result_type=ReconciliationReport,
    )


async def parked(handle: WorkflowHandle[Any, ReconciliationReport]) -> ReconciliationReport:
    return await until(handle, lambda report: report.open > 0, "a finding")


async def until(
    handle: WorkflowHandle[Any, ReconciliationReport], test: Callable[[ReconciliationReport], bool], what: str
) -> ReconciliationReport:
    async def seen() -> ReconciliationReport | None:
        found: ReconciliationReport | None = await handle.query(
            REPORT_QUERY,
            result_type=ReconciliationReport | None,  # type: ignore[arg-type]
        )
        return found

    report = await eventually(seen, lambda found: found is not None and test(found), what)
    assert report is not None
    return report


@pytest.fixture(autouse=True)
async def recorded(request: pytest.FixtureRequest, skipping: World) -> AsyncIterator[None]:
    """Every run of these tests is replayed; with BACKHAUL_RECORD set its history is recorded."""
    yield
    handle = skipping.env.client.get_workflow_handle(reconciliation_id("c1"))
    with contextlib.suppress(RPCError):  # not every test runs one to its end
        if os.environ.get("BACKHAUL_RECORD"):
            await record(f"reconciliation.{request.node.name.removeprefix('test_')}", handle)
        else:
            await commands_of(await handle.fetch_history())


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


async def test_a_difference_that_is_gone_at_the_next_look_ends_the_run(skipping: World) -> None:
    """The provider captured before the order came in: pressing `retry_step` looks again."""
    await skipping.outside.capture(PHANTOM, 1_234)
    handle = await begin(skipping)
    await parked(handle)
    order = OrderRef(merchant_id="m1", order_id="o-late", consumer_ref="c1")
    late = sale_captured(order, cny(1_234), cny(0), payment_id=PHANTOM)
    async with skipping.store.transaction() as session:
        await ledger.post(session, made(late), await skipping.now())
    await handle.execute_update("retry_step", RetryStep())
    ended = await handle.result()
    assert (ended.open, ended.explained) == (0, 0)
    # The order itself was never imported: what its lines count is not what the journal says of it.
    async with skipping.store.read() as session:
        assert {row.state for row in await findings.some(session, None)} == {findings.CLOSED}


async def test_a_parked_run_looks_again_by_itself(skipping: World) -> None:
    await skipping.outside.capture(PHANTOM, 1_234)
    handle = await begin(skipping)
    first = await parked(handle)
    await skipping.env.sleep(100_000)
    report = await until(handle, lambda report: report.at > first.at, "another look")
    assert report.findings[0].since == first.findings[0].since, "one finding, found twice"
    await handle.execute_update(
        RESOLVE_FINDING, ResolveFinding(finding_id=report.findings[0].finding_id, note="a test payment")
    )
    assert (await handle.result()).explained == 1


async def test_a_bounce_that_only_the_statement_tells_of_is_corrected(skipping: World) -> None:
    """The same correction, under the same event, as the webhook would have started."""
    case = await accepted(skipping)
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.end()
    await bounce(skipping, case, refund_key(case))
    report = await (await begin(skipping, hold=False, lag_s=86_400)).result()
    assert [finding.code for finding in report.findings] == ["not_in_journal"]
    async with skipping.store.read() as session:
        (row,) = await corrections.of_case(session, case.id.key)
    assert (row.kind, row.event_id) == (CorrectionKind.REFUND_BOUNCED, bounce_event(refund_key(case)))
    handle = skipping.env.client.get_workflow_handle(row.workflow_id)
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING


async def test_bad_input_fails_the_start(skipping: World) -> None:
    handle = await skipping.env.client.start_workflow(
        WorkflowType.RECONCILIATION.value, {"lag_s": -1}, id="reconciliation:bad", task_queue=QUEUE
    )
    with pytest.raises(WorkflowFailureError):
        await handle.result()
