"""A worker as a process that can be killed: SIGKILL, no goodbye, and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tests.gateways.outside import TOKEN, Outside
from tests.workflows.world import BRISK


class WorkerProcess:
    """`python -m worker` against a server, a database and the parties of a test."""

    def __init__(self, address: str, database_url: str, outside: Outside, log: Path) -> None:
        servers = {name: {"url": server.url, "token": TOKEN} for name, server in outside.servers.items()}
        self._env = {
            **os.environ,
            "TEMPORAL_ADDRESS": address,
            "BACKHAUL_DATABASE_URL": database_url,
            "BACKHAUL_COURIERS": json.dumps({"sandbox": servers["courier"]}),
            "BACKHAUL_PAYMENTS": json.dumps(servers["psp"]),
            "BACKHAUL_INSURER": json.dumps(servers["insurer"]),
            "BACKHAUL_NOTICES": json.dumps(servers["notices"]),
            "BACKHAUL_POLICY_BOOK": BRISK.stem,
            "BACKHAUL_POLICY_BOOKS": str(BRISK),
            "BACKHAUL_HEALTH_ADDRESS": "127.0.0.1:0",
        }
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it begins to poll by itself."""
        with self._log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "worker", stdout=out, stderr=out, env=self._env
            )

    async def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        self._process = None
