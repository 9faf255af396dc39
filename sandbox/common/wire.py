"""What every party's wire has in common: calls, what they made, and answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from sandbox.common.errors import Refusal

Body = dict[str, Any]
M = TypeVar("M", bound=BaseModel)

Amount = Annotated[int, Field(gt=0, le=10**15)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Text = Annotated[str, Field(min_length=1, max_length=300)]
Millis = Annotated[int, Field(ge=0, le=10**9)]


class Strict(BaseModel):
    """A request body: unknown fields and wrong types are refused. Amounts are integer minor units."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Nothing(BaseModel):
    """The body of a call that needs none; whatever is sent is ignored."""


class Money(Strict):
    """An amount in minor units with its currency."""

    amount: Annotated[int, Field(ge=0, le=10**15)]
    currency: Currency


@dataclass(frozen=True)
class Call(Generic[M]):
    """One authenticated call: its idempotency key, path parameters, query, parsed body, and the time it came."""

    key: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: M
    now_us: int


@dataclass(frozen=True)
class Made:
    """What an operation did: its answer, and what a look-up by its key tells beside it."""

    body: Body
    ref: str
    status: int = 200
    amount: int | None = None
    currency: str | None = None
    payee: str | None = None


def encode(body: Body) -> str:
    """A body as it goes out: the one way to write it, so that a kept answer is replayed byte for byte."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def text_answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer whose JSON is written already."""
    return Response(text, status, dict(headers) if headers else None, media_type="application/json")


def json_answer(status: int, body: Body, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return text_answer(status, encode(body), headers)


def refused(refusal: Refusal) -> Response:
    """The answer to a refused call."""
    return json_answer(refusal.status, refusal.body())


def number_in(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number of the query between 0 and `most`. Raises Refusal 422."""
    text = query.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Refusal(422, "invalid_request", f"{name} must be a whole number", field=name)
    return min(int(text), most) if text else default
