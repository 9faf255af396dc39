"""The sweeper finds what cannot speak for itself, and carries a terminated case on without paying twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select
from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from backhaul.corrections import CorrectionEvent, CorrectionKind, bounce_event
from backhaul.messages import ConfirmReceipt, ProvideAccount
from store import cases, corrections
from store.engine import Store
from store.tables import EntryRow
from tests.servers.temporal import start_dev_server
from tests.waiting import eventually
from tests.workflows.world import Plan, World, world
from worker.converter import data_converter
from worker.sweeper import CLOSED_AS, FAILED, MEANINGS, MISSING, TASK_FAILING, TERMINATED, Finding, sweep_once

NOW = timedelta(seconds=-60)
"""Cases touched just now count as well."""
REPORT_AT_ONCE = (
    "--dynamic-config-value",
    "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=1",
)


@pytest.fixture
async def product(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A product of one's own: a sweep looks at all of it."""
    folder = tmp_path_factory.mktemp("sweeper")
    async with (
        start_dev_server(folder, data_converter=data_converter()) as environment,
        world(environment, folder) as running,
    ):
        yield running


async def sweep(product: World, *, restart: bool = True) -> list[Finding]:
    return await sweep_once(product.env.client, product.store, restart=restart, settling=NOW)


async def test_nothing_wrong_nothing_found(product: World) -> None:
    await product.open(Plan())
    assert await sweep(product) == []


async def test_a_terminated_case_is_carried_on_and_pays_once(product: World) -> None:
    case = await product.open(Plan())
    await case.pickup()
    await case.until(lambda status: status.money.refunded.minor > 0, "the lightning refund")
    run_id = (await case.handle.describe()).run_id
    await case.handle.terminate("an operator's slip")

    assert await sweep(product, restart=False) == [Finding(TERMINATED, case.handle.id, run_id)]
    assert await sweep(product) == [Finding(TERMINATED, case.handle.id, run_id, carried_on=True)]
    assert await sweep(product) == []

    assert (await case.handle.describe()).run_id != run_id
    await case.pickup()  # the courier's log says the same again
    await case.until(lambda status: status.money.refunded.minor > 0, "what was paid before")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.handle.result()).outcome == "refunded"
    async with product.store.read() as session:
        paid = (await session.exec(select(EntryRow).where(EntryRow.template == "J21"))).all()
    assert len(paid) == 1
    assert await sweep(product) == []


async def test_a_case_that_is_gone_is_reported(product: World) -> None:
    case = await product.open(Plan())
    async with product.store.transaction() as session:
        row = await cases.need(session, f"{case.request.merchant_id}/{case.request.rma_id}")
        row.workflow_id = "return:nobody:nothing"
        session.add(row)
    assert await sweep(product) == [Finding(MISSING, "return:nobody:nothing")]


@workflow.defn(name="ReturnCase")
class Failed:
    """A case that a bug ended."""

    @workflow.run
    async def run(self, request: Any) -> None:
        raise ApplicationError("a bug", non_retryable=True)


@workflow.defn(name="Recovery")
class Buggy:
    """A workflow whose task fails again and again."""

    @workflow.run
    async def run(self) -> None:
        raise RuntimeError("a bug")


async def test_a_failing_task_is_reported(tmp_path: Path) -> None:
    """On a server that reports the first failure; elsewhere a task that a busy machine was late for must not count."""
    store = Store(f"sqlite:///{tmp_path}/backhaul.db")
    await store.create_all()
    queue = "bugs"
    async with start_dev_server(tmp_path, data_converter=data_converter(), extra_args=REPORT_AT_ONCE) as server:
        client = server.client
        async with Worker(client, task_queue=queue, workflows=[Buggy], workflow_runner=UnsandboxedWorkflowRunner()):
            handle = await client.start_workflow("Recovery", id="recovery:buggy", task_queue=queue)
            found = await eventually(lambda: sweep_once(client, store, settling=NOW), pause_s=0.5)
    await store.close()
    assert [(each.code, each.workflow_id) for each in found] == [(TASK_FAILING, handle.id)]


async def test_a_failed_case_is_reported_and_left(product: World) -> None:
    case = await product.open(Plan())
    await case.handle.terminate("to put a failed run in its place")
    queue = "bugs"
    client = await product.env.connect_client(data_converter=data_converter())
    async with Worker(client, task_queue=queue, workflows=[Failed], workflow_runner=UnsandboxedWorkflowRunner()):
        again = await client.start_workflow("ReturnCase", None, id=case.handle.id, task_queue=queue)
        with pytest.raises(Exception, match="failed"):
            await again.result()
    assert [(each.code, each.carried_on) for each in await sweep(product)] == [(FAILED, False)]


def test_every_finding_has_a_meaning() -> None:
    assert set(CLOSED_AS.values()) | {MISSING, TASK_FAILING} == set(MEANINGS)


async def test_a_correction_that_nobody_started_is_started_and_carried_on(product: World) -> None:
    """Its row was kept by a process that died before it could start the workflow; later the workflow is terminated."""
    case = await product.open(Plan())
    await case.pickup()
    await case.until(lambda status: status.money.refunded.minor > 0, "the lightning refund")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.handle.result()
    key = f"{case.request.merchant_id}:{case.request.rma_id}:refund.pay-{case.request.order_id}:1"
    await product.outside.control("psp", "bounces", {"key": key})
    now = await product.now()
    event = CorrectionEvent(event_id=bounce_event(key), occurred_at=now, payment_key=key)
    async with product.store.transaction() as session:
        row = await corrections.open_for(session, case.id.key, CorrectionKind.REFUND_BOUNCED, event, now)

    assert await sweep(product, restart=False) == [Finding(MISSING, row.workflow_id)]
    assert await sweep(product) == [Finding(MISSING, row.workflow_id, carried_on=True)]
    handle = product.env.client.get_workflow_handle(row.workflow_id)
    await product.asked(
        lambda: product.backhaul.correction(case.id, 1), lambda said: said.waiting is not None, "asking for an account"
    )
    await handle.terminate("an operator's slip")
    (found,) = await sweep(product)
    assert (found.code, found.workflow_id, found.carried_on) == (TERMINATED, row.workflow_id, True)
    await product.asked(
        lambda: product.backhaul.correction(case.id, 1), lambda said: said.waiting is not None, "asking again"
    )
    await product.backhaul.report_correction(case.id, 1, "provide_account", ProvideAccount(account_ref="acc-1"))
    assert (await handle.result())["outcome"] == "paid_otherwise"
    async with product.store.read() as session:
        bounced = (await session.exec(select(EntryRow).where(EntryRow.template == "J60"))).all()
        paid = (await session.exec(select(EntryRow).where(EntryRow.template == "J61"))).all()
    assert (len(bounced), len(paid)) == (1, 1)
    assert await sweep(product) == []
