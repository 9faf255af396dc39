"""The end of a case: what is released, and which broken books keep it open."""

from __future__ import annotations

import pytest

from activities.contract import FormBatch, LateFacts, OpenCut, PageMerchants
from activities.settlement_steps import SettlementSteps
from backhaul.ledger import JournalEntry, goodwill_granted, lightning_granted, rdv_approved, rdv_reserved, reversal
from backhaul.messages import TrackingReport, TrackingStatus
from backhaul.policy.library import load_library
from store import cases, claims, credit, pickups
from tests.steps.support import AT, World, a_line, a_request, an_order, claim_of, found, refused, yuan


async def test_everything_held_is_released(world: World) -> None:
    """An expired case: units, credit, planned claims and the place on the visit are free again."""
    await world.order()
    case = (await world.judge()).case
    pickup_id = await world.book()
    async with world.store.transaction() as session:
        await credit.reserve(session, "m1/r1", "c1", yuan("10.00"), AT)
        await claims.plan(
            session,
            claim_of("r1", "freight", 1),
            "freight",
            "o1-rfi",
            "m1/r1",
            yuan("14.00"),
            "courier:x",
            at=AT,
        )
    await world.end(case, "expired")
    async with world.store.read() as session:
        row = await cases.need(session, "m1/r1")
        hold = await credit.hold(session, "m1/r1")
        claim = await claims.need(session, claim_of("r1", "freight", 1))
        members = await pickups.members(session, pickup_id)
    assert (row.stage, row.outcome, row.status and row.status["closed"]) == ("closed", "expired", True)
    assert hold is not None
    assert (hold.state, claim.state, members[0].state) == ("released", "denied", "left")
    assert (await world.judge(a_request("r2"))).outcome == "authorized"


async def test_facts_that_came_during_the_close_start_one_correction(world: World) -> None:
    """Of a parcel that two cases share only the scan says whose goods are in it; a parcel starts one correction."""
    await world.order(an_order(a_line(quantity=2)))
    case = (await world.judge()).case
    await world.judge(a_request("r2"))
    pickup_id = await world.book()
    await world.book("r2")
    await world.end(case, "withdrawn")
    scan = world.scan_of(case, pickup_id, collected=("l1",)).report
    moved = TrackingReport(
        event_id="moved", status=TrackingStatus.IN_TRANSIT, waybill=f"w-{pickup_id}", occurred_at=scan.occurred_at
    )
    late = LateFacts(case=case, logistics="not_required", trackings=(moved,), at=AT)
    assert (await world.run(world.steps.correct_late, late)).starts == ()
    late = late.model_copy(update={"pickups": (scan.model_copy(update={"waybill": moved.waybill}),)})
    opened = [await world.run(world.steps.correct_late, late) for _ in range(2)]
    assert opened[0] == opened[1]
    assert [(one.n, one.kind, one.event.waybill) for one in opened[0].starts] == [(1, "late_scan", moved.waybill)]


@pytest.mark.parametrize("number", ["7", "9", "8", "4"])
async def test_broken_books_keep_the_case_open(world: World, number: str) -> None:
    """Each plants the fault that its invariant is there for. Nothing is written."""
    await world.order()
    case = (await world.judge()).case
    planted: dict[str, tuple[JournalEntry | None, ...]] = {
        "7": (lightning_granted(case, yuan("1.00")),),
        "9": (goodwill_granted(case, yuan("1.00")),),
        "8": (rdv_reserved(case, yuan("1.00"), claim_ref=claim_of("r1", "loss", 1)),),
        "4": (
            rdv_reserved(case, yuan("1.00"), claim_ref=claim_of("r1", "loss", 1)),
            rdv_approved(case, yuan("1.00"), claim_ref=claim_of("r1", "loss", 1)),
        ),
    }
    async with world.store.transaction() as session:
        await claims.plan(session, claim_of("r1", "loss", 1), "loss", "o1-rdv", "m1/r1", yuan("1.00"), "m1", at=AT)
    await world.post(*planted[number])
    with pytest.raises(Exception, match=f"{number}: ") as failure:
        await world.end(case, "closed_by_operator")
    assert failure.value.details[0]["code"] == "invariant_broken"  # type: ignore[attr-defined]
    async with world.store.read() as session:
        assert (await cases.need(session, "m1/r1")).closed_at is None
        assert (await claims.need(session, claim_of("r1", "loss", 1))).state == "planned"


