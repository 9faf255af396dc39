"""The operators' commands: what they print, and how they end."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
import uvicorn
from standardwebhooks.webhooks import Webhook
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from typer.testing import CliRunner, Result

from api.__main__ import Server
from backhaul import names
from backhaul.cli import app, doctor
from backhaul.client import Backhaul
from backhaul.messages import OpenReturn
from backhaul.names import Role
from tests.api.place import MERCHANT, SECRET, Place, a_return, an_order, new_store, open_place, token
from tests.client.cases import StandIn
from tests.servers.temporal import start_dev_server
from tests.waiting import PATIENCE_S, eventually

OK, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3


@pytest.fixture(scope="module")
async def temporal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkflowEnvironment]:
    """A server of one's own: the command line uses the product's queue."""
    async with start_dev_server(tmp_path_factory.mktemp("cli")) as environment:
        runner = UnsandboxedWorkflowRunner()
        async with Worker(environment.client, task_queue=names.QUEUE, workflows=[StandIn], workflow_runner=runner):
            yield environment


@pytest.fixture(scope="module")
async def url(temporal: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The API behind a socket."""
    store = await new_store(tmp_path_factory.mktemp("cli-api"))
    place: Place
    async with open_place(store, Backhaul(temporal.client, patience=timedelta(seconds=PATIENCE_S))) as place:
        server = Server(uvicorn.Config(place.app, port=0, log_level="error", lifespan="off"))
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        await task
    await store.close()


@pytest.fixture(scope="module", autouse=True)
def api_logs_elsewhere() -> Iterator[None]:
    """The API runs in this process: what it logs while a command runs is none of the command's output."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    yield
    structlog.configure(logger_factory=structlog.PrintLoggerFactory())


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, temporal: WorkflowEnvironment) -> None:
    """Temporal and nothing else in the environment; wide enough not to wrap."""
    for name in ("BACKHAUL_API_URL", "BACKHAUL_TOKEN", "BACKHAUL_MERCHANT", "BACKHAUL_DATABASE_URL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.client.service_client.config.target_host)
    monkeypatch.setenv("COLUMNS", "240")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The API is named."""
    monkeypatch.setenv("BACKHAUL_API_URL", url)
    monkeypatch.setenv("BACKHAUL_TOKEN", token(Role.SERVICE, MERCHANT))


async def run(*arguments: str) -> Result:
    """One command, in a thread of its own: the servers live on this one's loop."""
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


def lines_file(folder: Path, *messages: dict[str, Any]) -> str:
    path = folder / "lines.jsonl"
    path.write_text("\n".join(json.dumps(message) for message in messages) + "\n\n", encoding="utf-8")
    return str(path)


async def test_import_and_open_over_the_api(api: None, tmp_path: Path) -> None:
    order = an_order()
    done = await run("import", lines_file(tmp_path, order))
    assert (done.exit_code, done.stdout) == (OK, f"{order['order_id']} imported\n"), done.output
    again = await run("import", "--json", lines_file(tmp_path, order))
    assert json.loads(again.stdout)["created"] is False
    request = a_return(order_id=order["order_id"])
    opened = await run("open", lines_file(tmp_path, request))
    assert opened.exit_code == OK, opened.output
    assert f"{request['rma_id']} authorized, CNY 1200.00" in opened.stdout
    shown = await run("show", request["rma_id"], "--json")
    assert json.loads(shown.stdout)["stage"] == "authorizing"


async def test_one_bad_line_does_not_stop_the_others(api: None, tmp_path: Path) -> None:
    order = an_order()
    changed = order | {"lines": [order["lines"][0] | {"sku": "hat"}]}
    last = an_order()
    done = await run("import", "--json", lines_file(tmp_path, order, changed, last))
    assert done.exit_code == REFUSED
    assert [json.loads(line)["order_id"] for line in done.stdout.splitlines()] == [order["order_id"], last["order_id"]]
    assert json.loads(done.stderr)["code"] == "order_conflict"


async def test_a_line_that_does_not_fit_is_named_and_nothing_is_sent(api: None, tmp_path: Path) -> None:
    order = an_order()
    done = await run("import", lines_file(tmp_path, order, order | {"extra": 1}))
    assert (done.exit_code, done.stdout) == (REFUSED, "")
    assert "invalid_input" in done.stderr
    assert "line 2" in done.stderr


async def test_open_and_show_over_temporal(tmp_path: Path) -> None:
    request = a_return()
    opened = await run("open", lines_file(tmp_path, request))
    assert opened.exit_code == OK, opened.output
    for arguments in ((f"{MERCHANT}/{request['rma_id']}",), (request["rma_id"], "-m", MERCHANT)):
        shown = await run("show", *arguments)
        assert shown.exit_code == OK, shown.output
        assert f"{MERCHANT}/{request['rma_id']}" in shown.stdout
        assert "waits on merchant for review" in shown.stdout
        assert "CNY 0.00" in shown.stdout
    explained = await run("explain", f"{MERCHANT}/{request['rma_id']}")
    assert explained.stdout == "no decision yet\n"


