"""The sandbox payment provider over HTTP: one method per call of its API."""

from __future__ import annotations

from backhaul.money import Money
from gateways.http import Http
from gateways.payments.sandbox import mapping as m
from gateways.payments.sandbox import wire as w
from gateways.ports import Operation, PaymentState, StatementPage
from gateways.wire import look_up, read_statement


class SandboxPayments:
    """PaymentGateway over the sandbox's API."""

    def __init__(self, name: str, http: Http):
        self.name = name
        self._http = http

    async def aclose(self) -> None:
        await self._http.aclose()

    async def operation(self, key: str) -> Operation | None:
        found = await look_up(self._http, key, m.WORDS)
        return None if found is None else found.model_copy(update={"code": m.code(found.standing, found.code)})

    async def statement(self, since: int = 0, limit: int = 500) -> StatementPage:
        return await read_statement(self._http, since, limit)

    async def refund(self, key: str, payment_id: str, amount: Money, payee: str) -> PaymentState:
        answer = await self._http.post("/v1/refunds", key, m.refund_request(payment_id, amount, payee))
        return answer.map(w.PaymentWire, lambda wire: m.payment(key, amount, wire))

    async def charge(self, key: str, payer: str, amount: Money, reference: str) -> PaymentState:
        answer = await self._http.post("/v1/charges", key, m.charge_request(payer, amount, reference))
        return answer.map(w.ChargeWire, lambda wire: m.charge(key, amount, wire))

    async def payout(self, key: str, payee: str, amount: Money, reference: str) -> PaymentState:
        answer = await self._http.post("/v1/payouts", key, m.payout_request(payee, amount, reference))
        return answer.map(w.PaymentWire, lambda wire: m.payment(key, amount, wire))