async def test_an_approval_that_was_taken_back_is_no_indemnity(world: World) -> None:
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case, found())
    plan = (await world.assess(case, found())).indemnity
    assert plan is not None
    await world.deny(case, plan)
    approved = rdv_approved(case, plan.amount, claim_ref=plan.claim_ref)
    assert approved is not None
    await world.post(approved, reversal(approved))
    await world.refund(case, (await world.settle(case)).refunds)
    await world.end(case)


async def test_a_refund_that_did_not_leave_keeps_the_case_open(world: World) -> None:
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case)
    remedy = await world.settle(case)
    assert await refused(world.end(case)) == "invariant_broken"
    await world.refund(case, remedy.refunds)
    await world.end(case)


async def test_goods_taken_back_at_the_door(world: World) -> None:
    """The freight was made and stays claimed; nothing is refunded, the units are the consumer's again."""
    await world.order()
    case = (await world.judge()).case
    scanned = await world.collect(case, found())
    assert scanned.freight is not None
    await world.claim_freight(case, scanned.freight)
    await world.end(case, "withdrawn")
    assert await world.templates() == ["J10", "J11", "J12"]


async def test_every_decision_can_be_explained_afterwards(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    await world.collect(case)
    await world.settle(case)
    async with world.store.read() as session:
        told = await cases.explanation(session, "m1/r1")
    assert [one.decision for one in told.decisions] == [
        "eligibility",
        "risk",
        "authorization",
        "may_decline",
        "freight_benefit",
        "lightning_gate",
        "liability",
        "remedy",
    ]


async def test_a_cut_pages_and_nets(world: World) -> None:
    """Sale, premium and the charge of the returned coat: nothing is left but the premium, which is a shortfall."""
    await world.order()
    case = (await world.judge()).case
    await world.collect(case)
    await world.settle(case)
    steps = SettlementSteps(world.store, load_library(), clock=lambda: AT)
    cut = await world.run(steps.open_cut, OpenCut(cut="c1", at=AT))
    assert cut.merchants == 1
    assert await world.run(steps.open_cut, OpenCut(cut="c1", at=AT)) == cut
    page = await world.run(steps.page_merchants, PageMerchants(cut="c1"))
    assert (page.merchants, page.next) == (("m1",), None)
    formed = await world.run(steps.form_batch, FormBatch(merchant_id="m1", cut="c1"))
    assert [(one.net.minor, one.payable) for one in formed.batches] == [(-36, False)]
    assert await world.run(steps.form_batch, FormBatch(merchant_id="m1", cut="c1")) == formed
    assert (await world.balances())["P2000"] == 0
    assert await refused(world.run(steps.page_merchants, PageMerchants(cut="c2"))) == "not_found"


async def test_lists_show_where_a_case_is(world: World) -> None:
    """The read model moves with the steps' own transactions."""
    await world.order(an_order(tier=0))
    shown = []

    async def look() -> None:
        async with world.store.read() as session:
            row = await cases.need(session, "m1/r1")
        shown.append((row.stage, row.waiting_on))

    case = (await world.judge()).case
    await look()
    await world.collect(case)
    await look()
    remedy = await world.settle(case)
    await look()
    await world.refund(case, remedy.refunds)
    await world.end(case)
    await look()
    assert shown == [("pickup", "courier"), ("transit", "courier"), ("refunding", "psp"), ("closed", None)]


@pytest.mark.parametrize("number", ["8", "13"])
async def test_an_advance_that_nobody_allowed_keeps_the_case_open(world: World, number: str) -> None:
    """Planted: paid out without the insurer's approval; paid out without the second person."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case, found())
    plan = (await world.assess(case, found())).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    remedy = await world.settle(case)
    await world.refund(case, remedy.refunds)
    assert remedy.recovery is not None
    await world.remit(case, plan.claim_ref, remedy.recovery.amount)
    async with world.store.transaction() as session:
        row = await claims.need(session, plan.claim_ref, lock=True)
        if number == "8":
            row.approved_minor = row.paid_minor = 1
        else:
            row.second_person = True
        session.add(row)
    with pytest.raises(Exception, match=f"{number}: "):
        await world.end(case)
