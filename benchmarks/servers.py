"""The processes of a benchmark: Temporal, the parties, our worker, the bare worker; all on loopback, all ended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from sandbox.control import CourierControl, InsurerControl, PspControl
from sandbox.servers import find_temporal_cli, free_port

TOKEN, CONTROL = "bench-token", "bench-control"


@dataclass(frozen=True)
class Servers:
    """What runs, and how to reach it."""

    client: Client
    database_url: str
    temporal_pid: int
    worker_pid: int
    bare_pid: int
    courier: CourierControl
    psp: PspControl
    insurer: InsurerControl


async def _start(stack: AsyncExitStack, log: Path, *command: str, env: dict[str, str] | None = None) -> int:
    """One child process, ended with the stack. Returns its pid."""
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=out, stderr=out, env={**os.environ, **(env or {})}
        )

    async def stop() -> None:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 30)
            except TimeoutError:
                process.kill()
                await process.wait()

    stack.push_async_callback(stop)
    return process.pid


async def _run(*command: str, env: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **env})
    if await process.wait():
        raise RuntimeError(f"{' '.join(command)} failed")


async def _connect(address: str) -> Client:
    for _ in range(100):
        try:
            return await Client.connect(address, data_converter=pydantic_data_converter)
        except RuntimeError:
            await asyncio.sleep(0.2)
    raise RuntimeError(f"no Temporal at {address}")


@asynccontextmanager
async def start_servers(folder: Path) -> AsyncIterator[Servers]:
    """Everything, with logs and databases in `folder`."""
    address = f"127.0.0.1:{free_port()}"
    ports = [free_port() for _ in range(4)]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    provider = [json.dumps({"url": url, "token": TOKEN}) for url in urls]
    env = {
        "TEMPORAL_ADDRESS": address,
        "BACKHAUL_DATABASE_URL": f"sqlite:///{folder}/backhaul.db",
        "BACKHAUL_COURIERS": json.dumps({"sandbox": {"url": urls[0], "token": TOKEN}}),
        "BACKHAUL_PAYMENTS": provider[1],
        "BACKHAUL_INSURER": provider[2],
        "BACKHAUL_NOTICES": provider[3],
        "BACKHAUL_PAYMENTS_PER_SECOND": "1000",
        "BACKHAUL_HEALTH_ADDRESS": "127.0.0.1:0",
        "BACKHAUL_LOG_LEVEL": "WARNING",
    }
    python = sys.executable
    async with AsyncExitStack() as stack:
        temporal = await _start(
            stack,
            folder / "temporal.log",
            str(find_temporal_cli()),
            *("server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", address.rsplit(":", 1)[1]),
            *("--db-filename", str(folder / "temporal.db"), "--log-level", "error"),
            *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL"),
        )
        await _start(
            stack,
            folder / "parties.log",
            *(python, "-m", "sandbox.parties", "--ports", *map(str, ports), "--books", str(folder)),
            *("--token", TOKEN, "--control-token", CONTROL),
        )
        client = await _connect(address)
        await _run(python, "-m", "store.migrate", env=env)
        await _run(python, "-m", "worker.register", env=env)
        worker = await _start(stack, folder / "worker.log", python, "-m", "worker", env=env)
        bare = await _start(stack, folder / "bare.log", python, "-m", "benchmarks.run_bare", address)
        controls = (
            CourierControl(urls[0], CONTROL, TOKEN),
            PspControl(urls[1], CONTROL, TOKEN),
            InsurerControl(urls[2], CONTROL, TOKEN),
        )
        for control in controls:
            stack.push_async_callback(control.aclose)
        yield Servers(client, env["BACKHAUL_DATABASE_URL"], temporal, worker, bare, *controls)
