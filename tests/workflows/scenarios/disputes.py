"""Disputes: findings that are answered or denied, windows for evidence, rulings. Domain 4.5, X7, X8, X12 to X14.

The coat is 1200.00; amounts are worked out by hand from domain 6.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from backhaul.errors import Refusal
from backhaul.facts import LiabilityShare, Liable, Party, Reason
from backhaul.ids import correction_id
from backhaul.markdown import row
from backhaul.messages import (
    AnswerFinding,
    ApplyRuling,
    ConfirmReceipt,
    CorrectionOutcome,
    Decline,
    Escalate,
    EvidenceKind,
    EvidenceRef,
    ExtendDeadline,
    FindingAnswer,
    RetryStep,
    SkipStep,
    SubmitEvidence,
    Withdraw,
)
from store import corrections, evidence
from tests.workflows.scenarios.registry import scenario
from tests.workflows.scenarios.telling import decisions, refused, templates, to_the_merchant, told, told_of
from tests.workflows.world import Case, Plan, WorkflowUpdateFailedError, World, at_receipt, cny, damage, objection

REVIEWED = Plan(auto=False, reason=Reason.QUALITY, tier=0)
BEFORE, AFTER = timedelta(minutes=-1), timedelta(minutes=1)


def photo(by: str, ref: str, kind: str = "photo") -> SubmitEvidence:
    """One piece of evidence of one side."""
    piece = EvidenceRef(ref=ref, sha256="a" * 64, by=Party(by), kind=EvidenceKind(kind), line_id="L1")
    return SubmitEvidence(evidence=(piece,))


async def due_of(case: Case, code: str) -> datetime:
    """Until when the case waits for this."""
    return (await case.asked(code)).due


async def accepted(case: Case) -> None:
    """Delivered, and the merchant confirms."""
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())


async def rule(case: Case, outcome: str, decides: str = "liability", **how: Any) -> str:
    """A reviewer rules and an operator carries it out, at the return; the ruling's id."""
    ruling = await case.world.rule(case, decides, outcome, **how)
    await case.say("apply_ruling", ApplyRuling(ruling_id=ruling))
    return ruling


# ---- X7: the consumer answers a finding ----------------------------------------------------------------------------


@scenario("X7", timer="timers.finding_answer")
async def finding_stands_by_silence(world: World) -> Case:
    """Nothing said at the door: 24 h from the notice the finding stands; consumer 1080.00, merchant 120.00."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(10, says="silent")])
    due = await due_of(case, "finding_answer")
    assert (f"consumer:c-{case.request.order_id}", "finding_found") in await told(case)
    await world.until(due + BEFORE)
    assert "J30" not in templates(await case.entries())
    await world.until(due + AFTER)
    await accepted(case)
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(108_000), cny(12_000), cny(12_000))
    totals = templates(await case.entries())
    assert "J20" not in totals  # a finding blocks the lightning refund
    assert (totals["J23"], totals["J21"], totals["J54"]) == (120_000, 108_000, 12_000)
    assert (totals["J30"], totals["J31"], totals["J34"]) == (12_000, 12_000, 12_000)
    return case


@scenario("X7", timer="timers.finding_answer")
async def finding_denied_in_the_last_minute(world: World) -> Case:
    """Denied a minute before the 24 h are over: a dispute opens, and the finding does not stand by itself."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(10, says="silent")])
    await world.until(await due_of(case, "finding_answer") + BEFORE)
    await case.say("answer_finding", AnswerFinding(answer=FindingAnswer.DISPUTE))
    await case.parks("ruling_needed")
    await rule(case, "merchant")
    await accepted(case)
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(120_000), cny(0), cny(0))
    return case


