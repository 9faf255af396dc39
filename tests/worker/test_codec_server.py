"""The codec server speaks Temporal's remote codec protocol, to the UIs it was told about."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

from worker.codec import ENCODING, EncryptionCodec, Keyring
from worker.codec_server import create_app

UI = "http://localhost:8080"
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"consumer_ref":"c-1"}')
CODEC = EncryptionCodec(Keyring({"a": bytes(32)}))


@pytest.fixture
async def server() -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(CODEC, [UI]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://codec", headers={"Origin": UI}) as client:
        yield client


async def post(server: httpx2.AsyncClient, path: str, *payloads: Payload) -> list[Payload]:
    answer = await server.post(path, content=json_format.MessageToJson(Payloads(payloads=payloads)))
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == UI
    return list(json_format.Parse(answer.content, Payloads()).payloads)


async def test_round_trip(server: httpx2.AsyncClient) -> None:
    sealed = await post(server, "/encode", PLAIN, PLAIN)
    assert [each.metadata["encoding"] for each in sealed] == [ENCODING, ENCODING]
    assert await post(server, "/decode", *sealed) == [PLAIN, PLAIN]


async def test_what_cannot_be_decrypted_is_shown_as_it_is(server: httpx2.AsyncClient) -> None:
    (other,) = await EncryptionCodec(Keyring({"b": bytes(32)})).encode([PLAIN])
    assert await post(server, "/decode", other, PLAIN) == [other, PLAIN]


async def test_preflight(server: httpx2.AsyncClient) -> None:
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-namespace"}
    assert (await server.options("/decode", headers=ask)).status_code == 200
    stranger = await server.options("/decode", headers={**ask, "Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize("body", [b"", b"{", b'{"payloads": 1}', b"\xff\xfe"])
async def test_other_bodies_are_refused(server: httpx2.AsyncClient, body: bytes) -> None:
    assert (await server.post("/decode", content=body)).status_code == 400


async def test_too_large_is_refused(server: httpx2.AsyncClient) -> None:
    assert (await server.post("/decode", content=b" " * 16_000_001)).status_code == 413


async def test_health(server: httpx2.AsyncClient) -> None:
    assert (await server.get("/healthz")).status_code == 200
