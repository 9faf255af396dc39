"""Declarations and implementations agree; each activity is registered on its declared queue."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.contract import FindRuling, Found, Receipt
from activities.declarations import DECLARED, find_ruling
from backhaul.names import QUEUE, QUEUES, WorkflowType
from backhaul.policy.library import load_library
from store.engine import Store
from tests.gateways.outside import outside
from worker.converter import data_converter
from worker.registry import WORKFLOWS, Activity, Disagreement, Limits, activities_of, build_workers, check


@pytest.fixture
async def activities(tmp_path: Path) -> tuple[Activity, ...]:
    async with outside(tmp_path) as parties:
        return activities_of(Store(f"sqlite:///{tmp_path}/b.db"), parties.gateways, load_library())


def test_every_declaration_has_one_implementation_with_its_types(activities: tuple[Activity, ...]) -> None:
    assert check(activities).keys() == {each.name for each in DECLARED}


def test_what_is_missing_is_named(activities: tuple[Activity, ...]) -> None:
    with pytest.raises(Disagreement, match="judge_case is declared and not implemented"):
        check([each for each in activities if each.__name__ != "judge_case"])


def test_what_is_too_many_is_named(activities: tuple[Activity, ...]) -> None:
    with pytest.raises(Disagreement, match="implemented twice"):
        check([*activities, activities[0]])
    with pytest.raises(Disagreement, match="judge_case is implemented and not declared"):
        check(activities, [each for each in DECLARED if each.name != "judge_case"])


@activity.defn(name="find_ruling")
async def _other_result(argument: FindRuling) -> Receipt:
    raise NotImplementedError


@activity.defn(name="find_ruling")
async def _other_argument(argument: Found) -> Found:
    raise NotImplementedError


@activity.defn(name="find_ruling")
async def _as_declared(argument: FindRuling) -> Found:
    raise NotImplementedError


@pytest.mark.parametrize("other", [_other_result, _other_argument])
def test_other_types_are_named(other: Activity) -> None:
    check([_as_declared], [find_ruling])
    with pytest.raises(Disagreement, match="find_ruling is declared with"):
        check([other], [find_ruling])


def test_every_workflow_type_is_registered() -> None:
    names = {kind.__temporal_workflow_definition.name for kind in WORKFLOWS}  # type: ignore[attr-defined]
    assert names == {kind.value for kind in WorkflowType}


@pytest.fixture
async def client(dev_server: WorkflowEnvironment) -> Client:
    """A client of one's own: one client takes one worker a queue."""
    return await dev_server.connect_client(data_converter=data_converter())


async def test_each_activity_is_on_its_declared_queue(client: Client, activities: tuple[Activity, ...]) -> None:
    workers = build_workers(client, activities)
    assert workers.queues == QUEUES
    for worker in workers._workers:
        config = worker.config()
        registered = {activity._Definition.must_from_callable(each).name for each in config["activities"]}
        assert registered == {each.name for each in DECLARED if each.queue == worker.task_queue}
        assert bool(config["workflows"]) == (worker.task_queue == QUEUE)
        assert bool(config["max_task_queue_activities_per_second"]) == (worker.task_queue == "backhaul-payments")
        assert config["graceful_shutdown_timeout"].total_seconds() == 20
        assert not config["disable_eager_activity_execution"]


async def test_a_subset_of_queues(client: Client, activities: tuple[Activity, ...]) -> None:
    workers = build_workers(client, activities, Limits(queues=["backhaul-couriers"]))
    assert workers.queues == ("backhaul-couriers",)


async def test_stopped_as_soon_as_started(client: Client, activities: tuple[Activity, ...]) -> None:
    """A signal in the first moment must not be lost."""
    async with build_workers(client, activities) as workers:
        pass
    assert not workers.polling