@scenario("X7")
async def finding_accepted_for_a_partial_refund(world: World) -> Case:
    """The consumer goes on with a partial refund: 600.00 of 1200.00 at 50 %."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(50, says="silent")])
    await case.waits_for("finding_answer")
    await case.say("answer_finding", AnswerFinding(answer=FindingAnswer.ACCEPT))
    await accepted(case)
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(60_000), cny(60_000), cny(60_000))
    return case


@scenario("X7")
async def shared_parcel_is_not_brought_back(world: World) -> Case:
    """Two returns on one waybill, a finding in one, whose consumer withdraws at the door: a parcel with goods of others
    is not brought back, so that the consumer is asked again, without anybody's help, and accepts."""
    plan = Plan(lines=(("L1", 1, 40_000), ("L2", 1, 30_000)), tier=0)
    order = await world.import_order(plan)
    case, other = [await world.open(Plan(back=((line, 1),), tier=0), order) for line in ("L1", "L2")]
    assert (await case.waits_for("pickup")).waybill == (await other.waits_for("pickup")).waybill
    taken = [f"{one.request.merchant_id}/{one.request.rma_id}/{line}" for one, line in ((case, "L1"), (other, "L2"))]
    await other.pickup(taken=taken)
    await case.pickup(findings=[damage(50, says="withdraws")], taken=taken)
    await due_of(case, "finding_answer")
    assert (f"consumer:c-{case.request.order_id}", "finding_travels") in await told(case)
    await refused(case, "answer_finding", AnswerFinding(answer=FindingAnswer.WITHDRAW), "already_picked_up")
    await case.say("answer_finding", AnswerFinding(answer=FindingAnswer.ACCEPT))
    for one in (case, other):
        await accepted(one)
    outcomes = [await one.ended() for one in (case, other)]
    assert [(one.outcome, one.refunded) for one in outcomes] == [("refunded", cny(20_000)), ("refunded", cny(30_000))]
    assert outcomes[0].withheld == outcomes[0].indemnified == cny(20_000)
    events = [event.what for event in (await case.status()).events]
    assert "not brought back: the return goes on" in events
    return case


@scenario("X7", "X8")
async def not_brought_back_and_denied(world: World) -> Case:
    """A courier that does not bring the goods back, and does not say why: an operator lets the return go on. The
    consumer, asked again, denies the finding, and a human rules."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(50, says="silent")])  # of which the courier's own book knows nothing
    await case.waits_for("finding_answer")
    await case.say("answer_finding", AnswerFinding(answer=FindingAnswer.WITHDRAW))
    status = await case.parks("provider_rejected")
    assert status.attention is not None and status.attention.step == "return_goods"
    await case.say("skip_step", SkipStep())
    await due_of(case, "finding_answer")
    await case.say("answer_finding", AnswerFinding(answer=FindingAnswer.DISPUTE))
    await case.parks("ruling_needed")
    await rule(case, "merchant")
    await accepted(case)
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded, outcome.withheld) == ("refunded", cny(120_000), cny(0))
    return case


@scenario("X7", "X25", timer="timers.finding_answer")
async def cancelled_in_time_and_delivered_all_the_same(world: World) -> Case:
    """Cancelled before the scan, and delivered before the courier could bring the goods back: the return goes on with
    its finding, which the consumer's silence lets stand."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.collect_outside(until="delivered")
    await case.say("withdraw", Withdraw())
    await case.until(lambda s: any("not void: scanned" in event.what for event in s.events), "the scan")
    await case.pickup(findings=[damage(10, says="withdraws")], at=await case.now() + timedelta(minutes=5))
    due = await due_of(case, "finding_answer")
    events = [event.what for event in (await case.status()).events]
    assert events.count("not brought back: the return goes on") == 1
    await world.until(due + AFTER)
    await accepted(case)
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded, outcome.withheld) == ("refunded", cny(108_000), cny(12_000))
    assert "J20" not in templates(await case.entries())
    return case


# ---- X8: a denied finding ------------------------------------------------------------------------------------------


