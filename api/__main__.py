"""`python -m api`: serve over HTTP until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import uvicorn

from api.app import create_app
from api.settings import Settings
from backhaul.client import Backhaul, connect
from store.engine import Store
from worker import log
from worker.process import converter_of, read_settings, run_main, stop_on_signals

GRACE_S = 20
"""Seconds for answers under way when told to stop."""


async def main() -> int:
    """Connect, serve, and close what was opened. Temporal may come later: readyz says so until then."""
    settings = read_settings(Settings)
    log.configure(settings.log_format, settings.log_level)
    client = await connect(lazy=True, data_converter=converter_of(settings))
    store = Store(settings.database_url)
    try:
        app = create_app(settings, store, Backhaul(client, patience=timedelta(seconds=settings.patience_s)))
        config = uvicorn.Config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            timeout_graceful_shutdown=GRACE_S,
            server_header=False,
            log_config=None,
        )
        await _serve(Server(config))
    finally:
        await store.close()
    return 0


class Server(uvicorn.Server):
    """Uvicorn, which would end the process by the signal again before the database is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled outside."""
        yield


async def _serve(server: Server) -> None:
    """Until a signal comes, or the server ends by itself."""
    stopped = asyncio.create_task(stop_on_signals().wait())
    serving = asyncio.create_task(server.serve())
    await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopped.cancel()
    await serving


if __name__ == "__main__":
    run_main(main)
