"""Every recorded history replays, with the same commands and the same inputs; two planted changes are caught."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio import workflow

from tests.replay.recorded import commands_of, load, recorded
from tests.workflows.scenarios import SCENARIOS
from worker.registry import WORKFLOWS


def test_every_path_is_recorded() -> None:
    assert set(SCENARIOS) <= set(recorded())


def test_every_workflow_is_recorded() -> None:
    found = {
        load(name)[0].events[0].workflow_execution_started_event_attributes.workflow_type.name for name in recorded()
    }
    assert found == {str(workflow._Definition.must_from_class(one).name) for one in WORKFLOWS}


@pytest.mark.parametrize("name", recorded())
async def test_replays_with_the_same_inputs(name: str) -> None:
    history, fingerprint = load(name)
    commands = await commands_of(history)
    assert [command[:3] for command in commands] == fingerprint


async def test_an_extra_activity_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from workflows.desk import Desk

    history, _ = load("lightning")
    plain = Desk.effect

    async def twice(self: Desk, declared: Any, argument: Any, **options: Any) -> Any:
        if declared.name == "send_refund":
            await plain(self, declared, argument, **options)
        return await plain(self, declared, argument, **options)

    monkeypatch.setattr(Desk, "effect", twice)
    with pytest.raises(workflow.NondeterminismError):
        await commands_of(history, patched=True)


async def test_a_changed_amount_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from workflows.desk import Desk

    history, fingerprint = load("lightning")
    plain = Desk.effect

    async def one_fen_more(self: Desk, declared: Any, argument: Any, **options: Any) -> Any:
        if declared.name == "send_refund":
            part = argument.part
            more = part.amount.model_copy(update={"minor": part.amount.minor + 1})
            argument = argument.model_copy(update={"part": part.model_copy(update={"amount": more})})
        return await plain(self, declared, argument, **options)

    monkeypatch.setattr(Desk, "effect", one_fen_more)
    commands = await commands_of(history, patched=True)  # Temporal's own replayer does not see it
    assert [command[:3] for command in commands] != fingerprint
