"""Claims under RDV: the insurer's answer, the second person, lost parcels. Domain 4.3, 4.5, X9, X10, X16, X17, X26.

The coat is 1200.00, commission 5 %; amounts are worked out by hand from domain 6.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from backhaul.errors import Refusal
from backhaul.ids import CaseId, claim_ref, correction_id
from backhaul.messages import (
    ApplyApproval,
    CaseOutcome,
    ConfirmReceipt,
    CorrectionOutcome,
    RetryStep,
    SkipStep,
    TrackingReport,
    TrackingStatus,
)
from backhaul.policy.parcels import correction_of
from tests.workflows.scenarios.registry import scenario
from tests.workflows.scenarios.telling import refused, templates, to_the_merchant, unheard_of
from tests.workflows.world import Case, Plan, World, at_receipt, cny, damage, objection
from worker.corrections import correct, tell_movement

BEFORE, AFTER = timedelta(minutes=-1), timedelta(minutes=1)
ORDINARY = Plan(tier=0)


def claims_of(case: Case) -> str:
    """What the numbers of the case's claims for a loss begin with."""
    return f"{case.request.merchant_id}.{case.request.rma_id}.loss."


async def insurer(world: World, plan: Plan | None = None, **script: object) -> Case:
    """Open a return whose claims for a loss the insurer treats as scripted."""
    case = await world.open(plan or ORDINARY)
    await world.outside.script("insurer", claims_of(case), **script)
    return case


async def obliging(case: Case) -> None:
    """From now on the insurer does as it is asked."""
    await case.world.outside.script("insurer", claims_of(case))


async def release(case: Case) -> None:
    """What the insurer holds back comes now."""
    await case.world.outside.control("insurer", "release", {"match": claims_of(case)})


async def at_the_door(case: Case, severity: int = 30) -> None:
    """A finding at the door that the consumer accepts."""
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(severity)])


async def confirmed(case: Case) -> None:
    """Delivered, and the merchant confirms."""
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())


async def lost(case: Case) -> None:
    """Scanned, and then the courier says that it is lost."""
    await case.waits_for("pickup")
    await case.pickup()
    await case.waits_for("delivery")
    await case.track("lost")


# ---- X16: the insurer's decision and payment ------------------------------------------------------------------------


@scenario("X16", timer="timers.insurer_decision")
async def insurer_decides_late(world: World) -> Case:
    """A claim that is not decided in 24 hours raises an alarm. The answer ends it; nothing was withheld before."""
    case = await insurer(world, decision="pending")
    await at_the_door(case)
    await confirmed(case)
    asked = await case.until(lambda s: s.waiting is not None and s.waiting.code == "insurer_decision", "the insurer")
    assert asked.waiting is not None and asked.attention is None
    await world.env.sleep(asked.waiting.due - await case.now() + BEFORE)
    status = await case.status()
    assert (status.attention, templates(await case.entries()).get("J23")) == (None, None)
    await world.env.sleep(2 * AFTER)
    status = await case.parks("insurer_late")
    assert status.attention is not None and status.attention.step == "claim_indemnity"
    await release(case)
    await case.say("retry_step", RetryStep(step="claim_indemnity"))
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(84_000), cny(36_000), cny(36_000))
    totals = templates(await case.entries())
    assert {name: totals[name] for name in ("J23", "J21", "J30", "J31", "J34", "J32", "J54")} == {
        "J23": 120_000, "J21": 84_000, "J30": 36_000, "J31": 36_000, "J34": 36_000, "J32": 36_000, "J54": 36_000,
    }  # fmt: skip
    return case


@scenario("X16", timer="timers.insurer_complex")
async def complex_claim_takes_its_time(world: World) -> Case:
    """A complex claim has 30 days; the insurer decides on the last of them, and no alarm is raised."""
    case = await insurer(world, decision="pending", complex=True, reserve=50_000, approved=30_000)
    await at_the_door(case)
    await confirmed(case)
    asked = await case.until(lambda s: s.waiting is not None and s.waiting.code == "insurer_decision", "the insurer")
    assert asked.waiting is not None
    left = asked.waiting.due - await case.now()
    assert left > timedelta(days=29)
    await world.env.sleep(left - timedelta(days=1))
    assert (await case.status()).attention is None
    await release(case)
    outcome = await case.end()
    # 300.00 of 360.00 approved: only that is withheld, the merchant bears the rest.
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(90_000), cny(30_000), cny(30_000))
    entries = await case.entries()
    assert [amount for template, amount in entries if template == "J33"] == [14_000, 20_000]
    assert templates(entries)["J31"] == 30_000
    return case