@scenario("X8", timer=("timers.denial_evidence", "timers.ruling"))
async def denied_finding_ruled_on_what_is_there(world: World) -> Case:
    """The undisputed 600.00 leave at once; 24 h for evidence, then a ruling, with alarms each 48 h: the consumer's."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(50, says="disputes")])
    due = await due_of(case, "evidence")
    notices = {about for _, about in await told(case)}
    assert {"evidence_consumer", "evidence_merchant"} <= notices
    await case.until(lambda s: s.money.refunded == cny(60_000), "what is not disputed")
    await world.until(due + BEFORE)
    assert (await case.status()).attention is None
    await refused(case, "apply_ruling", ApplyRuling(ruling_id="too-early"), "not_waiting")
    await world.until(due + AFTER)
    status = await case.until(lambda s: s.attention is not None, "asked for a ruling")
    assert status.attention is not None
    assert status.attention.reason == "ruling_needed" and "dispute:" in status.attention.headline
    assert timedelta(0) <= status.attention.due - due - timedelta(hours=48) < timedelta(minutes=1)
    shown = await case.dispute_shows()
    assert "the consumer and the merchant said nothing" in shown
    assert row("L1", "damage 50 % x 1", "not looked at", "before pickup", "consumer") in shown
    alarm = status.attention.due
    await world.until(alarm + AFTER)
    again = (await case.until(lambda s: s.attention is not None and s.attention.due > alarm, "again")).attention
    assert again is not None and timedelta(hours=48) <= again.due - alarm < timedelta(hours=48, minutes=5)
    await rule(case, "consumer")
    await accepted(case)
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(60_000), cny(60_000), cny(60_000))
    totals = templates(await case.entries())
    assert (totals["J23"], totals["J21"], totals["J54"], totals["J34"]) == (120_000, 60_000, 60_000, 60_000)
    posted = await case.entries()
    assert [minor for template, minor in posted if template == "J23"] == [60_000, 60_000]
    return case


@scenario("X8", "X14")
async def both_sides_heard_early(world: World) -> Case:
    """Both sides give evidence: the windows end early, and the reviewer sees all of it, also what comes later."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30, says="disputes")])
    await case.waits_for("evidence")
    await case.say("submit_evidence", photo("consumer", "box.jpg"))
    waiting = await case.until(lambda s: s.waiting is not None and s.waiting.on is Party.MERCHANT, "the merchant")
    assert waiting.attention is None
    await case.say("submit_evidence", photo("merchant", "outbound.mp4", "video"))
    await case.until(lambda s: s.attention is not None, "asked for a ruling")
    await case.say("submit_evidence", photo("consumer", "late.jpg"))
    shown = await case.dispute_shows()
    for piece in ("consumer: photo `box.jpg`, line L1", "merchant: video `outbound.mp4`", "courier: photo `photo-1`"):
        assert piece in shown
    assert "late.jpg" in shown and row("consumer", "2 pieces of evidence") in shown
    async with world.store.read() as session:
        kept = await evidence.of_case(session, f"{case.request.merchant_id}/{case.request.rma_id}")
    assert [(one.ref, one.by.value, one.source) for one in kept] == [
        ("photo-1", "courier", "door"),
        ("box.jpg", "consumer", "party"),
        ("outbound.mp4", "merchant", "party"),
        ("late.jpg", "consumer", "party"),
    ]
    await rule(case, "merchant")
    await accepted(case)
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified) == (cny(120_000), cny(0))
    return case


# ---- X12: an objection after lightning -------------------------------------------------------------------------------


@scenario("X12")
async def objection_after_lightning_without_cover(world: World) -> Case:
    """The refund stands and the merchant is not charged until the ruling; ruled against the consumer: J50 and J22."""
    case = await world.open(Plan(rdv=False))
    await to_the_merchant(case)
    await case.until(lambda s: s.regions["refund"] == "succeeded", "lightning")
    await case.say("report_receipt_issue", objection(at_receipt(severity=50)))
    await case.waits_for("evidence")
    assert not {"J22", "J30", "J50", "J53"} & set(templates(await case.entries()))
    await case.parks("ruling_needed")
    shown = await case.dispute_shows()
    assert row("L1", "in order", "damage 50 % x 1", "in transit", "carrier") in shown
    assert "J22" not in templates(await case.entries())
    await rule(case, "consumer")
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified) == (cny(120_000), cny(0))
    totals = templates(await case.entries())
    assert (totals["J20"], totals["J22"], totals["J50"]) == (120_000, 60_000, 60_000)
    return case


