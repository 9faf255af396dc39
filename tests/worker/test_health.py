"""Liveness says that the loop turns, readiness that work can be done; neither says "worked lately"."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from store.engine import Store
from tests.waiting import PATIENCE_S
from worker import health
from worker.health import database_answers, serve_health, temporal_answers

FREE = "127.0.0.1:0"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that is late on a busy machine is no "no"."""
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(health, "REQUEST_TIMEOUT_S", PATIENCE_S)


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def get(url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        return await client.get(url)


async def test_live_and_ready() -> None:
    async with serve_health(FREE, {"polling": yes, "database": yes}) as url:
        assert (await get(f"{url}/livez")).status_code == 200
        ready = await get(f"{url}/readyz")
        assert (ready.status_code, ready.json()) == (200, {"polling": True, "database": True})
        assert (await get(f"{url}/else")).status_code == 404


async def test_not_ready_says_why_and_stays_live() -> None:
    async def broken() -> bool:
        raise ConnectionError("gone")

    async with serve_health(FREE, {"polling": no, "database": broken, "temporal": yes}) as url:
        ready = await get(f"{url}/readyz")
        assert (ready.status_code, ready.json()) == (503, {"polling": False, "database": False, "temporal": True})
        assert (await get(f"{url}/livez")).status_code == 200


async def test_a_check_that_hangs_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.05)

    async def hangs() -> bool:
        await asyncio.Event().wait()
        return True

    async with serve_health(FREE, {"database": hangs}) as url:
        assert (await get(f"{url}/readyz")).json() == {"database": False}


async def test_garbage_does_not_stop_it() -> None:
    async with serve_health(FREE, {}) as url:
        port = int(url.rpartition(":")[2])
        for rubbish in (b"\r\n\r\n", b"\x00\xff\r\n\r\n", b"GET /livez\r\n\r\n", b"A" * 100_000 + b"\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(rubbish)
            await reader.read()
            writer.close()
        assert (await get(f"{url}/livez")).status_code == 200


async def test_database(database_url: str) -> None:
    store = Store(database_url)
    assert await database_answers(store)
    await store.close()


async def test_no_database(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/no/such/folder/b.db")
    assert await health.ask({"database": lambda: database_answers(store)}) == {"database": False}
    await store.close()


async def test_temporal(dev_server: WorkflowEnvironment) -> None:
    assert await temporal_answers(dev_server.client)


async def test_no_temporal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 2.0)
    client = await Client.connect("127.0.0.1:1", lazy=True)
    assert await health.ask({"temporal": lambda: temporal_answers(client)}) == {"temporal": False}
