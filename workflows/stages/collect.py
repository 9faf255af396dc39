"""Stage 2: the goods leave the consumer. A courier's visit with the check at the door, or a parcel that the
consumer sends. Domain 2.3 to 2.5, X3 to X7, X23 to X25."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from temporalio import workflow

from activities.contract import Booked, BookPickup, LeavePickup, Proof, RecordPickup
from activities.declarations import book_pickup, leave_pickup, record_pickup
from backhaul.case import Region
from backhaul.facts import Finding, Party
from backhaul.messages import DoorstepFinding, PickupOutcome, PickupReport
from backhaul.slots import next_slot
from workflows.case_run import CaseRun
from workflows.stages import doorstep, indemnifying, refunding
from workflows.stages.courier_log import poll


class Collection(StrEnum):
    """How the stage ended."""

    COLLECTED = "collected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass
class Visits:
    """What the visits so far came to."""

    count: int = 0
    misses: int = 0
    no_shows: int = 0
    courier: int = 0
    hopeless: bool = False
    """No courier takes it: the consumer sends it."""


async def collect(run: CaseRun) -> Collection:
    """Get the goods on their way, or learn that they will not come."""
    if run.self_ship:
        return await _self_ship(run)
    visits = Visits()
    give_up = workflow.now() + timedelta(seconds=run.judged.terms.no_show_total_s)
    while True:
        if run.mail.withdraw is not None:
            return _withdrawn(run)
        booked = await _book(run, visits)
        if booked is None:
            return await _self_ship(run)
        report = await _visit(run, booked)
        if report is None:
            return _withdrawn(run)
        if report.outcome is PickupOutcome.PICKED_UP and _has_ours(run, report):
            return await _scanned(run, report)
        ended = await _next_visit(run, visits, report, late=workflow.now() >= give_up)
        if ended is not None:
            return ended
        if visits.hopeless:
            return await _self_ship(run)


def _withdrawn(run: CaseRun) -> Collection:
    run.regions.to(Region.LOGISTICS, "not_required")
    run.regions.to(Region.AUTHORIZATION, "withdrawn")
    run.tell("withdrawn before the scan", Party.CONSUMER)
    return Collection.WITHDRAWN


def _has_ours(run: CaseRun, report: PickupReport) -> bool:
    ours = {line.line_id for line in run.request.lines}
    return bool(ours & set(report.collected))


async def _book(run: CaseRun, visits: Visits) -> Booked | None:
    """Book, or join, the pickup of this order and address (combined pickup). None: an operator skipped it."""
    terms = run.judged.terms
    visits.count += 1
    wished = run.request.slot if visits.count == 1 else None
    start, end = (
        (wished.start, wished.end) if wished else next_slot(workflow.now(), terms.slot_lead_s, terms.slot_length_s)
    )
    booked = await run.effect(
        book_pickup,
        BookPickup(
            case=run.judged.case,
            address_ref=run.request.address_ref,
            zone=run.request.zone,
            slot_start=start,
            slot_end=end,
            courier=terms.couriers[min(visits.courier, len(terms.couriers) - 1)],
            n=visits.count,
            patience=run.patience,
        ),
    )
    if isinstance(booked, Proof):
        return None
    run.regions.to(Region.LOGISTICS, "booked")
    run.waybill, run.pickup_id, run.courier = booked.waybill, booked.pickup_id, booked.courier
    run.tell(f"pickup {visits.count} booked with {booked.courier}, waybill {booked.waybill}", Party.COURIER)
    return booked


async def _visit(run: CaseRun, booked: Booked) -> PickupReport | None:
    """Wait for this visit's report (X4: a missed one is known two hours after the slot). None: withdrawn and voided."""
    mail = run.mail
    due = booked.slot_end + timedelta(seconds=run.judged.terms.slot_grace_s)
    while True:
        told = await run.wait(
            Party.COURIER, "pickup", due, lambda: bool(mail.pickups or mail.trackings or mail.withdraw)
        )
        if not told or (mail.trackings and not mail.pickups):
            await poll(run)
        report = _take(run, booked.waybill)
        if report is not None:
            return report
        if mail.withdraw is not None:
            if await _void(run, booked):
                return None
            due = workflow.now() + timedelta(seconds=run.judged.terms.cancel_answer_s)
        elif mail.trackings:
            first = min(mail.trackings, key=lambda tracking: tracking.occurred_at)
            return _implied_scan(run, booked.waybill, f"{first.event_id}.scan", first.occurred_at)
        elif not told and run.scan_known is not None:
            return _implied_scan(run, booked.waybill, f"{booked.waybill}.scan", run.scan_known)
        elif not told:
            return PickupReport(
                event_id=f"{booked.waybill}.silent",
                outcome=PickupOutcome.MISSED,
                waybill=booked.waybill,
                occurred_at=workflow.now(),
                reason="no_report",
            )


def _take(run: CaseRun, waybill: str) -> PickupReport | None:
    """The earliest report that concerns this visit; a scan counts whichever waybill it names."""
    for report in sorted(run.mail.pickups, key=lambda item: item.occurred_at):
        run.mail.pickups.remove(report)
        if report.waybill == waybill or report.outcome is PickupOutcome.PICKED_UP:
            return report
    return None


def _implied_scan(run: CaseRun, waybill: str, event_id: str, at: object) -> PickupReport:
    """The parcel moves, so it was scanned: the visit's own report is lost, and the check counts as waived."""
    return PickupReport.model_validate(
        {
            "event_id": event_id,
            "outcome": PickupOutcome.PICKED_UP,
            "waybill": waybill,
            "occurred_at": at,
            "collected": [line.line_id for line in run.request.lines],
            "inspected": False,
        }
    )