@scenario("X12", timer="timers.receipt_silence")
async def objection_in_the_last_minute(world: World) -> Case:
    """A minute before the 10 d accept for the merchant: a dispute; the refund stands; ruled carrier, J22 and 360.00."""
    case = await world.open()
    await to_the_merchant(case)
    await case.until(lambda s: s.regions["refund"] == "succeeded", "lightning")
    waiting = (await case.waits_for("receipt")).waiting
    assert waiting is not None
    await world.until(waiting.due + BEFORE)
    await case.say("report_receipt_issue", objection(at_receipt()))
    await case.parks("ruling_needed")
    assert "merchant: evidence `bench.jpg`" in await case.dispute_shows()
    assert not {"J22", "J30"} & set(templates(await case.entries()))
    await rule(case, "carrier")
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified) == (cny(120_000), cny(36_000))
    totals = templates(await case.entries())
    assert (totals["J22"], totals["J30"], totals["J31"], totals["J34"]) == (120_000, 36_000, 36_000, 36_000)
    return case


@scenario("X10")
async def two_causes_each_their_own(world: World) -> Case:
    """Found at the door, and more of it at the receipt: a ruling shares it out. The consumer bears 360.00 of the coat,
    the carrier is to pay 200.00 of the scarf, and the merchant is indemnified for both."""
    case = await world.open(Plan(lines=(("L1", 1, 120_000), ("L2", 1, 40_000)), tier=0))
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30)])
    await case.until(lambda s: s.regions["indemnity"] == "paid", "the advance")
    await case.track("delivered")
    await case.waits_for("receipt")
    coat, scarf = at_receipt(), at_receipt(severity=50, line="L2")
    await case.say("report_receipt_issue", objection(coat, scarf))
    await case.parks("ruling_needed")
    command = "--outcome consumer --finding L1:damage:1:30 --share carrier=L2:damage:1:50"
    assert command in await case.dispute_shows()
    shares = (LiabilityShare(liable=Liable.CARRIER, findings=(scarf,)),)
    await rule(case, "consumer", findings=(coat,), shares=shares)
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(124_000), cny(36_000), cny(56_000))
    totals = templates(await case.entries())
    assert (totals["J23"], totals["J34"], totals["J54"]) == (160_000, 56_000, 36_000)
    said = {one.decision: one for one in await decisions(case)}
    assert said["ruling"].reasons == ("ruled_consumer", "ruled_shared")
    assert said["ruling"].numbers["share.carrier"] == "L2 damage 50 % x 1"
    return case


# ---- X13: a refusal is escalated -------------------------------------------------------------------------------------


async def _declined(world: World) -> tuple[Case, datetime]:
    case = await world.open(REVIEWED)
    await case.waits_for("merchant_review")
    await case.say("decline", Decline(reason="used"))
    return case, await due_of(case, "escalation")


@scenario("X13", timer="timers.escalation")
async def refusal_escalated_in_the_last_minute(world: World) -> Case:
    """Escalated a minute before the 7 d are over: both sides are heard, then a human authorizes; refunded 1200.00."""
    case, due = await _declined(world)
    await world.until(due + BEFORE)
    await case.say("escalate", Escalate())
    evidence_due = await due_of(case, "evidence")
    assert evidence_due - due > timedelta(hours=47)
    await case.parks("arbitration_needed")
    await rule(case, "authorize", "authorization")
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("refunded", cny(120_000))
    assert outcome.regions["dispute"] == "final"
    return case


# ---- X14: evidence windows -------------------------------------------------------------------------------------------


