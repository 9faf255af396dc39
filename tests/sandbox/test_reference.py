"""The sandbox's reference says what the servers do: every route is in it, and its examples work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from sandbox import courier, insurer, notices, psp
from sandbox.common.faults import Kind, Plan
from sandbox.courier import CourierSettings
from sandbox.courier import wire as courier_wire
from sandbox.insurer import PartySettings
from sandbox.insurer import wire as insurer_wire
from sandbox.notices import app as notices_app
from sandbox.psp import app as psp_app

PAGE = (Path(__file__).parents[2] / "docs/reference/sandbox.md").read_text(encoding="utf-8")
CODES = re.compile(r"""Refusal\(\s*\d{3},\s*"([a-z_]+)\"""")


def app_of(name: str, book: Path) -> Starlette:
    if name == "courier":
        return courier.create_app(CourierSettings(book=book, token="t", control_token="c"))
    create = {"psp": psp.create_app, "insurer": insurer.create_app, "notices": notices.create_app}[name]
    return create(PartySettings(book=book, token="t", control_token="c"))


def mentions(method: str, path: str) -> bool:
    plain = path.replace(":path}", "}")
    return re.search(rf"`{method} {re.escape(plain)}[`?]", PAGE) is not None


@pytest.mark.parametrize("name", ["courier", "psp", "insurer", "notices"])
def test_every_route_is_in_the_reference(name: str, tmp_path: Path) -> None:
    routes = [route for route in app_of(name, tmp_path / "book.db").routes if isinstance(route, Route)]
    calls = [(method, route.path) for route in routes for method in route.methods or () if method != "HEAD"]
    assert len(calls) > 6
    assert [call for call in calls if not mentions(*call)] == []


def test_a_route_that_is_missing_would_be_seen() -> None:
    assert not mentions("POST", "/v1/nothing")
    assert not mentions("GET", "/v1/refunds")


def test_every_code_and_fault_is_in_the_reference() -> None:
    sources = (Path(__file__).parents[2] / "sandbox").rglob("*.py")
    codes = {code for source in sources for code in CODES.findall(source.read_text(encoding="utf-8"))}
    assert {"exceeds_capture", "already_collected"} <= codes
    assert sorted(word for word in codes | set(get_args(Kind)) if f"`{word}`" not in PAGE) == []


def test_the_examples_are_valid() -> None:
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    models = (None, courier_wire.Script, psp_app.Script, insurer_wire.Script, notices_app.Script, Plan)
    assert len(examples) == len(models)
    for example, model in zip(examples, models, strict=True):
        if model is not None:
            model.model_validate_json(json.dumps(example))
