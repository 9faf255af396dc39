"""The command lines of the parties."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette

from sandbox.common.serve import RunningServer, serve


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options every command has. Tokens may come from SANDBOX_TOKEN and SANDBOX_CONTROL_TOKEN instead."""
    token, control = os.environ.get("SANDBOX_TOKEN"), os.environ.get("SANDBOX_CONTROL_TOKEN")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--token", default=token, required=not token, help="of the public API; or SANDBOX_TOKEN")
    parser.add_argument(
        "--control-token", default=control, required=not control, help="of /_control; or SANDBOX_CONTROL_TOKEN"
    )
    parser.add_argument("--seed", type=int, default=0, help="of ids and fault plans")


def add_webhook(parser: argparse.ArgumentParser) -> None:
    """Options of a party's webhooks. The secret may come from SANDBOX_WEBHOOK_SECRET instead."""
    secret = os.environ.get("SANDBOX_WEBHOOK_SECRET")
    parser.add_argument("--webhook-url", help="where its webhooks go")
    parser.add_argument("--webhook-secret", default=secret, help="whsec_...; or SANDBOX_WEBHOOK_SECRET")


def run_party(name: str, app: Callable[[], Starlette], host: str, port: int) -> None:
    """Serve one party until SIGINT or SIGTERM. Prints its URL once it accepts connections."""

    async def start() -> Sequence[tuple[str, RunningServer]]:
        return [(name, await serve(app(), host, port))]

    asyncio.run(until_signalled(start))


async def until_signalled(start: Callable[[], Awaitable[Sequence[tuple[str, RunningServer]]]]) -> None:
    """Start servers, print their URLs, and stop them at SIGINT or SIGTERM."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    servers = await start()
    for name, server in servers:
        print(f"{name} {server.url}", flush=True)
    await asked.wait()
    await asyncio.gather(*(server.stop() for _, server in servers))