async def test_refusals_and_usage(tmp_path: Path) -> None:
    missing = await run("show", f"{MERCHANT}/R-never")
    assert missing.exit_code == REFUSED
    assert missing.stderr.startswith("not_found")
    nobody = await run("show", "R-1", "--json")
    assert nobody.exit_code == REFUSED
    assert json.loads(nobody.stderr)["field"] == "merchant"
    assert (await run("show", f"{MERCHANT}/R-1", "-m", "other")).exit_code == USAGE
    assert (await run("import", lines_file(tmp_path, an_order()))).exit_code == USAGE
    assert (await run("open", str(tmp_path / "nowhere.jsonl"))).exit_code == USAGE
    assert (await run("no-such-command")).exit_code == USAGE


async def test_not_reachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    for arguments in (("show", f"{MERCHANT}/R-1"), ("stuck",), ("settle",)):
        done = await run(*arguments)
        assert done.exit_code == UNREACHABLE, done.output
        assert done.stderr.startswith("unavailable")
    monkeypatch.setenv("BACKHAUL_API_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("BACKHAUL_TOKEN", "token-0123456789")
    assert (await run("import", lines_file(tmp_path, an_order()))).exit_code == UNREACHABLE
    assert (await run("show", "R-1")).exit_code == UNREACHABLE


async def test_a_wrong_token(api: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BACKHAUL_TOKEN", "token-of-nobody-0123456789")
    done = await run("import", lines_file(tmp_path, an_order()))
    assert (done.exit_code, "unauthenticated" in done.stderr) == (REFUSED, True)


RULE = ("rule", "R-1", "--merchant", MERCHANT, "--outcome", "consumer", "--reason", "seen")


async def test_disputes_need_the_api_and_say_who_speaks(
    api: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Evidence, rulings and appeals go over the API, which knows who is asking (tests/api/test_disputes.py)."""
    photo = tmp_path / "box.jpg"
    photo.write_bytes(b"a box")
    for arguments in (
        ("evidence", "R-1", "--nothing-more"),
        ("evidence", "R-1", "--add", "box.jpg", "--as", "consumer"),
        ("evidence", "R-1", "--add", "b", "--as", "consumer", "--file", str(photo), "--sha256", "0" * 64),
        ("rule", "R-1", "--outcome", "carrier", "--reason", "seen"),
        *((*RULE, "--finding", text) for text in ("1:damage", "1:damage:one:30", "1:damage:1:30:1")),
        (*RULE, "--share", "carrier=2:damage:1:50"),
        (*RULE, "--finding", "1:damage:1:30", "--share", "2:damage:1:50"),
        (*RULE, "--finding", "1:dent:1:30"),
    ):
        assert (await run(*arguments)).exit_code == USAGE, arguments
    monkeypatch.setenv("BACKHAUL_TOKEN", token(Role.CONSUMER, MERCHANT))
    give = ("evidence", "R-1", "--add", "box.jpg", "--file", str(photo), "--as", "consumer", "--json")
    asked: tuple[tuple[str, ...], ...] = (give, ("evidence", "R-1"), ("rulings", "R-1"))
    shared = (*RULE, "--finding", "1:damage:1:30", "--share", "carrier=2:damage:1:50", "--share", "carrier=2:missing:1")
    monkeypatch.setenv("BACKHAUL_TOKEN", token(Role.APPROVER))
    done = await run(*shared)
    assert (done.exit_code, "not_found" in done.stderr) == (REFUSED, True), done.output
    monkeypatch.setenv("BACKHAUL_TOKEN", token(Role.CONSUMER, MERCHANT))
    for words in (*asked, ("appeal", "R-1", "rul-1", "--reason", "no")):
        done = await run(*words)
        assert (done.exit_code, "not_found" in done.stderr) == (REFUSED, True), (words, done.output)
    monkeypatch.setenv("BACKHAUL_API_URL", "")
    assert (await run("rulings", "R-1")).exit_code == USAGE


async def test_stuck(temporal: WorkflowEnvironment) -> None:
    request = OpenReturn.model_validate(a_return())
    workflow_id = f"return:{MERCHANT}:{request.rma_id}"
    attributes = [
        SearchAttributePair(SearchAttributeKey.for_keyword(names.ATTENTION), "ruling_needed"),
        SearchAttributePair(SearchAttributeKey.for_keyword(names.MERCHANT_ID), MERCHANT),
    ]
    handle = await temporal.client.start_workflow(
        "ReturnCase",
        request,
        id=workflow_id,
        task_queue=names.QUEUE,
        search_attributes=TypedSearchAttributes(attributes),
    )

    async def seen() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (await run("stuck", "--json")).stdout.splitlines()]

    found = await eventually(seen)
    assert [(one["workflow_id"], one["reason"]) for one in found] == [(workflow_id, "ruling_needed")]
    assert f"/namespaces/default/workflows/{workflow_id}/" in found[0]["link"]
    shown = await run("stuck")
    assert "ruling_needed" in shown.stdout
    assert found[0]["link"] in shown.stdout
    await handle.terminate()


async def test_settle_starts_one_cycle_a_cut(temporal: WorkflowEnvironment) -> None:
    cut = f"cut-{uuid.uuid4()}"
    for _ in range(2):
        done = await run("settle", "--cut", cut, "--json")
        assert done.exit_code == OK, done.output
        assert json.loads(done.stdout)["workflow_id"] == f"settlement-cycle:{cut}"
    described = await temporal.client.get_workflow_handle(f"settlement-cycle:{cut}").describe()
    assert described.workflow_type == "SettlementCycle"
    assert (await run("settle", "--cut", "no cut")).exit_code == REFUSED


async def test_a_statement_as_table_csv_and_json(api: None, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKHAUL_TOKEN", token(Role.AUDITOR))
    merchant = f"M-{uuid.uuid4()}"
    async with httpx2.AsyncClient(
        timeout=PATIENCE_S, base_url=url, headers={"Authorization": f"Bearer {token(Role.SERVICE)}"}
    ) as http:
        assert (await http.post("/v1/orders", json=an_order(merchant=merchant))).status_code == 201
    shown = await run("statement", merchant)
    assert shown.exit_code == OK, shown.output
    assert "CNY 1140.00" in shown.stdout
    assert "closing" in shown.stdout
    assert "订单收入" in (await run("statement", merchant, "--zh")).stdout
    sheet = await run("statement", merchant, "--csv")
    assert sheet.stdout.splitlines()[-1].endswith("期末余额,,,,1140.00,,,,")
    found = json.loads((await run("statement", merchant, "--json", "--to", "2020-01-01T00:00:00Z")).stdout)
    assert found["accounts"] == []
    assert (await run("statement", merchant, "--cut", "none")).exit_code == REFUSED
    assert (await run("statement", "M-nobody")).exit_code == REFUSED


async def test_the_inbox(api: None, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that nobody can read is parked, listed with its reason, and parked again when tried again."""
    monkeypatch.setenv("BACKHAUL_TOKEN", token(Role.OPERATOR))
    assert "nothing is parked" in (await run("inbox")).stdout
    event_id, body, at = f"e-{uuid.uuid4()}", '{"what": "is this"}', datetime.now(UTC)
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(event_id, at, body),
    }
    async with httpx2.AsyncClient(timeout=PATIENCE_S, base_url=url) as http:
        assert (await http.post("/v1/webhooks/sandbox", content=body, headers=headers)).json()["parked"]
    shown = await run("inbox")
    assert shown.exit_code == OK and event_id[:12] in shown.stdout and "invalid_input" in shown.stdout, shown.output
    (listed,) = map(json.loads, (await run("inbox", "--json")).stdout.splitlines())
    assert (listed["event_id"], listed["body"]) == (event_id, body)
    again = await run("inbox", "--retry", f"sandbox/{event_id}", "--json")
    assert json.loads(again.stdout)["state"] == "received", again.output
    operator = {"Authorization": f"Bearer {token(Role.OPERATOR)}"}
    async with httpx2.AsyncClient(timeout=PATIENCE_S, base_url=url, headers=operator) as http:
        await eventually(lambda: http.get("/v1/inbox"), lambda answer: bool(answer.json()["events"]), "parked again")
    (listed,) = map(json.loads, (await run("inbox", "--json")).stdout.splitlines())
    assert (listed["event_id"], listed["state"]) == (event_id, "parked")
    assert (await run("inbox", "--retry", "sandbox/never-came")).exit_code == REFUSED
    assert (await run("inbox", "--retry", "never-came")).exit_code == USAGE


async def test_doctor(
    api: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporal: WorkflowEnvironment
) -> None:
    monkeypatch.setattr(doctor, "PATIENCE", timedelta(seconds=PATIENCE_S))
    monkeypatch.setenv("BACKHAUL_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/none.db")
    done = await run("doctor", "--json")
    found = {check["name"]: check["finding"] for check in map(json.loads, done.stdout.splitlines())}
    assert found == {
        "temporal": "ok",
        "search attributes": "ok",
        "workers": "wrong",  # only a stand-in polls here
        "api": "ok",
        "database": "unreachable",
    }
    assert done.exit_code == UNREACHABLE
    (await new_store(tmp_path)).engine.sync_engine.dispose()
    monkeypatch.setenv("BACKHAUL_DATABASE_URL", f"sqlite:///{tmp_path}/backhaul.db")
    better = await run("doctor")
    assert better.exit_code == REFUSED
    assert "nobody polls" in better.stdout


async def test_doctor_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    done = await run("doctor", "--json")
    found = {check["name"]: check["finding"] for check in map(json.loads, done.stdout.splitlines())}
    assert found["temporal"] == "unreachable"
    assert found["search attributes"] == found["api"] == "skipped"
    assert done.exit_code == UNREACHABLE
