"""Every path as a story: what the parties do, and what must have come of it.

Each scenario runs on the time-skipping server, and its history is recorded for the replay tests
(`make histories`). The amounts are worked out by hand from domain 6.
"""

from __future__ import annotations

from datetime import timedelta

from backhaul.case import Regions
from backhaul.facts import Finding, Method, Reason, Risk
from backhaul.ids import CaseId, claim_ref
from backhaul.messages import (
    AnswerFinding,
    ApplyApproval,
    ApplyRuling,
    Authorize,
    CloseCase,
    ConfirmReceipt,
    ConsumerAtDoor,
    Decline,
    DoorstepFinding,
    Escalate,
    FindingAnswer,
    PickupOutcome,
    ProvideWaybill,
    ReportReceiptIssue,
    RetryStep,
    Withdraw,
)
from tests.workflows.scenarios.registry import scenario
from tests.workflows.scenarios.telling import books_that_do_not_add_up, decisions, refused, templates, to_the_merchant
from tests.workflows.world import Case, Plan, World, at_receipt, cny, damage, objection

# ---- the straight path -----------------------------------------------------------------------------------------


@scenario
async def lightning(world: World) -> Case:
    """Refund at the scan; the merchant is charged at acceptance."""
    case = await world.open()
    assert case.first.outcome == "authorized"
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded, outcome.withheld) == ("refunded", cny(120_000), cny(0))
    totals = templates(await case.entries())
    assert totals == {"J20": 120_000, "J21": 120_000, "J22": 120_000, "J10": 1_200, "J11": 1_200, "J12": 1_200}
    return case


@scenario
async def ordinary(world: World) -> Case:
    """Tier too low for lightning: the refund waits for the receipt."""
    case = await world.open(Plan(tier=0))
    await to_the_merchant(case)
    assert (await case.status()).money.refunded == cny(0)
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("refunded", cny(120_000))
    totals = templates(await case.entries())
    assert totals["J23"] == 120_000 and totals["J21"] == 120_000 and "J20" not in totals
    return case


@scenario("X11", timer="timers.receipt_silence")
async def merchant_silent_at_receipt(world: World) -> Case:
    """X11: ten days after the delivery the timer accepts."""
    case = await world.open(Plan(tier=0))
    before = await case.now()
    await to_the_merchant(case)
    outcome = await case.end()
    assert outcome.outcome == "refunded"
    assert await case.now() - before >= timedelta(days=10)
    return case


# ---- findings at the door ------------------------------------------------------------------------------------


@scenario
async def doorstep_damage(world: World) -> Case:
    """The coat of domain 6: 30 %. Merchant charged 1200.00 and paid 360.00 at once, consumer gets 840.00."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30)])
    await case.until(lambda s: s.regions["indemnity"] == "paid", "the advance")
    assert (await case.status()).money.refunded == cny(0)
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(84_000), cny(36_000), cny(36_000))
    assert outcome.recovery is not None
    totals = templates(await case.entries())
    assert {k: totals[k] for k in ("J30", "J31", "J34", "J32")} == dict.fromkeys(("J30", "J31", "J34", "J32"), 36_000)
    assert (totals["J23"], totals["J21"]) == (120_000, 84_000)
    return case


@scenario
async def doorstep_damage_uninsured(world: World) -> Case:
    """Without RDV: refund and merchant's charge are both R - L."""
    case = await world.open(Plan(rdv=False))
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(50)])
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified, outcome.recovery) == (cny(60_000), cny(0), None)
    assert templates(await case.entries())["J23"] == 60_000
    return case


@scenario("X7")
async def finding_not_answered(world: World) -> Case:
    """X7: nothing said at the door, no answer in time: the finding stands."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(10, says="silent")])
    await case.waits_for("finding_answer")
    await world.env.sleep(timedelta(hours=25))
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld) == (cny(108_000), cny(12_000))
    return case


@scenario("X7")
async def finding_withdrawn(world: World) -> Case:
    """X7: the consumer takes the goods back at the finding."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.collect_outside()
    await case.pickup(findings=[damage(80, says="silent")])
    await case.waits_for("finding_answer")
    await case.say("answer_finding", AnswerFinding(answer=FindingAnswer.WITHDRAW))
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("withdrawn", cny(0))
    assert outcome.regions["logistics"] == "returned_to_consumer"
    return case


