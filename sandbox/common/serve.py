"""Serve an app on a real socket inside a running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process that hosts the server."""
        yield


@dataclass(frozen=True)
class RunningServer:
    """A server that is accepting connections at `url`."""

    url: str
    port: int
    _app: Starlette
    _server: _Server
    _task: asyncio.Task[None]

    def let_go(self) -> None:
        """Let go of answers that a fault holds back; none is held from now on."""
        on_stop = getattr(self._app.state, "on_stop", None)
        if on_stop is not None:
            on_stop()

    async def stop(self) -> None:
        """Stop accepting, let go of answers that a fault holds back, close the book. Safe to call twice."""
        self.let_go()
        self._server.should_exit = True
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    async def wait(self) -> None:
        """Until the server has stopped."""
        await asyncio.shield(self._task)


async def serve(app: Starlette, host: str = "127.0.0.1", port: int = 0) -> RunningServer:
    """Start `app` and return once it accepts connections. Port 0 takes a free one. Raises OSError for a taken port."""
    # With the protocol named, asyncio sets TCP_NODELAY on what it accepts; without it every answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="on", ws="none", timeout_graceful_shutdown=2
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            listener.close()
            task.result()
            raise RuntimeError("the server stopped while starting")
        await asyncio.sleep(0.005)
    bound: int = listener.getsockname()[1]
    return RunningServer(f"http://{host}:{bound}", bound, app, server, task)