@scenario("X14", timer="timers.dispute_evidence")
async def evidence_windows_of_48_hours(world: World) -> Case:
    """Each side has 48 h from its notice, an operator gives one more; then it is ruled on what is there: carrier."""
    case = await world.open(Plan(tier=0))
    await to_the_merchant(case)
    await world.env.sleep(timedelta(hours=50))
    opened = await world.now()
    await case.say("report_receipt_issue", objection(at_receipt()))
    due = await due_of(case, "evidence")
    assert timedelta(hours=48) <= due - opened < timedelta(hours=48, minutes=5)
    await case.say("submit_evidence", photo("consumer", "sealed.jpg"))
    left = await case.until(lambda s: s.waiting is not None and s.waiting.on is Party.MERCHANT, "the merchant's window")
    assert left.waiting is not None
    due = left.waiting.due
    await world.until(due + BEFORE)
    assert (await case.status()).attention is None
    await case.say("extend_deadline", ExtendDeadline(seconds=3600))
    await case.until(lambda s: s.waiting is not None and s.waiting.due == due + timedelta(hours=1), "an hour more")
    await world.until(due + timedelta(hours=1) + BEFORE)
    assert (await case.status()).attention is None
    await world.until(due + timedelta(hours=1) + AFTER)
    await case.until(lambda s: s.attention is not None, "asked for a ruling")
    shown = await case.dispute_shows()
    assert "the merchant said nothing" in shown
    assert row("L1", "in order", "damage 30 % x 1", "after receipt", "merchant") in shown
    await rule(case, "carrier")
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified) == (cny(120_000), cny(36_000))
    return case


# ---- X15: an appeal -----------------------------------------------------------------------------------------------


async def _ruled_at_the_door(world: World, outcome: str, plan: Plan | None = None) -> tuple[Case, str]:
    """A denied finding of 30 %, ruled; the parcel is on its way."""
    case = await world.open(plan)
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30, says="disputes")])
    await case.parks("ruling_needed")
    ruling = await rule(case, outcome)
    await case.waits_for("delivery")
    return case, ruling


async def _not_heard(case: Case, ruling: str, code: str, by: str = "merchant") -> None:
    """The appeal is refused with this code."""
    with pytest.raises(Refusal) as error:
        await case.world.appeal(case, ruling, by)
    assert error.value.code == code


@scenario("X15", timer="timers.appeal")
async def appeal_heard_before_money_left(world: World) -> Case:
    """Ruled merchant; appealed in the last minute of 7 d from the notice; another reviewer rules consumer: 360.00
    withheld."""
    case, ruling = await _ruled_at_the_door(world, "merchant")
    known = await told_of(case, ruling)
    await case.track("delivered")
    await case.waits_for("receipt")
    await _not_heard(case, "no-such-ruling", "not_appealable")
    await world.until(known + timedelta(days=7) + BEFORE)
    assert (await world.appeal(case, ruling)).note == "dispute"
    await _not_heard(case, ruling, "appealed_before", by="consumer")
    await case.until(lambda s: s.regions["dispute"] == "appealed", "the appeal")
    await case.nothing_more("consumer", "merchant")
    await case.say("confirm_receipt", ConfirmReceipt())
    status = await case.until(lambda s: s.attention is not None, "asked for a ruling")
    assert status.attention is not None and status.attention.reason == "ruling_needed"
    assert "J23" in templates(await case.entries())  # of the undisputed part only
    assert templates(await case.entries())["J23"] == 84_000
    again = await world.rule(case, "liability", "consumer", overrules=None)
    await refused(case, "apply_ruling", ApplyRuling(ruling_id=again), "same_reviewer")
    elsewhere = await world.rule(case, "liability", "consumer", by="reviewer-2")
    await refused(case, "apply_ruling", ApplyRuling(ruling_id=elsewhere), "ruling_mismatch")
    with pytest.raises(Refusal) as own:
        await world.rule(case, "liability", "consumer", overrules=ruling)
    assert own.value.code == "same_reviewer"
    last = await world.rule(case, "liability", "consumer", by="reviewer-2", overrules=ruling)
    await case.say("apply_ruling", ApplyRuling(ruling_id=last))
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(84_000), cny(36_000), cny(36_000))
    assert outcome.regions["dispute"] == "final"
    heard = [about for _, about in await told(case) if about.startswith("ruled_")]
    assert sorted(heard[:2]) == ["ruled_consumer", "ruled_merchant"]
    assert sorted(heard[2:]) == ["ruled_final_consumer", "ruled_final_merchant"]
    totals = templates(await case.entries())
    assert (totals["J23"], totals["J21"], totals["J54"], totals["J34"]) == (120_000, 84_000, 36_000, 36_000)
    return case


