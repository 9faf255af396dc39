"""The sandbox, once per module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateways.outside import HASTE_S, Outside, outside


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outside]:
    """The three servers and the gateways pointed at them."""
    async with outside(tmp_path_factory.mktemp("outside"), HASTE_S) as running:
        yield running
