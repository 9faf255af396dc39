"""Facts after the close that change who bears the loss: a parcel that turns up, another ruling, a late scan."""

from __future__ import annotations

from backhaul.case import Region
from backhaul.corrections import LOST_AGAIN
from backhaul.disputes import Question
from backhaul.facts import Party
from backhaul.policy.parcels import turned_up
from workflows.correction_run import CorrectionRun
from workflows.desk import CloseRequested
from workflows.stages.courier_log import poll
from workflows.stages.receive import follow_found, settling
from workflows.stages.resettling import resettle
from workflows.stages.ruling import dispute

CHANGED, UNCHANGED = "corrected", "nothing_to_correct"


async def parcel_found(run: CorrectionRun) -> str:
    """X9: lost, settled, closed, and there after all. It is followed to its end as any parcel, and settled anew on
    that: at the merchant's once they have accepted or objected, or said nothing in their time; back at the consumer's
    as their debt. Lost again, everything stays as it was; what turns up after that is another correction's."""
    await poll(run)
    sign = turned_up(run.mail.trackings)
    if sign is None:
        return UNCHANGED
    try:
        reception = await follow_found(run, sign)
    except CloseRequested:
        run.regions.to(Region.LOGISTICS, "lost")
        raise
    if reception.event == "lost":
        return LOST_AGAIN
    said = await resettle(run, run.within, arrived=settling(run, reception))
    return CHANGED if said.changed else UNCHANGED


async def appeal(run: CorrectionRun) -> str:
    """X15: another reviewer rules on a closed case; the difference between the two rulings is posted."""
    event = run.request.event
    found = await dispute(run, Question.APPEAL, f"appeal: {event.reason}"[:300], appealed=event.ruling_id)
    if found is None or found.id == event.ruling_id:
        return "upheld"
    said = await resettle(run, run.within, ruling_id=found.id)
    return CHANGED if said.changed else "upheld"


async def late_scan(run: CorrectionRun) -> str:
    """A withdrawn or expired case whose goods the courier has after all: nothing is refunded by itself. A human sends
    them back, or has the consumer open a new return; either way one button ends it."""
    event = run.request.event
    await run.park(
        "late_scan",
        f"waybill {event.waybill or 'unknown'} was scanned {event.occurred_at:%Y-%m-%d %H:%M} UTC; the case had ended",
        step="late_scan",
        effect=True,
        skippable=False,
    )
    run.tell("the goods were dealt with by hand", Party.OPERATOR)
    return "dealt_with"
