"""The sandbox's four servers on real sockets, and the gateways pointed at them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from backhaul.errors import Unknown
from gateways.http import TIMEOUT_S, Answer, Http
from gateways.ports import StatementRow
from gateways.registry import Endpoint, Gateways, GatewaySettings, build
from sandbox.common.serve import RunningServer, serve
from sandbox.common.settings import PartySettings
from sandbox.courier.app import create_app as courier_app
from sandbox.courier.settings import CourierSettings
from sandbox.insurer.app import create_app as insurer_app
from sandbox.notices.app import create_app as notices_app
from sandbox.psp.app import create_app as psp_app
from tests.waiting import PATIENCE_S

TOKEN, CONTROL = "token", "control"
SECRET = "whsec_" + base64.b64encode(b"the courier's secret").decode()
HASTE_S = 2.0
"""Of a gateway that is to run into its timeout."""
HOLD_MS = 600_000
"""How long `timeout_after` then holds the answer back."""


@dataclass(frozen=True)
class Outside:
    """The world outside. Parties are called courier, psp, insurer and notices."""

    servers: dict[str, RunningServer]
    http: httpx2.AsyncClient
    gateways: Gateways
    timeout_s: float = TIMEOUT_S

    async def control(self, party: str, path: str, body: Any | None = None) -> None:
        """One call of a party's control plane."""
        url = f"{self.servers[party].url}/_control/{path}"
        headers = {"Authorization": f"Bearer {CONTROL}"}
        answer = await self.http.post(url, json=body or {}, headers=headers)
        assert answer.is_success, answer.text

    async def faults(self, party: str, *rules: dict[str, Any]) -> None:
        """What goes wrong from now on; nothing when no rule is given. Where an answer is held back, our side waits
        briefly until it has run into that once."""
        await self.control(party, "faults", {"seed": 7, "rules": list(rules)})
        if any(rule.get("ms") == HOLD_MS and rule["kind"] == "timeout_after" for rule in rules):
            self._hasten(party)

    def _hasten(self, party: str) -> None:
        https: list[Http] = [gateway._http for gateway in self._gateways(party)]

        def until_unknown(http: Http) -> Callable[[httpx2.Request, Collection[int]], Awaitable[Answer]]:
            async def send(request: httpx2.Request, allow: Collection[int]) -> Answer:
                try:
                    return await Http._send(http, request, allow)
                except Unknown:
                    for each in https:
                        each._timeout_s = self.timeout_s
                    raise

            return send

        for http in https:
            http._timeout_s = HASTE_S
            vars(http)["_send"] = until_unknown(http)

    def _gateways(self, party: str) -> list[Any]:
        known: dict[str, list[Any]] = {
            "courier": [*self.gateways.couriers.values()],
            "psp": [self.gateways.payments],
            "insurer": [self.gateways.insurer],
            "notices": [self.gateways.notices],
        }
        return known[party]

    async def capture(self, payment_id: str, minor: int = 100_000, merchant: str = "m1", consumer: str = "c1") -> None:
        """A captured payment at the PSP."""
        body = {"payment_id": payment_id, "amount": minor, "currency": "CNY", "payee": merchant, "payer": consumer}
        await self.control("psp", "payments", body)

    async def cover(self, coverage_id: str, order_id: str, kind: str, minor: int, premium: int = 96) -> None:
        """A bound and paid cover at the insurer."""
        body = {
            "coverage_id": coverage_id,
            "order_id": order_id,
            "kind": kind,
            "sum_insured": minor,
            "currency": "CNY",
            "premium": premium,
            "declared": None,
            "bound_at": "2026-01-01T00:00:00Z",
            "book": "2025-05",
        }
        await self.control("insurer", "coverages", body)

    async def script(self, party: str, match: str, **what: Any) -> None:
        """How a party behaves towards whatever `match` fits."""
        await self.control(party, "scripts", {"match": match, **what})

    async def statement(self, party: str, key: str) -> list[StatementRow]:
        """The rows of a party's own statement under a key."""
        return [row for row in await self.whole_statement(party) if row.key == key]

    async def payouts(self, payee: str) -> list[StatementRow]:
        """What the payment provider paid out to somebody."""
        return [row for row in await self.whole_statement("psp") if row.kind == "payout" and row.payee == payee]

    async def told(self, subject: str) -> list[tuple[str, str]]:
        """What the parties were told on a case, `merchant/rma`: (recipient, about), in order."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{self.servers['notices'].url}/v1/notices"
        answer = await self.http.get(url, params={"subject": subject}, headers=headers)
        assert answer.is_success, answer.text
        return [(one["recipient"], one["about"]) for one in answer.json()["notices"]]

    async def whole_statement(self, party: str) -> list[StatementRow]:
        """All rows of a party's own statement."""
        rows: list[StatementRow] = []
        since: int | None = 0
        while since is not None:
            page = await self._gateways(party)[0].statement(since)
            rows += page.rows
            since = page.next
        return rows


@asynccontextmanager
async def outside(folder: Path, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Outside]:
    """Start all four; their books are in `folder`. `timeout_s`: of the gateways."""

    def settings(party: str) -> dict[str, Any]:
        return {"book": folder / f"{party}.db", "token": TOKEN, "control_token": CONTROL, "seed": 7}

    apps = {
        "courier": courier_app(CourierSettings(**settings("courier"))),
        "psp": psp_app(PartySettings(**settings("psp"))),
        "insurer": insurer_app(PartySettings(**settings("insurer"))),
        "notices": notices_app(PartySettings(**settings("notices"))),
    }
    servers = dict(zip(apps, await asyncio.gather(*map(serve, apps.values())), strict=True))
    end = {party: Endpoint(server.url, TOKEN, timeout_s=timeout_s) for party, server in servers.items()}
    couriers = {"sandbox": end["courier"], "sandbox-b": end["courier"]}
    gateways = build(
        GatewaySettings(couriers=couriers, payments=end["psp"], insurer=end["insurer"], notices=end["notices"])
    )
    http = httpx2.AsyncClient(verify=False, timeout=PATIENCE_S)
    try:
        yield Outside(servers, http, gateways, timeout_s)
    finally:
        await http.aclose()
        await gateways.aclose()
        await asyncio.gather(*(server.stop() for server in servers.values()))
