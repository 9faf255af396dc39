"""The goods' way: visits, refusals, parcels that consumers send, losses, cancels. Domain 4.2, X3 to X6, X9, X11, X23
to X25. Amounts by hand: a coat of 1200.00, 900 g, freight 12.00 by the tariff."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlmodel import select

from backhaul.facts import Method, Reason
from backhaul.messages import (
    ApplyRuling,
    Authorize,
    CloseCase,
    ConfirmReceipt,
    CorrectionOutcome,
    PickupOutcome,
    PickupReport,
    ProvideWaybill,
    RetryStep,
    TrackingReport,
    TrackingStatus,
    Withdraw,
)
from backhaul.policy.parcels import correction_of
from store import corrections, pickups
from store.tables import ConsumerRow, PickupRow, WaybillRow
from tests.workflows.scenarios.registry import scenario
from tests.workflows.scenarios.telling import (
    books_that_do_not_add_up,
    refused,
    templates,
    to_the_merchant,
    told,
    unheard_of,
)
from tests.workflows.world import Case, Plan, World, at_receipt, cny, damage, objection
from worker.corrections import correct, tell_movement

MINUTE = timedelta(minutes=1)
"""The servers' clock goes on while a test works; to the second it is tests/simulation that looks."""
ORDINARY = {"J10": 1_200, "J11": 1_200, "J12": 1_200, "J23": 120_000, "J21": 120_000}
"""Collected at the door, accepted, refunded."""
SENT = {"J10": 1_000, "J11": 1_000, "J13": 1_000, "J23": 120_000, "J21": 120_000}
"""Sent by the consumer, who is paid the 10.00 of the table."""
LOST = ORDINARY | {"J30": 120_000, "J31": 120_000, "J34": 120_000, "J32": 120_000}


async def accepted(case: Case) -> Case:
    """Delivered, confirmed, closed as refunded."""
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.ended()).outcome == "refunded"
    return case


async def another_visit(case: Case, *before: str | None) -> str:
    """Until the next visit is waited for; its waybill."""
    status = await case.until(
        lambda s: s.waybill not in {None, *before} and s.waiting is not None and s.waiting.code == "pickup",
        "another visit",
    )
    assert status.waybill is not None
    return status.waybill


async def pickup_of(world: World, waybill: str) -> PickupRow:
    """Our own row of a visit."""
    async with world.store.read() as session:
        row = (await session.exec(select(WaybillRow).where(WaybillRow.waybill == waybill))).one()
        return await pickups.need(session, row.pickup_id or "")


async def sent(world: World, case: Case, proven: int = 1_500) -> ProvideWaybill:
    """The consumer posted the parcel."""
    waybill = ProvideWaybill(waybill=f"SF{case.request.rma_id}", proven_freight=cny(proven))
    await world.parcel(case, waybill.waybill)
    return waybill


async def travels(case: Case, parcel: ProvideWaybill) -> Case:
    """The parcel is seen, arrives and is accepted."""
    await case.waits_for("first_trace")
    await case.track("in_transit", waybill=parcel.waybill)
    return await accepted(case)


# ---- X3: the consumer sends ------------------------------------------------------------------------------------------


@scenario("X3", timer="timers.self_ship")
async def no_waybill_in_seven_days(world: World) -> Case:
    """Told at once; 7 days after that the case expires, nothing is paid, and the goods may be returned anew."""
    order = await world.import_order(Plan(method=Method.SELF_SHIP, signed_days_ago=0))
    case = await world.open(Plan(method=Method.SELF_SHIP), order)
    waiting = await case.asked("waybill")
    assert await told(case) == [(f"consumer:{order.consumer.consumer_ref}", "waybill_needed")]
    assert waiting.told is not None and waiting.due == waiting.told + timedelta(days=7)
    await world.until(waiting.due - MINUTE)
    assert (await case.status()).regions["authorization"] == "authorized"
    await world.until(waiting.due + MINUTE)
    outcome = await case.ended()
    assert (outcome.outcome, await case.entries()) == ("expired", [])
    again = await world.open(Plan(method=Method.SELF_SHIP), order)
    assert again.first.outcome == "authorized"
    return case


