"""Where transport trouble becomes one of our error kinds, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backhaul.errors import BackhaulError, Rejected, Transient, Unknown
from gateways.http import Http, WireModel, segment
from gateways.wire import look_up
from sandbox.common.serve import serve

TIMEOUT_S = 2.0
"""Of calls that are to run into it; all others may take as long as a slow machine needs."""


class Thing(WireModel):
    """A body to send and to read."""

    name: str = "thing"


class Strange(Starlette):
    """A provider that answers what its path says: /answer/<status>, /hold, /drop, /garbage."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        methods = ["GET", "POST"]
        super().__init__(
            routes=[
                Route("/answer/{status:int}", self.answer, methods=methods),
                Route("/hold", self.hold, methods=methods),
                Route("/garbage", self.garbage, methods=methods),
                Route("/v1/operations/{key:path}", self.not_here, methods=["GET"]),
            ]
        )

    async def answer(self, request: Request) -> Response:
        self.seen.append(dict(request.headers))
        headers = {"Retry-After": request.query_params["after"]} if "after" in request.query_params else {}
        body = f'{{"code": "{request.query_params.get("code", "")}", "message": "no", "name": "thing", "more": 1}}'
        return Response(body, request.path_params["status"], headers, media_type="application/json")

    async def hold(self, request: Request) -> Response:
        await asyncio.sleep(10)
        return Response("{}")

    async def garbage(self, request: Request) -> Response:
        return Response("<html>", 200)

    async def not_here(self, request: Request) -> Response:
        return Response('{"code": "not_found"}', 404)


@pytest.fixture(scope="module")
async def strange() -> AsyncIterator[tuple[Strange, str]]:
    app = Strange()
    server = await serve(app)
    yield app, server.url
    await server.stop()


@pytest.fixture
async def http(strange: tuple[Strange, str]) -> AsyncIterator[Http]:
    client = Http(strange[1], "token", timeout_s=60, codes={"too_much": "exceeds_capture"})
    yield client
    await client.aclose()


@pytest.fixture
async def hasty(strange: tuple[Strange, str]) -> AsyncIterator[Http]:
    client = Http(strange[1], "token", timeout_s=TIMEOUT_S)
    yield client
    await client.aclose()


async def _error(http: Http, path: str, method: str = "POST") -> BackhaulError:
    async def call() -> Thing:
        answer = await (http.post(path, "k", Thing()) if method == "POST" else http.get(path))
        return answer.read(Thing)

    with pytest.raises(BackhaulError) as caught:
        await call()
    return caught.value


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [
        ("/answer/503", Transient, "provider_unavailable"),
        ("/answer/429", Transient, "provider_rate_limited"),
        ("/answer/500", Unknown, "provider_unknown"),
        ("/answer/502", Unknown, "provider_unknown"),
        ("/answer/504", Unknown, "provider_unknown"),
        ("/answer/400", Rejected, "provider_rejected"),
        ("/answer/401", Rejected, "provider_rejected"),
        ("/answer/422?code=too_much", Rejected, "exceeds_capture"),
        ("/answer/422?code=idempotency_mismatch", Rejected, "effect_conflict"),
        ("/answer/302", Unknown, "provider_malformed"),
        ("/garbage", Unknown, "provider_malformed"),
    ],
)
async def test_what_a_post_can_end_in(http: Http, path: str, kind: type[BackhaulError], code: str) -> None:
    error = await _error(http, path)
    assert (type(error), error.code) == (kind, code)


async def test_an_answer_that_does_not_come_in_time(hasty: Http) -> None:
    error = await _error(hasty, "/hold")
    assert (type(error), error.code) == (Unknown, "provider_unknown")
    assert type(await _error(hasty, "/hold", "GET")) is Transient


@pytest.mark.parametrize(("path", "kind"), [("/answer/500", Transient), ("/garbage", Unknown)])
async def test_a_lookup_that_fails_changed_nothing(http: Http, path: str, kind: type[BackhaulError]) -> None:
    assert type(await _error(http, path, "GET")) is kind


async def test_no_connection_means_that_nothing_happened() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        http = Http(f"http://127.0.0.1:{taken.getsockname()[1]}", "token", timeout_s=TIMEOUT_S)
        error = await _error(http, "/answer/200")
        await http.aclose()
    assert (type(error), error.code) == (Transient, "provider_unavailable")


async def test_a_connection_closed_without_an_answer_is_unknown() -> None:
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(drop, "127.0.0.1", 0)
    http = Http(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "token", timeout_s=TIMEOUT_S)
    try:
        assert type(await _error(http, "/answer/200")) is Unknown
    finally:
        await http.aclose()
        server.close()


async def test_an_answer_that_trickles_ends_with_the_whole_timeout() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(1000):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(TIMEOUT_S / 8)
        except ConnectionError:
            pass

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    http = Http(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "token", timeout_s=TIMEOUT_S)
    started = asyncio.get_running_loop().time()
    try:
        assert type(await _error(http, "/answer/200")) is Unknown
        assert asyncio.get_running_loop().time() - started < TIMEOUT_S * 30  # the whole answer takes four minutes
    finally:
        await http.aclose()
        server.close()


@pytest.mark.parametrize(
    ("path", "seconds"),
    [
        ("/answer/429?after=7", 7.0),
        ("/answer/503?after=2", 2.0),
        ("/answer/429", None),
        ("/answer/429?after=-3", None),
        ("/answer/429?after=nan", None),
        ("/answer/429?after=99999999", 3600.0),
        ("/answer/429?after=Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
async def test_retry_after(http: Http, path: str, seconds: float | None) -> None:
    assert (await _error(http, path)).retry_after_s == seconds


async def test_the_provider_s_own_code_is_in_the_text_and_the_token_is_not(http: Http) -> None:
    error = await _error(http, "/answer/422?code=odd_one")
    assert "odd_one" in error.message
    assert "token" not in error.message


async def test_unknown_fields_are_ignored_and_the_key_is_sent(http: Http, strange: tuple[Strange, str]) -> None:
    answer = await http.post("/answer/200", "m:r:refund.p/1:1", Thing())
    assert answer.read(Thing) == Thing()
    assert strange[0].seen[-1]["idempotency-key"] == "m:r:refund.p/1:1"
    assert strange[0].seen[-1]["authorization"] == "Bearer token"


async def test_a_404_of_something_else_is_not_an_unknown_key(http: Http) -> None:
    """A wrong address must not read as "never happened": the next step would be to send again."""
    with pytest.raises(Unknown) as caught:
        await look_up(http, "k", {})
    assert caught.value.code == "provider_malformed"


def test_a_key_is_one_segment_of_a_path() -> None:
    assert segment("m:r:pickup/1:1") == "m%3Ar%3Apickup%2F1%3A1"
