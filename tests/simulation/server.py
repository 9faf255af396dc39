"""A Temporal server in virtual time: it drives the SDK's own workflow instances and the product's own activities.

What the real server and the SDK's core do between two workflow tasks is done here in a few lines: timers, activities
with their retry policies, children, updates and queries become jobs of the next activation. Everything happens in one
thread and in an order that a seed decides, so that a run can be repeated exactly. Time stands still until `sleep`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from google.protobuf.duration_pb2 import Duration
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.common.v1 import RetryPolicy as WireRetryPolicy
from temporalio.api.enums.v1 import TimeoutType
from temporalio.api.failure.v1 import ActivityFailureInfo, Failure
from temporalio.bridge.proto.child_workflow import StartChildWorkflowExecutionFailedCause
from temporalio.bridge.proto.workflow_activation import (
    CancelWorkflow,
    DoUpdate,
    FireTimer,
    InitializeWorkflow,
    QueryWorkflow,
    ResolveActivity,
    ResolveChildWorkflowExecution,
    ResolveChildWorkflowExecutionStart,
    ResolveSignalExternalWorkflow,
    SignalWorkflow,
    WorkflowActivation,
    WorkflowActivationJob,
)
from temporalio.common import MetricMeter, Priority, TypedSearchAttributes
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DefaultFailureConverter
from temporalio.testing import ActivityEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner
from temporalio.worker._workflow_instance import WorkflowInstance, WorkflowInstanceDetails

CONVERTER = pydantic_data_converter.payload_converter
FAILURES = DefaultFailureConverter()
EXTERN: dict[str, Any] = {
    "__temporal_get_metric_meter": lambda: MetricMeter.noop,
    "__temporal_assert_local_activity_valid": lambda name: None,
}
"""What an instance asks of its worker."""
ALREADY_EXISTS = "START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS"
MAX_STEPS = 20_000
"""Attempts and jumps of one sequence: more is a loop without end."""


class TaskFailed(AssertionError):
    """A workflow task failed: a bug in workflow code. On a real server the case would be wedged."""


class NotReplayable(AssertionError):
    """The same activations gave other commands: workflow code that is not deterministic."""


@dataclass
class Asked:
    """An activity that a workflow asked for and that has not ended."""

    seq: int
    name: str
    arguments: tuple[Payload, ...]
    local: bool
    retry: WireRetryPolicy
    due: datetime
    attempt: int = 1


@dataclass
class Told:
    """An update on its way: accepted, then completed or failed; or rejected."""

    accepted: bool = False
    rejected: Failure | None = None
    failed: Failure | None = None
    result: Payload | None = None

    @property
    def refusal(self) -> str | None:
        """The code with which it was refused, if it was."""
        failure = self.rejected or self.failed
        if failure is None:
            return None
        error: Any = FAILURES.from_failure(failure, CONVERTER)
        while error is not None:
            details = getattr(error, "details", None)
            if details and isinstance(details[0], dict):
                return str(details[0].get("code"))
            error = error.__cause__
        return failure.message


class Parent(NamedTuple):
    """Who started a child, under which number, and whether the child outlives it."""

    id: str
    seq: int


@dataclass
class Run:
    """One workflow execution."""

    id: str
    run_id: str
    kind: str
    instance: WorkflowInstance
    parent: Parent | None
    jobs: list[WorkflowActivationJob] = field(default_factory=list)
    held: list[WorkflowActivationJob] = field(default_factory=list)
    """Updates that wait for the next task, whatever makes it."""
    timers: dict[int, datetime] = field(default_factory=dict)
    asked: dict[int, Asked] = field(default_factory=dict)
    updates: dict[str, Told] = field(default_factory=dict)
    log: list[tuple[bytes, tuple[bytes, ...]]] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    children: int = 0
    result: Payload | None = None
    failure: Failure | None = None
    closed: bool = False


class Server:
    """Runs workflows of the given classes over the given activities. `perform` may be wrapped to make things fail."""

    def __init__(
        self,
        workflows: Sequence[type],
        activities: Mapping[str, Callable[..., Any]],
        types: Mapping[str, type],
        start: datetime,
        loop: asyncio.AbstractEventLoop,
        seed: int = 0,
    ) -> None:
        self._definitions = {d.name: d for d in map(workflow._Definition.must_from_class, workflows)}
        self._activities = activities
        self._types = types
        self._runner = UnsandboxedWorkflowRunner()
        self._random = random.Random(seed)
        self._loop = loop
        self._numbers = 0
        self._steps = 0
        self.now = start
        self.runs: dict[str, Run] = {}
        self.lost: Callable[[Asked], bool] = lambda asked: False
        """Is the answer of this attempt lost, as when the worker dies after the work and before saying so?"""
        self.before: Callable[[], None] = lambda: None
        """Called before each attempt: planned work of the outside may be due."""
        self.flags: Sequence[int] = ()
        """Logic flags of the SDK under which tasks run."""
        self.elsewhere: Callable[[], datetime | None] = lambda: None
        """When something happens outside by itself next."""

    # ---- from outside --------------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        """The virtual time."""
        return self.now

    def do(self, work: Any) -> Any:
        """Run a coroutine of ours (a store query, a call of a party's control plane) to its end."""
        return self._loop.run_until_complete(work)

    def start(self, kind: str, workflow_id: str, argument: Any, update: tuple[str, Any] | None = None) -> Told | None:
        """Start a workflow, with an update in its first task if one is given."""
        run = self._create(kind, workflow_id, CONVERTER.to_payloads([argument]), None)
        told = self._queue_update(run, *update) if update else None
        self._drain()
        return told

    def update(self, workflow_id: str, name: str, argument: Any, *, later: bool = False) -> Told:
        """Send an update. `later`: it waits for the next workflow task, to arrive together with what comes then."""
        run = self.runs[workflow_id]
        if run.closed:
            return Told(rejected=Failure(message="closed"))
        told = self._queue_update(run, name, argument, later=later)
        self._drain()
        return told

    def query(self, workflow_id: str, name: str, result: type) -> Any:
        """Ask a workflow; works on closed ones, as long as they are kept."""
        run = self.runs[workflow_id]
        job = WorkflowActivationJob(query_workflow=QueryWorkflow(query_id="q", query_type=name))
        completion = run.instance.activate(self._activation(run, [job]))
        answer = completion.successful.commands[0].respond_to_query
        if answer.HasField("failed"):
            raise TaskFailed(f"{name}: {answer.failed.message}")
        return CONVERTER.from_payloads([answer.succeeded.response], [result])[0]

    def result(self, workflow_id: str, kind: type) -> Any:
        """The result of a workflow that completed."""
        run = self.runs[workflow_id]
        assert run.result is not None, f"{workflow_id} has no result: {run.failure}"
        return CONVERTER.from_payloads([run.result], [kind])[0]

    # ---- time and work -------------------------------------------------------------------------------------------

    @property
    def ready(self) -> list[tuple[Run, Asked]]:
        """Attempts whose time has come."""
        return [
            (run, asked)
            for run in self.runs.values()
            if not run.closed
            for asked in run.asked.values()
            if asked.due <= self.now
        ]

    @property
    def next_moment(self) -> datetime | None:
        """When something happens by itself next: a timer, a retry."""
        moments = [
            moment
            for run in self.runs.values()
            if not run.closed
            for moment in (*run.timers.values(), *(asked.due for asked in run.asked.values()))
        ]
        outside = self.elsewhere()
        return min(moments if outside is None else [*moments, outside], default=None)

    def step(self) -> bool:
        """One attempt of one activity whose time has come, chosen by the seed. False: none is ready."""
        ready = self.ready
        if not ready:
            return False
        self._count()
        run, asked = ready[self._random.randrange(len(ready))]
        self._attempt(run, asked)
        return True

    def settle(self) -> None:
        """Work until only time, or somebody outside, can move anything on."""
        while self.step():
            pass

    def jump(self) -> bool:
        """Let time pass to the next moment at which something happens by itself. False: there is none."""
        self.settle()
        moment = self.next_moment
        if moment is None:
            return False
        self._count()
        self.now = max(self.now, moment)
        self._fire()
        self.settle()
        return True

    def _count(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise AssertionError(f"the sequence never ends: {self.now}")

    def _fire(self) -> None:
        for run in list(self.runs.values()):
            due = sorted((at, seq) for seq, at in run.timers.items() if at <= self.now)
            if run.closed or not due:
                continue
            for _, seq in due:
                del run.timers[seq]
                run.jobs.append(WorkflowActivationJob(fire_timer=FireTimer(seq=seq)))
        self._drain()

    # ---- trouble -------------------------------------------------------------------------------------------------

    def restart_worker(self) -> None:
        """The worker dies and another takes over: every open workflow is replayed from what was recorded."""
        for run in self.runs.values():
            if not run.closed:
                run.instance = self.replayed(run)

    def replayed(self, run: Run) -> WorkflowInstance:
        """A new instance brought to where the run is. Raises NotReplayable where it answers with other commands."""
        instance = self._instance(run.kind, run.id, run.run_id, run.parent, _started(run))
        for number, (activation, commands) in enumerate(run.log):
            again = WorkflowActivation.FromString(activation)
            again.is_replaying = True
            completion = instance.activate(again)
            got = tuple(command.SerializeToString(deterministic=True) for command in completion.successful.commands)
            if got != commands:
                raise NotReplayable(f"{run.id}: task {number} of {len(run.log)} gave other commands")
        return instance

    # ---- workflow tasks --------------------------------------------------------------------------------------------

    def _create(self, kind: str, workflow_id: str, arguments: Sequence[Payload], parent: Parent | None) -> Run:
        self._numbers += 1
        run_id = f"run-{self._numbers}"
        run = Run(workflow_id, run_id, kind, self._instance(kind, workflow_id, run_id, parent, self.now), parent)
        init = InitializeWorkflow(
            workflow_type=kind, workflow_id=workflow_id, arguments=arguments, randomness_seed=1, attempt=1
        )
        init.start_time.FromDatetime(self.now)
        run.jobs.append(WorkflowActivationJob(initialize_workflow=init))
        self.runs[workflow_id] = run
        return run

    def _instance(
        self, kind: str, workflow_id: str, run_id: str, parent: Parent | None, started: datetime
    ) -> WorkflowInstance:
        above = None
        if parent is not None:
            above = workflow.ParentInfo(namespace="default", run_id="", workflow_id=parent.id)
        info = workflow.Info(
            attempt=1,
            continued_run_id=None,
            cron_schedule=None,
            execution_timeout=None,
            first_execution_run_id=run_id,
            headers={},
            namespace="default",
            original_execution_run_id=run_id,
            parent=above,
            root=None,
            priority=Priority.default,
            raw_memo={},
            retry_policy=None,
            run_id=run_id,
            run_timeout=None,
            search_attributes={},
            start_time=started,
            workflow_start_time=started,
            task_queue="backhaul",
            task_timeout=timedelta(seconds=10),
            typed_search_attributes=TypedSearchAttributes.empty,
            workflow_id=workflow_id,
            workflow_type=kind,
        )
        made: WorkflowInstance = self.do(
            self._made(
                WorkflowInstanceDetails(
                    payload_converter_factory=lambda: CONVERTER,
                    failure_converter_class=DefaultFailureConverter,
                    interceptor_classes=[],
                    defn=self._definitions[kind],
                    info=info,
                    randomness_seed=1,
                    extern_functions=EXTERN,
                    disable_eager_activity_execution=False,
                    worker_level_failure_exception_types=[],
                    patch_activation_callback=None,
                    last_completion_result=Payloads(),
                    last_failure=None,
                )
            )
        )
        return made

    async def _made(self, details: WorkflowInstanceDetails) -> WorkflowInstance:
        """Instances are made with a loop running."""
        return self._runner.create_instance(details)

    def _activation(self, run: Run, jobs: Sequence[WorkflowActivationJob]) -> WorkflowActivation:
        activation = WorkflowActivation(run_id=run.run_id, jobs=jobs, history_length=len(run.log))
        activation.available_internal_flags.extend(self.flags)
        activation.timestamp.FromDatetime(self.now)
        return activation

    def _drain(self) -> None:
        """One workflow task for each run that has something new, until none has. The commands of a task are carried
        out before the next task begins, whoever's it is."""
        while waiting := [run for run in self.runs.values() if run.jobs and not run.closed]:
            self._task(waiting[0])

    def _task(self, run: Run) -> None:
        jobs, run.held, run.jobs = [*run.held, *run.jobs], [], []
        activation = self._activation(run, jobs)
        recorded = activation.SerializeToString(deterministic=True)
        completion = run.instance.activate(activation)
        if completion.HasField("failed"):
            raise TaskFailed(f"{run.id}: {_chain(completion.failed.failure)}")
        commands = completion.successful.commands
        run.log.append((recorded, tuple(command.SerializeToString(deterministic=True) for command in commands)))
        for command in commands:
            kind = str(command.WhichOneof("variant"))
            getattr(self, f"_do_{kind}")(run, getattr(command, kind))

    def _queue_update(self, run: Run, name: str, argument: Any, *, later: bool = False) -> Told:
        self._numbers += 1
        key = f"update-{self._numbers}"
        job = DoUpdate(id=key, protocol_instance_id=key, name=name, run_validator=True)
        job.input.extend(CONVERTER.to_payloads([argument]))
        job.meta.update_id = key
        (run.held if later else run.jobs).append(WorkflowActivationJob(do_update=job))
        told = run.updates[key] = Told()
        return told

    # ---- what a workflow says --------------------------------------------------------------------------------------

    def _do_start_timer(self, run: Run, command: Any) -> None:
        run.timers[command.seq] = self.now + command.start_to_fire_timeout.ToTimedelta()

    def _do_cancel_timer(self, run: Run, command: Any) -> None:
        run.timers.pop(command.seq, None)

    def _do_schedule_activity(self, run: Run, command: Any) -> None:
        self._ask(run, command, local=False)

    def _do_schedule_local_activity(self, run: Run, command: Any) -> None:
        self._ask(run, command, local=True)

    def _ask(self, run: Run, command: Any, *, local: bool) -> None:
        arguments = tuple(command.arguments)
        asked = Asked(command.seq, command.activity_type, arguments, local, command.retry_policy, self.now)
        run.asked[command.seq] = asked

    def _do_upsert_workflow_search_attributes(self, run: Run, command: Any) -> None:
        for name, payload in command.search_attributes.indexed_fields.items():
            value = CONVERTER.from_payloads([payload])[0] if payload.data else None
            if value is None or value == []:
                run.attributes.pop(name, None)
            else:
                run.attributes[name] = value

    def _do_update_response(self, run: Run, command: Any) -> None:
        told = run.updates[command.protocol_instance_id]
        match command.WhichOneof("response"):
            case "accepted":
                told.accepted = True
            case "rejected":
                if told.accepted:
                    told.failed = command.rejected
                else:
                    told.rejected = command.rejected
            case "completed":
                told.result = command.completed

    def _do_start_child_workflow_execution(self, run: Run, command: Any) -> None:
        answer = ResolveChildWorkflowExecutionStart(seq=command.seq)
        if command.workflow_id in self.runs:
            answer.failed.workflow_id = command.workflow_id
            answer.failed.workflow_type = command.workflow_type
            answer.failed.cause = StartChildWorkflowExecutionFailedCause.Value(ALREADY_EXISTS)
            run.jobs.append(WorkflowActivationJob(resolve_child_workflow_execution_start=answer))
            return
        parent = Parent(run.id, command.seq)
        child = self._create(command.workflow_type, command.workflow_id, tuple(command.input), parent)
        run.children += 1
        answer.succeeded.run_id = child.run_id
        run.jobs.append(WorkflowActivationJob(resolve_child_workflow_execution_start=answer))

    def _do_cancel_child_workflow_execution(self, run: Run, command: Any) -> None:
        parent = Parent(run.id, command.child_workflow_seq)
        for child in self.runs.values():
            if child.parent == parent and not child.closed:
                child.jobs.append(WorkflowActivationJob(cancel_workflow=CancelWorkflow(reason=command.reason)))

    def _do_signal_external_workflow_execution(self, run: Run, command: Any) -> None:
        answer = ResolveSignalExternalWorkflow(seq=command.seq)
        wanted = command.child_workflow_id or command.workflow_execution.workflow_id
        target = self.runs.get(wanted)
        if target is None or target.closed:
            answer.failure.message = f"there is no open workflow {wanted}"
        else:
            signal = SignalWorkflow(signal_name=command.signal_name, input=command.args)
            target.jobs.append(WorkflowActivationJob(signal_workflow=signal))
        run.jobs.append(WorkflowActivationJob(resolve_signal_external_workflow=answer))

    def _do_complete_workflow_execution(self, run: Run, command: Any) -> None:
        run.result = command.result
        self._closed(run)

    def _do_fail_workflow_execution(self, run: Run, command: Any) -> None:
        run.failure = command.failure
        self._closed(run)

    def _do_continue_as_new_workflow_execution(self, run: Run, command: Any) -> None:
        run.closed = True
        self._create(run.kind, run.id, tuple(command.arguments), run.parent)

    def _closed(self, run: Run) -> None:
        run.closed = True
        run.timers.clear()
        run.asked.clear()
        parent = None if run.parent is None else self.runs.get(run.parent.id)
        if parent is None or parent.closed or run.parent is None:
            return
        answer = ResolveChildWorkflowExecution(seq=run.parent.seq)
        if run.result is not None:
            answer.result.completed.result.CopyFrom(run.result)
        elif run.failure is not None:
            failure = answer.result.failed.failure
            failure.message = "Child Workflow execution failed"
            failure.child_workflow_execution_failure_info.workflow_execution.workflow_id = run.id
            failure.cause.CopyFrom(run.failure)
        parent.jobs.append(WorkflowActivationJob(resolve_child_workflow_execution=answer))

    # ---- activities ------------------------------------------------------------------------------------------------

    def _attempt(self, run: Run, asked: Asked) -> None:
        self.before()
        environment = ActivityEnvironment()
        environment.info = replace(
            environment.info,
            attempt=asked.attempt,
            activity_type=asked.name,
            is_local=asked.local,
            workflow_id=run.id,
            workflow_run_id=run.run_id,
            started_time=self.now,
        )
        argument = CONVERTER.from_payloads(list(asked.arguments), [self._types[asked.name]])[0]
        answer = ResolveActivity(seq=asked.seq, is_local=asked.local)
        try:
            result = self.do(environment.run(self._activities[asked.name], argument))
        except Exception as error:
            failure = Failure()
            FAILURES.to_failure(error, CONVERTER, failure)
        else:
            if not self.lost(asked):
                answer.result.completed.result.CopyFrom(CONVERTER.to_payloads([result])[0])
                self._answer(run, asked, answer)
                return
            failure = Failure(message="activity Heartbeat timeout")
            failure.timeout_failure_info.timeout_type = TimeoutType.TIMEOUT_TYPE_HEARTBEAT
        delay = _again_in(asked, failure)
        if delay is not None:
            asked.attempt += 1
            asked.due = self.now + delay
            return
        if asked.local and not failure.HasField("timeout_failure_info"):
            answer.result.failed.failure.CopyFrom(failure)
        else:
            info = ActivityFailureInfo(activity_id=str(asked.seq))
            info.activity_type.name = asked.name
            whole = answer.result.failed.failure
            whole.message = "Activity task failed"
            whole.activity_failure_info.CopyFrom(info)
            whole.cause.CopyFrom(failure)
        self._answer(run, asked, answer)

    def _answer(self, run: Run, asked: Asked, answer: ResolveActivity) -> None:
        if run.asked.pop(asked.seq, None) is not None:
            run.jobs.append(WorkflowActivationJob(resolve_activity=answer))
            self._drain()


def _started(run: Run) -> datetime:
    first = WorkflowActivation.FromString(run.log[0][0])
    return first.timestamp.ToDatetime().replace(tzinfo=UTC)


def _again_in(asked: Asked, failure: Failure) -> timedelta | None:
    """When the next attempt is made; None: never."""
    policy = asked.retry
    if failure.HasField("application_failure_info"):
        info = failure.application_failure_info
        if info.non_retryable or info.type in policy.non_retryable_error_types:
            return None
        if policy.maximum_attempts and asked.attempt >= policy.maximum_attempts:
            return None
        if info.HasField("next_retry_delay"):
            return info.next_retry_delay.ToTimedelta()
    elif policy.maximum_attempts and asked.attempt >= policy.maximum_attempts:
        return None
    first = _span(policy.initial_interval, timedelta(seconds=1))
    wait = first * (policy.backoff_coefficient or 2.0) ** min(asked.attempt - 1, 20)
    return min(wait, _span(policy.maximum_interval, first * 100))


def _span(duration: Duration, default: timedelta) -> timedelta:
    return duration.ToTimedelta() or default


def _chain(failure: Failure) -> str:
    parts = []
    while True:
        parts.append(f"{failure.message}\n{failure.stack_trace}")
        if not failure.HasField("cause"):
            return "\ncaused by ".join(parts)
        failure = failure.cause


def implementations(activities: Sequence[Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Activities by wire name."""
    return {str(activity._Definition.must_from_callable(each).name): each for each in activities}