@scenario("X3", timer="timers.self_ship")
async def waybill_a_minute_before_the_end(world: World) -> Case:
    """A minute before the seven days are over the waybill still counts."""
    case = await world.open(Plan(method=Method.SELF_SHIP, tier=0))
    waiting = await case.asked("waybill")
    parcel = await sent(world, case)
    await world.until(waiting.due - MINUTE)
    await case.say("provide_waybill", parcel)
    await travels(case, parcel)
    assert templates(await case.entries()) == SENT
    return case


@scenario("X4", "X3", timer="pickup.slot_grace")
async def three_missed_visits_then_sent(world: World) -> Case:
    """Every silent visit is called off at the courier's; after the third the consumer is asked to send the parcel.
    The freight is claimed once, under the waybill that travelled."""
    case = await world.open(Plan(tier=0))
    seen: list[str] = []
    for _ in range(3):
        seen.append(await another_visit(case, *seen))
        status = await case.status()
        assert status.waiting is not None
        await world.until(status.waiting.due - MINUTE)
        assert (await case.status()).waybill == seen[-1]
        assert (await world.booking(seen[-1]))["state"] == "booked"
        await world.until(status.waiting.due + MINUTE)
    await case.asked("waybill")
    assert [(await world.booking(one))["state"] for one in seen] == ["cancelled"] * 3
    parcel = await sent(world, case)
    await case.say("provide_waybill", parcel)
    await travels(case, parcel)
    assert templates(await case.entries()) == SENT
    return case


# ---- X4: missed visits -----------------------------------------------------------------------------------------------


@scenario("X4", timer="pickup.slot_grace")
async def scan_a_minute_before_the_visit_counts_as_missed(world: World) -> Case:
    """The report comes a minute before slot end + 2 h: no other visit is booked."""
    case = await world.open(Plan(tier=0))
    status = await case.waits_for("pickup")
    assert status.waiting is not None
    await world.until(status.waiting.due - MINUTE)
    await case.pickup()
    assert (await case.waits_for("delivery")).waybill == status.waybill
    await accepted(case)
    assert templates(await case.entries()) == ORDINARY
    return case


@scenario("X4", timer="pickup.slot_grace")
async def silent_courier_has_the_goods(world: World) -> Case:
    """Nobody reported, and the void is refused: the scan counts, and no second courier is booked."""
    case = await world.open(Plan(tier=0))
    status = await case.waits_for("pickup")
    assert status.waiting is not None and status.waybill is not None
    await case.collect_outside()
    await world.until(status.waiting.due + MINUTE)
    status = await case.waits_for("delivery")
    assert (await world.booking(status.waybill))["state"] == "collected"
    await accepted(case)
    assert templates(await case.entries()) == ORDINARY
    return case


@scenario("X4", "X25")
async def late_scan_of_an_earlier_visit(world: World) -> Case:
    """A visit reported as missed had the goods: the freight is its own, and the visit that stands is called off."""
    case = await world.open(Plan(tier=0))
    first = await another_visit(case)
    await case.pickup(PickupOutcome.MISSED)
    second = await another_visit(case, first)
    await case.pickup(waybill=first)
    assert (await case.waits_for("delivery")).waybill == first
    assert (await world.booking(second))["state"] == "cancelled"
    rows = [await pickup_of(world, one) for one in (first, second)]
    assert [(row.state, row.freight_minor) for row in rows] == [("collected", 1_200), ("voided", None)]
    await accepted(case)
    assert templates(await case.entries()) == ORDINARY
    return case


@scenario("X4")
async def carried_on_past_a_visit_that_was_called_off(world: World) -> Case:
    """A case whose history was lost starts anew: the visit that it had called off is not waited for, the next is."""
    case = await world.open(Plan(tier=0, auto=False, reason=Reason.QUALITY))
    await case.waits_for("merchant_review")
    key, now = f"{case.request.merchant_id}/{case.request.rma_id}", await case.now()
    before = pickups.Visit(key, 1, case.request.order_id, "addr", "default", now, now + MINUTE, "sandbox", ())
    async with world.store.transaction() as session:
        joined = await pickups.join_or_create(session, before, now)
        await pickups.leave(session, joined.pickup.pickup_id, key)
        await pickups.voided(session, joined.pickup.pickup_id)
    await case.say("authorize", Authorize())
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.ended()).outcome == "refunded"
    assert any("pickup 2 booked" in event.what for event in (await case.status()).events)
    return case


# ---- X5: nobody at the door ------------------------------------------------------------------------------------------


