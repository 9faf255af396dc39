"""The sandbox insurer over HTTP: one method per call of its API."""

from __future__ import annotations

from backhaul.money import Money
from gateways.http import Http, segment
from gateways.insurers.sandbox import mapping as m
from gateways.insurers.sandbox import wire as w
from gateways.ports import ClaimKind, ClaimPayment, ClaimState, Operation, Standing, StatementPage
from gateways.wire import look_up, read_statement


class SandboxInsurer:
    """InsurerGateway over the sandbox's API."""

    def __init__(self, name: str, http: Http):
        self.name = name
        self._http = http

    async def aclose(self) -> None:
        await self._http.aclose()

    async def operation(self, key: str) -> Operation | None:
        found = await look_up(self._http, key, m.WORDS)
        if found is not None and found.standing is Standing.FAILED:
            return found.model_copy(update={"code": m.DENIED if found.kind == "approval" else m.REFUSED})
        return found

    async def statement(self, since: int = 0, limit: int = 500) -> StatementPage:
        return await read_statement(self._http, since, limit)

    async def reserve(self, key: str, claim_ref: str, coverage_id: str, kind: ClaimKind, amount: Money) -> ClaimState:
        body = m.claim_request(claim_ref, coverage_id, kind, amount)
        answer = await self._http.post("/v1/claims", key, body)
        return answer.map(w.ClaimWire, lambda wire: m.claim(claim_ref, wire))

    async def approve(self, key: str, claim_ref: str, amount: Money) -> ClaimState:
        body = w.ApproveRequestWire(amount=amount.minor)
        answer = await self._http.post(f"{_claim(claim_ref)}/approve", key, body)
        return answer.map(w.ClaimWire, lambda wire: m.claim(claim_ref, wire))

    async def claim(self, claim_ref: str) -> ClaimState:
        answer = await self._http.get(_claim(claim_ref))
        return answer.map(w.ClaimWire, lambda wire: m.claim(claim_ref, wire))

    async def pay(self, key: str, claim_ref: str, amount: Money, payee: str) -> ClaimPayment:
        answer = await self._http.post(f"{_claim(claim_ref)}/pay", key, m.pay_request(amount, payee))
        return answer.map(w.PaidWire, m.paid)

    async def give_back(self, key: str, claim_ref: str, amount: Money) -> str:
        answer = await self._http.post(f"{_claim(claim_ref)}/return", key, m.return_request(amount))
        return answer.map(w.PaidWire, m.returned)

    async def close(self, key: str, claim_ref: str) -> None:
        answer = await self._http.post(f"{_claim(claim_ref)}/close", key, w.EmptyWire())
        answer.read(w.ClaimWire)

    async def remit(self, key: str, claim_ref: str, amount: Money) -> str:
        answer = await self._http.post("/v1/remittances", key, m.remit_request(claim_ref, amount))
        return answer.map(w.RemittedWire, m.remitted)


def _claim(claim_ref: str) -> str:
    return f"/v1/claims/{segment(claim_ref)}"
