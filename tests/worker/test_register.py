"""Registration: what is missing is added, what is there stays, again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import Client, Schedule, ScheduleOverlapPolicy
from temporalio.testing import WorkflowEnvironment

from backhaul.names import RECONCILIATION_SCHEDULE, SEARCH_ATTRIBUTES, SETTLEMENT_SCHEDULE, SearchAttribute
from tests.servers.temporal import register, start_dev_server
from worker import register as registration
from worker.process import Misconfigured
from worker.settings import Settings

NAMES = {each.name for each in SEARCH_ATTRIBUTES}


@pytest.fixture(scope="module")
async def bare(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkflowEnvironment]:
    """A server that knows nothing of us."""
    async with start_dev_server(tmp_path_factory.mktemp("bare"), attributes=()) as environment:
        yield environment


def settings(**more: object) -> Settings:
    return Settings.model_validate({"database_url": "sqlite:///b.db", **more})


async def test_search_attributes(bare: WorkflowEnvironment) -> None:
    client = bare.client
    with pytest.raises(Misconfigured, match=r"ReturnStage.*worker\.register"):
        await registration.assert_attributes(client)
    await register(client, [SEARCH_ATTRIBUTES[0]])
    assert set(await registration.register_attributes(client)) == NAMES - {SEARCH_ATTRIBUTES[0].name}
    assert await registration.register_attributes(client) == ()
    await registration.assert_attributes(client)


async def test_another_type_is_a_clear_error(bare: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    await registration.register_attributes(bare.client)
    other = SearchAttribute(SEARCH_ATTRIBUTES[0].name, "Int", "")
    monkeypatch.setattr(registration, "SEARCH_ATTRIBUTES", (other,))
    with pytest.raises(Misconfigured, match=r"another type.*ReturnStage"):
        await registration.register_attributes(bare.client)


async def test_schedule(bare: WorkflowEnvironment) -> None:
    client = bare.client
    assert await _scheduled(client, settings(settlement_paused=True))
    first = await describe(client)
    assert first.state.paused
    assert first.policy.overlap is ScheduleOverlapPolicy.SKIP
    await client.get_schedule_handle(SETTLEMENT_SCHEDULE).unpause()
    again = settings(settlement_paused=True, settlement_every_s=90)
    assert not await _scheduled(client, again)
    second = await describe(client)
    assert not second.state.paused, "people resumed it; registering again must not pause it"
    assert [each.every for each in second.spec.intervals] == [timedelta(seconds=90)]
    assert not second.spec.calendars
    await client.get_schedule_handle(SETTLEMENT_SCHEDULE).delete()


async def test_every_schedule_runs_one_at_a_time(bare: WorkflowEnvironment) -> None:
    made = await registration.register_schedules(bare.client, settings(reconciliation_paused=True))
    assert made == {SETTLEMENT_SCHEDULE: True, RECONCILIATION_SCHEDULE: True}
    for name in made:
        found = await bare.client.get_schedule_handle(name).describe()
        assert found.schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
        assert found.schedule.state.paused is (name == RECONCILIATION_SCHEDULE)
        await bare.client.get_schedule_handle(name).delete()


async def _scheduled(client: Client, given: Settings) -> bool:
    wanted = registration.settlement_schedule(given)
    return await registration.register_schedule(client, SETTLEMENT_SCHEDULE, wanted)


async def describe(client: Client) -> Schedule:
    return (await client.get_schedule_handle(SETTLEMENT_SCHEDULE).describe()).schedule