@scenario("X5")
async def nobody_at_home_twice(world: World) -> Case:
    """The second attempt in vain expires the case; the first one is booked again."""
    case = await world.open()
    first = await another_visit(case)
    await case.pickup(PickupOutcome.NO_SHOW)
    second = await another_visit(case, first)
    assert (await case.status()).regions["authorization"] == "authorized"
    await case.pickup(PickupOutcome.NO_SHOW)
    outcome = await case.ended()
    assert (outcome.outcome, second != first, await case.entries()) == ("expired", True, [])
    return case


@scenario("X5", timer="pickup.no_show_total")
async def nobody_at_home_after_seven_days(world: World) -> Case:
    """A first attempt in vain after seven days in all ends the case."""
    case = await world.open(Plan(slot_in=timedelta(days=7, hours=-1)))
    opened = await world.now()
    await case.waits_for("pickup")
    await world.until(opened + timedelta(days=7, minutes=1))
    await case.pickup(PickupOutcome.NO_SHOW)
    assert (await case.ended()).outcome == "expired"
    return case


@scenario("X5", timer="pickup.no_show_total")
async def somebody_at_home_the_second_time(world: World) -> Case:
    """A first attempt in vain just before the seven days are over is made again, and answered."""
    case = await world.open(Plan(slot_in=timedelta(days=7, hours=-1), tier=0))
    opened = await world.now()
    first = await another_visit(case)
    await world.until(opened + timedelta(days=7, minutes=-1))
    await case.pickup(PickupOutcome.NO_SHOW)
    await another_visit(case, first)
    await case.pickup()
    await accepted(case)
    assert templates(await case.entries()) == ORDINARY
    return case


# ---- X6: the courier refuses -----------------------------------------------------------------------------------------


@scenario("X6")
async def refused_as_unpacked(world: World) -> Case:
    """The next visit brings packaging; unpacked in spite of it, a human decides, and the consumer sends the parcel."""
    case = await world.open(Plan(tier=0))
    first = await another_visit(case)
    await case.pickup(PickupOutcome.REJECTED, reason="unpacked")
    second = await another_visit(case, first)
    rows = [await pickup_of(world, one) for one in (first, second)]
    assert [row.packaging for row in rows] == [False, True]
    await case.pickup(PickupOutcome.REJECTED, reason="unpacked")
    status = await case.parks("courier_refused")
    assert status.attention is not None and "unpacked" in status.attention.headline
    await case.say("retry_step", RetryStep())
    await case.asked("waybill")
    parcel = await sent(world, case)
    await case.say("provide_waybill", parcel)
    await travels(case, parcel)
    assert templates(await case.entries()) == SENT
    return case


@scenario("X6")
async def refused_as_unsafe(world: World) -> Case:
    """No other courier is asked: the consumer is told to send the parcel."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    await case.pickup(PickupOutcome.REJECTED, reason="unsafe")
    await case.asked("waybill")
    assert [about for _, about in await told(case)] == ["waybill_needed"]
    parcel = await sent(world, case)
    await case.say("provide_waybill", parcel)
    await travels(case, parcel)
    assert templates(await case.entries()) == SENT
    return case


@scenario("X6")
async def refused_as_prohibited(world: World) -> Case:
    """A human decides; here the case is closed, and nothing was paid."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup(PickupOutcome.REJECTED, reason="prohibited")
    status = await case.parks("courier_refused")
    assert status.attention is not None
    assert status.attention.headline == "the courier refuses: prohibited" and status.attention.runbook
    await case.say("close_case", CloseCase(reason="lithium batteries"))
    outcome = await case.ended()
    assert (outcome.outcome, await case.entries()) == ("closed_by_operator", [])
    return case


# ---- X9: lost, found, brought back -----------------------------------------------------------------------------------


@scenario("X9", timer="timers.trace")
async def trace_finds_the_delivery(world: World) -> Case:
    """72 h without a movement the courier is asked, and its own log knows of the delivery."""
    case = await world.open(Plan(tier=0))
    due = await unheard_of(case)
    await world.until(due - MINUTE)
    assert (await case.waits_for("delivery")).regions["logistics"] == "picked_up"
    await world.until(due + MINUTE)
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.ended()).outcome == "refunded"
    assert templates(await case.entries()) == ORDINARY
    return case


