"""A denied finding: what nobody disputes leaves at once, the rest after the ruling; never more than was paid."""

from __future__ import annotations

import pytest

from activities.contract import RefundUndisputed, Undisputed
from backhaul.facts import Finding, Liable, LineFinding
from backhaul.ledger import CaseRef
from tests.steps.support import World, a_line, a_request, an_order, found, refused, yuan


async def undisputed(world: World, case: CaseRef, *findings: LineFinding) -> Undisputed:
    return await world.run(world.steps.refund_undisputed, RefundUndisputed(case=case, findings=findings))


async def disputed(world: World, *findings: LineFinding, **order: object) -> tuple[CaseRef, Undisputed]:
    await world.order(an_order(**order))  # type: ignore[arg-type]
    case = (await world.judge()).case
    await world.collect(case, *findings)
    part = await undisputed(world, case, *findings)
    assert await undisputed(world, case, *findings) == part  # a repeat posts nothing
    await world.refund(case, part.refunds)
    return case, part


async def test_the_undisputed_part_leaves_at_once(world: World) -> None:
    """1200.00, damage of 360.00 denied: 840.00 leaves; ruled for the consumer, the other 360.00 follows."""
    case, part = await disputed(world, found())
    assert (part.charged, part.disputed) == (yuan("840.00"), yuan("360.00"))
    assert [(one.amount, one.payment_key) for one in part.refunds] == [(yuan("840.00"), "m1:r1:undisputed.o1-p1:1")]
    assessed = await world.assess(case, found(), ruling=await world.rule(case, "merchant"))
    assert assessed.indemnity is None
    remedy = await world.settle(case)
    assert [(one.amount, one.payment_key) for one in remedy.refunds] == [(yuan("360.00"), "m1:r1:refund.o1-p1:1")]
    await world.refund(case, remedy.refunds)
    await world.end(case)
    charges = [[line.amount.minor for line in one.lines] for one in await world.entries("J23")]
    assert charges == [[79_800, 4_200, 84_000], [34_200, 1_800, 36_000]]


async def test_ruled_against_the_consumer_with_rdv(world: World) -> None:
    """The second J23 is of L, and all of it is withheld (J54): the merchant is charged 1200.00 and paid 360.00."""
    case, _ = await disputed(world, found())
    plan = (await world.assess(case, found(), ruling=await world.rule(case, "consumer"))).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    remedy = await world.settle(case)
    assert (remedy.liable, remedy.refunds, remedy.withheld) == (Liable.CONSUMER, (), yuan("360.00"))
    assert remedy.recovery is not None
    await world.remit(case, remedy.recovery.claim_ref, remedy.recovery.amount)
    await world.end(case)
    assert await world.templates() == ["J23", "J21", "J30", "J31", "J34", "J32", "J23", "J54", "J42"]
    books = await world.balances()
    assert (books["P1000"], books["P2000"], books["I5000"] + books["I5100"]) == (36_000, 36, 0)


async def test_ruled_against_the_consumer_without_rdv(world: World) -> None:
    """Refund and charge are both R - L, and that is what left already."""
    case, _ = await disputed(world, found(), rdv=None)
    await world.assess(case, found(), ruling=await world.rule(case, "consumer"))
    remedy = await world.settle(case)
    assert remedy.refunds == ()
    await world.end(case)
    assert await world.templates() == ["J23", "J21"]


@pytest.mark.parametrize(("rdv", "owed"), [("max", 24_000), (None, 0)])
async def test_ruled_for_more_than_was_disputed(world: World, rdv: str | None, owed: int) -> None:
    """600.00 ruled after 840.00 of 1200.00 left: with RDV 360.00 is withheld and 240.00 is owed (J53); without it what
    left stands, and the merchant bears it."""
    case, _ = await disputed(world, found(), rdv=rdv)
    ruling = await world.rule(case, "consumer", found(severity=50))
    plan = (await world.assess(case, found(), ruling=ruling)).indemnity
    if plan is not None:
        await world.indemnify(case, plan)
    remedy = await world.settle(case)
    assert remedy.refunds == ()
    assert remedy.withheld.minor == (36_000 if rdv else 0)
    if rdv:
        assert remedy.recovery is not None
        assert (remedy.recovery.amount, remedy.recovery.in_hand, remedy.recovery.withheld) == (
            yuan("600.00"),
            yuan("360.00"),
            False,
        )
    await world.end(case)
    assert (await world.balances()).get("P1110", 0) == owed


async def test_commission_and_thirds_do_not_drift(world: World) -> None:
    """100.00 for three, one missing and denied: 66.67 now, 33.33 later; commission 3.33 and 1.67, 5.00 in all."""
    await world.order(an_order(a_line(paid="100.00", quantity=3)))
    case = (await world.judge(a_request(lines={"l1": 3}))).case
    missing = found(Finding.MISSING, None)
    await world.collect(case, missing)
    part = await undisputed(world, case, missing)
    assert (part.charged, part.disputed) == (yuan("66.67"), yuan("33.33"))
    await world.refund(case, part.refunds)
    await world.assess(case, missing, ruling=await world.rule(case, "merchant"))
    remedy = await world.settle(case)
    await world.refund(case, remedy.refunds)
    await world.end(case)
    assert [one.lines[1].amount.minor for one in await world.entries("J23")] == [333, 167]


async def test_what_cannot_be_counted_disputes_the_whole_line(world: World) -> None:
    _, part = await disputed(world, found(Finding.UNVERIFIABLE, None))
    assert (part.refunds, part.charged, part.disputed) == ((), yuan("0.00"), yuan("1200.00"))


async def test_after_lightning_there_is_nothing_left_to_refund(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    await world.refund(case, (await world.collect(case)).refunds)
    part = await undisputed(world, case, found())
    assert (part.refunds, part.charged) == ((), yuan("0.00"))


async def test_a_settled_case_has_no_undisputed_part(world: World) -> None:
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case)
    await world.settle(case)
    assert await refused(undisputed(world, case, found())) == "already_decided"