# ---- findings at the receipt, and losses -----------------------------------------------------------------------


@scenario
async def receipt_damage_after_lightning(world: World) -> Case:
    """X10: clean at the door, damaged at the receipt: the carrier is liable, the merchant is advanced the loss."""
    case = await world.open()
    await to_the_merchant(case)
    await case.until(lambda s: s.regions["refund"] == "succeeded", "lightning")
    await case.say("report_receipt_issue", objection(at_receipt()))
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified, outcome.withheld) == (cny(120_000), cny(36_000), cny(0))
    assert outcome.recovery is not None and outcome.regions["inspection"] == "receipt_fail"
    assert await decided(case, "objection") == ("claim", ("objected_with_evidence",))
    totals = templates(await case.entries())
    assert (totals["J22"], totals["J31"], totals["J34"]) == (120_000, 36_000, 36_000)
    return case


@scenario
async def receipt_damage_ordinary(world: World) -> Case:
    """The same before any refund: full refund, the merchant is made whole."""
    case = await world.open(Plan(tier=0))
    await to_the_merchant(case)
    await case.say("report_receipt_issue", objection(at_receipt(severity=100)))
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified) == (cny(120_000), cny(120_000))
    return case


@scenario("X9", timer="timers.lost")
async def lost_in_transit(world: World) -> Case:
    """X9: no movement for seven days: total loss, consumer refunded, carrier demanded."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    before = await case.now()
    await case.pickup()
    await case.waits_for("delivery")
    outcome = await case.end()
    assert await case.now() - before >= timedelta(days=7)
    assert (outcome.refunded, outcome.indemnified) == (cny(120_000), cny(120_000))
    assert outcome.regions["logistics"] == "lost" and outcome.recovery is not None
    return case


# ---- self-ship ---------------------------------------------------------------------------------------------------


@scenario
async def self_ship(world: World) -> Case:
    """The consumer sends the parcel and is paid min(10.00, proven) by the insurer."""
    case = await world.open(Plan(method=Method.SELF_SHIP, tier=0))
    await case.waits_for("waybill")
    waybill = ProvideWaybill(waybill=f"SF{case.request.rma_id}", proven_freight=cny(1_500))
    await world.parcel(case, waybill.waybill)
    await case.say("provide_waybill", waybill)
    await case.waits_for("first_trace")
    await case.track("in_transit", waybill=waybill.waybill)
    await case.waits_for("delivery")
    await case.track("delivered", waybill=waybill.waybill)
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert outcome.refunded == cny(120_000)
    totals = templates(await case.entries())
    assert totals["J13"] == 1_000 and "J12" not in totals
    return case


@scenario("X3", timer="timers.self_ship")
async def self_ship_never_sent(world: World) -> Case:
    """X3: no waybill in seven days: expired."""
    case = await world.open(Plan(method=Method.SELF_SHIP))
    await case.waits_for("waybill")
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("expired", cny(0))
    return case


# ---- the merchant's review ---------------------------------------------------------------------------------------


@scenario("X1")
async def merchant_silent_on_request(world: World) -> Case:
    """X1: 48 hours of silence authorize."""
    case = await world.open(Plan(auto=False, reason=Reason.QUALITY))
    assert case.first.outcome == "merchant_review"
    await case.waits_for("merchant_review")
    await world.env.sleep(timedelta(hours=49))
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario("X1")
async def merchant_authorizes(world: World) -> Case:
    """The merchant accepts; a second answer is refused."""
    case = await world.open(Plan(auto=False, reason=Reason.QUALITY))
    await case.waits_for("merchant_review")
    await case.say("authorize", Authorize())
    await refused(case, "decline", Decline(reason="used"), "already_decided")
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario("X13")
async def merchant_declines(world: World) -> Case:
    """X13: a refusal that nobody escalates closes the case."""
    case = await world.open(Plan(auto=False, reason=Reason.QUALITY))
    await case.waits_for("merchant_review")
    await case.say("decline", Decline(reason="used"))
    await case.waits_for("escalation")
    assert (await case.end()).outcome == "declined"
    return case


@scenario
async def window_over(world: World) -> Case:
    """Eight days after signing a no-reason return is not eligible."""
    case = await world.open(Plan(signed_days_ago=9))
    assert case.first.outcome == "declined" and case.first.reasons
    assert (await case.end()).outcome == "declined"
    return case


# ---- the courier's visits ------------------------------------------------------------------------------------------


@scenario("X4", timer="pickup.slot_grace")
async def courier_misses(world: World) -> Case:
    """X4: a missed visit is booked again; a silent one is known two hours after the slot."""
    case = await world.open(Plan(tier=0))
    first = (await case.waits_for("pickup")).waybill
    await case.pickup(PickupOutcome.MISSED)
    second = await case.until(
        lambda s: s.waybill not in {None, first} and s.waiting is not None and s.waiting.code == "pickup", "rebooked"
    )
    assert second.waiting is not None
    await world.env.sleep(second.waiting.due - await case.now() + timedelta(minutes=1))
    await case.until(lambda s: s.waybill not in {None, first, second.waybill}, "a third waybill")
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario("X5")
async def consumer_not_at_home(world: World) -> Case:
    """X5: two attempts, then expired."""
    case = await world.open()
    first = (await case.waits_for("pickup")).waybill
    await case.pickup(PickupOutcome.NO_SHOW)
    await case.until(lambda s: s.waybill not in {None, first}, "another waybill")
    await case.pickup(PickupOutcome.NO_SHOW)
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("expired", cny(0))
    return case


@scenario("X23")
async def withdrawn_before_scan(world: World) -> Case:
    """X23: the pickup is voided with the courier before the case is withdrawn."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.say("withdraw", Withdraw())
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("withdrawn", cny(0))
    assert await case.entries() == []
    return case


