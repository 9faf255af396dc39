"""One product per test module on the time-skipping server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.workflows.world import World, world


@pytest.fixture(scope="session")
async def skipping(
    time_skipping: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """The product on the time-skipping server."""
    async with world(time_skipping, tmp_path_factory.mktemp("skipping")) as running:
        yield running
