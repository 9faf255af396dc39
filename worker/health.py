"""Health over HTTP, on a loopback port by default.

/livez   the event loop turns. Never "worked lately": an idle worker is a healthy one.
/readyz  the workers poll, the database answers, Temporal answers; a worker that drains is not ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

import structlog
from sqlalchemy import text
from temporalio.client import Client

from store.engine import Store
from worker.settings import host_and_port

CHECK_TIMEOUT_S = 2.0
REQUEST_TIMEOUT_S = 5.0
MAX_LINES = 100

Check = Callable[[], Awaitable[bool]]
log = structlog.get_logger(__name__)


async def database_answers(store: Store) -> bool:
    """Can the database be read?"""
    async with store.read() as session:
        await session.connection()
        await (await session.connection()).execute(text("SELECT 1"))
    return True


async def temporal_answers(client: Client) -> bool:
    """Does the Temporal server say that it serves?"""
    return await client.service_client.check_health()


async def ask(checks: Mapping[str, Check]) -> dict[str, bool]:
    """Every check's answer within its time; trouble is a no."""

    async def one(check: Check) -> bool:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await check()
        except Exception:  # noqa: BLE001 - whatever goes wrong there, the answer here is no
            return False

    return dict(zip(checks, await asyncio.gather(*map(one, checks.values())), strict=True))


@asynccontextmanager
async def serve_health(address: str, checks: Mapping[str, Check]) -> AsyncIterator[str]:
    """Answer /livez and /readyz while the block runs; gives the URL. Raises OSError where the port is taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                path = await _read_path(reader)
                writer.write(await _respond(path, checks))
                await writer.drain()
        writer.close()

    host, port = host_and_port(address)
    server = await asyncio.start_server(answer, host, port)
    bound = server.sockets[0].getsockname()
    url = f"http://{host}:{bound[1]}"
    log.info("health", url=url)
    try:
        yield url
    finally:
        server.close()


async def _read_path(reader: asyncio.StreamReader) -> str:
    """The path of a GET; the rest of the request is read and dropped."""
    words = (await reader.readline()).decode("latin-1").split()
    for _ in range(MAX_LINES):
        if (await reader.readline()) in {b"\r\n", b"\n", b""}:
            break
    return words[1].partition("?")[0] if len(words) == 3 and words[0] == "GET" else ""


async def _respond(path: str, checks: Mapping[str, Check]) -> bytes:
    if path == "/livez":
        return _http(HTTPStatus.OK, {"live": True})
    if path == "/readyz":
        answers = await ask(checks)
        status = HTTPStatus.OK if all(answers.values()) else HTTPStatus.SERVICE_UNAVAILABLE
        return _http(status, answers)
    return _http(HTTPStatus.NOT_FOUND, {"paths": ["/livez", "/readyz"]})


def _http(status: HTTPStatus, body: object) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode() + content
