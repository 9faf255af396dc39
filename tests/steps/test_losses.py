"""Findings at the door and at the receipt, loss on the way, and what each party is left with."""

from __future__ import annotations

import pytest

from activities.contract import IndemnityPlan, Remedy
from backhaul.facts import Finding, Liable, LineFinding
from backhaul.ledger import CaseRef
from tests.steps.support import World, a_line, a_request, an_order, at_receipt, found, yuan

MISMATCH = found(Finding.MISMATCH, None)


async def damaged_at_door(world: World, *findings: LineFinding, tier: int = 3) -> tuple[CaseRef, IndemnityPlan | None]:
    case = (await world.judge()).case
    await world.collect(case, *findings)
    plan = (await world.assess(case, *findings)).indemnity
    if plan is not None:
        await world.indemnify(case, plan)
    return case, plan


async def pay_out(world: World, case: CaseRef, remedy: Remedy) -> dict[str, int]:
    """Carry out what the settlement says, close, and read the books."""
    if remedy.indemnity is not None:
        await world.indemnify(case, remedy.indemnity)
    await world.refund(case, remedy.refunds)
    if remedy.recovery is not None and remedy.recovery.withheld:
        await world.remit(case, remedy.recovery.claim_ref, remedy.recovery.amount)
    await world.end(case)
    return await world.balances()


@pytest.mark.parametrize("severity", [10, 30, 50, 80, 100])
async def test_damage_at_the_door(world: World, severity: int) -> None:
    """Whatever the damage: what is withheld is what is indemnified, and the insurer has nothing left to bear."""
    await world.order()
    case, plan = await damaged_at_door(world, found(severity=severity))
    loss = 1_200 * severity
    assert plan is not None
    assert plan.amount.minor == loss
    remedy = await world.settle(case)
    assert sum(part.amount.minor for part in remedy.refunds) == 120_000 - loss
    assert remedy.withheld.minor == loss
    books = await pay_out(world, case, remedy)
    assert books["P1000"] == loss
    assert books["I5000"] + books["I5100"] == 0
    assert books["P2000"] == 36


async def test_another_item_in_the_parcel(world: World) -> None:
    await world.order()
    case, plan = await damaged_at_door(world, MISMATCH)
    assert plan is not None
    assert plan.amount == yuan("1200.00")
    remedy = await world.settle(case)
    assert (remedy.refunds, remedy.withheld) == ((), yuan("1200.00"))
    books = await pay_out(world, case, remedy)
    assert books["P1000"] == 120_000


async def test_a_missing_unit(world: World) -> None:
    await world.order(an_order(a_line(paid="100.00", quantity=3)))
    case = (await world.judge(a_request(lines={"l1": 3}))).case
    missing = found(Finding.MISSING, None, quantity=1)
    await world.collect(case, missing)
    assessed = await world.assess(case, missing)
    assert assessed.loss == yuan("33.33")
    assert assessed.indemnity is not None
    await world.indemnify(case, assessed.indemnity)
    remedy = await world.settle(case)
    assert [part.amount for part in remedy.refunds] == [yuan("66.67")]
    await pay_out(world, case, remedy)


async def test_arrived_damaged_is_the_merchants(world: World) -> None:
    await world.order()
    case = (await world.judge(a_request(arrived_damaged=True))).case
    await world.collect(case, found())
    assessed = await world.assess(case, found())
    assert (assessed.liable, assessed.indemnity) == (Liable.MERCHANT, None)
    remedy = await world.settle(case)
    assert [part.amount for part in remedy.refunds] == [yuan("1200.00")]
    await pay_out(world, case, remedy)


