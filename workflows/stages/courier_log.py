"""Asking the courier what happened: lost webhooks are made up for (architecture 3.3)."""

from __future__ import annotations

from datetime import timedelta

from pydantic import ValidationError
from temporalio.exceptions import ActivityError

from activities.contract import CourierEvents, FetchEvents, Proof
from activities.declarations import SOON, fetch_events
from workflows.case_run import CaseDesk

AT_ONCE = timedelta(seconds=18)
"""How long somebody waits for the courier's word: less than the patience of whoever sent the update."""


async def poll(run: CaseDesk) -> None:
    """Lost webhooks are made up for: read the courier's own log, keep what is new."""
    if run.waybill is None:
        return
    events = await run.effect(fetch_events, _about(run, run.waybill))
    if not isinstance(events, Proof):
        _keep(run, events)


async def look(run: CaseDesk) -> bool:
    """The same at once, for somebody who waits for it: nothing parks. False: the courier does not answer now."""
    if run.waybill is None:
        return False
    try:
        _keep(run, await run.once(fetch_events, _about(run, run.waybill), retry=SOON, within=AT_ONCE))
    except (ActivityError, ValidationError):
        return False
    return True


def _about(run: CaseDesk, waybill: str) -> FetchEvents:
    return FetchEvents(case=run.judged.case, courier=run.courier, waybill=waybill)


def _keep(run: CaseDesk, events: CourierEvents) -> None:
    for pickup in events.pickups:
        run.receive_pickup(pickup)
    for tracking in events.trackings:
        run.receive_tracking(tracking)