@scenario("X9")
async def confirmed_before_the_courier_told(world: World) -> Case:
    """The news of the delivery is lost, and the merchant confirms: the courier is asked at once, and the refund leaves
    without waiting for the 72 h."""
    case = await world.open(Plan(tier=0))
    due = await unheard_of(case)
    assert (await case.say("confirm_receipt", ConfirmReceipt())).note == ""
    assert (await case.ended()).outcome == "refunded"
    assert await case.now() < due - timedelta(days=1)
    assert templates(await case.entries()) == ORDINARY
    return case


@scenario("X9")
async def spoken_of_before_it_is_there(world: World) -> Case:
    """What the merchant says of goods that nobody has collected, or that by the courier's word are on their way, is
    refused and not kept. Delivered, it is heard."""
    case = await world.open(Plan(tier=0))
    match = f"{case.request.merchant_id}/{case.request.rma_id}"
    visit, move = {"after_ms": 0, "outcome": "picked_up", "hold": True}, {"after_ms": 0, "status": "in_transit"}
    await world.outside.script("courier", match, visits=[visit], tracking=[move])
    await case.waits_for("pickup")
    await refused(case, "confirm_receipt", ConfirmReceipt(), "not_delivered")
    await case.collect_outside(until="in_transit")
    await case.pickup()
    await case.waits_for("delivery")
    await refused(case, "confirm_receipt", ConfirmReceipt(), "not_delivered")
    await refused(case, "report_receipt_issue", objection(at_receipt()), "not_delivered")
    assert (await case.status()).regions["logistics"] == "in_transit"  # as the courier said
    await accepted(case)
    assert templates(await case.entries()) == ORDINARY
    return case


@scenario("X9", timer=("timers.trace", "timers.lost"))
async def lost_after_seven_days(world: World) -> Case:
    """A minute before the seven days nothing has happened; after them the consumer is refunded, RDV pays the merchant
    the total loss, and the carrier is to pay it back."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    scanned = await case.now()
    await case.pickup(at=scanned)
    await case.waits_for("delivery")
    await world.until(scanned + timedelta(days=7) - MINUTE)
    status = await case.waits_for("delivery")
    assert (status.regions["logistics"], status.money.refunded) == ("picked_up", cny(0))
    await world.until(scanned + timedelta(days=7, seconds=1))
    outcome = await case.ended()
    assert outcome.regions["logistics"] == "lost" and outcome.recovery is not None
    totals = templates(await case.entries())  # the recovery posts beside the case from now on
    assert {number: totals[number] for number in LOST} == LOST and "J20" not in totals
    return case


@scenario("X9", timer="timers.lost")
async def found_in_time(world: World) -> Case:
    """Six days of silence, then the parcel is found: the clock starts anew, and the return ends as any other."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    scanned = await case.now()
    await case.pickup(at=scanned)
    await case.waits_for("delivery")
    await world.until(scanned + timedelta(days=6))
    await case.track("found")
    await world.until(scanned + timedelta(days=12))
    assert (await case.status()).regions["logistics"] == "picked_up"
    await accepted(case)
    assert templates(await case.entries()) == ORDINARY
    return case


@scenario("X9")
async def brought_back_to_the_consumer(world: World) -> Case:
    """The courier brings the goods back: nothing is refunded, the freight is paid, and they may be returned anew."""
    order = await world.import_order(Plan(tier=0))
    case = await world.open(Plan(tier=0), order)
    await case.waits_for("pickup")
    await case.pickup()
    await case.waits_for("delivery")
    await case.track("returned")
    outcome = await case.ended()
    assert (outcome.outcome, outcome.regions["logistics"]) == ("expired", "returned_to_consumer")
    assert templates(await case.entries()) == {"J10": 1_200, "J11": 1_200, "J12": 1_200}
    assert (await world.open(Plan(tier=0), order)).first.outcome == "authorized"
    return case


