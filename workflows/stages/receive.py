"""Stage 3: the parcel travels and the merchant answers. Domain 2.6, X9 to X12."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from temporalio import workflow

from backhaul.case import Region
from backhaul.facts import Inspection, InspectionResult, Party
from backhaul.messages import TrackingReport, TrackingStatus
from backhaul.policy import parcels
from backhaul.policy.parcels import fate, found_event
from workflows.case_run import CaseRun
from workflows.desk import Reminder
from workflows.stages.courier_log import poll
from workflows.stages.notices import remind


@dataclass(frozen=True)
class Reception:
    """How the goods ended up: the event for `settle_case`, and the receipt inspection, if there was one."""

    event: str
    receipt: Inspection | None = None
    delivered_at: datetime | None = None


async def receive(run: CaseRun) -> Reception:
    """Follow the parcel to the merchant and hear what the merchant says; each silence has its timer."""
    ended = await _transit(run)
    if ended is None or ended.status is TrackingStatus.LOST:
        run.regions.to(Region.LOGISTICS, "lost")
        run.given_up = len(run.mail.trackings)
        run.tell("lost in transit", Party.COURIER)
        return Reception("lost")
    if ended.status is TrackingStatus.RETURNED:
        return _returned(run)
    run.regions.to(Region.LOGISTICS, "delivered")
    run.regions.to(Region.INSPECTION, "receipt_pending")
    return await _merchant(run, ended.occurred_at)


def _returned(run: CaseRun) -> Reception:
    """The courier brings the goods back to the consumer: nothing is refunded, and the return is over. What lightning
    refunded is the consumer's debt (domain 4.5)."""
    run.regions.to(Region.LOGISTICS, "returned_to_consumer")
    if not run.credit_open and not run.sums.refunded:
        run.regions.to(Region.AUTHORIZATION, "expired")
    run.tell("brought back to the consumer", Party.COURIER)
    return Reception("returned")


async def follow_found(run: CaseRun) -> None:
    """X9: what the case was settled on as lost turns up while it is still open. It is followed to the merchant as any
    parcel. Money that was not undone at once (make_whole) is corrected after the close."""
    while (sign := turned_up(run)) is not None:
        if not run.resettled:
            run.found = run.found or found_event(run.id, sign)
        run.tell(f"what was lost turned up: {sign.status.value} at {sign.occurred_at}", Party.COURIER)
        run.regions.to(Region.LOGISTICS, "in_transit")
        reception = await receive(run)
        if reception.event not in {"lost", "returned"}:
            run.regions.to(Region.LOGISTICS, "receipt_confirmed")
            run.regions.to(Region.INSPECTION, "receipt_fail" if reception.receipt else "receipt_pass")


def turned_up(run: CaseRun) -> TrackingReport | None:
    """The first sign that what the case was settled on as lost is there."""
    if run.given_up is None or run.regions[Region.LOGISTICS] != "lost":
        return None
    return parcels.turned_up(item for item in run.mail.trackings[run.given_up :] if item.waybill == run.waybill)


async def _transit(run: CaseRun) -> TrackingReport | None:
    """X9: no movement for a while, ask the courier; none for longer, the parcel is lost. What ended the way; None: the
    time."""
    terms = run.judged.terms
    asked_at: datetime | None = None
    while True:
        moved = run.moved_at or workflow.now()
        trace, lost = moved + timedelta(seconds=terms.trace_s), moved + timedelta(seconds=terms.lost_s)
        due = lost if asked_at is not None and asked_at >= trace else trace
        if not await run.wait(Party.COURIER, "delivery", due, lambda: _fate(run) is not None):
            if workflow.now() < (run.moved_at or moved) + timedelta(seconds=terms.trace_s):
                continue
            await poll(run)
            asked_at = workflow.now()
        report = _fate(run)
        if report is not None:
            return report
        if workflow.now() >= (run.moved_at or moved) + timedelta(seconds=terms.lost_s):
            return None


def _fate(run: CaseRun) -> TrackingReport | None:
    """What the courier says became of the parcel that travels; another waybill's movements are not its own."""
    return fate(item for item in run.mail.trackings if item.waybill == run.waybill)


async def _merchant(run: CaseRun, delivered_at: datetime) -> Reception:
    """X10, X11: the merchant confirms, objects, or stays silent until the timer accepts for them. One who says nothing
    for a day is told that the goods are there; the time runs from the delivery all the same."""
    mail, terms = run.mail, run.judged.terms
    due = delivered_at + timedelta(seconds=terms.receipt_silence_s)
    told = Reminder(
        delivered_at + timedelta(seconds=terms.merchant_reminder_s),
        partial(remind, run, Party.MERCHANT, "goods_delivered", due),
    )
    answered = await run.wait(
        Party.MERCHANT, "receipt", due, lambda: bool(mail.confirm or mail.issue), reminders=[told]
    )
    if not answered:
        run.tell("accepted by silence", Party.PLATFORM)
        return Reception("receipt_silence", delivered_at=delivered_at)
    if mail.issue is not None:
        found = Inspection(result=InspectionResult.FINDING, findings=mail.issue.findings, at=workflow.now())
        run.tell("objection at the receipt", Party.MERCHANT)
        return Reception("receipt_issue", found, delivered_at)
    run.tell("receipt confirmed", Party.MERCHANT)
    clean = mail.confirm is not None and mail.confirm.contradicts_doorstep
    receipt = Inspection(result=InspectionResult.OK, at=workflow.now()) if clean else None
    return Reception("received_ok", receipt, delivered_at)
