"""Asking the courier what happened: lost webhooks are made up for (architecture 3.3)."""

from __future__ import annotations

from activities.contract import FetchEvents, Proof
from activities.declarations import fetch_events
from workflows.case_run import CaseDesk


async def poll(run: CaseDesk) -> None:
    """Lost webhooks are made up for: read the courier's own log, keep what is new."""
    if run.waybill is None:
        return
    events = await run.effect(fetch_events, FetchEvents(case=run.judged.case, courier=run.courier, waybill=run.waybill))
    if isinstance(events, Proof):
        return
    for pickup in events.pickups:
        run.receive_pickup(pickup)
    for tracking in events.trackings:
        run.receive_tracking(tracking)