@scenario("X9", "X26")
async def brought_back_after_lightning(world: World) -> Case:
    """The consumer has goods and money: all of the refund is their debt (J50), nothing is charged to the merchant, and
    the credit line is frozen."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup()
    await case.until(lambda s: s.regions["refund"] == "succeeded", "lightning")
    await case.track("returned")
    outcome = await case.ended()
    assert (outcome.refunded, outcome.regions["logistics"]) == (cny(120_000), "returned_to_consumer")
    totals = templates(await case.entries())
    assert totals == {"J20": 120_000, "J21": 120_000, "J50": 120_000, "J10": 1_200, "J11": 1_200, "J12": 1_200}
    async with world.store.read() as session:
        consumer = (await session.exec(select(ConsumerRow))).one()
    assert consumer.frozen
    return case


@scenario("X8", "X9")
async def brought_back_after_an_undisputed_part(world: World) -> Case:
    """840.00 of 1200.00 left before the ruling; then the courier brings the goods back: the merchant is charged
    nothing, and the consumer, who has goods and money, owes 840.00 (J50)."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30, says="disputes")])
    await case.until(lambda s: s.money.refunded == cny(84_000), "what is not disputed")
    await case.parks("ruling_needed")
    ruling = await world.rule(case, "liability", "merchant")
    await case.say("apply_ruling", ApplyRuling(ruling_id=ruling))
    await case.waits_for("delivery")
    await case.track("returned")
    outcome = await case.ended()
    assert (outcome.refunded, outcome.regions["logistics"]) == (cny(84_000), "returned_to_consumer")
    assert outcome.recovery is not None
    assert await case.posted("J50") == {"P1110": 84_000, "P1130": -84_000}
    totals = templates(await case.entries())
    assert (totals["J20"], totals["J21"], totals["J50"]) == (84_000, 84_000, 84_000)
    assert "J22" not in totals
    return case


# ---- X11: the merchant's silence -------------------------------------------------------------------------------------


@scenario("X6", "X25")
async def refused_and_taken_after_all(world: World) -> Case:
    """The courier refuses, a human is asked, and the courier's scan comes in: the close is told too late, and the goods
    are followed to their end."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    await case.pickup(PickupOutcome.REJECTED, reason="prohibited")
    await case.parks("courier_refused")
    await case.pickup()
    await case.say("close_case", CloseCase(reason="lithium batteries"))
    await case.waits_for("delivery")
    assert any("not closed: the courier has the goods" in event.what for event in (await case.status()).events)
    await accepted(case)
    assert templates(await case.entries()) == ORDINARY
    return case


@scenario("X11", timer="timers.receipt_silence")
async def confirmed_a_minute_before_the_end(world: World) -> Case:
    """A minute before the ten days are over the merchant's own word still counts."""
    case = await world.open(Plan(tier=0))
    await to_the_merchant(case)
    waiting = (await case.waits_for("receipt")).waiting
    assert waiting is not None
    await world.until(waiting.due - MINUTE)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.ended()).outcome == "refunded"
    events = [event.what for event in (await case.status()).events]
    assert "receipt confirmed" in events and "accepted by silence" not in events
    assert templates(await case.entries()) == ORDINARY
    return case


@scenario("X11", timer="timers.receipt_silence")
async def silence_accepts_after_ten_days(world: World) -> Case:
    """The merchant is told after a day's silence, once. A minute before the ten days from the delivery nothing has
    happened; after them the refund leaves."""
    case = await world.open(Plan(tier=0))
    await to_the_merchant(case)
    waiting = (await case.waits_for("receipt")).waiting
    assert waiting is not None
    merchant, subject = case.request.merchant_id, f"{case.request.merchant_id}/{case.request.rma_id}"
    await world.until(waiting.due - timedelta(days=9) - MINUTE)
    assert (f"merchant:{merchant}", "goods_delivered") not in await world.outside.told(subject)
    await world.until(waiting.due - timedelta(days=9) + MINUTE)
    await case.until_told(f"merchant:{merchant}", "goods_delivered")
    await world.until(waiting.due - MINUTE)
    assert (await case.waits_for("receipt")).money.refunded == cny(0)
    await world.until(waiting.due + MINUTE)
    outcome = await case.ended()
    assert (outcome.outcome, templates(await case.entries())) == ("refunded", ORDINARY)
    assert [about for _, about in await world.outside.told(subject)].count("goods_delivered") == 1
    return case


# ---- X23 to X25: cancels ---------------------------------------------------------------------------------------------


@scenario("X23")
async def cancelled_before_the_scan(world: World) -> Case:
    """The visit is cancelled at the courier's before the case is withdrawn; the units are free again."""
    order = await world.import_order(Plan())
    case = await world.open(Plan(), order)
    waybill = await another_visit(case)
    await case.say("withdraw", Withdraw())
    outcome = await case.ended()
    assert (outcome.outcome, await case.entries()) == ("withdrawn", [])
    assert (await world.booking(waybill))["state"] == "cancelled"
    assert (await world.open(Plan(), order)).first.outcome == "authorized"
    return case


