"""What is particular to each provider: answers that are no plain success, and what changes afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from backhaul.errors import Rejected
from backhaul.ids import CaseId
from backhaul.messages import ConsumerAtDoor, PickupReport, TrackingReport, TrackingStatus
from backhaul.money import Money
from gateways.ports import ClaimKind, DemandStanding, Standing
from gateways.registry import Endpoint, GatewaySettings, build
from gateways.webhooks import reports_for
from tests.gateways.outside import Outside
from tests.gateways.test_conformance import AMOUNT, booking, parcel

T = TypeVar("T")


async def until(ask: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> T:
    """Ask until the answer is good."""
    async with asyncio.timeout(60):
        while not good(answer := await ask()):
            await asyncio.sleep(0.02)
    return answer


# ---- payments -----------------------------------------------------------------------------------------------------


async def test_the_same_key_with_another_amount_is_a_conflict(world: Outside) -> None:
    await world.capture("pay.conflict")
    await world.gateways.payments.refund("conflict", "pay.conflict", AMOUNT, "c1")
    with pytest.raises(Rejected) as caught:
        await world.gateways.payments.refund("conflict", "pay.conflict", AMOUNT * 2, "c1")
    assert caught.value.code == "effect_conflict"
    assert [row.amount for row in await world.statement("psp", "conflict")] == [AMOUNT]


async def test_a_refund_above_the_capture_is_refused_and_never_happened(world: Outside) -> None:
    await world.capture("pay.small", minor=1000)
    with pytest.raises(Rejected) as caught:
        await world.gateways.payments.refund("above", "pay.small", AMOUNT, "c1")
    assert caught.value.code == "exceeds_capture"
    assert await world.gateways.payments.operation("above") is None


@pytest.mark.parametrize("code", ["account_abnormal", "channel_closed", "insufficient_balance"])
async def test_a_failed_refund_says_why(world: Outside, code: str) -> None:
    key = f"failed.{code}"
    await world.capture(f"pay.{key}")
    await world.script("psp", key, state="failed", code=code)
    state = await world.gateways.payments.refund(key, f"pay.{key}", AMOUNT, "c1")
    assert (state.standing, state.code) == (Standing.FAILED, code)
    found = await world.gateways.payments.operation(key)
    assert found is not None
    assert (found.standing, found.code) == (Standing.FAILED, code)
    assert await world.statement("psp", key) == []


async def test_a_pending_refund_is_found_by_its_key_when_it_is_done(world: Outside) -> None:
    await world.capture("pay.later")
    await world.script("psp", "refund.later", state="pending", then="succeeded", after_ms=100)
    state = await world.gateways.payments.refund("refund.later", "pay.later", AMOUNT, "c1")
    assert state.standing is Standing.PENDING
    psp = world.gateways.payments
    done = await until(
        lambda: psp.operation("refund.later"),
        lambda found: found is not None and found.standing is not Standing.PENDING,
    )
    assert done is not None
    assert (done.standing, done.amount, done.payee) == (Standing.SUCCEEDED, AMOUNT, "c1")
    assert len(await world.statement("psp", "refund.later")) == 1


# ---- insurer ------------------------------------------------------------------------------------------------------


async def test_a_claim_above_what_is_left_is_refused(world: Outside) -> None:
    await world.cover("cov.small", "o.small", "RFI", 1000)
    with pytest.raises(Rejected) as caught:
        await world.gateways.insurer.reserve("small", "claim.small", "cov.small", ClaimKind.FREIGHT, AMOUNT)
    assert caught.value.code == "over_indemnity"


@pytest.mark.parametrize(("decision", "standing"), [("approve", Standing.SUCCEEDED), ("deny", Standing.FAILED)])
async def test_a_decision_that_comes_later(world: Outside, decision: str, standing: Standing) -> None:
    ref = f"claim.later.{decision}"
    await world.cover(f"cov.{ref}", f"o.{ref}", "RDV", 100_000)
    code = {"code": "excluded"} if decision == "deny" else {}
    await world.script("insurer", ref, decision=decision, after_ms=100, **code)
    insurer = world.gateways.insurer
    reserved = await insurer.reserve(f"{ref}:r", ref, f"cov.{ref}", ClaimKind.LOSS, AMOUNT)
    assert reserved.standing is Standing.PENDING
    assert reserved.claim_no
    assert (await insurer.approve(f"{ref}:a", ref, AMOUNT)).standing is Standing.PENDING
    decided = await until(lambda: insurer.claim(ref), lambda claim: claim.standing is not Standing.PENDING)
    assert decided.standing is standing
    found = await insurer.operation(f"{ref}:a")
    assert found is not None
    assert found.standing is standing


async def test_nothing_is_paid_on_a_claim_that_is_not_approved(world: Outside) -> None:
    await world.cover("cov.early", "o.early", "RFI", 2500)
    insurer = world.gateways.insurer
    await insurer.reserve("early:r", "claim.early", "cov.early", ClaimKind.FREIGHT, AMOUNT)
    with pytest.raises(Rejected):
        await insurer.pay("early:p", "claim.early", AMOUNT, "courier:sandbox")
    assert await world.statement("insurer", "early:p") == []


# ---- courier ------------------------------------------------------------------------------------------------------


async def test_the_last_item_out_cancels_and_the_next_one_finds_it_cancelled(world: Outside) -> None:
    courier = world.gateways.courier("sandbox")
    await world.script("courier", "m1/out*", hold=True)
    booked = await courier.book("out", booking(parcel("m1/out1"), parcel("m1/out2")))
    first = await courier.remove_parcels("out:1", booked.booking_id, ("m1/out1/l1",))
    assert (first.voided, first.booking_cancelled) == (True, False)
    last = await courier.remove_parcels("out:2", booked.booking_id, ("m1/out2/l1",))
    assert (last.voided, last.booking_cancelled) == (True, True)
    assert (await courier.remove_parcels("out:3", booked.booking_id, ("m1/out2/l1",))).voided
    assert (await courier.cancel("out:4", booked.booking_id)).voided
    assert (await courier.booking(booked.booking_id)).cancelled


async def test_the_door_then_the_way_then_a_cancel_that_comes_too_late(world: Outside) -> None:
    finding = {"finding": "damage", "severity": 30, "quantity": 1, "consumer": "disputes"}
    visit = {"after_ms": 0, "outcome": "picked_up", "inspection": {"l1": finding}}
    await world.script("courier", "m1/door", visits=[visit], tracking=[{"after_ms": 0, "status": "delivered"}])
    await world.script("courier", "m1/other", visits=[{"after_ms": 0}])
    courier = world.gateways.courier("sandbox")
    booked = await courier.book("door", booking(parcel("m1/door"), parcel("m1/door", "l2"), parcel("m1/other")))
    events = await until(lambda: courier.events(booked.waybill), lambda found: len(found) == 2)

    one, other = CaseId("m1", "door"), CaseId("m1", "other")
    at_the_door = reports_for(events[0], [one, other])
    mine, theirs = at_the_door[one], at_the_door[other]
    assert isinstance(mine, PickupReport)
    assert isinstance(theirs, PickupReport)
    assert set(mine.collected) == {"l1", "l2"}
    assert [(f.line_id, f.severity, f.consumer) for f in mine.findings] == [("l1", 30, ConsumerAtDoor.DISPUTES)]
    assert len(mine.findings[0].photos) == 1
    assert (theirs.collected, theirs.findings) == (("l1",), ())
    way = reports_for(events[1], [one])[one]
    assert isinstance(way, TrackingReport)
    assert way.status is TrackingStatus.DELIVERED

    late = await courier.cancel("door:cancel", booked.booking_id)
    assert (late.voided, late.at) == (False, events[0].occurred_at)
    assert not (await courier.remove_parcels("door:remove", booked.booking_id, ("m1/door/l1",))).voided
    with pytest.raises(Rejected) as caught:
        await courier.add_parcels("door:add", booked.booking_id, (parcel("m1/door", "l3"),))
    assert caught.value.code == "already_collected"
    invoice = await courier.invoice(booked.waybill)
    assert invoice is not None
    assert (invoice.chargeable_g, invoice.amount) == (4500, Money(minor=2000))
    assert [row.kind for row in await world.statement("courier", booked.waybill)] == ["freight_invoice"]


async def test_a_refused_slot_is_rejected_with_the_courier_s_code_in_the_text(world: Outside) -> None:
    await world.script("courier", "m1/refused", refuse=["slot_unavailable"])
    with pytest.raises(Rejected, match="slot_unavailable") as caught:
        await world.gateways.courier("sandbox").book("refused", booking(parcel("m1/refused")))
    assert caught.value.code == "provider_rejected"


@pytest.mark.parametrize(
    ("answer", "standing"), [("accept", DemandStanding.PAID), ("contest", DemandStanding.CONTESTED)]
)
async def test_a_demand(world: Outside, answer: str, standing: DemandStanding) -> None:
    case, ref = f"m1/demand.{answer}", f"claim.demand.{answer}"
    demand = {"answer": answer, "after_ms": 0, "pay_after_ms": 0}
    await world.script("courier", case, visits=[{"after_ms": 0}], tracking=[], demand=demand)
    courier = world.gateways.courier("sandbox")
    request = booking(parcel(case)).model_copy(update={"declared": Money(minor=100_000)})
    booked = await courier.book(ref, request)
    await until(lambda: courier.events(booked.waybill), lambda found: len(found) > 0)
    await courier.demand(f"{ref}:demand", ref, booked.waybill, AMOUNT, "damage")
    state = await until(lambda: courier.demand_answer(ref), lambda found: found.standing is standing)
    assert state.accepted == (AMOUNT if standing is DemandStanding.PAID else None)
    assert len(await world.statement("courier", ref)) == (standing is DemandStanding.PAID)


# ---- registry -----------------------------------------------------------------------------------------------------


async def test_an_adapter_or_courier_that_does_not_exist(world: Outside) -> None:
    end = Endpoint("http://127.0.0.1:1", "secret")
    with pytest.raises(ValueError, match="pigeon"):
        build(GatewaySettings({"a": Endpoint(end.url, end.token, adapter="pigeon")}, end, end, end))
    with pytest.raises(Rejected):
        world.gateways.courier("pigeon")
    assert "secret" not in repr(end)