@scenario("X24")
async def withdraw_after_scan(world: World) -> Case:
    """X24: refused with the reason."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    await case.pickup()
    await case.waits_for("delivery")
    await refused(case, "withdraw", Withdraw(), "already_picked_up")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario
async def partial_quantity(world: World) -> Case:
    """One of three at 33.33, 33.33, 33.34: cumulative floor."""
    case = await world.open(Plan(lines=(("L1", 3, 10_000),), back=(("L1", 1),), tier=0))
    assert case.first.refundable == cny(3_333)
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).refunded == cny(3_333)
    return case


@scenario("X13")
async def escalated_refusal_parks(world: World) -> Case:
    """X13: an escalated refusal waits for a human, visibly; closing by an operator ends it."""
    case = await world.open(Plan(auto=False, reason=Reason.QUALITY))
    await case.waits_for("merchant_review")
    await case.say("decline", Decline(reason="used"))
    await case.waits_for("escalation")
    await case.say("escalate", Escalate())
    status = await case.parks("arbitration_needed")
    assert status.attention is not None and "apply_ruling" in status.attention.send
    await case.say("close_case", CloseCase(reason="settled by phone"))
    outcome = await case.end()
    assert (outcome.outcome, outcome.regions["dispute"]) == ("closed_by_operator", "final")
    assert Regions(outcome.regions).open_at_close() == ()
    return case


# ---- humans, races, shared visits -----------------------------------------------------------------------------------


@scenario("X13")
async def escalation_ruled(world: World) -> Case:
    """X13: the ruling authorizes; the return goes on."""
    case = await world.open(Plan(auto=False, reason=Reason.QUALITY))
    await case.waits_for("merchant_review")
    await case.say("decline", Decline(reason="used"))
    await case.waits_for("escalation")
    await case.say("escalate", Escalate())
    await case.parks("arbitration_needed")
    await refused(case, "apply_ruling", ApplyRuling(ruling_id="nobody-ruled"), "ruling_unknown")
    await case.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "authorization", "authorize")))
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario("X8")
async def finding_disputed(world: World) -> Case:
    """X8: the consumer denies the finding; the reviewer finds the merchant liable: full refund, no indemnity."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(50, says="disputes")])
    await case.parks("ruling_needed")
    await case.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "liability", "merchant")))
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified, outcome.withheld) == (cny(120_000), cny(0), cny(0))
    assert outcome.regions["dispute"] == "final"
    said = {one.decision: one.outcome for one in await decisions(case)}
    assert (said["ruling"], said["indemnity"], said["remedy"]) == ("merchant", "none", "refunded")
    assert "liability" not in said
    return case


