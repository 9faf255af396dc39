"""Every path runs on a migrated database of its own, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from store.engine import Store
from tests.steps.support import World
from tests.store.support import fresh_sqlite
from tests.store.support import patient as patient


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """The steps over an empty database, a clock that tests move, and the effects done by hand."""
    store = Store(database_url)
    yield World(store)
    await store.close()


@pytest.fixture
async def worlds(database_url: str) -> AsyncIterator[tuple[World, World]]:
    """Two workers over one database."""
    made = (Store(database_url, pool_size=5), Store(database_url, pool_size=5))
    yield World(made[0]), World(made[1])
    for store in made:
        await store.close()


@pytest.fixture
async def sqlite_world() -> AsyncIterator[World]:
    """The steps over SQLite alone: for what is about SQL's meaning and not its dialect."""
    async with fresh_sqlite() as store:
        yield World(store)
