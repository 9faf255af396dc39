"""What a worker runs: every workflow, every activity on its declared queue, with the settings that were measured.

Numbers: architecture 3.10 and 4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, get_type_hints

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.couriers import CourierActivities
from activities.declarations import DECLARED, Declared
from activities.insurers import InsurerActivities
from activities.notices import NoticeActivities
from activities.payments import PaymentActivities
from activities.reconciliation_steps import ReconciliationSteps
from activities.settlement_steps import SettlementSteps
from activities.steps import CaseSteps
from activities.steps.desk import utc_now
from backhaul.names import QUEUE, QUEUE_PAYMENTS, QUEUES
from backhaul.policy.library import Library
from gateways.registry import Gateways
from store.engine import Store
from workflows.correction import Correction
from workflows.dispute import Dispute
from workflows.reconciliation import Reconciliation
from workflows.recovery import Recovery
from workflows.return_case import ReturnCase
from workflows.settlement import Settlement
from workflows.settlement_cycle import SettlementCycle

Activity = Callable[..., Any]

WORKFLOWS: tuple[type, ...] = (
    ReturnCase,
    Dispute,
    Correction,
    Recovery,
    SettlementCycle,
    Settlement,
    Reconciliation,
)
PASSED_THROUGH = (
    "backhaul",
    "activities.contract",
    "activities.declarations",
    "workflows.case_run",
    "workflows.correction_run",
    "workflows.recovery_run",
    "workflows.corrections",
    "workflows.desk",
    "workflows.details",
    "workflows.stages",
    "workflows.views",
    "pydantic",
    "pydantic_core",
)
"""Modules that a workflow shares with the process: without state of their own, and pure by ruff and import-linter.
Importing them anew for each workflow was two fifths of the worker's CPU. The workflow classes stay in the sandbox."""
STICKY_TIMEOUT = timedelta(seconds=2)
"""How long a workflow waits for the worker that has it in memory, after that worker died. The default is 10 s."""
HEARTBEAT_INTERVAL = timedelta(seconds=1)
"""Send every heartbeat: the SDK keeps them back for 80% of the timeout of 3 s, which leaves a busy worker 0.6 s."""


class Disagreement(Exception):
    """Declarations and implementations do not fit. The text lists every difference."""


@dataclass(frozen=True)
class Limits:
    """What settings may change about the workers."""

    queues: Sequence[str] = QUEUES
    payments_per_second: float = 50.0
    max_cached_workflows: int = 500
    workflow_tasks_at_once: int = 8
    """Few, so that a burst waits at the server and not in local activities, whose time is short (2 s)."""
    drain: timedelta = timedelta(seconds=20)


def activities_of(
    store: Store,
    gateways: Gateways,
    library: Library,
    book: str | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
) -> tuple[Activity, ...]:
    """Every implementation, bound to what it works with. `book`: the policy book of new cases; None: the dated one."""
    return tuple(
        found
        for implementation in (
            CaseSteps(store, library, book, clock=clock),
            SettlementSteps(store, library, book, clock=clock),
            ReconciliationSteps(store, gateways, library, book, clock=clock),
            CourierActivities(store, gateways, clock),
            PaymentActivities(store, gateways, clock),
            InsurerActivities(store, gateways, clock),
            NoticeActivities(store, gateways, clock),
        )
        for found in implemented_by(implementation)
    )


def implemented_by(implementation: object) -> list[Activity]:
    """The methods of an object that are activities."""
    members = (getattr(implementation, name) for name in dir(type(implementation)) if not name.startswith("__"))
    return [member for member in members if activity._Definition.from_callable(member) is not None]


def by_name(activities: Iterable[Activity]) -> dict[str, Activity]:
    """Activities by wire name. Raises Disagreement where a name is implemented twice."""
    found: dict[str, Activity] = {}
    for each in activities:
        name = _name(each)
        if name in found:
            raise Disagreement(f"{name} is implemented twice")
        found[name] = each
    return found


def check(activities: Iterable[Activity], declared: Sequence[Declared[Any, Any]] = DECLARED) -> Mapping[str, Activity]:
    """Each declaration has exactly one implementation with its types, and nothing else is implemented.

    Gives the activities by name. Raises Disagreement."""
    found = by_name(activities)
    wrong = [f"{name} is implemented and not declared" for name in found.keys() - {each.name for each in declared}]
    for each in declared:
        if each.name not in found:
            wrong.append(f"{each.name} is declared and not implemented")
        elif (types := _types(found[each.name])) != (each.argument, each.result):
            wrong.append(f"{each.name} is declared with {each.argument, each.result} and implemented with {types}")
    if wrong:
        raise Disagreement("; ".join(sorted(wrong)))
    return found


def _name(implementation: Activity) -> str:
    return str(activity._Definition.must_from_callable(implementation).name)


def _types(implementation: Activity) -> tuple[object, object]:
    """Argument and result as the implementation annotates them."""
    hints = get_type_hints(implementation)
    result = hints.pop("return", None)
    arguments = [hint for name, hint in hints.items() if name != "self"]
    return (arguments[0] if len(arguments) == 1 else tuple(arguments)), result


def sandbox() -> SandboxedWorkflowRunner:
    """The sandbox in which workflows run: on, with our pure modules shared."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))


class Workers:
    """The workers of one process, one for each queue, run and drained together."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = tuple(workers)
        self._stopping = False

    @property
    def polling(self) -> bool:
        """Does every worker poll, and is none being stopped?"""
        return not self._stopping and all(worker.is_running for worker in self._workers)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues polled."""
        return tuple(worker.task_queue for worker in self._workers)

    async def run(self) -> None:
        """Poll until `shutdown`. Where one worker fails the others are drained, and its error is raised."""
        running = [asyncio.create_task(worker.run()) for worker in self._workers]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            await self.shutdown()
        await asyncio.gather(*running)

    async def shutdown(self) -> None:
        """Stop polling, let activities end within the drain time, then return. Safe to call again, and right after
        `run` was scheduled: a worker that has not started yet then stops at its start."""
        self._stopping = True
        await asyncio.gather(*(worker.shutdown() for worker in self._workers))

    async def __aenter__(self) -> Workers:
        self._task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shutdown()
        await self._task


def build_workers(
    client: Client,
    activities: Iterable[Activity],
    limits: Limits | None = None,
    *,
    interceptors: Sequence[Interceptor] = (),
) -> Workers:
    """One worker for each queue wanted. Raises Disagreement where declarations and implementations do not fit."""
    limits = limits or Limits()
    implementations = check(activities)
    workers = []
    for queue in limits.queues:
        mine = [implementations[each.name] for each in DECLARED if each.queue == queue]
        workers.append(_build(client, queue, mine, limits, interceptors))
    return Workers(workers)


def _build(
    client: Client, queue: str, activities: Sequence[Activity], limits: Limits, interceptors: Sequence[Interceptor]
) -> Worker:
    # Eager execution stays on: an activity of the queue `backhaul` then starts with the workflow task that asked.
    return Worker(
        client,
        task_queue=queue,
        workflows=WORKFLOWS if queue == QUEUE else (),
        activities=activities,
        workflow_runner=sandbox(),
        interceptors=interceptors,
        max_cached_workflows=limits.max_cached_workflows,
        max_concurrent_workflow_tasks=limits.workflow_tasks_at_once,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        max_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        default_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        graceful_shutdown_timeout=limits.drain,
        # Held by the server, so that it counts all processes.
        max_task_queue_activities_per_second=limits.payments_per_second if queue == QUEUE_PAYMENTS else None,
    )