@scenario("X23")
async def scanned_after_the_close(world: World) -> Case:
    """Withdrawn, called off, closed: then the courier scans the goods after all. Nothing is refunded by itself: a
    correction shows it to a human, once however often it is reported, and one button ends it; the visit is paid."""
    case = await world.open(Plan(tier=0))
    waybill = await another_visit(case)
    await case.say("withdraw", Withdraw())
    outcome = await case.ended()
    assert outcome.outcome == "withdrawn"
    scan = PickupReport(
        event_id="scan-1",
        outcome=PickupOutcome.PICKED_UP,
        waybill=waybill,
        occurred_at=await case.now(),
        collected=("L1",),
    )
    found = correction_of(case.id, "not_required", scan)
    assert found is not None
    for _ in range(2):
        row = await correct(world.store, world.backhaul, case.id.key, *found, await case.now())
        assert row.n == 1
    status = await world.asked(
        lambda: world.backhaul.correction(case.id, 1), lambda s: s.attention is not None, "shown to a human"
    )
    assert (status.kind, status.attention.reason, waybill in status.attention.headline) == (
        "late_scan",
        "late_scan",
        True,
    )
    await world.backhaul.report_correction(case.id, 1, "retry_step", RetryStep())
    ended = await world.env.client.get_workflow_handle(row.workflow_id, result_type=CorrectionOutcome).result()
    assert (ended.outcome, outcome.refunded) == ("dealt_with", cny(0))
    assert templates(await case.entries()) == {"J14": 1_200, "J15": 1_200}  # the courier was there
    return case


async def corrected(case: Case, kind: str) -> CorrectionOutcome:
    """What the case's one correction came to, which the case started itself."""
    async with case.world.store.read() as session:
        (row,) = await corrections.of_case(session, case.id.key)
    assert row.kind == kind
    if kind == "late_scan":
        backhaul = case.world.backhaul
        await case.world.asked(
            lambda: backhaul.correction(case.id, 1), lambda s: s.attention is not None, "shown to a human"
        )
        await backhaul.report_correction(case.id, 1, "retry_step", RetryStep())
    handle = case.world.env.client.get_workflow_handle(row.workflow_id, result_type=CorrectionOutcome)
    outcome: CorrectionOutcome = await handle.result()
    return outcome


@scenario("X23")
async def scanned_during_the_close(world: World) -> Case:
    """Withdrawn and called off, but the close waits for books that do not add up; the courier's scan, and what follows
    it, are taken in meanwhile. Closed, the case starts one correction for them, as if they had come after it."""
    case = await world.open(Plan(tier=0))
    await another_visit(case)
    async with books_that_do_not_add_up(world, case.request):
        await case.say("withdraw", Withdraw())
        await case.parks("invariant_broken")
        assert (await case.pickup()).recorded and (await case.track("in_transit")).recorded
    await case.say("retry_step", RetryStep())
    assert (await case.ended()).outcome == "withdrawn"
    assert (await corrected(case, "late_scan")).outcome == "dealt_with"
    totals = templates(await case.entries())
    assert (totals["J14"], totals["J15"]) == (1_200, 1_200)
    return case


@scenario("X9", "X23")
async def found_during_the_close(world: World) -> Case:
    """Lost, refunded, indemnified, but the close waits for books that do not add up, and the parcel is found meanwhile.
    Closed, the case starts the correction that follows it to the merchant and takes the indemnity back."""
    case = await world.open(Plan(tier=0))
    async with books_that_do_not_add_up(world, case.request):
        await case.waits_for("pickup")
        await case.pickup()
        await case.waits_for("delivery")
        await case.track("lost")
        await case.parks("invariant_broken")
        assert (await case.track("found")).recorded
        waybill = (await case.status()).waybill or ""
    await case.say("retry_step", RetryStep())
    assert (await case.ended()).regions["logistics"] == "lost"
    here = TrackingReport(
        event_id="here", status=TrackingStatus.DELIVERED, waybill=waybill, occurred_at=await case.now()
    )
    assert await tell_movement(world.store, world.backhaul, case.id, here)
    await world.asked(
        lambda: world.backhaul.correction(case.id, 1),
        lambda s: s.waiting is not None and s.waiting.code == "receipt",
        "the merchant's word",
    )
    await world.backhaul.report_correction(case.id, 1, "confirm_receipt", ConfirmReceipt())
    assert (await corrected(case, "parcel_found")).outcome == "corrected"
    totals = templates(await case.entries())
    assert (totals["J23"], totals["J21"], totals["J34"], totals["J75b"]) == (120_000, 120_000, 120_000, 120_000)
    return case


