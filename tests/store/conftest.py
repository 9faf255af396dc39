"""A migrated database of the test's own, on each engine, behind one store or, for races, two."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from store.engine import Store
from tests.store.support import patient as patient


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on SQLite, then the same test on PostgreSQL."""
    made = Store(database_url)
    yield made
    await made.close()


@pytest.fixture
async def stores(database_url: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes' worth of stores on one database: what one's own line of writers cannot put in order."""
    made = (Store(database_url, pool_size=5), Store(database_url, pool_size=5))
    yield made
    for one in made:
        await one.close()
