"""Stage 3: the parcel travels and the merchant answers. Domain 2.6, X9 to X12."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from temporalio import workflow

from activities.contract import SettleCase
from backhaul.case import TRAVELLING, Region
from backhaul.facts import Inspection, InspectionResult, Party
from backhaul.messages import ConfirmReceipt, ReportReceiptIssue, TrackingReport, TrackingStatus
from backhaul.names import Update
from backhaul.policy.parcels import fate
from workflows.case_run import CaseDesk, CaseRun
from workflows.desk import Reminder, reject
from workflows.stages.courier_log import look, poll
from workflows.stages.notices import remind

KEPT = "kept: the courier does not answer now; it counts from when it was said, once the delivery is known"
"""What a merchant is answered whose word comes before the courier's."""


@dataclass(frozen=True)
class Reception:
    """How the goods ended up: the event for `settle_case`, and the receipt inspection, if there was one."""

    event: str
    receipt: Inspection | None = None
    delivered_at: datetime | None = None


async def receive(run: CaseRun) -> Reception:
    """Follow the parcel to the merchant and hear what the merchant says; each silence has its timer."""
    reception = await follow(run)
    if reception.event == "lost":
        run.given_up = len(run.mail.trackings)
    elif reception.event == "returned" and not run.credit_open and not run.undisputed:
        # Nothing is refunded, and the return is over. What was refunded before is the consumer's debt (domain 4.5).
        run.regions.to(Region.AUTHORIZATION, "expired")
    return reception


async def follow(run: CaseDesk) -> Reception:
    """A parcel's way to its end. Serves cases, and corrections of a loss that was none."""
    ended, word = await _transit(run), run.mail.heard_at
    if ended is None and word is not None:
        run.tell("not lost: the merchant has spoken of it, the courier never did", Party.MERCHANT)
        return await _delivered(run, word)
    if ended is None or ended.status is TrackingStatus.LOST:
        run.mail.hear(None, None)  # the courier's own word stands; what turns up is spoken of anew
        run.regions.to(Region.LOGISTICS, "lost")
        run.tell("lost in transit", Party.COURIER)
        return Reception("lost")
    if ended.status is TrackingStatus.RETURNED:
        run.regions.to(Region.LOGISTICS, "returned_to_consumer")
        run.tell("brought back to the consumer", Party.COURIER)
        return Reception("returned")
    return await _delivered(run, ended.occurred_at)


async def _delivered(run: CaseDesk, at: datetime) -> Reception:
    run.regions.to(Region.LOGISTICS, "delivered")
    run.regions.to(Region.INSPECTION, "receipt_pending")
    return await _merchant(run, at)


def need_patience(run: CaseDesk, update: Update) -> None:
    """Refuse with `too_many_messages` a merchant who has had the courier asked as often as they may. What they say of
    goods that are there is decided once, and never counted."""
    if run.regions[Region.LOGISTICS] in TRAVELLING:
        run.need_room(update, Party.MERCHANT)


async def hear(run: CaseDesk, update: Update, said: ConfirmReceipt | ReportReceiptIssue) -> str:
    """The merchant says what they received: kept, with its time. Of goods on their way it is a sign that the courier's
    news was lost: the courier is asked at once, and what was said is acted on when the delivery is known. Where the
    courier says that they are not there, it is refused with `not_delivered`; where the courier does not answer, it
    stays, and the courier is asked again on the timers of the transit. A note for the merchant about that, or nothing.
    """
    run.mail.hear(said, workflow.now())
    if run.regions[Region.LOGISTICS] not in TRAVELLING or _arrived(run):
        return ""
    run.count(update, Party.MERCHANT)
    answered = await look(run)
    if said is not run.mail.confirm and said is not run.mail.issue:
        reject("not_delivered")  # the courier told meanwhile that the goods were lost: nothing of it is kept
    logistics = run.regions[Region.LOGISTICS]
    if logistics in {"delivered", "receipt_confirmed"} or _arrived(run):
        return ""
    if answered or logistics not in TRAVELLING:
        run.mail.hear(None, None)
        reject("not_delivered")
    run.tell("has spoken of the goods; the courier does not answer now", Party.MERCHANT)
    return KEPT


async def follow_found(run: CaseDesk, sign: TrackingReport) -> Reception:
    """X9: what was settled as lost turned up. That alone changes nothing: it is followed as any parcel, and may be
    lost again."""
    run.tell(f"what was lost turned up: {sign.status.value} at {sign.occurred_at}", Party.COURIER)
    run.regions.to(Region.LOGISTICS, "in_transit")
    reception = await follow(run)
    received(run, reception)
    return reception


def settling(run: CaseDesk, reception: Reception) -> SettleCase:
    """What to settle on, where it ended so."""
    return SettleCase(
        case=run.judged.case,
        event=reception.event,
        receipt=reception.receipt,
        lost=reception.event == "lost",
        delivered_at=reception.delivered_at,
        at=workflow.now(),
        evidence=run.mail.issue.evidence if run.mail.issue is not None else (),
    )


def received(run: CaseDesk, reception: Reception) -> None:
    """The merchant has said what they say of the goods, or nothing."""
    if reception.event in {"lost", "returned"}:
        return
    run.regions.to(Region.LOGISTICS, "receipt_confirmed")
    run.regions.to(Region.INSPECTION, "receipt_fail" if reception.event == "receipt_issue" else "receipt_pass")


async def _transit(run: CaseDesk) -> TrackingReport | None:
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


def _arrived(run: CaseDesk) -> bool:
    """Has the courier told of the delivery, whether or not the story has come to it?"""
    end = _fate(run)
    return end is not None and end.status is TrackingStatus.DELIVERED


def _fate(run: CaseDesk) -> TrackingReport | None:
    """What the courier says became of the parcel that travels; another waybill's movements are not its own."""
    return fate(item for item in run.mail.trackings if item.waybill == run.waybill)


async def _merchant(run: CaseDesk, delivered_at: datetime) -> Reception:
    """X10, X11: the merchant confirms, objects, or stays silent until the timer accepts for them. One who says nothing
    for a day is told that the goods are there; the time runs from the delivery all the same. What they said before the
    delivery was known counts from when they said it."""
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
    at = mail.heard_at or workflow.now()
    if mail.issue is not None:
        found = Inspection(result=InspectionResult.FINDING, findings=mail.issue.findings, at=at)
        run.tell("objection at the receipt", Party.MERCHANT)
        return Reception("receipt_issue", found, delivered_at)
    run.tell("receipt confirmed", Party.MERCHANT)
    clean = mail.confirm is not None and mail.confirm.contradicts_doorstep
    receipt = Inspection(result=InspectionResult.OK, at=at) if clean else None
    return Reception("received_ok", receipt, delivered_at)
