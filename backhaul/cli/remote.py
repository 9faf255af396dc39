"""The HTTP API as the command line uses it: BACKHAUL_API_URL and BACKHAUL_TOKEN."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from backhaul.backtests import BacktestPage
from backhaul.cli.running import usage
from backhaul.client import request_hash
from backhaul.credit import CreditLine, FreezeCredit, UnfreezeCredit
from backhaul.errors import CODES, BackhaulError, Refusal, Transient, Unknown
from backhaul.ids import part
from backhaul.inbox import EventPage, EventState, EventView, RetryEvent
from backhaul.messages import (
    Appeal,
    CaseStatus,
    ClaimRefund,
    CorrectionStatus,
    CreateAppeal,
    CreateRuling,
    EvidenceList,
    Explanation,
    FirstDecision,
    ImportOrder,
    OpenReturn,
    OrderImported,
    Ruling,
    SubmitEvidence,
)
from backhaul.statements import Statement

M = TypeVar("M", bound=BaseModel)

TIMEOUT_S = 30.0


class Rulings(BaseModel):
    """The answer of GET /v1/returns/{rma_id}/rulings."""

    rulings: tuple[Ruling, ...]


class Api:
    """A few calls, typed. Raises coded errors only."""

    def __init__(self, url: str, token: str, *, transport: httpx2.AsyncBaseTransport | None = None):
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=TIMEOUT_S, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def import_order(self, order: ImportOrder) -> OrderImported:
        """POST /v1/orders."""
        return await self._call(OrderImported, "POST", "/v1/orders", order)

    async def open(self, request: OpenReturn) -> FirstDecision:
        """POST /v1/returns. The key is the body's hash: the same file twice is the same returns."""
        headers = {"Idempotency-Key": request_hash(request)}
        return await self._call(FirstDecision, "POST", "/v1/returns", request, headers=headers)

    async def status(self, merchant_id: str | None, rma_id: str) -> CaseStatus:
        """GET /v1/returns/{rma_id}."""
        return await self._call(CaseStatus, "GET", f"/v1/returns/{part(rma_id, 'rma_id')}", params=_of(merchant_id))

    async def explain(self, merchant_id: str | None, rma_id: str) -> Explanation:
        """GET /v1/returns/{rma_id}/explain."""
        path = f"/v1/returns/{part(rma_id, 'rma_id')}/explain"
        return await self._call(Explanation, "GET", path, params=_of(merchant_id))

    async def statement(self, merchant_id: str, period: dict[str, str]) -> Statement:
        """GET /v1/merchants/{merchant_id}/statements, of a `cut`, or `from` and `to`."""
        path = f"/v1/merchants/{part(merchant_id, 'merchant_id')}/statements"
        return await self._call(Statement, "GET", path, params=period)

    async def evidence(self, merchant_id: str | None, rma_id: str) -> EvidenceList:
        """GET /v1/returns/{rma_id}/evidence."""
        return await self._call(EvidenceList, "GET", _path(rma_id, "evidence"), params=_of(merchant_id))

    async def give(self, merchant_id: str | None, rma_id: str, said: SubmitEvidence) -> EvidenceList:
        """POST /v1/returns/{rma_id}/evidence."""
        return await self._call(EvidenceList, "POST", _path(rma_id, "evidence"), said, params=_of(merchant_id))

    async def rulings(self, merchant_id: str | None, rma_id: str) -> Rulings:
        """GET /v1/returns/{rma_id}/rulings."""
        return await self._call(Rulings, "GET", _path(rma_id, "rulings"), params=_of(merchant_id))

    async def rule(self, request: CreateRuling) -> Ruling:
        """POST /v1/rulings."""
        return await self._call(Ruling, "POST", "/v1/rulings", request)

    async def appeal(self, merchant_id: str | None, rma_id: str, request: CreateAppeal) -> Appeal:
        """POST /v1/returns/{rma_id}/appeals."""
        return await self._call(Appeal, "POST", _path(rma_id, "appeals"), request, params=_of(merchant_id))

    async def credit(self, consumer_ref: str) -> CreditLine:
        """GET /v1/consumers/{consumer_ref}/credit."""
        return await self._call(CreditLine, "GET", f"/v1/consumers/{part(consumer_ref, 'consumer_ref')}/credit")

    async def set_frozen(self, consumer_ref: str, reason: str, *, frozen: bool) -> CreditLine:
        """POST /v1/consumers/{consumer_ref}/credit/freeze or unfreeze."""
        body = FreezeCredit(reason=reason) if frozen else UnfreezeCredit(reason=reason)
        verb = "freeze" if frozen else "unfreeze"
        path = f"/v1/consumers/{part(consumer_ref, 'consumer_ref')}/credit/{verb}"
        return await self._call(CreditLine, "POST", path, body)

    async def claim(self, merchant_id: str | None, rma_id: str, account_ref: str) -> CorrectionStatus:
        """POST /v1/returns/{rma_id}/corrections/refund_claimed."""
        path = f"/v1/returns/{part(rma_id, 'rma_id')}/corrections/refund_claimed"
        body = ClaimRefund(account_ref=account_ref)
        return await self._call(CorrectionStatus, "POST", path, body, params=_of(merchant_id))

    async def inbox(self, state: EventState, after: str) -> EventPage:
        """GET /v1/inbox: one page."""
        return await self._call(EventPage, "GET", "/v1/inbox", params={"state": state.value, "after": after})

    async def retry_event(self, sender: str, event_id: str) -> EventView:
        """POST /v1/inbox/retry."""
        return await self._call(EventView, "POST", "/v1/inbox/retry", RetryEvent(sender=sender, event_id=event_id))

    async def backtest(self, named: dict[str, str]) -> BacktestPage:
        """GET /v1/backtests: one page."""
        return await self._call(BacktestPage, "GET", "/v1/backtests", params=named)

    async def ready(self) -> None:
        """GET /readyz. Raises Transient while the API cannot work."""
        await self._request("GET", "/readyz")

    async def _call(
        self,
        answer: type[M],
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> M:
        response = await self._request(method, path, body, headers=headers, params=params)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            raise Transient("unavailable", f"{self.url} answers something else than Backhaul does") from error

    async def _request(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> httpx2.Response:
        content = None if body is None else body.model_dump_json().encode()
        sent = {**(headers or {}), **({} if body is None else {"Content-Type": "application/json"})}
        try:
            response = await self._http.request(method, path, content=content, headers=sent, params=params)
        except httpx2.ReadTimeout as error:
            raise Unknown("no_answer", f"{self.url} did not answer in time") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Transient("unavailable", f"{self.url} is not reachable") from error
        if response.is_success:
            return response
        raise _error(response)


def from_environment() -> Api | None:
    """The API that BACKHAUL_API_URL and BACKHAUL_TOKEN name; None unless both are set. Blank means unset."""
    url = os.environ.get("BACKHAUL_API_URL", "").strip()
    token = os.environ.get("BACKHAUL_TOKEN", "").strip()
    return Api(url, token) if url and token else None


def needed_by(command: str) -> Api:
    """The same, for a command that goes over nothing else. Raises the usage error that says what to set."""
    api = from_environment()
    if api is None:
        raise usage(f"{command} needs the API: set BACKHAUL_API_URL and BACKHAUL_TOKEN")
    return api


def _path(rma_id: str, what: str) -> str:
    return f"/v1/returns/{part(rma_id, 'rma_id')}/{what}"


def _of(merchant_id: str | None) -> dict[str, str]:
    return {} if merchant_id is None else {"merchant_id": merchant_id}


def _error(response: httpx2.Response) -> BackhaulError:
    """The coded error behind a problem; by status where the body is none."""
    try:
        found = response.json()
    except ValueError:
        found = {}
    problem: dict[str, Any] = found if isinstance(found, dict) else {}
    code = str(problem.get("code") or "")
    if code not in CODES:
        return Transient("unavailable", f"HTTP {response.status_code} from {response.request.url.host}")
    message = str(problem.get("detail") or CODES[code])
    field = problem.get("field")
    status = response.status_code
    kind: type[BackhaulError] = Unknown if status == 504 else Transient if status >= 500 or status == 429 else Refusal
    return kind(code, message, field=None if field is None else str(field))