@scenario("X12")
async def late_objection(world: World) -> Case:
    """An objection later than 48 hours is a dispute without an advance; the refund by lightning stands."""
    case = await world.open()
    await to_the_merchant(case)
    await case.until(lambda s: s.regions["refund"] == "succeeded", "lightning")
    await world.env.sleep(timedelta(hours=50))
    await case.say("report_receipt_issue", objection(at_receipt()))
    await case.parks("ruling_needed")
    assert "J22" not in templates(await case.entries())
    await case.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "liability", "carrier")))
    outcome = await case.end()
    assert outcome.refunded == cny(120_000)
    assert templates(await case.entries())["J22"] == 120_000
    return case


@scenario("X10")
async def objection_without_evidence(world: World) -> Case:
    """An objection without evidence is a dispute without an advance; what the merchant shows there counts."""
    case = await world.open()
    await to_the_merchant(case)
    await case.until(lambda s: s.regions["refund"] == "succeeded", "lightning")
    await case.say("report_receipt_issue", ReportReceiptIssue(findings=(at_receipt(),)))
    await case.parks("ruling_needed")
    assert await decided(case, "objection") == ("dispute", ("objected_without_evidence",))
    assert not {"J22", "J30", "J34"} & set(templates(await case.entries()))
    await case.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "liability", "carrier")))
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified) == (cny(120_000), cny(36_000))
    return case


async def decided(case: Case, decision: str) -> tuple[str, tuple[str, ...]]:
    """One decision as `explain` tells it: outcome and reasons, with a sentence in both languages."""
    told = await case.world.backhaul.explain(case.request.merchant_id, case.request.rma_id)
    verdict = next(one for one in told.decisions if one.decision == decision)
    assert "evidence" in verdict.text.en
    assert "证" in verdict.text.zh
    return verdict.outcome, verdict.reasons


