"""`backhaul reconcile`: starts or reads a run, prints a line an invariant, and ends with 1 while anything is open."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio import workflow
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from typer.testing import CliRunner, Result

from backhaul import names
from backhaul.cli import app
from backhaul.messages import Ack
from backhaul.money import Money
from backhaul.reconciliation import (
    FindingView,
    LineView,
    ProviderTotal,
    ReconcileRequest,
    ReconciliationReport,
    ResolveFinding,
)
from tests.servers.temporal import start_dev_server

OK, REFUSED, USAGE = 0, 1, 2
AT = datetime(2026, 1, 1, tzinfo=UTC)
FINDING = FindingView(
    finding_id="f1", invariant=2, code="amount_differs", subject="psp refund k1", expected="CNY 1.00 to c1",
    found="CNY 1.01 to c1", amount=Money(minor=1), state="open", since=AT,
)  # fmt: skip


@workflow.defn(name=names.WorkflowType.RECONCILIATION.value)
class StandIn:
    """Finds one thing where it is told to hold, and nothing else."""

    def __init__(self) -> None:
        self.open, self.cut = True, ""

    @workflow.run
    async def run(self, request: ReconcileRequest) -> None:
        self.cut, self.open = request.cut, request.hold
        await workflow.wait_condition(lambda: not self.open)

    @workflow.query(name=names.REPORT_QUERY)
    def report(self) -> ReconciliationReport:
        return ReconciliationReport(
            cut=self.cut,
            at=AT,
            lines=(LineView(invariant=2, says="keys are used once", looked=7, findings=int(self.open)),),
            totals=(ProviderTotal(provider="psp", kind="refund", rows=3, total=Money(minor=84_000)),),
            open=int(self.open),
            in_flight=0,
            explained=0,
            findings=(FINDING,) if self.open else (),
        )

    @workflow.update(name=names.RESOLVE_FINDING)
    def resolve(self, said: ResolveFinding) -> Ack:
        self.open = False
        return Ack(stage="reconciliation")


@pytest.fixture(scope="module")
async def temporal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkflowEnvironment]:
    async with start_dev_server(tmp_path_factory.mktemp("reconcile")) as environment:
        runner = UnsandboxedWorkflowRunner()
        async with Worker(environment.client, task_queue=names.QUEUE, workflows=[StandIn], workflow_runner=runner):
            yield environment


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, temporal: WorkflowEnvironment) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.client.service_client.config.target_host)
    monkeypatch.setenv("COLUMNS", "200")


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["reconcile", *arguments])


async def test_a_clean_run_ends_with_0_and_a_table() -> None:
    cut = f"c-{uuid.uuid4()}"
    done = await run("--cut", cut)
    assert done.exit_code == OK, done.output
    assert f"Reconciliation {cut}" in done.stdout
    assert "keys are used once" in done.stdout
    assert "CNY 840.00" in done.stdout
    assert "0 open, 0 under way, 0 explained" in done.stdout


async def test_what_is_open_ends_with_1_until_it_is_explained() -> None:
    cut = f"c-{uuid.uuid4()}"
    done = await run("--cut", cut, "--hold", "--json")
    report: dict[str, Any] = json.loads(done.stdout)
    assert (done.exit_code, report["open"], report["findings"][0]["code"]) == (REFUSED, 1, "amount_differs")
    shown = await run("--cut", cut, "--report")
    assert shown.exit_code == REFUSED
    assert "f1 amount_differs psp refund k1: CNY 1.00 to c1, is CNY 1.01 to c1" in shown.stdout
    assert (await run("--cut", cut, "--explain", "f1", "--note", "a test")).exit_code == OK
    assert (await run("--cut", cut, "--report")).exit_code == OK


async def test_called_wrongly() -> None:
    assert (await run("--explain", "f1")).exit_code == USAGE
    assert (await run("--report", "--cut", "never-was")).exit_code == REFUSED
    assert (await run("--cut", "no cut")).exit_code == REFUSED
