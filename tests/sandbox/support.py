"""What the sandbox's tests share: calls with tokens and keys, waiting on conditions, and a webhook receiver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx2
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.common.party import Party
from sandbox.common.serve import RunningServer
from sandbox.common.tls import tls
from tests.waiting import PATIENCE_S, eventually

Json = dict[str, Any]
TOKEN, CONTROL_TOKEN = "the-token", "the-control-token"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def hurry(server: RunningServer) -> None:
    """What a party has planned, and what it has still to tell, is due now."""
    party: Party = server._app.state.party
    with party.book.transaction():
        party.book.run("UPDATE due SET at_us = 0 WHERE held = 0")
        if party.book.number("SELECT count(*) FROM sqlite_master WHERE name = 'webhooks'"):
            party.book.run("UPDATE webhooks SET due_us = 0 WHERE state = 'pending'")
    party.changed()


class Api:
    """The public API of one party."""

    def __init__(self, server: RunningServer) -> None:
        self.url = server.url
        self._client = httpx2.AsyncClient(
            base_url=server.url,
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=PATIENCE_S,
            trust_env=False,
            verify=tls(),
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def post(
        self, path: str, body: Json | None = None, *, key: str, timeout: float | httpx2.Timeout = PATIENCE_S
    ) -> httpx2.Response:
        headers = {"idempotency-key": key}
        return await self._client.post(path, json=body or {}, headers=headers, timeout=timeout)

    async def get(self, path: str, **query: Any) -> httpx2.Response:
        return await self._client.get(path, params=query)

    async def json(self, path: str, **query: Any) -> Json:
        response = await self.get(path, **query)
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    async def operation(self, key: str) -> httpx2.Response:
        return await self.get("/v1/operations/" + key.replace(":", "%3A").replace("/", "%2F"))


def item(ref: str = "m1/r1/l1", quantity: int = 1, weight_g: int = 1500, volume_cm3: int = 3000) -> Json:
    return {"ref": ref, "sku": "coat", "quantity": quantity, "weight_g": weight_g, "volume_cm3": volume_cm3}


def booking(*items: Json, **other: Any) -> Json:
    return {
        "client_ref": "pickup-1",
        "address_ref": "adr_1",
        "destination_ref": "dst_1",
        "slot_start": "2030-01-01T01:00:00Z",
        "slot_end": "2030-01-01T03:00:00Z",
        "service": "door_pickup",
        "declared": None,
        "items": list(items) or [item()],
    } | other


async def book(courier: Api, *items: Json, key: str = "pickup:1:1", **other: Any) -> Json:
    response = await courier.post("/v1/bookings", booking(*items, **other), key=key)
    assert response.status_code == 201, response.text
    made: Json = response.json()
    return made


async def events(courier: Api, waybill: str, count: int) -> list[Json]:
    """The events of a waybill once there are `count`."""

    async def read() -> list[Json]:
        found: list[Json] = (await courier.json(f"/v1/waybills/{waybill}/events"))["events"]
        return found

    return await eventually(read, lambda found: len(found) >= count)


@dataclass
class Receiver:
    """Takes webhooks: verifies each with the standardwebhooks library, answers by `answers`, then with 202."""

    answers: list[int] = field(default_factory=list)
    received: list[Json] = field(default_factory=list)
    refused: int = 0

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/hooks", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        body = Webhook(SECRET).verify(await request.body(), dict(request.headers))
        assert request.headers["webhook-id"] == body["event_id"]
        if self.answers:
            self.refused += 1
            return Response(status_code=self.answers.pop(0))
        self.received.append(body)
        return Response(status_code=202)

    def kinds(self) -> list[str]:
        return [one["tracking"]["status"] if "tracking" in one else one["pickup"]["outcome"] for one in self.received]

    async def wait_for(self, count: int) -> list[Json]:
        async def read() -> list[Json]:
            return self.received

        return await eventually(read, lambda found: len(found) >= count)
