"""One product for each test on a time-skipping server of its own.

Of its own, since that server never skips again after a workflow has started a child that outlives it (recovery), and
since skipping moves one clock for everything on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.servers.temporal import start_time_skipping_server
from tests.workflows.world import World, world


@asynccontextmanager
async def skipping_world(folder: Path, *, book: str | None = None, books: Path | None = None) -> AsyncIterator[World]:
    """The product on a time-skipping server of its own; `book` (of `books`) is the policy book of new cases."""
    async with (
        start_time_skipping_server() as environment,
        world(environment, folder, book=book, books=books) as running,
    ):
        yield running


@pytest.fixture
async def skipping(tmp_path: Path) -> AsyncIterator[World]:
    """The product on a time-skipping server."""
    async with skipping_world(tmp_path) as running:
        yield running
