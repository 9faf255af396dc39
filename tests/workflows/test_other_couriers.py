"""X4: the third miss of one courier is the next one's first visit. Under a book that knows two couriers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backhaul.messages import PickupOutcome
from backhaul.policy.library import Library, load_library
from tests.servers.temporal import start_time_skipping_server
from tests.workflows import world as worlds
from tests.workflows.scenarios.telling import to_the_merchant
from tests.workflows.world import Plan, World, world


def two_couriers() -> Library:
    """The books with a second courier in each."""
    books = []
    for book in load_library().books:
        pickup = book.pickup.model_copy(update={"couriers": ("sandbox", "sandbox-b")})
        books.append(book.model_copy(update={"pickup": pickup}))
    return Library(books)


@pytest.fixture
async def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    library = two_couriers()
    monkeypatch.setattr(worlds, "load_library", lambda *_: library)
    async with start_time_skipping_server() as environment, world(environment, tmp_path) as running:
        yield running


async def test_the_third_miss_is_another_courier_s_visit(both: World) -> None:
    case = await both.open(Plan(tier=0))
    seen: list[str] = []
    for _ in range(3):
        status = await case.until(lambda s: s.waybill not in {None, *seen} and s.waiting is not None, "a visit")
        assert status.waybill is not None
        seen.append(status.waybill)
        await case.pickup(PickupOutcome.MISSED)
    status = await case.until(lambda s: s.waybill not in {None, *seen}, "another courier")
    events = [event.what for event in status.events if " booked with " in event.what]
    assert [what.split()[4].rstrip(",") for what in events] == ["sandbox"] * 3 + ["sandbox-b"]
    await to_the_merchant(case)
