"""In front of every route: the body's limit before anything parses it, and the token before anything reads it."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth import Tokens
from api.problems import of_error
from backhaul.errors import Refusal

BODY_LIMIT = 256 * 1024
"""Bytes. Nothing near Temporal's 2 MB of a payload gets in (architecture 3.4)."""
PROTECTED = "/v1/"
OPEN = "/v1/webhooks/"
"""Webhooks prove themselves by their signature."""


class Guard:
    """ASGI middleware. Answers 413 and 401 itself; else hands on the whole body and the caller's identity."""

    def __init__(self, app: ASGIApp, tokens: Tokens, limit: int = BODY_LIMIT):
        self.app = app
        self._tokens = tokens
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        path: str = scope["path"]
        try:
            if path.startswith(PROTECTED) and not path.startswith(OPEN):
                given = headers.get(b"authorization", b"").decode("latin-1")
                scope["backhaul.identity"] = self._tokens.find(given)
            self._check_announced(headers.get(b"content-length"))
            body = await self._read(receive)
        except Refusal as refusal:
            await of_error(refusal)(scope, receive, send)
            return
        await self.app(scope, _replay(body, receive), send)

    def _check_announced(self, length: bytes | None) -> None:
        if length is not None and length.isdigit() and int(length) > self._limit:
            raise Refusal("payload_too_large")

    async def _read(self, receive: Receive) -> bytes:
        """The whole body, counted as it comes: an announced length may be missing or wrong."""
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(pieces)
            piece = message.get("body", b"")
            size += len(piece)
            if size > self._limit:
                raise Refusal("payload_too_large")
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once, then what the server has to say (a disconnect)."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
