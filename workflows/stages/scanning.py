"""The scan: the goods are on their way. And its opposite: nobody is to come. Domain 2.3 to 2.5, X23 to X25."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from temporalio import workflow

from activities.contract import LeavePickup, Proof, RecordPickup
from activities.declarations import leave_pickup, record_pickup
from backhaul.case import Region
from backhaul.facts import Finding, Party
from backhaul.messages import DoorstepFinding, PickupOutcome, PickupReport
from workflows.case_run import CaseRun
from workflows.stages import doorstep, indemnifying, refunding, repaying
from workflows.stages.courier_log import poll


class Collection(StrEnum):
    """How the stage ended."""

    COLLECTED = "collected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


def withdrawn(run: CaseRun) -> Collection:
    """The consumer keeps the goods."""
    run.regions.to(Region.LOGISTICS, "not_required")
    run.regions.to(Region.AUTHORIZATION, "withdrawn")
    run.tell(f"withdrawn before the scan, cancelled at {run.mail.withdraw_at}", Party.CONSUMER)
    return Collection.WITHDRAWN


def expired(run: CaseRun, why: str) -> Collection:
    """The time is over."""
    run.regions.to(Region.LOGISTICS, "not_required")
    run.regions.to(Region.AUTHORIZATION, "expired")
    run.tell(f"expired: {why}", Party.PLATFORM)
    return Collection.EXPIRED


async def call_off(run: CaseRun) -> datetime | None:
    """Take the case off the visit that stands, so that no courier comes for it. None: nobody comes. A time: the
    courier had the goods since then, and that fact counts."""
    if run.standing is None:
        return None
    left = await run.effect(
        leave_pickup, LeavePickup(case=run.judged.case, pickup_id=run.standing.pickup_id, patience=run.patience)
    )
    run.standing = None
    return None if isinstance(left, Proof) or left.voided else left.collected_at or workflow.now()


def scan_of(run: CaseRun) -> PickupReport | None:
    """The earliest scan of goods of this case, of any visit: a courier who was given up may have had them."""
    return min(scans_of(run), key=lambda item: item.occurred_at, default=None)


def scans_of(run: CaseRun) -> list[PickupReport]:
    """Every scan of goods of this case that was told."""
    ours = {line.line_id for line in run.request.lines}
    return [item for item in run.mail.pickups if item.outcome is PickupOutcome.PICKED_UP and ours & set(item.collected)]


def implied_scan(run: CaseRun, at: datetime | None = None) -> PickupReport | None:
    """The parcel moves (or the courier would not void it, since `at`), so it was scanned: the visit's own report is
    lost, and the check counts as waived. None where nothing moved."""
    moved = min(run.mail.trackings, key=lambda tracking: tracking.occurred_at, default=None)
    waybill = moved.waybill if moved is not None else run.waybill
    when = moved.occurred_at if moved is not None else at
    if waybill is None or when is None:
        return None
    return PickupReport(
        event_id=f"{waybill}.scan",
        outcome=PickupOutcome.PICKED_UP,
        waybill=waybill,
        occurred_at=when,
        collected=tuple(line.line_id for line in run.request.lines),
        inspected=False,
    )


async def had_the_goods(run: CaseRun, since: datetime) -> Collection | None:
    """The courier would not void the visit: go by its own report, or by the time it named."""
    await poll(run)
    report = scan_of(run) or implied_scan(run, since)
    return await scanned(run, report) if report is not None else None


async def scanned(run: CaseRun, report: PickupReport) -> Collection:
    """Record the check, share the freight, open the lightning gate, or deal with a finding. A cancel that came before
    the scan holds: the goods are brought back (X25), or the return goes on where nobody can bring them."""
    cancelled = _cancelled_first(run, report)
    await _stand_down(run, report)
    booking = run.bookings.get(report.waybill)
    run.self_ship = booking is None
    if booking is not None:
        run.pickup_id, run.courier = booking.pickup_id, booking.courier
    if run.regions[Region.LOGISTICS] == "unbooked":
        run.regions.to(Region.LOGISTICS, "booked")
    run.regions.to(Region.LOGISTICS, "picked_up")
    run.moved_at = max(report.occurred_at, run.moved_at or report.occurred_at)
    run.waybill = report.waybill
    collected = await run.step(
        record_pickup,
        RecordPickup(
            case=run.judged.case,
            report=report,
            pickup_id=booking.pickup_id if booking else None,
            self_ship=run.mail.waybill,
            cancelled=cancelled,
        ),
    )
    run.verdicts += collected.verdicts
    run.sums.freight = collected.freight_share.minor
    found = tuple(item for item in report.findings if item.finding is not Finding.OK and _is_ours(run, report, item))
    state = "waived" if not report.inspected else ("doorstep_flag" if found else "doorstep_pass")
    run.regions.to(Region.INSPECTION, state)
    run.tell(f"picked up, door: {state.removeprefix('doorstep_')}", Party.COURIER)
    if collected.lightning:
        run.credit_open = True
        run.regions.to(Region.REFUND, "held")
        run.tell("lightning refund", Party.PLATFORM)
        run.spawn(refunding.refund(run, collected.refunds))
    for owed in collected.repayments:
        run.spawn(repaying.repay(run, owed))
    if collected.freight is not None:
        run.spawn(indemnifying.freight(run, collected.freight))
    if cancelled and await doorstep.brought_back(run):
        return Collection.WITHDRAWN
    if found and not await doorstep.finding(run, found):
        return Collection.WITHDRAWN
    return Collection.COLLECTED


def _is_ours(run: CaseRun, report: PickupReport, item: DoorstepFinding) -> bool:
    """A finding on goods of this case that went with the courier; what stayed at the door is not returned."""
    return item.line_id in report.collected and any(line.line_id == item.line_id for line in run.request.lines)


def _cancelled_first(run: CaseRun, report: PickupReport) -> bool:
    """X25, by the facts: a scan that happened before the cancel wins, and both times are on record."""
    asked, run.mail.withdraw = run.mail.withdraw_at, None
    run.scan_known = report.occurred_at
    if asked is None:
        return False
    first = asked < report.occurred_at
    word = "withdrawn" if first else "not withdrawn"
    run.tell(f"{word}: scanned at {report.occurred_at}, cancelled at {asked}", Party.PLATFORM)
    return first


async def _stand_down(run: CaseRun, report: PickupReport) -> None:
    """The goods went with an earlier visit: nobody is to come for the one that stands."""
    if run.standing is not None and run.standing.waybill != report.waybill:
        await call_off(run)
    run.standing = None