@scenario
async def clean_receipt_after_a_finding(world: World) -> Case:
    """A contradiction: damaged at the door, clean at the receipt. A human rules."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30)])
    await case.until(lambda s: s.regions["indemnity"] == "paid", "the advance")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt(contradicts_doorstep=True))
    await case.parks("ruling_needed")
    await case.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "liability", "consumer")))
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld) == (cny(84_000), cny(36_000))
    return case


@scenario
async def above_authority(world: World) -> Case:
    """X17: an indemnity above 3000.00 is paid only with a second person, and exactly once."""
    case = await world.open(Plan(lines=(("L1", 2, 580_000),), tier=0))
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(100, quantity=2)])
    await case.parks("approval_required")
    assert "J34" not in templates(await case.entries())
    merchant, rma = case.request.merchant_id, case.request.rma_id
    key = f"{merchant}:{rma}:advance.{claim_ref(CaseId(merchant, rma), 'loss')}:1"
    elsewhere = await world.approve(case, "something-else", 580_000, merchant)
    await refused(case, "apply_approval", ApplyApproval(approval_id=elsewhere), "approval_mismatch")
    await refused(case, "apply_approval", ApplyApproval(approval_id="nobody-approved"), "approval_unknown")
    too_little = await world.approve(case, key, 5_800, merchant)
    await case.say("apply_approval", ApplyApproval(approval_id=too_little))
    await case.until(lambda s: s.attention is not None and any("approval" in e.what for e in s.events), "asked again")
    await case.parks("approval_required")
    approval = await world.approve(case, key, 580_000, merchant)
    await case.say("apply_approval", ApplyApproval(approval_id=approval))
    await case.until(lambda s: s.regions["indemnity"] == "paid", "the advance")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(0), cny(580_000), cny(580_000))
    return case


@scenario("X25")
async def cancel_races_the_scan(world: World) -> Case:
    """X25: the courier had the goods before the cancel reached it: the scan wins, both times are on record."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    await case.collect_outside()
    scanned = await case.now()
    await case.say("withdraw", Withdraw())
    await case.until(lambda s: any("not void: scanned" in event.what for event in s.events), "the scan")
    await refused(case, "withdraw", Withdraw(), "already_decided")
    await case.pickup(at=scanned)
    told = [event.what for event in (await case.waits_for("delivery")).events]
    assert any(what.startswith(f"not withdrawn: scanned at {scanned}, cancelled at") for what in told), told
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario
async def lightning_then_lost(world: World) -> Case:
    """X26: paid by lightning, then lost by the courier's own word: the merchant is charged and indemnified."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup()
    await case.until(lambda s: s.regions["refund"] == "succeeded", "lightning")
    await case.track("lost")
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified) == (cny(120_000), cny(120_000))
    totals = templates(await case.entries())
    assert (totals["J22"], totals["J34"]) == (120_000, 120_000)
    return case


@scenario("X23")
async def cancelled_from_the_ui_before_the_scan(world: World) -> Case:
    """A workflow cancellation before the scan acts as a withdrawal."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.handle.cancel()
    assert (await case.end()).outcome == "withdrawn"
    return case


@scenario("X24")
async def cancelled_from_the_ui_after_the_scan(world: World) -> Case:
    """After it, the case parks; going on ignores the request."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    await case.pickup()
    await case.waits_for("delivery")
    await case.handle.cancel()
    await case.parks("cancel_requested")
    await case.say("retry_step", RetryStep())
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario
async def missing_and_mismatch(world: World) -> Case:
    """One of two missing, the other another thing: both insured, the whole refund is withheld."""
    case = await world.open(Plan(lines=(("L1", 2, 40_000), ("L2", 1, 10_000))))
    await case.waits_for("pickup")
    missing = DoorstepFinding(
        line_id="L1", finding=Finding.MISSING, quantity=1, photos=("p",), consumer=ConsumerAtDoor.AGREES
    )
    await case.pickup(findings=[missing, missing.model_copy(update={"line_id": "L2", "finding": Finding.MISMATCH})])
    await case.until(lambda s: s.regions["indemnity"] == "paid", "the advance")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(20_000), cny(30_000), cny(30_000))
    return case


@scenario("X18")
async def refund_answer_unknown(world: World) -> Case:
    """X18: the refund happens and its answer is lost: looked up under the same key, paid once."""
    await world.outside.faults(
        "psp", {"match": "POST /v1/refunds", "kind": "error_after", "probability": 1.0, "times": 1}
    )
    case = await world.open(Plan(tier=0))
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert outcome.refunded == cny(120_000)
    key = f"{case.request.merchant_id}:{case.request.rma_id}:refund.pay-{case.request.order_id}:1"
    assert len(await world.outside.statement("psp", key)) == 1
    assert templates(await case.entries())["J21"] == 120_000
    return case


@scenario
async def shared_pickup(world: World) -> Case:
    """Three returns of one order, one visit, one waybill; one leaves before the scan. The freight of what was
    collected is shared to the fen: 2 x 900 g is 14.00, 7.00 each."""
    plan = Plan(lines=(("L1", 1, 40_000), ("L2", 1, 30_000), ("L3", 1, 20_000)), tier=0)
    order = await world.import_order(plan)
    cases, waybills = [], set()
    for line in ("L1", "L2", "L3"):
        cases.append(await world.open(Plan(back=((line, 1),), tier=0), order))
        waybills.add((await cases[-1].waits_for("pickup")).waybill)
    assert len(waybills) == 1, waybills
    stays, leaves, other = cases
    await leaves.say("withdraw", Withdraw())
    assert (await leaves.ended()).outcome == "withdrawn"
    taken = [
        f"{case.request.merchant_id}/{case.request.rma_id}/{line}" for case, line in ((stays, "L1"), (other, "L3"))
    ]
    for case in (stays, other):
        await case.pickup(taken=taken)
        await case.waits_for("delivery")
        await case.track("delivered")
        await case.waits_for("receipt")
        await case.say("confirm_receipt", ConfirmReceipt())
    outcomes = [await case.ended() for case in (stays, other)]
    assert [outcome.refunded for outcome in outcomes] == [cny(40_000), cny(20_000)]
    assert [outcome.freight for outcome in outcomes] == [cny(700), cny(700)], outcomes
    assert await leaves.entries() == []
    return stays


@scenario("X4")
async def given_up_courier_had_the_goods(world: World) -> Case:
    """Three silent visits hand the parcel to the consumer; then the courier's scan turns up: the fact counts."""
    case = await world.open(Plan(tier=0))
    last = None
    for _ in range(3):
        status = await case.until(
            lambda s, last=last: s.waiting is not None and s.waiting.code == "pickup" and s.waybill != last, "a visit"
        )
        assert status.waiting is not None
        last = status.waybill
        await world.env.sleep(status.waiting.due - await case.now() + timedelta(minutes=1))
    await case.waits_for("waybill")
    await case.pickup()
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario
async def closed_before_anybody_decided(world: World) -> Case:
    """The rules refer a request to a human, and an operator closes it instead: nothing of it stays open."""
    case = await world.open(Plan(risk=Risk.REFER))
    await case.parks("arbitration_needed")
    assert (await case.status()).regions["authorization"] == "requested"
    await case.say("close_case", CloseCase(reason="opened by mistake"))
    outcome = await case.end()
    assert (outcome.outcome, await case.entries()) == ("closed_by_operator", [])
    assert (outcome.regions["authorization"], outcome.regions["dispute"]) == ("expired", "final")
    return case


