"""`python -m worker` as a process: it says how it is, drains on SIGTERM, and says clearly why it does not start."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from sqlmodel import select

from backhaul.client import Backhaul
from sandbox.servers import free_port
from store.engine import Store
from store.tables import EffectRow
from tests.gateways.outside import TOKEN, outside
from tests.servers.temporal import start_dev_server
from tests.waiting import PATIENCE_S, eventually
from tests.workflows.world import Plan, World
from worker.__main__ import assert_schema, library_of, open_store
from worker.converter import data_converter
from worker.process import Misconfigured
from worker.settings import Settings

NOWHERE = dict.fromkeys(("courier", "psp", "insurer", "notices"), "http://127.0.0.1:1")
HELD_MS = 600_000


def environment_of(
    address: str, database_url: str, parties: Mapping[str, str], ports: tuple[int, int]
) -> dict[str, str]:
    """What the process is started with; nothing of the tests' own settings."""
    servers = {name: {"url": url, "token": TOKEN} for name, url in parties.items()}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("BACKHAUL_", "TEMPORAL_"))},
        "TEMPORAL_ADDRESS": address,
        "BACKHAUL_DATABASE_URL": database_url,
        "BACKHAUL_COURIERS": json.dumps({"sandbox": servers["courier"]}),
        "BACKHAUL_PAYMENTS": json.dumps(servers["psp"]),
        "BACKHAUL_INSURER": json.dumps(servers["insurer"]),
        "BACKHAUL_NOTICES": json.dumps(servers["notices"]),
        "BACKHAUL_HEALTH_ADDRESS": f"127.0.0.1:{ports[0]}",
        "BACKHAUL_METRICS_ADDRESS": f"127.0.0.1:{ports[1]}",
        "BACKHAUL_LOG_FORMAT": "json",
    }


async def start(module: str, env: Mapping[str, str]) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", module, stdout=PIPE, stderr=STDOUT, env=env)


@asynccontextmanager
async def product(folder: Path) -> AsyncIterator[tuple[World, dict[str, str], tuple[int, int]]]:
    """Servers, store and parties; the worker is the test's to start."""
    url = f"sqlite:///{folder}/backhaul.db"
    store = Store(url)
    await store.create_all()
    ports = free_port(), free_port()
    async with start_dev_server(folder, data_converter=data_converter()) as server, outside(folder) as parties:
        address = server.client.service_client.config.target_host
        env = environment_of(address, url, {name: each.url for name, each in parties.servers.items()}, ports)
        yield World(server, store, parties, Backhaul(server.client, patience=timedelta(seconds=PATIENCE_S))), env, ports
    await store.close()


async def ready(url: str, process: Process) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                assert process.returncode is None, "the worker ended"
                try:
                    if (await http.get(f"{url}/readyz")).status_code == 200:
                        return
                except httpx2.TransportError:
                    pass
                await asyncio.sleep(0.1)


async def effect_state(world: World, kind: str) -> str | None:
    async with world.store.read() as session:
        row = (await session.exec(select(EffectRow).where(EffectRow.kind == kind))).first()
    return None if row is None else str(row.state)


async def test_drains_on_sigterm(tmp_path: Path) -> None:
    """A refund is out when the signal comes: its answer, which comes only then, is awaited and kept, and the process
    ends with 0."""
    async with product(tmp_path) as (world, env, ports):
        process = await start("worker", env)
        try:
            await ready(f"http://127.0.0.1:{ports[0]}", process)
            case = await world.open(Plan())
            await case.until(lambda status: status.waybill is not None, "a booked pickup")
            async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
                metrics = (await http.get(f"http://127.0.0.1:{ports[1]}/metrics")).text
            assert any("book_pickup" in line and 'result="succeeded"' in line for line in effects(metrics))

            held = {"match": "POST /v1/refunds", "kind": "latency", "probability": 1.0, "ms": HELD_MS}
            await world.outside.faults("psp", held)
            await case.pickup()
            await eventually(lambda: effect_state(world, "refund"), lambda state: state == "sent", "the refund")
            process.send_signal(signal.SIGTERM)
            output = await until_said(process, b"draining")
            world.outside.servers["psp"].let_go()
            output += (await asyncio.wait_for(process.communicate(), PATIENCE_S))[0]
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, output.decode()
        assert await effect_state(world, "refund") == "succeeded", "it did not wait for the refund"
        lines = [json.loads(line) for line in output.decode().splitlines()]
        assert [line["event"] for line in lines if line["logger"] == "__main__"] == ["polling", "draining", "stopped"]


async def until_said(process: Process, word: bytes) -> bytes:
    """What the process says, up to the line with this word or its end."""
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(PATIENCE_S):
        while line := await process.stdout.readline():
            said += line
            if word in line:
                break
    return said


def effects(metrics: str) -> list[str]:
    return [line for line in metrics.splitlines() if line.startswith("backhaul_effects_total")]


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"BACKHAUL_DATABASE_URL": ""}, 2, "BACKHAUL_DATABASE_URL: Field required"),
        ({}, 1, "unavailable: Temporal at 127.0.0.1:1"),
    ],
)
async def test_says_why_it_does_not_start(sqlite_url: str, change: dict[str, str], code: int, says: str) -> None:
    """One line, no traceback."""
    env = {**environment_of("127.0.0.1:1", sqlite_url, NOWHERE, (0, 0)), "BACKHAUL_METRICS_ADDRESS": "", **change}
    process = await start("worker", env)
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    text = output.decode()
    assert (process.returncode, says in text, "Traceback" in text) == (code, True, False), text


def settings(**more: object) -> Settings:
    return Settings.model_validate({"database_url": "sqlite:///b.db", **more})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"policy_book": "1999-01"}, "BACKHAUL_POLICY_BOOK: no policy book 1999-01"),
        ({"policy_books": "/nowhere.toml"}, "BACKHAUL_POLICY_BOOKS"),
    ],
)
def test_books_that_are_not_there(change: dict[str, object], says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        library_of(settings(**change))


async def test_databases_that_are_none(tmp_path: Path, sqlite_url: str, empty_postgres_url: str) -> None:
    with pytest.raises(Misconfigured, match="neither sqlite nor postgresql"):
        async with open_store(settings(database_url="mysql://x/y")):
            pass
    for url in (f"sqlite:///{tmp_path}/no/b.db", f"sqlite:///{tmp_path}/empty.db", empty_postgres_url):
        async with open_store(settings(database_url=url)) as store:
            with pytest.raises(Misconfigured, match=r"store\.migrate"):
                await assert_schema(store)
    async with open_store(settings(database_url=sqlite_url)) as store:
        await assert_schema(store)
