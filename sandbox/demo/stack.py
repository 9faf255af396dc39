"""Everything that runs: Temporal, the four outside parties, the product's processes. Loopback only, free ports."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
from temporalio.client import Client

from sandbox.demo.api import Product
from sandbox.demo.processes import Child, Children
from sandbox.parties import Parties, serve_parties
from sandbox.servers import find_temporal_cli, free_port

HOST = "127.0.0.1"
BOOK = "demo"
PROVIDER_TIMEOUT_S = 3
"""How long the product waits for an answer of a party here: unknown answers are part of the show, and quick."""
READY_S = 180.0
WORKER_DRAIN_S = 3
_ALONE = ("service", "operator", "approver", "auditor")
_PRAGMAS = ("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL")

Tokens = dict[tuple[str, str | None], str]


@dataclass(frozen=True)
class Stack:
    """The running demo."""

    folder: Path
    children: Children
    parties: Parties
    product: Product
    temporal: Client
    tokens: Tokens
    ui_url: str
    api_url: str

    @property
    def books(self) -> Path:
        """The folder of the parties' own books."""
        return self.folder / "books"

    def ui_link(self, workflow_id: str, run_id: str) -> str:
        """A workflow's page in Temporal's UI."""
        return f"{self.ui_url}/namespaces/default/workflows/{workflow_id}/{run_id}"


@asynccontextmanager
async def running(folder: Path, merchants: Iterable[str], seed: int) -> AsyncIterator[Stack]:
    """Start all of it in `folder` and end all of it, in whatever way the block is left. Raises ChildFailed."""
    temporal, ui, api, health = (free_port() for _ in range(4))
    party_token, control_token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    webhook_secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    tokens = _tokens(merchants)
    tokens_file = folder / "tokens.json"
    _write_tokens(tokens_file, tokens)
    environment = _environment(folder, temporal, ui, api, health, tokens_file, webhook_secret)
    async with Children(folder, environment) as children:
        server = await children.start("temporal", *_temporal(folder, temporal, ui))
        parties = await serve_parties(
            folder / "books", token=party_token, control_token=control_token, seed=seed,
            webhook_url=f"http://{HOST}:{api}/v1/webhooks/sandbox", webhook_secret=webhook_secret,
            psp_webhook_url=f"http://{HOST}:{api}/v1/webhooks/psp",
        )  # fmt: skip
        try:
            client = await _connected(f"{HOST}:{temporal}", server)
            gateways = _gateways(parties, party_token)
            await asyncio.gather(
                children.run("register", "worker.register", more=gateways), children.run("migrate", "store.migrate")
            )
            started = {
                f"http://{HOST}:{api}": await children.start("api", sys.executable, "-m", "api"),
                f"http://{HOST}:{health}": await children.start(
                    "worker", sys.executable, "-m", "worker", more=gateways
                ),
            }
            await asyncio.gather(*(_ready(url, child) for url, child in started.items()))
            async with Product(f"http://{HOST}:{api}", tokens) as product:
                yield Stack(
                    folder=folder, children=children, parties=parties, product=product, temporal=client,
                    tokens=tokens, ui_url=f"http://{HOST}:{ui}", api_url=f"http://{HOST}:{api}",
                )  # fmt: skip
        finally:
            await parties.stop()


def _temporal(folder: Path, port: int, ui: int) -> tuple[str, ...]:
    ports = ("--ip", HOST, "--ui-ip", HOST, "--port", str(port), "--ui-port", str(ui))
    quiet = ("--log-level", "error")
    database = ("--db-filename", str(folder / "temporal.db"), *_PRAGMAS)
    return (str(find_temporal_cli()), "server", "start-dev", *ports, *database, *quiet)


def _tokens(merchants: Iterable[str]) -> Tokens:
    tokens: Tokens = {(role, None): secrets.token_urlsafe(24) for role in _ALONE}
    for merchant in sorted(set(merchants)):
        for role in ("merchant", "consumer"):
            tokens[role, merchant] = secrets.token_urlsafe(24)
    return tokens


def _write_tokens(file: Path, tokens: Tokens) -> None:
    listed = [
        {"token": token, "role": role, "identity": f"demo-{role}"} | ({"merchant_id": merchant} if merchant else {})
        for (role, merchant), token in tokens.items()
    ]
    file.touch(mode=0o600)
    file.write_text(json.dumps(listed), encoding="utf-8")


def _environment(
    folder: Path, temporal: int, ui: int, api: int, health: int, tokens_file: Path, webhook_secret: str
) -> Mapping[str, str]:
    """The children's environment: nothing of the product's settings comes from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BACKHAUL_", "TEMPORAL_"))}
    return kept | {
        "TEMPORAL_ADDRESS": f"{HOST}:{temporal}",
        "BACKHAUL_DATABASE_URL": f"sqlite:///{folder / 'backhaul.db'}",
        "BACKHAUL_POLICY_BOOK": BOOK,
        "BACKHAUL_API_HOST": HOST,
        "BACKHAUL_API_PORT": str(api),
        "BACKHAUL_API_TOKENS_FILE": str(tokens_file),
        "BACKHAUL_WEBHOOK_SENDERS": json.dumps(
            {
                "sandbox": {"secret": webhook_secret, "adapter": "sandbox"},
                "psp": {"secret": webhook_secret, "adapter": "sandbox-psp"},
            }
        ),
        "BACKHAUL_INBOX_INTERVAL_S": "1",
        "BACKHAUL_UI_URL": f"http://{HOST}:{ui}",
        "BACKHAUL_HEALTH_ADDRESS": f"{HOST}:{health}",
        "BACKHAUL_DRAIN_S": str(WORKER_DRAIN_S),
        "BACKHAUL_SETTLEMENT_PAUSED": "true",
        "BACKHAUL_LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
    }


def _gateways(parties: Parties, token: str) -> Mapping[str, str]:
    """Where the providers are: they choose their ports themselves."""

    def provider(url: str) -> dict[str, str | int]:
        return {"url": url, "token": token, "timeout_s": PROVIDER_TIMEOUT_S}

    return {
        "BACKHAUL_COURIERS": json.dumps({"sandbox": provider(parties.courier.url)}),
        "BACKHAUL_PAYMENTS": json.dumps(provider(parties.psp.url)),
        "BACKHAUL_INSURER": json.dumps(provider(parties.insurer.url)),
        "BACKHAUL_NOTICES": json.dumps(provider(parties.notices.url)),
    }


async def _connected(address: str, server: Child) -> Client:
    deadline = asyncio.get_running_loop().time() + READY_S
    while True:
        try:
            client = await Client.connect(address)
            if await client.service_client.check_health(timeout=timedelta(seconds=2)):
                return client
        except Exception as error:  # not yet there, in whatever words
            if asyncio.get_running_loop().time() > deadline:
                raise server.failed(f"does not answer ({error})") from error
        if server.ended is not None:
            raise server.failed(f"ended with {server.ended}")
        await asyncio.sleep(0.1)


async def _ready(url: str, child: Child) -> None:
    """Until the process says that it can work."""
    deadline = asyncio.get_running_loop().time() + READY_S
    async with httpx2.AsyncClient(trust_env=False, timeout=3) as client:
        while True:
            if child.ended is not None:
                raise child.failed(f"ended with {child.ended}")
            try:
                if (await client.get(f"{url}/readyz")).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            if asyncio.get_running_loop().time() > deadline:
                raise child.failed("is not ready")
            await asyncio.sleep(0.2)
