"""What every party is made of: routes, tokens, idempotent operations and faults.

An operation runs in one transaction with the answer kept under its key. Faults surround it: before it (nothing
happened) or after it (it happened, and the caller is not told).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandbox.common.book import Book, Row
from sandbox.common.clock import now_us, rfc3339
from sandbox.common.due import DueRunner, Work
from sandbox.common.errors import Refusal
from sandbox.common.faults import Faults, Rule
from sandbox.common.settings import PartySettings
from sandbox.common.wire import Body, Call, M, Made, Nothing, encode, json_answer, number_in, refused, text_answer

_MAX_BODY = 256 * 1024
_MAX_KEY = 512

_Endpoint = Callable[[Request], Awaitable[Response]]


class Party:
    """The shell around one party's rules. Subclasses add their routes, their planned work and their live states."""

    def __init__(self, name: str, settings: PartySettings, schema: str) -> None:
        self.name = name
        self.settings = settings
        self.book = Book(settings.book, name, schema, seed=settings.seed)
        self.faults = Faults(self.book)
        self.stopping = asyncio.Event()
        self._routes: list[BaseRoute] = []
        self._runner = DueRunner(self.book, self.work(), done=self.changed)
        self._route("GET", "/livez", self._livez)
        self.read("/v1/operations/{key:path}", self._operation)
        self.read("/v1/statement", self._statement)

    def work(self) -> dict[str, Work]:
        """Planned work by kind."""
        return {}

    def live(self, kind: str, ref: str, body: Body) -> Body:
        """What has changed since the answer `body` of the operation (`kind`, `ref`) was given."""
        return {}

    def changed(self) -> None:
        """Something was committed: planned work may be due."""
        self._runner.wake()

    def tasks(self) -> list[Callable[[], Awaitable[None]]]:
        """What runs beside the requests for as long as the server does."""
        return [self._runner.run]

    def app(self) -> Starlette:
        """The ASGI application. It owns the book and closes it when it shuts down."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            running = [asyncio.ensure_future(task()) for task in self.tasks()]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
                self.book.close()

        app = Starlette(routes=self._routes, lifespan=lifespan, exception_handlers={HTTPException: _http_error})
        app.state.on_stop = self.stopping.set
        app.state.party = self
        return app

    # What subclasses declare

    def read(self, path: str, answer: Callable[[Call[Nothing]], Body]) -> None:
        """A GET for holders of the token."""

        async def endpoint(request: Request) -> Response:
            call = Call("", request.path_params, request.query_params, Nothing(), now_us())
            target = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
            return await self._with_faults(request, target, lambda: json_answer(200, answer(call)))

        self._route("GET", path, endpoint, self.settings.token)

    def operation(self, path: str, kind: str, model: type[M], act: Callable[[Call[M]], Made]) -> None:
        """A POST that happens once per Idempotency-Key."""

        async def endpoint(request: Request) -> Response:
            key = request.headers.get("idempotency-key", "")
            if not 0 < len(key) <= _MAX_KEY:
                raise Refusal(400, "idempotency_key_required", f"send Idempotency-Key, 1 to {_MAX_KEY} characters")
            raw, parsed = await _json_of(request)
            fingerprint = json.dumps([request.url.path, parsed], sort_keys=True, separators=(",", ":"))
            request_hash = hashlib.sha256(fingerprint.encode()).hexdigest()

            def answer() -> Response:
                return self._once(kind, key, request_hash, request, raw, model, act)

            return await self._with_faults(request, key, answer)

        self._route("POST", path, endpoint, self.settings.token)

    def control(self, path: str, model: type[M], act: Callable[[Call[M]], Body], method: str = "POST") -> None:
        """A call of the control plane: no faults, no idempotency, one transaction."""

        async def endpoint(request: Request) -> Response:
            raw, _ = await _json_of(request)
            call = Call("", request.path_params, request.query_params, _parse(model, raw), now_us())
            with self.book.transaction():
                body = act(call)
            self.changed()
            return json_answer(200, body)

        self._route(method, f"/_control{path}", endpoint, self.settings.control_token)

    # How it is done

    def _route(self, method: str, path: str, endpoint: _Endpoint, token: str | None = None) -> None:
        async def guarded(request: Request) -> Response:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if token is not None and not secrets.compare_digest(given.encode(), token.encode()):
                return refused(Refusal(401, "unauthorized", "send Authorization: Bearer with this party's token"))
            try:
                return await endpoint(request)
            except Refusal as refusal:
                return refused(refusal)

        self._routes.append(Route(path, guarded, methods=[method]))

    async def _with_faults(self, request: Request, key: str, answer: Callable[[], Response]) -> Response:
        fault = await self._fault_before(request, key)
        if fault is not None and fault.kind == "rate_limit":
            body = {"code": "rate_limited", "message": "too many requests"}
            return json_answer(429, body, {"Retry-After": str(fault.retry_after)})
        if fault is not None and fault.kind == "unavailable_before":
            return json_answer(503, {"code": "unavailable", "message": "try again later"})
        response = answer()
        self.changed()
        if fault is not None and fault.kind == "error_after":
            return json_answer(500, {"code": "internal", "message": "something went wrong"})
        if fault is not None and fault.kind == "timeout_after":
            await self._hold(fault.delay_ms)
        return response

    async def _fault_before(self, request: Request, key: str) -> Rule | None:
        if not self.faults.plan.rules:
            return None
        template = request.scope["route"].path.replace(":path}", "}")
        targets = (f"{request.method} {request.url.path}", f"{request.method} {template}")
        terminal: Rule | None = None
        for rule in self.faults.request(targets, key):
            if rule.kind == "latency":
                await self._hold(rule.delay_ms)
            else:
                terminal = rule
        return terminal

    async def _hold(self, ms: int) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), ms / 1000)

    def _once(
        self, kind: str, key: str, request_hash: str, request: Request, raw: bytes, model: type[M],
        act: Callable[[Call[M]], Made],
    ) -> Response:  # fmt: skip
        """The kept answer of the key, or the operation and its answer in one commit. A refusal is kept as well."""
        with self.book.transaction():
            kept = self.book.one("SELECT request_hash, status, body FROM operations WHERE key = ?", key)
            if kept is not None:
                return _replay(kept, request_hash)
            now = now_us()
            try:
                with self.book.savepoint():
                    made = act(Call(key, request.path_params, request.query_params, _parse(model, raw), now))
            except Refusal as refusal:
                self._keep(kind, key, request_hash, Made(refusal.body(), "", refusal.status), now, made=False)
                return refused(refusal)
            self._keep(kind, key, request_hash, made, now, made=made.status < 400)
        return json_answer(made.status, made.body)

    def _keep(self, kind: str, key: str, request_hash: str, what: Made, at_us: int, *, made: bool) -> None:
        self.book.run(
            "INSERT INTO operations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            key, request_hash, what.status, encode(what.body), int(made), kind, what.ref,
            what.amount, what.currency, what.payee, at_us,
        )  # fmt: skip

    async def _livez(self, _: Request) -> Response:
        return json_answer(200, {"status": "ok", "party": self.name})

    def _operation(self, call: Call[Nothing]) -> Body:
        key = call.path["key"]
        row = self.book.one("SELECT * FROM operations WHERE key = ? AND made = 1", key)
        if row is None:
            raise Refusal(404, "unknown_key", "nothing was done under this idempotency key")
        body: Body = json.loads(row["body"])
        known = {name: row[name] for name in ("amount", "currency", "payee", "kind", "ref", "key")}
        known["state"] = body.get("state")
        return body | known | self.live(row["kind"], row["ref"], body) | {"at": rfc3339(row["at_us"])}

    def _statement(self, call: Call[Nothing]) -> Body:
        limit = max(1, number_in(call.query, "limit", 100, 1000))
        return self.book.statement(number_in(call.query, "since", 0, 2**62), limit)


def _replay(kept: Row, request_hash: str) -> Response:
    if kept["request_hash"] != request_hash:
        return refused(Refusal(422, "idempotency_mismatch", "this idempotency key was used for another request"))
    return text_answer(kept["status"], kept["body"], {"Idempotent-Replay": "true"})


async def _json_of(request: Request) -> tuple[bytes, Any]:
    raw = await request.body() or b"{}"
    if len(raw) > _MAX_BODY:
        raise Refusal(413, "too_large", f"a body may have {_MAX_BODY} bytes")
    try:
        return raw, json.loads(raw)
    except ValueError:
        raise Refusal(400, "invalid_json", "the body is not JSON") from None


def _parse(model: type[M], raw: bytes) -> M:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"])) or None
        raise Refusal(422, "invalid_request", first["msg"], field=field) from None


async def _http_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "http_error")
    return json_answer(status, {"code": code, "message": "no such call"})
