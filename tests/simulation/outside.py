"""The sandbox's own parties, called without sockets, with faults between us and them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from gateways.registry import Endpoint, GatewaySettings, build
from sandbox.common.party import Party
from sandbox.common.settings import PartySettings
from sandbox.courier.app import create_app as courier_app
from sandbox.courier.settings import CourierSettings
from sandbox.insurer.app import create_app as insurer_app
from sandbox.notices.app import create_app as notices_app
from sandbox.psp.app import create_app as psp_app
from tests.gateways.outside import CONTROL, TOKEN, Outside

KINDS = ("refused", "unavailable", "slow_down", "answer_lost", "error_after", "garbage")
"""The first three: nothing happened. The others: it happened, and we are not told."""


@dataclass(frozen=True)
class Address:
    """What stands for a running server."""

    url: str


@dataclass
class Weather:
    """How often something goes wrong on the way, in percent, and what."""

    random: random.Random
    percent: int = 0
    happened: dict[str, int] = field(default_factory=dict)

    def strikes(self) -> str | None:
        """What goes wrong with this call."""
        if self.random.randrange(100) >= self.percent:
            return None
        kind = self.random.choice(KINDS)
        self.happened[kind] = self.happened.get(kind, 0) + 1
        return kind


class Way(httpx2.AsyncBaseTransport):
    """The way to one party."""

    def __init__(self, app: Any, weather: Weather) -> None:
        self._there = httpx2.ASGITransport(app=app)
        self._weather = weather

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Carry one call, if the weather lets it."""
        fault = None if "/_control/" in request.url.path else self._weather.strikes()
        if fault == "refused":
            raise httpx2.ConnectError("no connection", request=request)
        if fault == "unavailable":
            return httpx2.Response(503, json={"code": "unavailable", "message": "later"}, request=request)
        if fault == "slow_down":
            body = {"code": "rate_limited", "message": "slower"}
            return httpx2.Response(429, json=body, headers={"Retry-After": "1"}, request=request)
        answer = await self._there.handle_async_request(request)
        if fault == "answer_lost":
            await answer.aread()
            raise httpx2.ReadTimeout("no answer", request=request)
        if fault == "error_after":
            await answer.aread()
            return httpx2.Response(500, json={"code": "internal", "message": "oh"}, request=request)
        if fault == "garbage":
            await answer.aread()
            return httpx2.Response(200, content=b'{"what": "is this"}', request=request)
        return answer


@contextmanager
def simulated(folder: Path, weather: Weather) -> Iterator[tuple[Outside, dict[str, Party]]]:
    """All parties on fresh books in `folder`."""

    def settings(party: str) -> dict[str, Any]:
        return {"book": folder / f"{party}.db", "token": TOKEN, "control_token": CONTROL, "seed": 7}

    apps = {
        "courier": courier_app(CourierSettings(**settings("courier"))),
        "psp": psp_app(PartySettings(**settings("psp"))),
        "insurer": insurer_app(PartySettings(**settings("insurer"))),
        "notices": notices_app(PartySettings(**settings("notices"))),
    }
    ways = {party: Way(app, weather) for party, app in apps.items()}
    end = {party: Endpoint(f"http://{party}", TOKEN, transport=way, timeout_s=3_600) for party, way in ways.items()}
    gateways = build(
        GatewaySettings(
            couriers={"sandbox": end["courier"], "sandbox-b": end["courier"]},
            payments=end["psp"],
            insurer=end["insurer"],
            notices=end["notices"],
        )
    )
    http = httpx2.AsyncClient(verify=False, mounts={f"http://{party}": way for party, way in ways.items()})
    servers: Any = {party: Address(f"http://{party}") for party in apps}
    parties = {party: app.state.party for party, app in apps.items()}
    try:
        yield Outside(servers, http, gateways), parties
    finally:
        for party in parties.values():
            party.book.close()
