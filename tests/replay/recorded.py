"""Recorded histories and the fingerprints of their commands.

Temporal's replayer compares the types of commands; an amount that a changed rule computes differently replays clean.
So each history has a fingerprint beside it: every command's name with a hash of its whole input, in order, as the
code issued them when it was recorded. Replay compares both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from temporalio.client import WorkflowHandle, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    Replayer,
    StartActivityInput,
    StartChildWorkflowInput,
    StartLocalActivityInput,
    UnsandboxedWorkflowRunner,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from worker.registry import WORKFLOWS, sandbox

FOLDER = Path(__file__).parent / "histories"
_commands: list[list[str]] = []


def _seen(kind: str, name: str, args: Sequence[Any]) -> None:
    text = to_json([kind, name, list(args)]).decode()
    plain = json.dumps(json.loads(text), sort_keys=True)
    _commands.append([kind, name, hashlib.sha256(plain.encode()).hexdigest()[:16], plain])


class _Outbound(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> Any:
        _seen("activity", input.activity, input.args)
        return super().start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> Any:
        _seen("local", input.activity, input.args)
        return super().start_local_activity(input)

    async def start_child_workflow(self, input: StartChildWorkflowInput) -> Any:
        _seen("child", f"{input.workflow} {input.id}", input.args)
        return await super().start_child_workflow(input)


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        result = await super().execute_workflow(input)
        _seen("result", "complete", [result])
        return result


class _Fingerprints(Interceptor):
    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        return _Inbound


async def commands_of(history: WorkflowHistory, *, patched: bool = False) -> list[list[str]]:
    """Replay (raises on another sequence of commands) and return each command: kind, name, hash, input.

    `patched` runs outside the sandbox, so that a test's monkeypatch is seen."""
    _commands.clear()
    replayer = Replayer(
        workflows=list(WORKFLOWS),
        data_converter=pydantic_data_converter,
        interceptors=[_Fingerprints()],
        workflow_runner=UnsandboxedWorkflowRunner() if patched else sandbox(),
    )
    await replayer.replay_workflow(history)
    return list(_commands)


async def record(name: str, handle: WorkflowHandle[Any, Any]) -> None:
    """Keep the history and its fingerprint; `make histories`."""
    history = await handle.fetch_history()
    commands = await commands_of(history)
    plain = _without_traces(json.loads(history.to_json()))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps({"id": history.workflow_id, "history": plain}, indent=1) + "\n")
    (FOLDER / f"{name}.commands.json").write_text(json.dumps([c[:3] for c in commands], indent=1) + "\n")


def _without_traces(plain: Any) -> Any:
    """Failures without their stack traces: those name files of the machine that recorded them."""
    if isinstance(plain, dict):
        return {key: _without_traces(value) for key, value in plain.items() if key != "stackTrace"}
    return [_without_traces(value) for value in plain] if isinstance(plain, list) else plain


def recorded() -> list[str]:
    """Names of all recorded histories."""
    return sorted(path.name.removesuffix(".commands.json") for path in FOLDER.glob("*.commands.json"))


def load(name: str) -> tuple[WorkflowHistory, list[list[str]]]:
    """A history and its fingerprint."""
    kept = json.loads((FOLDER / f"{name}.json").read_text())
    history = WorkflowHistory.from_json(kept["id"], kept["history"])
    return history, json.loads((FOLDER / f"{name}.commands.json").read_text())
