"""The sandbox, once per module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateways.outside import Outside, outside
from tests.waiting import PATIENCE_S


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outside]:
    """The three servers and the gateways pointed at them."""
    async with outside(tmp_path_factory.mktemp("outside"), PATIENCE_S) as running:
        yield running
