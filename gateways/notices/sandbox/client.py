"""The sandbox's inbox of notices over HTTP: one method per call of its API."""

from __future__ import annotations

from gateways.http import Http
from gateways.notices.sandbox import mapping as m
from gateways.notices.sandbox import wire as w
from gateways.ports import NoticeLetter, NoticeState, Operation, Standing, StatementPage
from gateways.wire import look_up, read_statement


class SandboxNotices:
    """NoticeGateway over the sandbox's API."""

    def __init__(self, name: str, http: Http):
        self.name = name
        self._http = http

    async def aclose(self) -> None:
        await self._http.aclose()

    async def operation(self, key: str) -> Operation | None:
        found = await look_up(self._http, key, m.WORDS)
        if found is None:
            return None
        failed = found.standing is Standing.FAILED
        # An amount that a notice tells of was not moved by it.
        return found.model_copy(update={"amount": None, "code": m.UNDELIVERED if failed else found.code})

    async def statement(self, since: int = 0, limit: int = 500) -> StatementPage:
        return await read_statement(self._http, since, limit)

    async def send(self, key: str, letter: NoticeLetter) -> NoticeState:
        answer = await self._http.post("/v1/notices", key, m.notice_request(letter))
        return answer.map(w.NoticeWire, lambda wire: m.notice(key, wire))
