"""Stage 2: the goods leave the consumer. A courier's visits with the check at the door, or a parcel that the
consumer sends (workflows/stages/self_ship.py). Domain 2.3 to 2.5, X4 to X7, X23 to X25."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

from activities.contract import Booked, BookPickup, Proof
from activities.declarations import book_pickup
from backhaul.case import Region
from backhaul.facts import Party
from backhaul.messages import PickupOutcome, PickupReport
from backhaul.policy.parcels import AfterRefusal, after_refusal, refused_for
from backhaul.slots import next_slot
from workflows.case_run import CaseRun
from workflows.stages.courier_log import poll
from workflows.stages.scanning import Collection, call_off, expired, implied_scan, scan_of, scanned, withdrawn
from workflows.stages.self_ship import self_ship

CALLED_OFF = frozenset({"not_waiting"})
"""With this the store says that the case left a visit."""


@dataclass
class Visits:
    """What the visits so far came to."""

    count: int = 0
    misses: int = 0
    no_shows: int = 0
    courier: int = 0
    packaging: bool = False
    """The next courier brings some."""
    hopeless: bool = False
    """No courier takes it: the consumer sends it."""


async def collect(run: CaseRun) -> Collection:
    """Get the goods on their way, or learn that they will not come."""
    if run.self_ship:
        return await self_ship(run)
    visits = Visits()
    give_up = workflow.now() + timedelta(seconds=run.judged.terms.no_show_total_s)
    while True:
        if run.mail.withdraw is not None:
            return withdrawn(run)
        booked = await _book(run, visits)
        if booked is None:
            return await self_ship(run)
        report = await _visit(run, booked)
        if report is None:
            return withdrawn(run)
        if report.outcome is PickupOutcome.PICKED_UP and _has_ours(run, report):
            return await scanned(run, report)
        run.standing = None
        if run.mail.withdraw_at is not None:  # cancelled, and the courier's no was about the goods of others
            return withdrawn(run)
        ended = await _next_visit(run, visits, report, late=workflow.now() >= give_up)
        if ended is not None:
            return ended
        if visits.hopeless:
            return await self_ship(run)


def _has_ours(run: CaseRun, report: PickupReport) -> bool:
    ours = {line.line_id for line in run.request.lines}
    return bool(ours & set(report.collected))


async def _book(run: CaseRun, visits: Visits) -> Booked | None:
    """Book, or join, the pickup of this order and address (combined pickup). None: an operator skipped it."""
    terms, now = run.judged.terms, workflow.now()
    visits.count += 1
    wished = run.request.slot if visits.count == 1 else None
    start, end = (wished.start, wished.end) if wished else next_slot(now, terms.slot_lead_s, terms.slot_length_s)
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
            earliest=None if wished else now,
            packaging=visits.packaging,
        ),
        hand_back=CALLED_OFF,
    )
    if isinstance(booked, Proof):
        # A case that is carried on anew meets the visits that it called off before: the next one.
        return await _book(run, visits) if booked.state in CALLED_OFF else None
    run.regions.to(Region.LOGISTICS, "booked")
    run.waybill, run.pickup_id, run.courier = booked.waybill, booked.pickup_id, booked.courier
    run.standing = run.bookings[booked.waybill] = booked
    run.tell(f"pickup {visits.count} booked with {booked.courier}, waybill {booked.waybill}", Party.COURIER)
    return booked


async def _visit(run: CaseRun, booked: Booked) -> PickupReport | None:
    """Wait for this visit's report. None: withdrawn, and the courier has confirmed that nobody comes (X23 to X25).

    X4: a missed visit is known two hours after its slot. Nobody said anything: it is called off before the next one
    is booked, so that no courier comes for it; one that has the goods by then is waited for."""
    mail = run.mail
    due = booked.slot_end + timedelta(seconds=run.judged.terms.slot_grace_s)
    while True:
        told = await run.wait(
            Party.COURIER, "pickup", due, lambda: bool(mail.pickups or mail.trackings or mail.withdraw)
        )
        if not told or (mail.trackings and not mail.pickups):
            await poll(run)
        report = _take(run, booked.waybill) or implied_scan(run)
        if report is not None:
            return report
        if told and mail.withdraw is None:
            continue
        if run.scan_known is not None:
            return implied_scan(run, run.scan_known)
        scan = await call_off(run)
        if scan is None and mail.withdraw is not None:
            return None
        if scan is None:
            return _silent(booked)
        cancelled = f", cancelled at {mail.withdraw_at}" if mail.withdraw else ""
        run.tell(f"not void: scanned at {scan}{cancelled}; the courier's report is awaited", Party.COURIER)
        mail.withdraw, run.scan_known = None, scan
        due = workflow.now() + timedelta(seconds=run.judged.terms.cancel_answer_s)


def _silent(booked: Booked) -> PickupReport:
    return PickupReport(
        event_id=f"{booked.waybill}.silent",
        outcome=PickupOutcome.MISSED,
        waybill=booked.waybill,
        occurred_at=workflow.now(),
        reason="no_report",
    )


def _take(run: CaseRun, waybill: str) -> PickupReport | None:
    """The report that decides: a scan of our goods, whichever visit it was; else the earliest about this visit."""
    scan = scan_of(run)
    if scan is not None:
        return scan
    for report in sorted(run.mail.pickups, key=lambda item: item.occurred_at):
        run.mail.pickups.remove(report)
        if report.waybill == waybill:
            return report
    return None


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
            await _refused(run, visits, report)
        case _:
            run.regions.to(Region.LOGISTICS, "no_show")
            visits.no_shows += 1
            if visits.no_shows >= terms.max_no_shows or late:
                return expired(run, "nobody at the door")
    return None


async def _refused(run: CaseRun, visits: Visits, report: PickupReport) -> None:
    """X6: by the courier's reason, packaging with the next visit, a parcel that the consumer sends, or a human."""
    refusal = refused_for(report)
    leads_to = after_refusal(refusal, packaging_brought=visits.packaging)
    run.tell(f"refused as {refusal.value}: {leads_to.value}", Party.PLATFORM)
    if leads_to is AfterRefusal.REBOOK_WITH_PACKAGING:
        visits.packaging = True
        return
    if leads_to is AfterRefusal.HUMAN:
        await run.park("courier_refused", f"the courier refuses: {refusal.value}", step="pickup", effect=True)
    visits.hopeless = True
