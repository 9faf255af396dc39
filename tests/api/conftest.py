"""Places to call."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import structlog
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from backhaul.client import Backhaul
from tests.api.place import Place, new_store, open_place
from tests.client.cases import StandIn


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """Bugs are provoked here: the default shows every frame's locals, which takes seconds."""
    structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])


@pytest.fixture(scope="module")
async def place(dev_server: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """The API with a stand-in for the workflow, for what is the API's own: roles, problems, keys, the inbox.

    tests/api/test_product.py calls the whole product."""
    store = await new_store(tmp_path_factory.mktemp("api"))
    queue = f"api-{uuid.uuid4()}"
    backhaul = Backhaul(dev_server.client, queue=queue, patience=timedelta(seconds=60))
    worker = Worker(
        dev_server.client, task_queue=queue, workflows=[StandIn], workflow_runner=UnsandboxedWorkflowRunner()
    )
    async with worker, open_place(store, backhaul) as opened:
        yield opened
    await store.close()
