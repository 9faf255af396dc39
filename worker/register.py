"""Set up a Temporal namespace for Backhaul: search attributes and the schedules. Safe to run again.

`python -m worker.register`
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from activities.contract import CycleRequest
from backhaul.names import QUEUE, RECONCILIATION_SCHEDULE, SEARCH_ATTRIBUTES, SETTLEMENT_SCHEDULE, WorkflowType
from backhaul.reconciliation import ReconcileRequest
from worker.log import configure
from worker.process import Misconfigured, connect_with, read_settings, run_main
from worker.settings import Settings

CATCH_UP = timedelta(days=1)
"""A cycle that the server missed is made up for within this time; the default is a year."""
VISIBLE_WITHIN_S = 30.0
"""The server shows a new search attribute only after it refreshed its own copy of the list."""

log = structlog.get_logger(__name__)


def _kind(name: str) -> IndexedValueType.ValueType:
    return IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{name.upper()}")


async def missing_attributes(client: Client) -> Mapping[str, IndexedValueType.ValueType]:
    """Our search attributes that the namespace lacks. Raises Misconfigured where one has another type there."""
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    there = {**listed.system_attributes, **listed.custom_attributes}
    other = [each.name for each in SEARCH_ATTRIBUTES if each.name in there and there[each.name] != _kind(each.kind)]
    if other:
        raise Misconfigured(f"search attributes of another type in {client.namespace}: {', '.join(other)}")
    return {each.name: _kind(each.kind) for each in SEARCH_ATTRIBUTES if each.name not in there}


async def assert_attributes(client: Client) -> None:
    """A workflow that sets an unregistered attribute fails its task for ever: rather no worker at all.

    Raises Misconfigured naming what is missing."""
    missing = await missing_attributes(client)
    if missing:
        raise Misconfigured(
            f"search attributes are missing in {client.namespace}: {', '.join(missing)} (python -m worker.register)"
        )


async def register_attributes(client: Client) -> tuple[str, ...]:
    """Add what is missing and wait until the server shows it; gives the names added."""
    missing = await missing_attributes(client)
    if not missing:
        return ()
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=dict(missing))
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
    async with asyncio.timeout(VISIBLE_WITHIN_S):
        while await missing_attributes(client):  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(0.2)
    return tuple(missing)


def settlement_schedule(settings: Settings) -> Schedule:
    """One cycle at a time: a cycle that is still running when the next is due takes its place."""
    if settings.settlement_every_s is not None:
        spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=settings.settlement_every_s))])
    else:
        spec = ScheduleSpec(cron_expressions=[settings.settlement_cron])
    return Schedule(
        action=ScheduleActionStartWorkflow(
            WorkflowType.SETTLEMENT_CYCLE.value,
            CycleRequest(),
            id=SETTLEMENT_SCHEDULE,
            task_queue=QUEUE,
            static_summary="Settle with every merchant",
        ),
        spec=spec,
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
        state=ScheduleState(
            paused=settings.settlement_paused, note="Made by worker.register; pause and trigger it as you need."
        ),
    )


def reconciliation_schedule(settings: Settings) -> Schedule:
    """One run at a time: a run that is parked over its findings looks again by itself, so no other one starts."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            WorkflowType.RECONCILIATION.value,
            ReconcileRequest(),
            id=RECONCILIATION_SCHEDULE,
            task_queue=QUEUE,
            static_summary="Books against statements",
        ),
        spec=ScheduleSpec(cron_expressions=[settings.reconciliation_cron]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
        state=ScheduleState(
            paused=settings.reconciliation_paused, note="Made by worker.register; pause and trigger it as you need."
        ),
    )


async def register_schedules(client: Client, settings: Settings) -> dict[str, bool]:
    """Every schedule by its id; True: it was created."""
    wanted = {
        SETTLEMENT_SCHEDULE: settlement_schedule(settings),
        RECONCILIATION_SCHEDULE: reconciliation_schedule(settings),
    }
    return {name: await register_schedule(client, name, schedule) for name, schedule in wanted.items()}


async def register_schedule(client: Client, name: str, wanted: Schedule) -> bool:
    """Create a schedule, or bring its times and action up to date; whether it is paused stays as people left it.
    True: it was created."""
    try:
        await client.create_schedule(name, wanted)
        return True
    except ScheduleAlreadyRunningError:
        pass

    def update(found: ScheduleUpdateInput) -> ScheduleUpdate:
        wanted.state = found.description.schedule.state
        return ScheduleUpdate(schedule=wanted)

    await client.get_schedule_handle(name).update(update)
    return False


async def main() -> int:
    """Register everything."""
    settings = read_settings(Settings)
    configure(settings.log_format, settings.log_level)
    client = await connect_with(settings)
    added = await register_attributes(client)
    created = await register_schedules(client, settings)
    said = {name: "created" if new else "up to date" for name, new in created.items()}
    log.info("registered", search_attributes=list(added), schedules=said)
    return 0


if __name__ == "__main__":
    run_main(main)