@scenario("X16", timer="timers.insurer_payment")
async def insurer_pays_late(world: World) -> Case:
    """The merchant has the money at once; the insurer has 10 days to pay the platform, then an alarm is raised."""
    case = await insurer(world, payment="late")
    await at_the_door(case)
    await case.until(lambda s: s.regions["indemnity"] == "paid", "the advance")
    await confirmed(case)
    await case.until(lambda s: s.regions["refund"] == "succeeded", "the refund")
    asked = await case.until(lambda s: s.waiting is not None and s.waiting.code == "insurer_payment", "the insurer")
    assert asked.waiting is not None
    await world.env.sleep(asked.waiting.due - await case.now() + BEFORE)
    assert (await case.status()).attention is None
    await world.env.sleep(2 * AFTER)
    await case.parks("insurer_late")
    assert "J32" not in templates(await case.entries())
    await release(case)
    await case.say("retry_step", RetryStep(step="fund_indemnity"))
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified) == (cny(84_000), cny(36_000))
    assert templates(await case.entries())["J32"] == 36_000
    return case


@scenario
async def insurer_refuses_to_pay(world: World) -> Case:
    """A refused payment to the platform parks; it is asked for again under the next key, and paid once."""
    case = await insurer(world, payment="refuse")
    await at_the_door(case)
    await confirmed(case)
    await case.parks("funding_refused")
    await obliging(case)
    await case.say("retry_step", RetryStep())
    assert (await case.end()).indemnified == cny(36_000)
    merchant, rma = case.request.merchant_id, case.request.rma_id
    key = f"{merchant}:{rma}:funding.{claim_ref(CaseId(merchant, rma), 'loss')}:"
    assert [len(await world.outside.statement("insurer", key + n)) for n in "12"] == [0, 1]
    return case


@scenario
async def insurer_denies(world: World) -> Case:
    """A claim that is not covered: nothing is withheld as an indemnity; refund and charge are both 840.00."""
    case = await insurer(world, decision="deny", code="excluded")
    await at_the_door(case)
    await confirmed(case)
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(84_000), cny(0), cny(0))
    totals = templates(await case.entries())
    assert {name: totals[name] for name in ("J23", "J21", "J30", "J33")} == {
        "J23": 84_000, "J21": 84_000, "J30": 36_000, "J33": 36_000,
    }  # fmt: skip
    assert outcome.regions["indemnity"] == "denied"
    return case


@scenario
async def denial_is_appealed(world: World) -> Case:
    """Denied for want of evidence, appealed once with it, and paid: another claim in the denied one's place."""
    case = await insurer(world, decision="deny", code="no_evidence")
    await at_the_door(case)
    status = await case.parks("claim_denied")
    assert status.attention is not None and "evidence_missing" in status.attention.headline
    await obliging(case)
    await case.say("retry_step", RetryStep())
    await case.until(lambda s: s.regions["indemnity"] == "paid", "the advance")
    await confirmed(case)
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld, outcome.indemnified) == (cny(84_000), cny(36_000), cny(36_000))
    totals = templates(await case.entries())
    assert (totals["J30"], totals["J33"], totals["J31"]) == (72_000, 36_000, 36_000)
    return case


@scenario("X16", timer="timers.dispute_evidence")
async def denial_stands_by_itself(world: World) -> Case:
    """Nobody appeals within the evidence window: the denial stands."""
    case = await insurer(world, decision="deny", code="no_evidence")
    await at_the_door(case)
    status = await case.parks("claim_denied")
    assert status.attention is not None
    await world.env.sleep(status.attention.due - await case.now() + BEFORE)
    assert (await case.status()).regions["indemnity"] != "denied"
    await world.env.sleep(2 * AFTER)
    await case.until(lambda s: s.regions["indemnity"] == "denied", "the denial")
    await confirmed(case)
    assert (await case.end()).refunded == cny(84_000)
    return case


# ---- X17: the second person -----------------------------------------------------------------------------------------


