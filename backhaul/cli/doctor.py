"""`backhaul doctor`: can this place work with the system it is configured for?"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from backhaul.cli import remote
from backhaul.client import connect
from backhaul.client.connection import connect_config
from backhaul.errors import BackhaulError, Transient
from backhaul.names import QUEUES, SEARCH_ATTRIBUTES

PATIENCE = timedelta(seconds=5)


class Finding(StrEnum):
    """Result of one check."""

    OK = "ok"
    SKIPPED = "skipped"
    WRONG = "wrong"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Check:
    """One check, and what to do where it is not ok."""

    name: str
    finding: Finding
    detail: str


async def examine() -> list[Check]:
    """All checks; those that need a connection are skipped without one."""
    config = connect_config()
    where = f"{config.get('target_host')}, namespace {config.get('namespace')}"
    checks: list[Check] = []
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            client = await connect()
        checks.append(Check("temporal", Finding.OK, where))
        checks += [
            await _guarded("search attributes", lambda: _attributes(client)),
            await _guarded("workers", lambda: _workers(client)),
        ]
    except (BackhaulError, TimeoutError):
        checks.append(Check("temporal", Finding.UNREACHABLE, f"{where}: set TEMPORAL_ADDRESS, or start the server"))
        checks += [Check(name, Finding.SKIPPED, "needs Temporal") for name in ("search attributes", "workers")]
    checks.append(await _guarded("api", _api))
    checks.append(await _guarded("database", _database))
    return checks


async def _guarded(name: str, check: Callable[[], Awaitable[Check]]) -> Check:
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return await check()
    except BackhaulError as error:
        return Check(name, Finding.UNREACHABLE, error.message)
    except (RPCError, OSError, TimeoutError) as error:
        return Check(name, Finding.UNREACHABLE, f"{type(error).__name__}: no answer")


async def _attributes(client: Client) -> Check:
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    wrong = [
        f"{attribute.name} ({attribute.kind})"
        for attribute in SEARCH_ATTRIBUTES
        if answer.custom_attributes.get(attribute.name)
        != IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{attribute.kind.upper()}")
    ]
    if wrong:
        return Check(
            "search attributes", Finding.WRONG, f"not registered: {', '.join(wrong)} (python -m worker.register)"
        )
    return Check("search attributes", Finding.OK, f"{len(SEARCH_ATTRIBUTES)} registered")


async def _workers(client: Client) -> Check:
    alone: list[str] = []
    for queue in QUEUES:
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            )
        )
        if not answer.pollers:
            alone.append(queue)
    if alone:
        return Check("workers", Finding.WRONG, f"nobody polls {', '.join(alone)} (python -m worker)")
    return Check("workers", Finding.OK, f"{len(QUEUES)} queues are polled")


async def _api() -> Check:
    api = remote.from_environment()
    if api is None:
        return Check("api", Finding.SKIPPED, "BACKHAUL_API_URL and BACKHAUL_TOKEN are not set")
    async with api:
        await api.ready()
    return Check("api", Finding.OK, api.url)


async def _database() -> Check:
    """Is it there? This side has no driver: a file is opened, a server is called on its port."""
    url = os.environ.get("BACKHAUL_DATABASE_URL", "").strip()
    if not url:
        return Check("database", Finding.SKIPPED, "BACKHAUL_DATABASE_URL is not set")
    parts = urlsplit(url)
    if parts.scheme.startswith("sqlite"):
        path = Path(unquote(parts.path[1:]))
        return await asyncio.to_thread(_sqlite, path)
    host, port = parts.hostname or "localhost", parts.port or 5432
    try:
        _reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise Transient("unavailable", f"{host}:{port} does not answer") from error
    writer.close()
    return Check("database", Finding.OK, f"{host}:{port} answers")


def _sqlite(path: Path) -> Check:
    if not path.is_file():
        return Check("database", Finding.UNREACHABLE, f"{path} is not there (python -m store.migrate)")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2)
        try:
            found = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'cases'").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Check("database", Finding.WRONG, f"{path}: {error}")
    if found != (1,):
        return Check("database", Finding.WRONG, f"{path} has no tables (python -m store.migrate)")
    return Check("database", Finding.OK, str(path))
