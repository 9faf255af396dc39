"""A parcel that was lost, refunded and indemnified is there after all: what its arrival comes to, to the fen.

The coat is 1200.00, commission 5 %, and the cover's premium of the merchant 0.36."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import select

from activities.contract import RecoveryPlan
from backhaul.facts import Inspection, Liable, Party
from backhaul.ledger import CaseRef
from backhaul.messages import EvidenceRef
from store import claims, credit
from store.tables import EvidenceRow, OrderLineRow
from tests.steps.support import DELIVERED, World, a_line, an_order, at_receipt, found, yuan
from tests.steps.test_rerulings import consumer_pays, re_ruled, sound
from tests.steps.test_resettling import arrived, carrier_pays, carry_out, closed, insurer_bears_nothing, resettle

COAT, HALF = yuan("1200.00"), yuan("600.00")
SOLD = -114_000 + 36
"""What the merchant is owed for a sale that stands."""
OBJECTION = at_receipt(found(severity=50))
LATE = at_receipt(found(severity=50), after=timedelta(hours=48, seconds=1))


async def lost(
    world: World, tier: int, *, collected: bool = False, ended: bool = True, rdv: str | None = "max"
) -> CaseRef:
    """Scanned, lost, refunded, indemnified where there is a cover; and closed."""
    await world.order(an_order(tier=tier, rdv=rdv))
    case = (await world.judge()).case
    await world.refund(case, (await world.collect(case)).refunds)
    remedy = await world.settle(case, "lost")
    if ended:
        await closed(world, case, remedy)
    else:
        assert remedy.indemnity is not None
        await world.indemnify(case, remedy.indemnity)
        await world.refund(case, remedy.refunds)
    if collected:
        assert remedy.indemnity is not None
        await carrier_pays(world, case, remedy.indemnity.claim_ref, COAT)
    return case


def objected(case: CaseRef, receipt: Inspection = OBJECTION, **given: object) -> dict[str, object]:
    photo = EvidenceRef(ref="photo-1", sha256="0" * 64, by=Party.MERCHANT)
    said = {"receipt": receipt, "delivered_at": DELIVERED, "evidence": (photo,), **given}
    return arrived(case, "receipt_issue", **said)


async def refunded_on_the_line(world: World) -> int:
    async with world.store.read() as session:
        return (await session.exec(select(OrderLineRow.refunded_minor))).one()


async def in_part(world: World, rdv: str | None = None) -> tuple[CaseRef, RecoveryPlan]:
    """30 % at the door, then lost, ruled against the consumer, closed, and brought back to them; what they owe."""
    await world.order(an_order(tier=0, rdv=rdv))
    case = (await world.judge()).case
    await world.collect(case, found())
    assessed = await world.assess(case, found())
    if assessed.indemnity is not None:
        await world.indemnify(case, assessed.indemnity)
    await closed(world, case, await world.settle(case, "lost", ruling=await world.rule(case, "consumer")))
    said = await resettle(world, case, **arrived(case, "returned"))
    await carry_out(world, case, said)
    return case, said.recoveries[-1]


# ---- brought back to the consumer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", [0, 3])
@pytest.mark.parametrize("collected", [True, False])
@pytest.mark.parametrize("ended", [True, False], ids=["after the close", "before the close"])
async def test_brought_back_it_is_the_consumer_s_debt(world: World, tier: int, collected: bool, ended: bool) -> None:
    """The consumer has coat and money: they owe 1200.00, the merchant keeps the sale and gives the indemnity back."""
    case = await lost(world, tier, collected=collected and ended, ended=ended)
    said = await resettle(world, case, **arrived(case, "returned"))
    assert (said.liable, said.changed, said.refunds, said.indemnity) == (Liable.CONSUMER, True, (), None)
    assert [(one.to, one.amount) for one in said.back][-1] == ("insurer", COAT)
    assert [(one.liable, one.amount) for one in said.recoveries] == [(Liable.CONSUMER, COAT)]
    await carry_out(world, case, said)
    if not ended:
        await world.end(case)
    books = await insurer_bears_nothing(world)
    assert (books["P2000"], books["P4000"], books["P1000"]) == (SOLD + 120_000, -6_000, 0)
    assert books["P1110"] == 120_000
    assert await refunded_on_the_line(world) == 0
    await sound(world)
    again = await resettle(world, case, tag="correction.2", **arrived(case, "returned"))
    assert (again.changed, again.back, again.refunds, again.recoveries) == (False, (), (), ())


async def test_after_lightning_the_line_is_frozen_for_it(world: World) -> None:
    case = await lost(world, 3)
    await resettle(world, case, **arrived(case, "returned"))
    async with world.store.read() as session:
        row = await credit.hold(session, "m1/r1")
    assert row is not None
    assert (row.state, row.amount_minor) == ("frozen", 120_000)


@pytest.mark.parametrize("tier", [0, 3])
async def test_brought_back_of_a_little_is_written_off(world: World, tier: int) -> None:
    await world.order(an_order(a_line(paid="4.99"), tier=tier))
    case = (await world.judge()).case
    await world.refund(case, (await world.collect(case)).refunds)
    await closed(world, case, await world.settle(case, "lost"))
    said = await resettle(world, case, **arrived(case, "returned"))
    await carry_out(world, case, said)
    books = await world.balances()
    assert (said.recoveries, books["P1110"], books["P5020"], books["P1130"]) == ((), 0, 499, 0)


@pytest.mark.parametrize("tier", [0, 3])
async def test_brought_back_what_was_withheld_for_the_door_leaves_with_it(world: World, tier: int) -> None:
    """30 % at the door, then lost, ruled against the consumer: 840.00 refunded, 360.00 withheld. They get the coat:
    the withheld 360.00 is theirs, and they owe all of 1200.00."""
    await world.order(an_order(tier=tier))
    case = (await world.judge()).case
    await world.collect(case, found())
    assessed = await world.assess(case, found())
    assert assessed.indemnity is not None
    await world.indemnify(case, assessed.indemnity)
    remedy = await world.settle(case, "lost", ruling=await world.rule(case, "consumer"))
    assert remedy.withheld == yuan("360.00")
    await closed(world, case, remedy)
    said = await resettle(world, case, **arrived(case, "returned"))
    assert [one.amount for one in said.refunds] == [yuan("360.00")]
    await carry_out(world, case, said)
    books = await world.balances()
    assert (books["P1110"], books["P1130"], books["P2010"], books["P1000"]) == (120_000, 0, 0, 0)
    assert (books["P2000"], books["P4000"]) == (SOLD + 36_000, -6_000)
    await sound(world)


async def test_brought_back_without_a_cover_what_was_refunded_is_owed(world: World) -> None:
    """30 % at the door, then lost, ruled against the consumer, no cover: 840.00 refunded and charged. They get the
    coat, and owe that."""
    await world.order(an_order(tier=0, rdv=None))
    case = (await world.judge()).case
    await world.collect(case, found())
    await closed(world, case, await world.settle(case, "lost", ruling=await world.rule(case, "consumer")))
    said = await resettle(world, case, **arrived(case, "returned"))
    assert ([one.amount for one in said.recoveries], said.refunds) == ([yuan("840.00")], ())
    told = next(one for one in said.verdicts if one.decision == "remedy")
    assert (told.outcome, told.numbers["to_consumer"], told.numbers["demanded"]) == ("none", 84_000, 84_000)
    books = await world.balances()
    assert (books["P1110"], books["P1130"], books["P2010"], books["P2000"]) == (84_000, 0, 0, SOLD)
    await sound(world)


@pytest.mark.parametrize("paid", [False, True], ids=["owed", "paid"])
@pytest.mark.parametrize("outcome", ["merchant", "carrier", "insurer"])
async def test_brought_back_in_part_then_ruled_another_s_fault(world: World, outcome: str, paid: bool) -> None:
    """Without a cover 840.00 of 1200.00 had been refunded, and is owed since they have the coat again. Another reviewer
    rules that the fault is not theirs: all of it is charged to the merchant, and the 360.00 that never left leaves."""
    case, owed = await in_part(world)
    if paid:
        await consumer_pays(world, case, owed, owed.amount)
    said = await re_ruled(world, case, outcome)
    assert (said.changed, [one.amount for one in said.refunds], said.recoveries) == (True, [yuan("360.00")], ())
    assert [one.amount for one in said.repayments] == ([yuan("840.00")] if paid else [])
    books = await insurer_bears_nothing(world)
    assert (books["P1110"], books["P1130"], books["P2010"]) == (0, 0, 0)
    assert (books["P2000"], books["P4000"]) == (SOLD + 114_000, 0)
    assert await refunded_on_the_line(world) == 120_000
    await sound(world)


@pytest.mark.parametrize("paid", [False, True], ids=["owed", "paid"])
@pytest.mark.parametrize("severity", [10, 80])
async def test_brought_back_in_part_then_ruled_for_a_part(world: World, paid: bool, severity: int) -> None:
    """Whatever part of it is found to be the consumer's fault, they have the coat: nothing more is refunded, and what
    left stays owed."""
    case, owed = await in_part(world)
    if paid:
        await consumer_pays(world, case, owed, owed.amount)
    before = await world.balances()
    said = await re_ruled(world, case, "consumer", 2, found(severity=severity))
    assert (said.changed, said.refunds, said.repayments, said.indemnity) == (False, (), (), None)
    assert await world.balances() == before
    assert before["P1110"] == (0 if paid else 84_000)
    await sound(world)


@pytest.mark.parametrize("rdv", ["max", None])
async def test_brought_back_then_ruled_against_the_consumer_again_it_stays_owed(world: World, rdv: str | None) -> None:
    """They have the coat, whatever was found at the door: the ruling on the appeal changes nothing."""
    case, _ = await in_part(world, rdv)
    before = await world.balances()
    said = await re_ruled(world, case, "consumer")
    assert (said.liable, said.changed, said.refunds) == (Liable.CONSUMER, False, ())
    assert await world.balances() == before
    assert before["P1110"] == (84_000 if rdv is None else 120_000)


# ---- at the merchant's ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", [0, 3])
@pytest.mark.parametrize("collected", [True, False])
@pytest.mark.parametrize("ended", [True, False], ids=["after the close", "before the close"])
async def test_an_objection_in_time_is_the_carrier_s(world: World, tier: int, collected: bool, ended: bool) -> None:
    """50 % found within 48 hours, with a clean door: of the indemnity of 1200.00 the merchant keeps 600.00, which the
    carrier owes; the photo is kept."""
    case = await lost(world, tier, collected=collected and ended, ended=ended)
    said = await resettle(world, case, **objected(case))
    assert (said.liable, said.refunds, said.indemnity) == (Liable.CARRIER, (), None)
    carrier = [("carrier", HALF)] if collected and ended else []
    assert [(one.to, one.amount) for one in said.back] == [*carrier, ("insurer", HALF)]
    await carry_out(world, case, said)
    if not ended:
        await world.end(case)
    async with world.store.read() as session:
        assert [row.ref for row in (await session.exec(select(EvidenceRow))).all()] == ["photo-1"]
        rows = await claims.recoveries_of(session, (await claims.of_case(session, "m1/r1"))[-1].claim_ref)
    assert sum(row.amount_minor - row.in_hand_minor for row in rows) == 60_000
    books = await world.balances()
    # Refund and charge stand, and 600.00 of the advance goes back with the next settlement.
    assert (books["P2000"], books["P1000"], books["P2010"], books.get("P1130", 0)) == (36 + 60_000, 0, 0, 0)
    assert books["I5000"] + books.get("I5100", 0) == (0 if collected and ended else 60_000)
    await sound(world)


@pytest.mark.parametrize(("receipt", "rdv"), [(LATE, "max"), (OBJECTION, None)], ids=["late", "no cover"])
async def test_another_objection_waits_for_a_human(world: World, receipt: Inspection, rdv: str | None) -> None:
    """Nothing is posted before the ruling; what is ruled is settled on."""
    case = await lost(world, 0, rdv=rdv)
    before = await world.templates()
    said = await resettle(world, case, **objected(case, receipt))
    assert (said.liable, said.changed, said.back) == (Liable.UNDETERMINED, False, ())
    assert await world.templates() == before
    ruled = objected(case, receipt, ruling_id=await world.rule(case, "merchant"))
    said = await resettle(world, case, **ruled)
    await carry_out(world, case, said)
    books = await insurer_bears_nothing(world)
    assert (said.liable, books["P2000"]) == (Liable.MERCHANT, 36 + (120_000 if rdv else 0))


async def test_a_late_objection_that_the_carrier_is_ruled_liable_for(world: World) -> None:
    case = await lost(world, 0)
    ruled = objected(case, LATE, ruling_id=await world.rule(case, "carrier"))
    said = await resettle(world, case, **ruled)
    assert (said.liable, [(one.to, one.amount) for one in said.back]) == (Liable.CARRIER, [("insurer", HALF)])


async def test_the_finding_at_the_door_counts_again(world: World) -> None:
    """30 % at the door, accepted; then lost, ruled against the carrier: 1200.00. It arrives as the door had found it:
    the consumer owes 360.00 of the indemnity that stands."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case, found())
    assessed = await world.assess(case, found())
    assert assessed.indemnity is not None
    await world.indemnify(case, assessed.indemnity)
    await closed(world, case, await world.settle(case, "lost", ruling=await world.rule(case, "carrier")))
    said = await resettle(world, case, **arrived(case, delivered_at=DELIVERED))
    assert said.liable is Liable.CONSUMER
    await carry_out(world, case, said)
    books = await world.balances()
    assert (books["P1110"], books["P2000"]) == (36_000, 36 + 84_000)
    await sound(world)
