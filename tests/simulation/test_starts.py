"""A start that cannot be judged fails with the code of what is wrong, however long its first answers take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.contract import JudgeCase, Judgement
from backhaul.facts import Method, Reason
from backhaul.messages import OpenReturn, ReturnLine
from backhaul.names import WorkflowType
from tests.simulation.server import CONVERTER, FAILURES
from tests.simulation.world import Simulation, simulation


@pytest.fixture(name="world")
def a_world() -> Iterator[Simulation]:
    with simulation(7) as sim:
        yield sim


@pytest.mark.parametrize("slow", [False, True], ids=["at once", "slow"])
def test_an_unknown_order_is_a_refusal(slow: bool, world: Simulation) -> None:
    """Slow: the local step never answers in its time, so that the regular activity does."""
    judge = world.server._activities["judge_case"]

    async def in_its_time(argument: JudgeCase) -> Judgement:
        if slow and activity.info().is_local:
            raise ApplicationError("the database is busy", type="Transient")
        found: Judgement = await judge(argument)
        return found

    world.server._activities = {**world.server._activities, "judge_case": in_its_time}
    request = OpenReturn(
        merchant_id="m1",
        rma_id="R1",
        order_id="nobody-knows",
        reason=Reason.QUALITY,
        method=Method.PICKUP,
        lines=(ReturnLine(line_id="L1", quantity=1),),
        address_ref="here",
    )
    world.server.start(WorkflowType.RETURN_CASE.value, "return:m1:R1", request)
    while world.jump():
        pass
    failure = world.server.runs["return:m1:R1"].failure
    assert failure is not None
    error: Any = FAILURES.from_failure(failure, CONVERTER)
    assert (error.type, error.details[0]["code"], error.non_retryable) == ("Rejected", "order_unknown", True)