@scenario("X24")
async def cancel_after_the_scan_is_refused(world: World) -> Case:
    """Refused with the reason, which is shown beside the action."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    await case.pickup()
    status = await case.waits_for("delivery")
    await refused(case, "withdraw", Withdraw(), "already_picked_up")
    (action,) = [one for one in status.actions if one.update == "withdraw"]
    assert (action.allowed, action.code) == (False, "already_picked_up") and action.why
    await accepted(case)
    assert templates(await case.entries()) == ORDINARY
    return case


@scenario("X25")
async def cancel_came_before_the_scan(world: World) -> Case:
    """Cancelled first, scanned before the courier knew: the goods are brought back, no lightning leaves, the freight is
    the insurer's; both times are shown."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.collect_outside()
    await case.say("withdraw", Withdraw())
    await case.until(lambda s: any("not void: scanned" in event.what for event in s.events), "the scan")
    scanned = await case.now() + timedelta(minutes=5)
    await case.pickup(at=scanned)
    outcome = await case.ended()
    assert (outcome.outcome, outcome.regions["logistics"]) == ("withdrawn", "returned_to_consumer")
    assert outcome.refunded == cny(0)
    assert templates(await case.entries()) == {"J10": 1_200, "J11": 1_200, "J12": 1_200}
    events = [event.what for event in (await case.status()).events]
    assert any(what.startswith(f"withdrawn: scanned at {scanned}, cancelled at") for what in events), events
    return case


@scenario("X25")
async def cancel_and_scan_at_once(world: World) -> Case:
    """Cancel and scan reach the case together, in whichever order: the scan happened earlier, the return goes on."""
    case = await world.open(Plan(tier=0))
    await case.waits_for("pickup")
    scanned = await case.now()
    await case.collect_outside()
    await asyncio.gather(case.say("withdraw", Withdraw()), case.pickup(at=scanned))
    await case.waits_for("delivery")
    events = [event.what for event in (await case.status()).events]
    assert any(what.startswith(f"not withdrawn: scanned at {scanned}, cancelled at") for what in events), events
    await accepted(case)
    assert templates(await case.entries()) == ORDINARY
    return case


# ---- an operator closes ----------------------------------------------------------------------------------------------


async def stuck_at_the_courier(world: World) -> tuple[Case, str]:
    """A silent visit, and a courier whose log cannot be read: parked, with the visit still standing."""
    case = await world.open(Plan(tier=0))
    status = await case.waits_for("pickup")
    assert status.waiting is not None and status.waybill is not None
    await world.outside.faults(
        "courier", {"match": "GET /v1/waybills/*", "kind": "unavailable_before", "probability": 1.0}
    )
    await world.until(status.waiting.due + MINUTE)
    for _ in range(30):
        if (await case.status()).attention is not None:
            break
        await world.env.sleep(timedelta(seconds=10))
    assert (await case.status()).attention is not None
    await world.outside.faults("courier")
    return case, status.waybill


@scenario("X4")
async def closed_with_a_visit_standing(world: World) -> Case:
    """An operator closes the case: no courier comes for it any more."""
    case, waybill = await stuck_at_the_courier(world)
    await case.say("close_case", CloseCase(reason="the consumer keeps it"))
    outcome = await case.ended()
    assert (outcome.outcome, await case.entries()) == ("closed_by_operator", [])
    assert (await world.booking(waybill))["state"] == "cancelled"
    return case


@scenario("X4", "X25")
async def closed_but_scanned(world: World) -> Case:
    """An operator closes the case, and the courier has the goods: it is followed to its end instead."""
    case, _ = await stuck_at_the_courier(world)
    await case.collect_outside()
    await case.say("close_case", CloseCase(reason="the consumer keeps it"))
    status = await case.until(lambda s: s.regions["logistics"] in {"picked_up", "in_transit", "delivered"}, "the scan")
    assert any("not closed: the courier has the goods" in event.what for event in status.events)
    if status.regions["logistics"] != "delivered":
        await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.ended()).outcome == "refunded"
    assert templates(await case.entries()) == ORDINARY
    return case


# ---- freight: shared, rebound, capped --------------------------------------------------------------------------------