@scenario("X12")
async def not_closed_by_an_operator(world: World) -> Case:
    """An operator closes no case whose goods a courier has had: not at a cancel while they travel, not in the dispute
    over a late objection. A ruling of the wrong kind is refused as well; the right one ends it, and all is refunded."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    await case.pickup()
    await case.waits_for("delivery")
    await case.handle.cancel()
    await case.parks("cancel_requested")
    await refused(case, "close_case", CloseCase(reason="the consumer asked"), "already_picked_up")
    await case.say("retry_step", RetryStep())
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await world.env.sleep(timedelta(hours=50))
    await case.say("report_receipt_issue", ReportReceiptIssue(findings=(at_receipt(),)))
    status = await case.parks("ruling_needed")
    (action,) = [one for one in status.actions if one.update == "close_case"]
    assert (action.allowed, action.code) == (False, "already_picked_up") and action.why
    await refused(case, "close_case", CloseCase(reason="the merchant settled it by phone"), "already_picked_up")
    wrong = await world.rule(case, "authorization", "authorize")
    await refused(case, "apply_ruling", ApplyRuling(ruling_id=wrong), "ruling_mismatch")
    await case.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "liability", "merchant")))
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded, outcome.regions["dispute"]) == ("refunded", cny(120_000), "final")
    assert templates(await case.entries())["J23"] == 120_000
    return case


@scenario
async def books_that_do_not_add_up_park(world: World) -> Case:
    """A stray entry of 0.05 on the case: it is not closed over, and not failed; once reversed, it closes."""
    case = await world.open(Plan(tier=0))
    await to_the_merchant(case)
    async with books_that_do_not_add_up(world, case.request):
        await case.say("confirm_receipt", ConfirmReceipt())
        await case.parks("invariant_broken")
    await case.say("retry_step", RetryStep())
    assert (await case.end()).refunded == cny(120_000)
    return case