async def test_unverifiable_is_denied_with_a_code(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    unclear = found(Finding.UNVERIFIABLE, None)
    await world.collect(case, unclear)
    assessed = await world.assess(case, unclear)
    assert assessed.indemnity is None
    assert "unverifiable" in assessed.reasons
    remedy = await world.settle(case)
    assert [part.amount for part in remedy.refunds] == [yuan("1200.00")]
    await pay_out(world, case, remedy)


# ---- without RDV ---------------------------------------------------------------------------------------------------


async def test_without_rdv_refund_and_charge_are_less_by_the_loss(world: World) -> None:
    await world.order(an_order(rdv=None))
    case, plan = await damaged_at_door(world, found())
    assert plan is None
    remedy = await world.settle(case)
    assert [part.amount for part in remedy.refunds] == [yuan("840.00")]
    charge = (await world.entries("J23"))[0]
    assert [line.amount.minor for line in charge.lines] == [79_800, 4_200, 84_000]
    assert (remedy.withheld, remedy.recovery) == (yuan("0.00"), None)
    await pay_out(world, case, remedy)


async def test_a_denied_claim_is_no_cover(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    await world.collect(case, found())
    plan = (await world.assess(case, found())).indemnity
    assert plan is not None
    await world.deny(case, plan)
    remedy = await world.settle(case)
    assert [part.amount for part in remedy.refunds] == [yuan("840.00")]
    assert "indemnity_denied" in remedy.reasons
    assert remedy.recovery is None
    await pay_out(world, case, remedy)


async def test_rdv_without_rfi_pays_nothing(world: World) -> None:
    await world.order(an_order(rfi=None))
    case = (await world.judge()).case
    scanned = await world.collect(case, found())
    assert scanned.freight is None
    assessed = await world.assess(case, found())
    assert assessed.indemnity is None
    assert "rfi_not_in_force" in assessed.reasons


# ---- at the receipt, and on the way --------------------------------------------------------------------------------


async def test_damage_at_the_receipt_is_the_carriers(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    scanned = await world.collect(case)
    await world.refund(case, scanned.refunds)
    remedy = await world.settle(case, "receipt_issue", at_receipt(found(severity=50)))
    assert (remedy.liable, remedy.loss, remedy.refunds) == (Liable.CARRIER, yuan("600.00"), ())
    assert remedy.indemnity is not None
    assert remedy.indemnity.amount == yuan("600.00")
    assert remedy.recovery is not None
    assert (remedy.recovery.liable, remedy.recovery.withheld) == (Liable.CARRIER, False)
    assert remedy.recovery.waybill is not None
    books = await pay_out(world, case, remedy)
    assert books["P1130"] == 0
    assert books["I5000"] == 60_000


async def test_lost_on_the_way(world: World) -> None:
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case)
    remedy = await world.settle(case, "lost")
    assert (remedy.liable, remedy.loss) == (Liable.CARRIER, yuan("1200.00"))
    assert [part.amount for part in remedy.refunds] == [yuan("1200.00")]
    assert remedy.indemnity is not None
    assert remedy.indemnity.amount == yuan("1200.00")
    await pay_out(world, case, remedy)
    assert await world.templates() == ["J23", "J30", "J31", "J34", "J32", "J21"]


async def test_above_the_authority_limit(world: World) -> None:
    await world.order(an_order(a_line(paid="5000.00"), limit="9000.00", upper_tier=True))
    case = (await world.judge()).case
    await world.collect(case)
    remedy = await world.settle(case, "lost")
    assert remedy.indemnity is not None
    assert remedy.indemnity.approval_needed


async def test_exactly_at_the_authority_limit(world: World) -> None:
    await world.order(an_order(a_line(paid="3000.00"), upper_tier=True))
    case = (await world.judge()).case
    await world.collect(case)
    remedy = await world.settle(case, "lost")
    assert remedy.indemnity is not None
    assert not remedy.indemnity.approval_needed


async def test_the_cover_pays_no_more_than_it_has(world: World) -> None:
    await world.order(an_order(rdv="500.00"))
    case, plan = await damaged_at_door(world, found(severity=80))
    assert plan is not None
    assert plan.amount == yuan("500.00")
    remedy = await world.settle(case)
    assert [part.amount for part in remedy.refunds] == [yuan("700.00")]
    assert remedy.withheld == yuan("500.00")
    await pay_out(world, case, remedy)
