"""The OpenAPI document held against the app: whatever fits it (and what does not) gets an answer that it describes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from temporalio.testing import WorkflowEnvironment

from api.__main__ import Server
from api.app import create_app
from api.problems import MEDIA_TYPE
from api.settings import Settings
from backhaul.client import Backhaul, connect
from backhaul.errors import CODES
from backhaul.names import Role
from store.engine import Store
from tests.api.place import MERCHANT, new_store, open_place, token
from tests.waiting import PATIENCE_S

BUSY = {502, 503, 504}
"""What is no bug: nobody works for the cases here, so that some answers never come."""


@dataclass
class Served:
    """The app behind a socket, on a loop of its own: the generated calls are not async."""

    url: str


@pytest.fixture(scope="module")
def served(dev_server: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("document")
    address = dev_server.client.service_client.config.target_host
    ready, stop = threading.Event(), threading.Event()
    found: list[Served] = []
    thread = threading.Thread(target=lambda: asyncio.run(_serve(address, folder, found, ready, stop)))
    thread.start()
    assert ready.wait(PATIENCE_S)
    yield found[0]
    stop.set()
    thread.join(PATIENCE_S)


async def _serve(
    address: str, folder: Path, found: list[Served], ready: threading.Event, stop: threading.Event
) -> None:
    store = await new_store(folder)
    client = await connect(target_host=address)
    backhaul = Backhaul(client, queue="nobody-works-here", patience=timedelta(seconds=0.1))
    async with open_place(store, backhaul) as place:
        server = Server(uvicorn.Config(place.app, port=0, log_level="error", lifespan="off"))
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        found.append(Served(f"http://127.0.0.1:{port}"))
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.05)
        server.should_exit = True
        await task
    await store.close()


def _document() -> dict[str, Any]:
    """What the app says of itself; no database is opened and nobody connects for that."""
    nowhere = Settings(database_url="sqlite:///nowhere.db")
    return create_app(nowhere, Store(nowhere.database_url), cast("Backhaul", None)).openapi()


schema = schemathesis.openapi.from_dict(_document())


@schema.parametrize()
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_described(case: Case[Any], served: Served) -> None:
    roles = case.operation.definition.raw.get("x-roles", [])
    headers = {}
    if roles:
        role = Role(roles[0])
        bound = MERCHANT if role in {Role.CONSUMER, Role.MERCHANT} else None
        headers["Authorization"] = f"Bearer {token(role, bound)}"
    answer = case.call(base_url=served.url, headers=headers, timeout=PATIENCE_S)
    assert answer.status_code != 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"][0] == MEDIA_TYPE
        assert answer.json()["code"] in CODES
    if answer.status_code not in BUSY | {405}:
        case.validate_response(
            answer, checks=[status_code_conformance, content_type_conformance, response_schema_conformance]
        )