@scenario("X17", timer="timers.authority")
async def second_person_is_late(world: World) -> Case:
    """Above the authority: after 24 hours the alarm goes a level up, and again; nothing is paid before the approval."""
    case = await world.open(Plan(lines=(("L1", 2, 580_000),), tier=0))
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(100, quantity=2)])
    status = await case.parks("approval_required")
    assert status.attention is not None and "level 1" in status.attention.headline
    await world.env.sleep(status.attention.due - await case.now() + BEFORE)
    status = await case.status()
    assert status.attention is not None and "level 1" in status.attention.headline
    await world.env.sleep(2 * AFTER)
    status = await case.until(lambda s: s.attention is not None and "level 2" in s.attention.headline, "level 2")
    await world.env.sleep(timedelta(hours=24))
    await case.until(lambda s: s.attention is not None and "level 3" in s.attention.headline, "level 3")
    await refused(case, "skip_step", SkipStep(), "not_waiting")
    assert "J34" not in templates(await case.entries())
    merchant, rma = case.request.merchant_id, case.request.rma_id
    key = f"{merchant}:{rma}:advance.{claim_ref(CaseId(merchant, rma), 'loss')}:1"
    approval = await world.approve(case, key, 580_000, merchant)
    await case.say("apply_approval", ApplyApproval(approval_id=approval))
    await case.until(lambda s: s.regions["indemnity"] == "paid", "the advance")
    await confirmed(case)
    outcome = await case.end()
    assert (outcome.withheld, outcome.indemnified) == (cny(580_000), cny(580_000))
    assert templates(await case.entries())["J34"] == 580_000
    return case


# ---- X9: lost, and here after all -----------------------------------------------------------------------------------


@scenario("X9", timer="timers.lost")
async def lost_parcel_arrives_while_open(world: World) -> Case:
    """Seven days without a movement: lost, refunded, the advance waits for a second person; then it arrives. The
    claim is overturned, the advance never leaves, nobody is recovered from."""
    case = await world.open(Plan(lines=(("L1", 2, 580_000),), tier=0))
    await case.waits_for("pickup")
    await case.pickup()
    await case.waits_for("delivery")
    start = await case.now()
    await world.env.sleep(timedelta(days=7) + BEFORE)
    assert (await case.status()).regions["logistics"] == "picked_up"
    await world.env.sleep(start + timedelta(days=7) - await case.now() + AFTER)
    await case.parks("approval_required")
    await case.until(lambda s: s.regions["refund"] == "succeeded", "the refund")
    assert (await case.status()).regions["logistics"] == "lost"
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified, outcome.recovery) == (cny(580_000), cny(0), None)
    totals = templates(await case.entries())
    assert (
        totals["J23"] == totals["J21"] == totals["J30"] == totals["J31"] == totals["J75b"] == totals["J42"] == 580_000
    )
    assert "J34" not in totals
    assert outcome.regions["logistics"] == "receipt_confirmed"
    return case


async def turns_up(case: Case, status: str) -> tuple[str, CaseOutcome]:
    """Lost, closed, and then the courier says this of it: the waybill, and how the case had ended."""
    world = case.world
    await lost(case)
    waybill = (await case.status()).waybill or ""
    outcome = await case.end()
    found = correction_of(case.id, "lost", await moved(case, waybill, status))
    assert found is not None
    row = await correct(world.store, world.backhaul, case.id.key, *found, await case.now())
    assert row.n == 1
    return waybill, outcome


async def moved(case: Case, waybill: str, status: str) -> TrackingReport:
    """A movement, told now."""
    return TrackingReport(
        event_id=f"ev-{waybill}-{status}",
        status=TrackingStatus(status),
        waybill=waybill,
        occurred_at=await case.now(),
    )