@scenario("X15", timer="timers.appeal")
async def appeal_too_late(world: World) -> Case:
    """A minute after 7 d from the notice of the ruling an appeal is refused; it stands: consumer 1200.00."""
    case, ruling = await _ruled_at_the_door(world, "merchant")
    known = await told_of(case, ruling)
    await case.track("delivered")
    await case.waits_for("receipt")
    await world.until(known + timedelta(days=7) + AFTER)
    await _not_heard(case, ruling, "appeal_late")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld) == (cny(120_000), cny(0))
    return case


@scenario("X15", timer="timers.appeal")
async def appeal_of_a_merchant_told_late(world: World) -> Case:
    """The notice of the ruling reaches the merchant two days late: the 7 d count from there, and the parcel travels on
    meanwhile. Appealed after 8 d; another reviewer rules consumer: 360.00 withheld."""
    await world.outside.script("notices", "notice.ruled_merchant:1", state="failed")
    case, ruling = await _ruled_at_the_door(world, "merchant")
    ruled = await world.now()
    parked = (await case.parks("notice_undelivered")).attention
    assert parked is not None and (parked.step, parked.send) == ("send_notice", "retry_step {}")
    await case.track("delivered")
    await case.waits_for("receipt")
    late = timedelta(days=2, hours=1)
    await world.until(ruled + late)
    await case.say("retry_step", RetryStep())
    assert await told_of(case, ruling) >= ruled + late
    assert (await case.status()).attention is None
    await world.until(ruled + timedelta(days=8))
    assert (await world.appeal(case, ruling)).note == "dispute"
    await case.nothing_more("consumer", "merchant")
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.parks("ruling_needed")
    last = await world.rule(case, "liability", "consumer", by="reviewer-2", overrules=ruling)
    await case.say("apply_ruling", ApplyRuling(ruling_id=last))
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(84_000), cny(36_000), cny(36_000))
    return case


@scenario("X15")
async def appeal_untold(world: World) -> Case:
    """A merchant who looks by themselves may appeal while the notice of the ruling is stuck: what is parked is free.
    Another reviewer says the same: consumer 1200.00."""
    await world.outside.script("notices", "notice.ruled_merchant:1", state="failed")
    case, ruling = await _ruled_at_the_door(world, "merchant")
    await case.parks("notice_undelivered")
    assert (await world.appeal(case, ruling)).note == "dispute"
    await case.until(lambda s: s.attention is None and s.regions["dispute"] == "appealed", "the appeal")
    await told_of(case, ruling)
    await case.nothing_more("consumer", "merchant")
    await accepted(case)
    await case.parks("ruling_needed")
    last = await world.rule(case, "liability", "merchant", by="reviewer-2", overrules=ruling)
    await case.say("apply_ruling", ApplyRuling(ruling_id=last))
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld) == (cny(120_000), cny(0))
    return case


@scenario("X15", timer="timers.appeal")
async def ruling_that_reaches_nobody(world: World) -> Case:
    """The merchant cannot be told of the ruling: everybody gets what is theirs, and only the close waits. Nobody is
    late before an operator says that they know."""
    await world.outside.script("notices", "notice.ruled_merchant:1", state="failed")
    case, ruling = await _ruled_at_the_door(world, "merchant")
    await case.parks("notice_undelivered")
    await accepted(case)
    settled = await case.until(lambda s: s.regions["refund"] == "succeeded" and s.attention is not None, "refunded")
    assert settled.attention is not None and settled.attention.reason == "notice_undelivered"
    assert not settled.closed
    totals = templates(await case.entries())
    assert (totals["J23"], totals["J21"]) == (120_000, 120_000)
    await world.env.sleep(timedelta(days=9, hours=12))
    skipped = await world.now()
    await case.say("skip_step", SkipStep())
    outcome = await case.ended()
    assert (outcome.refunded, outcome.outcome) == (cny(120_000), "refunded")
    assert await told_of(case, ruling) >= skipped
    return case


