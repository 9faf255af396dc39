"""The consumer sends the parcel. Domain 4.2, X3: it counts as collected at its first trace (domain 4.4)."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

from backhaul.case import Region
from backhaul.facts import Party
from workflows.case_run import CaseRun
from workflows.stages.courier_log import poll
from workflows.stages.notices import ask
from workflows.stages.scanning import Collection, expired, implied_scan, scan_of, scanned, withdrawn


async def self_ship(run: CaseRun) -> Collection:
    """Ask for the waybill, wait for it, then for the parcel. A courier who was given up and had the goods after all:
    that fact counts, also after the waybill was given."""
    mail, terms = run.mail, run.judged.terms
    if run.regions[Region.LOGISTICS] != "unbooked":
        run.regions.to(Region.LOGISTICS, "unbooked")
    run.self_ship = True
    if not await ask(
        run, Party.CONSUMER, "waybill_needed", "waybill", terms.self_ship_s, lambda: bool(mail.waybill) or _news(run)
    ):
        await workflow.wait_condition(lambda: not run.taking_waybill)
        await poll(run)
    ended = await _known(run)
    if ended is not None:
        return ended
    if mail.waybill is None:
        return expired(run, "no waybill was given")
    run.waybill, run.courier, run.pickup_id = mail.waybill.waybill, mail.waybill.courier, None
    run.regions.to(Region.LOGISTICS, "booked")
    due = workflow.now() + timedelta(seconds=terms.lost_s)
    if not await run.wait(Party.CONSUMER, "first_trace", due, lambda: _news(run)):
        await poll(run)
    return await _known(run) or expired(run, "the parcel was never seen")


def _news(run: CaseRun) -> bool:
    return bool(run.mail.trackings or run.mail.withdraw or scan_of(run))


async def _known(run: CaseRun) -> Collection | None:
    """What facts say already: the goods travel, or the consumer takes the return back."""
    report = scan_of(run) or implied_scan(run)
    if report is not None:
        return await scanned(run, report)
    return withdrawn(run) if run.mail.withdraw is not None else None