@scenario("X9", "X26")
async def lost_parcel_is_found_after_the_close(world: World) -> Case:
    """Lost after lightning, refunded, indemnified, closed; then the parcel is found, and delivered. Once the merchant
    has accepted it, a correction takes the indemnity back; the consumer keeps the refund, the merchant the charge."""
    case = await world.open()
    waybill, outcome = await turns_up(case, "found")
    assert (outcome.refunded, outcome.indemnified) == (cny(120_000), cny(120_000))
    correction = world.env.client.get_workflow_handle(correction_id(case.id, 1), result_type=CorrectionOutcome)
    with pytest.raises(Refusal) as early:
        await world.backhaul.report_correction(case.id, 1, "confirm_receipt", ConfirmReceipt())
    assert early.value.code == "not_delivered"
    assert not await tell_movement(world.store, world.backhaul, CaseId("m0", "r0"), await moved(case, waybill, "lost"))
    assert await tell_movement(world.store, world.backhaul, case.id, await moved(case, waybill, "delivered"))
    await world.asked(
        lambda: world.backhaul.correction(case.id, 1),
        lambda s: s.waiting is not None and s.waiting.code == "receipt",
        "the merchant's word",
    )
    assert "J75b" not in templates(await case.entries())
    await world.backhaul.report_correction(case.id, 1, "confirm_receipt", ConfirmReceipt())
    assert (await correction.result()).outcome == "corrected"
    totals = templates(await case.entries())
    # The carrier had paid: what it paid goes back to it.
    assert (totals["J21"], totals["J22"], totals["J34"], totals["J75b"]) == (120_000, 120_000, 120_000, 120_000)
    assert "J60" not in totals
    return case


@scenario("X9", "X28")
async def lost_parcel_comes_back_to_the_consumer_after_the_close(world: World) -> Case:
    """Lost, refunded, indemnified, closed; then the courier brings it back to the consumer, who has coat and money:
    the merchant keeps the sale, and 1200.00 is the consumer's debt."""
    case = await world.open(ORDINARY)
    await turns_up(case, "returned")
    correction = world.env.client.get_workflow_handle(correction_id(case.id, 1), result_type=CorrectionOutcome)
    ended = await correction.result()
    assert (ended.outcome, ended.regions["logistics"]) == ("corrected", "returned_to_consumer")
    totals = templates(await case.entries())
    assert (totals["J20"], totals["J50"], totals["J75b"]) == (120_000, 120_000, 120_000)
    assert await case.posted("J23") == {}
    return case


# ---- X10, X26: found at the receipt ---------------------------------------------------------------------------------


@scenario("X10")
async def objection_before_the_courier_told(world: World) -> Case:
    """The news of the delivery is lost, and the merchant objects: the courier is asked at once, and the objection is
    charged, claimed and advanced as any."""
    case = await world.open(ORDINARY)
    await unheard_of(case)
    assert (await case.say("report_receipt_issue", objection(at_receipt()))).note == ""
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified, outcome.withheld) == (cny(120_000), cny(36_000), cny(0))
    assert outcome.regions["dispute"] == "none"
    return case


@scenario("X10", timer=("timers.receipt_finding", "timers.trace"))
async def objection_kept_while_the_courier_does_not_answer(world: World) -> Case:
    """Objected within the 48 hours while the delivery is not known and the courier is down: kept. At 72 h the
    courier tells; the objection counts from when it was made, and is advanced."""
    case = await world.open(ORDINARY)
    due = await unheard_of(case)
    down = {"match": "GET /v1/waybills/*", "kind": "unavailable_before", "probability": 1.0}
    await world.outside.faults("courier", down)
    await world.env.sleep(timedelta(hours=47))
    assert (await case.say("report_receipt_issue", objection(at_receipt()))).note.startswith("kept")
    await refused(case, "confirm_receipt", ConfirmReceipt(), "already_decided")
    await world.outside.faults("courier")
    await world.until(due + BEFORE)
    assert (await case.waits_for("delivery")).attention is None
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified, outcome.withheld) == (cny(120_000), cny(36_000), cny(0))
    assert outcome.regions["dispute"] == "none"
    return case


@scenario("X10", timer="timers.receipt_finding")
async def receipt_finding_in_the_last_minute(world: World) -> Case:
    """Objected 48 hours after signing, to the minute: charged, claimed and advanced at once; the carrier is to pay."""
    case = await world.open(ORDINARY)
    await to_the_merchant(case)
    await world.env.sleep(timedelta(hours=48) + BEFORE)
    await case.say("report_receipt_issue", objection(at_receipt()))
    outcome = await case.end()
    assert (outcome.refunded, outcome.indemnified, outcome.withheld) == (cny(120_000), cny(36_000), cny(0))
    totals = templates(await case.entries())
    assert {name: totals[name] for name in ("J23", "J21", "J30", "J31", "J34", "J32")} == {
        "J23": 120_000, "J21": 120_000, "J30": 36_000, "J31": 36_000, "J34": 36_000, "J32": 36_000,
    }  # fmt: skip
    assert outcome.regions["dispute"] == "none"
    return case