async def _void(run: CaseRun, booked: Booked) -> bool:
    """X23 to X25: facts decide. A withdrawn case is final only when the courier has confirmed the void."""
    asked = run.mail.withdraw_at
    left = await run.effect(
        leave_pickup, LeavePickup(case=run.judged.case, pickup_id=booked.pickup_id, patience=run.patience)
    )
    if isinstance(left, Proof) or left.voided:
        return True
    run.mail.withdraw, run.scan_known = None, left.collected_at or asked or workflow.now()
    run.tell(f"not withdrawn: scanned at {left.collected_at}, cancelled at {asked}", Party.COURIER)
    return False


async def _next_visit(run: CaseRun, visits: Visits, report: PickupReport, *, late: bool) -> Collection | None:
    """X4 to X6: what an unsuccessful visit leads to. None: another visit, or (visits.hopeless) the consumer sends."""
    terms = run.judged.terms
    run.tell(f"visit {visits.count}: {report.outcome.value} {report.reason or ''}".strip(), Party.COURIER)
    match report.outcome:
        case PickupOutcome.MISSED:
            run.regions.to(Region.LOGISTICS, "missed")
            visits.misses += 1
            if visits.misses >= terms.max_misses:
                visits.misses, visits.courier = 0, visits.courier + 1
                visits.hopeless = visits.courier >= len(terms.couriers)
        case PickupOutcome.REJECTED:
            run.regions.to(Region.LOGISTICS, "courier_rejected")
            if report.reason not in {"unpacked", "packaging"}:
                await run.park("courier_refused", f"the courier refuses: {report.reason}", step="pickup", effect=True)
                visits.hopeless = True
        case _:
            run.regions.to(Region.LOGISTICS, "no_show")
            visits.no_shows += 1
            if visits.no_shows >= terms.max_no_shows or late:
                return _expired(run, "nobody at the door")
    return None


def _expired(run: CaseRun, why: str) -> Collection:
    run.regions.to(Region.LOGISTICS, "not_required")
    run.regions.to(Region.AUTHORIZATION, "expired")
    run.tell(f"expired: {why}", Party.PLATFORM)
    return Collection.EXPIRED


async def _self_ship(run: CaseRun) -> Collection:
    """X3: the consumer sends the parcel; it counts as collected at the first trace."""
    mail, terms = run.mail, run.judged.terms
    if run.regions[Region.LOGISTICS] != "unbooked":
        run.regions.to(Region.LOGISTICS, "unbooked")
    run.self_ship = True
    due = workflow.now() + timedelta(seconds=terms.self_ship_s)
    given = await run.wait(
        Party.CONSUMER, "waybill", due, lambda: bool(mail.waybill or mail.withdraw or _late_scan(run))
    )
    late = _late_scan(run)
    if late is not None:
        run.self_ship = False
        run.regions.to(Region.LOGISTICS, "booked")
        return await _scanned(run, late)
    if mail.withdraw is not None:
        return _withdrawn(run)
    if not given or mail.waybill is None:
        return _expired(run, "no waybill was given")
    parcel = mail.waybill
    run.waybill, run.courier, run.pickup_id = parcel.waybill, parcel.courier, None
    run.regions.to(Region.LOGISTICS, "booked")
    if not await _first_trace(run):
        return _withdrawn(run) if run.mail.withdraw else _expired(run, "the parcel was never seen")
    first = min(mail.trackings, key=lambda tracking: tracking.occurred_at)
    return await _scanned(run, _implied_scan(run, parcel.waybill, f"{first.event_id}.scan", first.occurred_at))


def _late_scan(run: CaseRun) -> PickupReport | None:
    """A courier who was given up had the goods after all: the fact counts."""
    scans = [item for item in run.mail.pickups if item.outcome is PickupOutcome.PICKED_UP and _has_ours(run, item)]
    return min(scans, key=lambda item: item.occurred_at) if scans else None


async def _first_trace(run: CaseRun) -> bool:
    """Until the parcel is seen (True), the consumer takes the return back, or too much time went by."""
    mail = run.mail
    due = workflow.now() + timedelta(seconds=run.judged.terms.lost_s)
    if not await run.wait(Party.CONSUMER, "first_trace", due, lambda: bool(mail.trackings or mail.withdraw)):
        await poll(run)
    return bool(mail.trackings)


async def _scanned(run: CaseRun, report: PickupReport) -> Collection:
    """The scan: record the check, share the freight, open the lightning gate, or deal with a finding."""
    run.regions.to(Region.LOGISTICS, "picked_up")
    run.moved_at = max(report.occurred_at, run.moved_at or report.occurred_at)
    run.waybill = report.waybill
    collected = await run.step(
        record_pickup,
        RecordPickup(case=run.judged.case, report=report, pickup_id=run.pickup_id, self_ship=run.mail.waybill),
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
    if collected.freight is not None:
        run.spawn(indemnifying.freight(run, collected.freight))
    if found and not await doorstep.finding(run, found):
        return Collection.WITHDRAWN
    return Collection.COLLECTED


def _is_ours(run: CaseRun, report: PickupReport, item: DoorstepFinding) -> bool:
    """A finding on goods of this case that went with the courier; what stayed at the door is not returned."""
    return item.line_id in report.collected and any(line.line_id == item.line_id for line in run.request.lines)
