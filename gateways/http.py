"""HTTP to a provider: one client, and the one place where transport trouble becomes one of our error kinds.

- no connection, 503, 429: nothing happened -> Transient
- a request that was sent and got no readable answer, or another 5xx -> Unknown (a lookup changes nothing: Transient)
- 4xx -> Rejected, with our code for the provider's where we know it, and the provider's own code in the text
- an answer that does not fit the contract -> Unknown(`provider_malformed`)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ConfigDict, ValidationError

from backhaul.errors import BackhaulError, Rejected, Transient, Unknown

TIMEOUT_S = 8.0
"""Of one call in all, so that the activity (15 s) lives to report an unknown answer."""
MAX_RETRY_AFTER_S = 3600.0
MAX_ANSWER_BYTES = 4_000_000
KNOWN_CODES: Mapping[str, str] = {
    "idempotency_mismatch": "effect_conflict",
    "already_collected": "already_collected",
    "account_abnormal": "account_abnormal",
    "channel_closed": "channel_closed",
    "insufficient_balance": "insufficient_balance",
}
"""Providers' codes that mean the same with every provider. An adapter adds its own."""

Wire = TypeVar("Wire", bound=BaseModel)
T = TypeVar("T")


class WireModel(BaseModel):
    """Base of wire types: unknown fields are ignored, since a provider may add some at any time."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ErrorBody(WireModel):
    """A provider's error."""

    code: str = ""
    message: str = ""


class Answer:
    """An answer of the provider, not looked into yet."""

    def __init__(self, status: int, content: bytes, call: str):
        self.status = status
        self.content = content
        self.refusal: BackhaulError | None = None
        """The error that this answer is, where the caller allowed its status and does not take it after all."""
        self._call = call

    def read(self, model: type[Wire]) -> Wire:
        """The body as a wire type. Raises Unknown(`provider_malformed`)."""
        try:
            return model.model_validate_json(self.content)
        except ValidationError as exc:
            raise self.malformed(f"{exc.error_count()} fields") from exc

    def map(self, model: type[Wire], mapping: Callable[[Wire], T]) -> T:
        """The body in our words; Unknown(`provider_malformed`) where the mapping raises ValueError."""
        wire = self.read(model)
        try:
            return mapping(wire)
        except ValueError as exc:
            raise self.malformed("it reads well and means nothing to us") from exc

    def malformed(self, what: str) -> Unknown:
        """The error for an answer that reads well and means nothing to us."""
        return Unknown("provider_malformed", f"{self._call}: the answer does not fit ({what})")


class Http:
    """Calls to one provider. Knows no endpoint; keeps its connections until `aclose`."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        codes: Mapping[str, str] | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ):
        self._timeout_s = timeout_s
        self._codes = {**KNOWN_CODES, **(codes or {})}
        # A connect timeout below the whole one: "not connected" and "sent, unanswered" must stay apart.
        self._client = httpx2.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=httpx2.Timeout(timeout_s, connect=timeout_s / 2),
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def post(self, path: str, key: str, body: BaseModel, *, allow: Collection[int] = ()) -> Answer:
        """Ask for something under an idempotency key. Statuses in `allow` are answers and not errors."""
        content = body.model_dump_json(exclude_none=True).encode()
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        request = self._client.build_request("POST", path, content=content, headers=headers)
        return await self._send(request, allow)

    async def get(
        self, path: str, params: Mapping[str, str | int] | None = None, *, allow: Collection[int] = ()
    ) -> Answer:
        """Look something up. Never Unknown for trouble on the way: nothing can have happened."""
        request = self._client.build_request("GET", path, params=dict(params or {}))
        return await self._send(request, allow)

    async def _send(self, request: httpx2.Request, allow: Collection[int]) -> Answer:
        call = f"{request.method} {request.url.path}"
        reading = request.method == "GET"
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.send(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as exc:
            raise Transient("provider_unavailable", f"{call}: no connection") from exc
        except (httpx2.RequestError, TimeoutError) as exc:
            raise self._no_answer(reading, f"{call}: {type(exc).__name__}") from exc
        answer = Answer(response.status_code, response.content, call)
        if len(answer.content) > MAX_ANSWER_BYTES:
            raise answer.malformed(f"{len(answer.content)} bytes")
        if response.is_success:
            return answer
        answer.refusal = self._error(answer, call, reading, response.headers.get("Retry-After"))
        if response.status_code in allow:
            return answer
        raise answer.refusal

    def _error(self, answer: Answer, call: str, reading: bool, retry_after: str | None) -> BackhaulError:
        status, what = answer.status, _error_body(answer.content)
        text = f"{call}: {status} {what.code}".rstrip()
        if status == httpx2.codes.TOO_MANY_REQUESTS:
            return Transient("provider_rate_limited", text, retry_after_s=_seconds(retry_after))
        if status == httpx2.codes.SERVICE_UNAVAILABLE:
            return Transient("provider_unavailable", text, retry_after_s=_seconds(retry_after))
        if status >= httpx2.codes.INTERNAL_SERVER_ERROR:
            return self._no_answer(reading, text)
        if status >= httpx2.codes.BAD_REQUEST:
            detail = f"{text} {what.message}".rstrip()[:500]
            return Rejected(self._codes.get(what.code, "provider_rejected"), detail)
        return answer.malformed(f"status {status}")

    @staticmethod
    def _no_answer(reading: bool, text: str) -> BackhaulError:
        return Transient("provider_unavailable", text) if reading else Unknown("provider_unknown", text)


def segment(value: str) -> str:
    """A value as one segment of a path: keys hold `:` and may hold `/`."""
    return quote(value, safe="")


def _error_body(content: bytes) -> ErrorBody:
    try:
        return ErrorBody.model_validate_json(content[:MAX_ANSWER_BYTES])
    except ValidationError:
        return ErrorBody()


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; the form with a date, and nonsense, are ignored."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return min(seconds, MAX_RETRY_AFTER_S) if seconds >= 0 else None