@scenario
async def goods_of_one_case_stay_at_the_door(world: World) -> Case:
    """Two returns of one order share a visit; the goods of one stay at the door. It bears no freight of that visit,
    the other's parcel does not count for it, and it is visited again; each waybill has its own 12.00."""
    plan = Plan(lines=(("L1", 1, 40_000), ("L2", 1, 30_000)), tier=0)
    order = await world.import_order(plan)
    goes, stays = [await world.open(Plan(back=((line, 1),), tier=0), order) for line in ("L1", "L2")]
    first = await another_visit(goes)
    assert await another_visit(stays) == first
    taken = (f"{goes.request.merchant_id}/{goes.request.rma_id}/L1",)
    await goes.pickup(taken=taken)
    await goes.waits_for("delivery")
    await stays.nothing_taken(taken)
    second = await another_visit(stays, first)
    await stays.track("in_transit", waybill=first)  # a parcel's movements are told to every case that was on its visit
    await stays.track("delivered", waybill=first)
    assert (await stays.waits_for("pickup")).regions["logistics"] == "booked"
    await stays.pickup()
    for case in (goes, stays):
        await case.waits_for("delivery")
        await case.track("delivered")
        await case.waits_for("receipt")
        await case.say("confirm_receipt", ConfirmReceipt())
    assert [(await case.ended()).freight for case in (goes, stays)] == [cny(1_200), cny(1_200)]
    rows = [await pickup_of(world, one) for one in (first, second)]
    assert [row.freight_minor for row in rows] == [1_200, 1_200]
    return goes


@scenario
async def second_return_of_an_order_is_capped(world: World) -> Case:
    """Two returns of 4.5 kg each, 20.00 of freight each, 25.00 insured: the second has 5.00 left, and its merchant
    bears 15.00 by the reason (J14, J15)."""
    plan = Plan(lines=(("L1", 5, 50_000), ("L2", 5, 50_000)), tier=0, reason=Reason.WRONG_ITEM)
    order = await world.import_order(plan)
    cases = []
    for line in ("L1", "L2"):
        case = await world.open(Plan(back=((line, 5),), tier=0, reason=Reason.WRONG_ITEM), order)
        await case.waits_for("pickup")
        await case.pickup()
        await case.waits_for("delivery")
        cases.append(case)
    for case in cases:
        await case.track("delivered")
        await case.waits_for("receipt")
        await case.say("confirm_receipt", ConfirmReceipt())
    outcomes = [await case.ended() for case in cases]
    assert [outcome.freight for outcome in outcomes] == [cny(2_000), cny(2_000)]
    first, second = [templates(await case.entries()) for case in cases]
    refund = {"J23": 50_000, "J21": 50_000}
    assert first == refund | {"J10": 2_000, "J11": 2_000, "J12": 2_000}
    assert second == refund | {"J10": 500, "J11": 500, "J12": 500, "J14": 1_500, "J15": 1_500}
    return cases[1]


@scenario
async def second_return_sent_by_the_consumer_is_capped(world: World) -> Case:
    """The first pickup took 20.00 of 25.00; a second return is booked, given up by the courier and sent: the claim is
    bound to the parcel that travelled, and of the 10.00 of the table only 5.00 are left. The rest is the consumer's."""
    plan = Plan(lines=(("L1", 5, 50_000), ("L2", 1, 50_000)), tier=0)
    order = await world.import_order(plan)
    first = await world.open(Plan(back=(("L1", 5),), tier=0), order)
    await first.waits_for("pickup")
    await first.pickup()
    await first.waits_for("delivery")
    await first.track("delivered")
    await first.waits_for("receipt")
    await first.say("confirm_receipt", ConfirmReceipt())
    assert (await first.ended()).freight == cny(2_000)
    case = await world.open(Plan(back=(("L2", 1),), tier=0), order)
    booked = await another_visit(case)
    await case.pickup(PickupOutcome.REJECTED, reason="unsafe")
    await case.asked("waybill")
    parcel = await sent(world, case)
    await case.say("provide_waybill", parcel)
    await travels(case, parcel)
    assert templates(await case.entries()) == {"J10": 500, "J11": 500, "J13": 500, "J23": 50_000, "J21": 50_000}
    paid = await world.outside.whole_statement("insurer")
    assert [row.amount for row in paid if row.payee == f"consumer:{order.consumer.consumer_ref}"] == [cny(500)]
    assert (await pickup_of(world, booked)).freight_minor is None
    return case
