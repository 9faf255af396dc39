"""Every refusal is a problem with a code, whatever refused."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.guard import BODY_LIMIT
from api.problems import STATUS
from api.routes import health
from backhaul.errors import CODES
from backhaul.names import Role
from tests.api.place import Place, a_return, problem
from tests.waiting import PATIENCE_S

ERRORS = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"


def test_every_code_has_one_status() -> None:
    assert STATUS.keys() == CODES.keys()
    assert all(400 <= status <= 599 for status in STATUS.values())


def test_every_code_is_documented_with_its_status() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \| (.+?) \|", ERRORS.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {code: int(status) for code, status, _ in rows}
    assert documented == STATUS
    assert {code: text for code, _, text in rows} == CODES


async def test_unknown_paths_and_methods(place: Place) -> None:
    problem(await place.call("GET", "/nowhere"), 404, "not_found")
    problem(await place.call("GET", "/v1/nowhere"), 404, "not_found")
    answer = await place.call("DELETE", "/v1/orders")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_without_a_token(place: Place) -> None:
    answer = await place.call("GET", "/v1/returns", role=None)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    for header in ("Bearer wrong-token-0123456789", "Basic dXNlcjpwYXNz", "Bearer", "", "Bearer \xff"):
        answer = await place.http.get("/v1/returns", headers={b"Authorization": header.encode("latin-1")})
        problem(answer, 401, "unauthenticated")


async def test_the_token_comes_before_the_body(place: Place) -> None:
    answer = await place.http.post("/v1/orders", content=b"{", headers={"content-type": "application/json"})
    problem(answer, 401, "unauthenticated")


async def test_bad_bodies_name_their_fields_and_quote_nothing(place: Place) -> None:
    body = a_return() | {"lines": [{"line_id": "L-1", "quantity": 0}], "address_ref": "12 Secret Road"}
    answer = await place.call("POST", "/v1/returns", body=body, Idempotency_Key="k-1")
    said = problem(answer, 422, "invalid_input")
    assert {item["field"] for item in said["errors"]} >= {"lines.0.quantity", "address_ref"}
    assert "Secret Road" not in answer.text
    for raw in (b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"NaN", b"[" * 2000):
        headers = {"content-type": "application/json", "authorization": _service(place)}
        answer = await place.http.post("/v1/orders", content=raw, headers=headers)
        problem(answer, 422, "invalid_input")


async def test_oversize_is_refused_before_parsing(place: Place) -> None:
    headers = {"content-type": "application/json", "authorization": _service(place)}
    answer = await place.http.post("/v1/orders", content=b" " * (BODY_LIMIT + 1), headers=headers)
    problem(answer, 413, "payload_too_large")
    problem(await place.http.post("/v1/webhooks/sandbox", content=b"x" * (BODY_LIMIT + 1)), 413, "payload_too_large")
    exactly = await place.http.post("/v1/orders", content=b" " * BODY_LIMIT, headers=headers)
    problem(exactly, 422, "invalid_input")


async def test_oversize_in_pieces_without_a_length(place: Place) -> None:
    async def pieces() -> Any:
        for _ in range(40):
            yield b"x" * 10_000

    headers = {"content-type": "application/json", "authorization": _service(place)}
    problem(await place.http.post("/v1/orders", content=pieces(), headers=headers), 413, "payload_too_large")


async def test_a_bug_tells_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret internals")

    monkeypatch.setattr(place.backhaul, "status", broken)
    answer = await place.call("GET", "/v1/returns/R-1?merchant_id=M-api", Role.OPERATOR)
    problem(answer, 500, "internal_error")
    assert "secret" not in answer.text


async def test_health(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", timedelta(seconds=PATIENCE_S))
    assert (await place.call("GET", "/livez", role=None)).json() == {"status": "ok"}
    assert (await place.call("GET", "/readyz", role=None)).json() == {"database": "ok", "temporal": "ok"}


async def test_not_ready(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> bool:
        raise RuntimeError("no connection")

    monkeypatch.setattr(place.backhaul.client.service_client, "check_health", away)
    answer = await place.call("GET", "/readyz", role=None)
    assert "temporal" in problem(answer, 503, "unavailable")["detail"]
    assert int(answer.headers["retry-after"]) >= 1
    assert (await place.call("GET", "/livez", role=None)).is_success


def _service(place: Place) -> str:
    from tests.api.place import token

    return f"Bearer {token(Role.SERVICE)}"


def test_the_document_says_roles_and_codes(place: Place) -> None:
    document = place.app.openapi()
    for path, operations in document["paths"].items():
        if not path.startswith("/v1/"):
            continue
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["422"]["content"], path
            if not path.startswith("/v1/webhooks"):
                assert operation["x-roles"], path
                assert {"401", "403", "413"} <= operation["responses"].keys()
    assert "Problem" in document["components"]["schemas"]
    assert isinstance(place.http, httpx2.AsyncClient)
