"""Temporal servers for the tests: the full dev server, and the time-skipping one.

They live for the session and start when first asked for. Tests that share them keep apart by their workflow
ids and task queues. Each fixture is a `WorkflowEnvironment` whose client speaks pydantic; another converter or
codec comes from `await environment.connect_client(data_converter=...)`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Protocol

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker._workflow import _WorkflowWorker

from sandbox.servers import find_temporal_cli, find_time_skipping_server
from tests.waiting import PATIENCE_S

WORKER_PATIENCE_S = 60.0
"""A workflow task that takes longer counts as a deadlock: the SDK's own two seconds are soon over on a busy machine."""
START = timedelta(seconds=PATIENCE_S)
"""In which a server has to answer: the SDK's own five seconds are less than one needs on a busy machine."""
SQLITE_PRAGMAS = ("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL")
TIME_SKIPPING_FLAG = ("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true")


def _patient() -> None:
    """Every worker and every replay of this process has that patience; and who waits for a result waits on where the
    time-skipping server, after twenty seconds, answers with nothing."""
    begin, ended = _WorkflowWorker.__init__, WorkflowHandle.result

    @wraps(begin)
    def init(self: _WorkflowWorker, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        self._deadlock_timeout_seconds = WORKER_PATIENCE_S  # type: ignore[assignment]

    @wraps(ended)
    async def result(self: WorkflowHandle[Any, Any], **options: Any) -> Any:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await ended(self, **options)
            except RuntimeError as nothing:
                if str(nothing) != "No completion event found" or time.monotonic() > end:
                    raise

    setattr(_WorkflowWorker, "__init__", init)  # noqa: B010
    setattr(WorkflowHandle, "result", result)  # noqa: B010


_patient()


class Attribute(Protocol):
    """The shape of `backhaul.names.SearchAttribute` that matters here."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...


def our_attributes() -> tuple[Attribute, ...]:
    """The product's search attributes; imported late, as a test of a server needs no product."""
    from backhaul.names import SEARCH_ATTRIBUTES

    return SEARCH_ATTRIBUTES


def attribute_arguments(attributes: Iterable[Attribute]) -> list[str]:
    """The CLI's arguments that register them. Kinds are Temporal's names: Keyword, Int, Datetime."""
    return [part for a in attributes for part in ("--search-attribute", f"{a.name}={a.kind}")]


@asynccontextmanager
async def start_dev_server(
    folder: Path,
    *,
    attributes: Iterable[Attribute] | None = None,
    data_converter: DataConverter = pydantic_data_converter,
    extra_args: Sequence[str] = (),
    port: int | None = None,
) -> AsyncIterator[WorkflowEnvironment]:
    """A full server of one's own, its database in `folder`: for tests that stop or configure it."""
    arguments = [
        *SQLITE_PRAGMAS,
        *attribute_arguments(our_attributes() if attributes is None else attributes),
    ]
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(find_temporal_cli()),
        dev_server_database_filename=str(folder / "temporal.db"),
        dev_server_log_level="error",
        dev_server_extra_args=[*arguments, *extra_args],
        dev_server_startup_timeout=START,
        data_converter=data_converter,
        port=port,
        ui=False,
    ) as environment:
        yield environment


async def register(client: Client, attributes: Iterable[Attribute]) -> None:
    """Register search attributes on a running server; a workflow that sets another one hangs there."""
    kinds = {a.name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{a.kind.upper()}") for a in attributes}
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
    )


@pytest.fixture(scope="session")
async def dev_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkflowEnvironment]:
    """The full server, in real time. Everything works; a timer of a day takes a day."""
    async with start_dev_server(tmp_path_factory.mktemp("temporal")) as environment:
        yield environment


@asynccontextmanager
async def start_time_skipping_server() -> AsyncIterator[WorkflowEnvironment]:
    """A time-skipping server of one's own."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(find_time_skipping_server()),
        test_server_startup_timeout=START,
        data_converter=pydantic_data_converter,
    ) as environment:
        await register(environment.client, our_attributes())
        yield environment


@pytest.fixture(scope="session")
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    """The time-skipping server: waiting for a workflow's result skips its timers.

    One clock for all of it, moved by `environment.sleep()` too. It has no listing or counting, schedules,
    reset, versioning, or pause of activities: `time_skipping_full` or `dev_server` for those.
    """
    async with start_time_skipping_server() as environment:
        yield environment


@pytest.fixture(scope="session")
async def time_skipping_full(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkflowEnvironment]:
    """The full server with a virtual clock for each workflow started through its client (experimental)."""
    folder = tmp_path_factory.mktemp("temporal-skipping")
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=str(find_temporal_cli()),
        dev_server_database_filename=str(folder / "temporal.db"),
        dev_server_log_level="error",
        dev_server_extra_args=[*SQLITE_PRAGMAS, *TIME_SKIPPING_FLAG, *attribute_arguments(our_attributes())],
        dev_server_startup_timeout=START,
        data_converter=pydantic_data_converter,
    ) as environment:
        yield environment