@scenario("X15")
async def appeal_kept_until_the_close(world: World) -> Case:
    """Money left on the ruling already: the appeal is kept and heard after the close. Another reviewer: the merchant
    bears it; the consumer gets the 360.00 that were withheld, the insurer has its 360.00 back."""
    case, ruling = await _ruled_at_the_door(world, "consumer")
    await case.until(lambda s: s.regions["indemnity"] == "paid", "the advance")
    assert (await world.appeal(case, ruling, "consumer")).note == "kept"
    await _not_heard(case, ruling, "appealed_before")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.ended()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(84_000), cny(36_000), cny(36_000))
    key = f"{case.request.merchant_id}/{case.request.rma_id}"
    async with world.store.read() as session:
        (opened,) = await corrections.of_case(session, key)
    assert (opened.kind, opened.event["ruling_id"], opened.event_id) == ("appeal", ruling, f"appeal:{ruling}")
    correcting = correction_id(case.id, 1)
    for side in ("consumer", "merchant"):
        said = SubmitEvidence(nothing_more=True, by=Party(side))
        await world.asked(
            lambda said=said: world.backhaul.report_correction(case.id, 1, "submit_evidence", said),
            lambda _: True,
            "the hearing",
        )
    await world.asked(
        lambda: world.backhaul.correction(case.id, 1), lambda s: s.attention is not None, "asked for a ruling"
    )
    last = await world.rule(case, "liability", "merchant", by="reviewer-2", overrules=ruling)
    await world.backhaul.report_correction(case.id, 1, "apply_ruling", ApplyRuling(ruling_id=last))
    with world.env.auto_time_skipping_disabled():
        corrected = await world.env.client.get_workflow_handle(correcting, result_type=CorrectionOutcome).result()
    assert (corrected.outcome, corrected.regions["dispute"]) == ("corrected", "final")
    totals = templates(await case.entries())
    assert (totals["J21"], totals["J34"], totals["J75b"]) == (120_000, 36_000, 36_000)
    told = [(one.outcome, one.numbers["ruling"]) for one in await decisions(case) if one.decision == "ruling"]
    assert told == [("consumer", ruling), ("merchant", last)]  # the second one after the close
    return case


# ---- the dispute itself ------------------------------------------------------------------------------------------


@scenario("X14")
async def ruled_at_the_disputes_own_doors(world: World) -> Case:
    """Evidence, more time and the ruling come in at the dispute itself: the same checks, the same end."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30, says="disputes")])
    due = (await case.asked("evidence")).due
    dispute = case.dispute()
    await dispute.execute_update("extend_deadline", ExtendDeadline(seconds=600))
    await case.until(lambda s: s.waiting is not None and s.waiting.due == due + timedelta(seconds=600), "more time")
    for side in ("consumer", "merchant"):
        await dispute.execute_update("submit_evidence", photo(side, f"{side}.jpg"))
    await case.until(lambda s: s.attention is not None, "asked for a ruling")
    wrong = await world.rule(case, "authorization", "authorize")
    with pytest.raises(WorkflowUpdateFailedError):
        await dispute.execute_update("apply_ruling", ApplyRuling(ruling_id=wrong))
    right = await world.rule(case, "liability", "consumer")
    await dispute.execute_update("apply_ruling", ApplyRuling(ruling_id=right))
    await accepted(case)
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld) == (cny(84_000), cny(36_000))
    async with world.store.read() as session:
        kept = await evidence.of_case(session, f"{case.request.merchant_id}/{case.request.rma_id}")
    assert [one.ref for one in kept] == ["photo-1", "consumer.jpg", "merchant.jpg"]
    return case


@scenario("X14")
async def dispute_called_off(world: World) -> Case:
    """Cancelled from outside, a dispute ends without a ruling, and the finding at the door stands."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30, says="disputes")])
    await case.asked("evidence")
    await case.dispute().cancel()
    await accepted(case)
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld) == (cny(84_000), cny(36_000))
    return case
