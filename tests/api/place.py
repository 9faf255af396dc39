"""An API to call: its app in this process, with a real database and a real Temporal server behind it."""

from __future__ import annotations

import base64
import itertools
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from api.app import create_app
from api.settings import Sender, Settings, TokenEntry
from backhaul.client import Backhaul
from backhaul.names import Role
from store.engine import Store

MERCHANT, OTHER = "M-api", "M-other"
SECRET = "whsec_" + base64.b64encode(b"a secret of the courier").decode()
BOUND = {Role.CONSUMER, Role.MERCHANT}
NUMBERS = itertools.count(1)


def token(role: Role, merchant: str | None = None) -> str:
    """The token of a role, as listed below."""
    return f"token-of-{role.value}-{merchant or 'all'}-0123456789"


def tokens() -> tuple[TokenEntry, ...]:
    """Every role: consumers and merchants of two merchants, a bound service, the others of none."""
    entries: list[tuple[Role, str | None]] = [
        (role, merchant) for role in (*BOUND, Role.SERVICE) for merchant in (MERCHANT, OTHER)
    ]
    entries += [(role, None) for role in Role if role not in BOUND]
    return tuple(
        TokenEntry(token=SecretStr(token(role, merchant)), role=role, identity=f"{role.value}-1", merchant_id=merchant)
        for role, merchant in entries
    )


@dataclass
class Place:
    """The app, and calls of it by role."""

    app: FastAPI
    store: Store
    backhaul: Backhaul
    http: httpx2.AsyncClient

    async def call(
        self,
        method: str,
        path: str,
        role: Role | None = Role.SERVICE,
        body: Any = None,
        *,
        merchant: str | None = None,
        **headers: str,
    ) -> httpx2.Response:
        """One call; a token of `merchant` where the role has such."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            bound = merchant or (MERCHANT if role in BOUND else None)
            sent["Authorization"] = f"Bearer {token(role, bound)}"
        return await self.http.request(method, path, json=body, headers=sent)

    async def webhook(
        self, event: Any, *, event_id: str | None = None, sender: str = "sandbox", raw: bytes | None = None
    ) -> httpx2.Response:
        """A signed webhook."""
        raw = json.dumps(event).encode() if raw is None else raw
        named = event_id or event["event_id"]
        at = datetime.now(UTC)
        signature = Webhook(SECRET).sign(named, at, raw.decode())
        headers = {
            "webhook-id": named,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
            "content-type": "application/json",
        }
        return await self.http.post(f"/v1/webhooks/{sender}", content=raw, headers=headers)


@asynccontextmanager
async def open_place(store: Store, backhaul: Backhaul, **settings: Any) -> AsyncIterator[Place]:
    """The app with its dispatcher running."""
    app = create_app(
        Settings(
            database_url=str(store.url),
            api_tokens=tokens(),
            webhook_senders={
                "sandbox": Sender(secret=SecretStr(SECRET)),
                "psp": Sender(secret=SecretStr(SECRET), adapter="sandbox-psp"),
            },
            inbox_interval_s=0.2,
            **settings,
        ),
        store,
        backhaul,
    )
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://api") as http,
    ):
        yield Place(app, store, backhaul, http)


async def new_store(folder: Path) -> Store:
    """A database of one's own."""
    store = Store(f"sqlite:///{folder / 'backhaul.db'}")
    await store.create_all()
    return store


def money(minor: int) -> dict[str, Any]:
    """Fen, as JSON."""
    return {"minor": minor, "currency": "CNY"}


def an_order(order_id: str | None = None, merchant: str = MERCHANT) -> dict[str, Any]:
    """The coat of the domain document, as JSON."""
    now = datetime.now(UTC)
    order_id = order_id or f"O-{uuid.uuid4()}"
    return {
        "order_id": order_id,
        "merchant": {"merchant_id": merchant, "commission_bps": 500},
        "consumer": {"consumer_ref": f"c-{order_id}", "tier": 3, "credit_limit": money(500_000)},
        "lines": [
            {
                "line_id": "L-1",
                "sku": "coat",
                "category": "apparel",
                "quantity": 1,
                "paid": money(120_000),
                "weight_g": 900,
            }
        ],
        "payments": [{"payment_id": f"pay-{order_id}", "amount": money(120_000)}],
        "captured_at": (now - timedelta(days=4)).isoformat(),
        "signed_at": (now - timedelta(days=2)).isoformat(),
    }


def a_return(rma_id: str | None = None, order_id: str = "O-1", merchant: str = MERCHANT) -> dict[str, Any]:
    """A return of that coat, as JSON."""
    return {
        "merchant_id": merchant,
        "rma_id": rma_id or f"R-{uuid.uuid4()}",
        "order_id": order_id,
        "reason": "no_reason",
        "lines": [{"line_id": "L-1", "quantity": 1}],
        "address_ref": f"adr-{order_id}",  # an address that many consumers share is a risk
    }


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that this is the problem of a code; its body."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["type"] == f"urn:backhaul:problem:{code}"
    assert body["title"]
    return body
