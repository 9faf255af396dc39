"""Another ruling makes another party liable: what came from the first goes back, the rest of the claim is demanded of
the second, in a recovery of its own; nobody pays twice and no indemnity is forgotten. Domain 2.10, 4.5, X15."""

from __future__ import annotations

from datetime import timedelta

import pytest

from activities.contract import RecoveryPlan, Remedy, Resettled
from activities.payment_plans import PLATFORM
from activities.steps.amounts import CLAWBACK
from backhaul.facts import LiabilityShare, Liable, LineFinding
from backhaul.ids import CaseId, account_key, claim_ref, collect_key, recovery_key
from backhaul.ledger import (
    CaseRef,
    alternate_payout,
    carrier_paid_cash,
    consumer_collected,
    made,
    recovery_remitted,
)
from backhaul.money import Money
from store import claims, credit, effects, ledger, recoveries
from store.effects import Intent
from store.reconcile import check_books
from store.tables import RecoveryRow
from tests.steps.support import AT, LIBRARY, World, an_order, at_receipt, found, refused, yuan
from tests.steps.test_disputes import lightning
from tests.steps.test_resettling import arrived, carry_out, closed, insurer_bears_nothing, resettle

LOSS, ZERO = yuan("360.00"), yuan("0.00")
LATE = at_receipt(found(), after=timedelta(hours=48, seconds=1))
OF_MONEY = {3, 4, 5, 6, 7, 9, 11}
"""Invariants that hold whoever posted: the others ask for the effects, which these tests post by hand."""


async def re_ruled(
    world: World,
    case: CaseRef,
    outcome: str,
    n: int = 2,
    *findings: LineFinding,
    shares: tuple[LiabilityShare, ...] = (),
) -> Resettled:
    """Another reviewer says this, and it is carried out."""
    ruling = await world.rule(case, outcome, *findings, ruling_id=f"ruling{n}", shares=shares)
    said = await resettle(world, case, tag=f"correction.{n}", ruling_id=ruling)
    await carry_out(world, case, said)
    for one in said.repayments:
        await world.post(alternate_payout(case, one.amount, key=account_key(one.key)))
    return said


async def rows(world: World, ref: str) -> tuple[RecoveryRow, ...]:
    async with world.store.read() as session:
        return await claims.recoveries_of(session, ref)


async def remit(world: World, case: CaseRef, plan: RecoveryPlan, amount: Money) -> None:
    """J42, under the recovery's own key."""
    await world.post(recovery_remitted(case, amount, claim_ref=plan.claim_ref, key=recovery_key(plan.ref, "remit")))
    async with world.store.transaction() as session:
        await recoveries.remitted(session, plan.ref, amount, AT)


async def carrier_pays(world: World, case: CaseRef, plan: RecoveryPlan) -> None:
    """J40, J44, J42."""
    async with world.store.transaction() as session:
        row = await claims.need_recovery(session, plan.ref, lock=True)
        entries = await recoveries.recognise(session, case, row, plan.amount, AT)
        await recoveries.collect(session, row, plan.amount, AT, cash=True)
        entries += made(carrier_paid_cash(case, plan.amount, claim_ref=plan.claim_ref, ref=plan.ref))
        await ledger.post(session, entries, AT)
    await remit(world, case, plan, plan.amount)


async def consumer_pays(world: World, case: CaseRef, plan: RecoveryPlan, amount: Money) -> None:
    """J51, and J42 where an insurer waits for it."""
    key = collect_key(CaseId(case.merchant_id, case.rma_id), plan.ref, 1)
    async with world.store.transaction() as session:
        row = await claims.need_recovery(session, plan.ref, lock=True)
        await recoveries.collect(session, row, amount, AT)
        await credit.collected(session, f"{case.merchant_id}/{case.rma_id}", amount, AT)
        await ledger.post(session, made(consumer_collected(case, amount, key=key, claim_ref=plan.claim_ref)), AT)
    if plan.coverage_id:
        await remit(world, case, plan, amount)


async def sound(world: World) -> None:
    findings = await check_books(world.store, LIBRARY)
    assert [str(one) for one in findings if one.invariant in OF_MONEY] == []


async def line_is(world: World, *, frozen: bool, used: int) -> None:
    async with world.store.read() as session:
        line = await credit.line_of(session, "c1")
    assert (line.frozen, line.used_minor) == (frozen, used)


def plans(said: Resettled) -> list[tuple[str, Liable, Money, bool]]:
    return [(one.ref, one.liable, one.amount, one.withheld) for one in said.recoveries]


# ---- the consumer first ----------------------------------------------------------------------------------------------


async def withheld(world: World) -> tuple[CaseRef, Remedy]:
    """Damaged at the door, ruled against the consumer: 840.00 refunded, 360.00 withheld."""
    await world.order()
    case = (await world.judge()).case
    await world.collect(case, found())
    plan = (await world.assess(case, found(), ruling=await world.rule(case, "consumer"))).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    return case, await world.settle(case)


async def test_withheld_from_the_consumer_then_the_carrier_s(world: World) -> None:
    """The consumer is refunded 360.00 that the insurer gives back, and the carrier is to pay it the same."""
    case, remedy = await withheld(world)
    await closed(world, case, remedy)
    (first,) = remedy.recoveries
    said = await re_ruled(world, case, "carrier")
    assert [(one.to, one.amount) for one in said.back] == [("consumer", LOSS)]
    assert ([one.amount for one in said.refunds], said.repayments) == ([LOSS], ())
    assert plans(said) == [(f"{first.claim_ref}.r2", Liable.CARRIER, LOSS, False)]
    assert await resettle(world, case, tag="correction.2", ruling_id="ruling2") == said
    one, two = await rows(world, first.claim_ref)
    assert (one.amount_minor, one.state, two.amount_minor, two.n) == (0, "waived", 36_000, 2)
    assert two.workflow_id == f"recovery:{first.claim_ref}.r2"
    await carrier_pays(world, case, said.recoveries[0])
    books = await insurer_bears_nothing(world)
    assert (books["P2000"], books["P1000"]) == (36, 0)
    assert (await world.templates())[-5:] == ["J45", "J21", "J40", "J44", "J42"]
    await sound(world)


async def test_nothing_is_taken_back_while_it_is_on_its_way_to_the_insurer(world: World) -> None:
    case, remedy = await withheld(world)
    await world.refund(case, remedy.refunds)
    await world.end(case)
    await world.rule(case, "carrier", ruling_id="ruling2")
    before = await world.templates()
    assert await refused(resettle(world, case, ruling_id="ruling2")) == "pending"
    assert await world.templates() == before
    await remit(world, case, remedy.recoveries[0], LOSS)
    assert plans(await resettle(world, case, ruling_id="ruling2")) != []


async def test_what_was_withheld_of_an_open_case_is_taken_back_at_once(world: World) -> None:
    """Its recovery has not begun, and never will: nothing is on its way to the insurer."""
    case, remedy = await withheld(world)
    await world.refund(case, remedy.refunds)
    ruling = await world.rule(case, "merchant", ruling_id="ruling2")
    said = await resettle(world, case, tag="late", **arrived(case, ruling_id=ruling))
    await carry_out(world, case, said)
    assert ([one.amount for one in said.refunds], [one.to for one in said.back]) == ([LOSS], ["insurer"])
    (row,) = await rows(world, remedy.recoveries[0].claim_ref)
    assert (row.amount_minor, row.state) == (0, "waived")
    await insurer_bears_nothing(world)
    await sound(world)


@pytest.mark.parametrize("paid", ["0.00", "100.00", "360.00"])
async def test_owed_by_the_consumer_then_the_carrier_s(world: World, paid: str) -> None:
    """After lightning: what they have paid is repaid to them, what they have not is let go, and the line is free."""
    case = await lightning(world)
    await world.settle(case, "receipt_issue", LATE)
    first_said = await world.settle(case, "receipt_issue", LATE, await world.rule(case, "consumer"))
    if first_said.claim_first and first_said.indemnity is not None:
        await world.indemnify(case, first_said.indemnity)
        claimed = first_said.indemnity.claim_ref
        first_said = await world.settle(case, "receipt_issue", LATE, "ruling1", claimed)
    (first,) = first_said.recoveries
    await closed(world, case, first_said.model_copy(update={"indemnity": None}))
    assert first.amount == LOSS
    await line_is(world, frozen=True, used=36_000)
    got = yuan(paid)
    if got:
        await consumer_pays(world, case, first, got)
    said = await re_ruled(world, case, "carrier")
    assert [(one.to, one.amount) for one in said.back] == ([("consumer", got)] if got else [])
    assert [one.amount for one in said.repayments] == ([got] if got else [])
    assert plans(said) == [(f"{first.claim_ref}.r2", Liable.CARRIER, LOSS, False)]
    await line_is(world, frozen=False, used=0)
    await sound(world)
    await carrier_pays(world, case, said.recoveries[0])
    books = await insurer_bears_nothing(world)
    assert (books.get("P1110", 0), books["P2000"]) == (0, 36)
    await sound(world)


async def test_a_charge_whose_end_is_not_known_is_waited_for(world: World) -> None:
    case, plan = await clawed_back(world)
    key = collect_key(CaseId("m1", "r1"), plan.ref, 1)
    intent = Intent(key, "charge", "psp", plan.amount, PLATFORM, AT - AT, "m1/r1", {"case": {}, "about": {}})
    async with world.store.transaction() as session:
        row, _ = await effects.begin(session, intent, AT)
        effects.mark_sent(session, row, AT)
    await world.rule(case, "merchant", ruling_id="ruling2")
    assert await refused(resettle(world, case, ruling_id="ruling2")) == "pending"


# ---- the carrier first -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", [0, 3])
@pytest.mark.parametrize("paid", [True, False])
async def test_the_carrier_s_then_the_consumer_s(world: World, paid: bool, tier: int) -> None:
    """What the carrier paid goes back to it; the consumer, refunded in full, owes it (J53)."""
    case = await lightning(world) if tier else await ordinary(world)
    receipt = LATE if tier else at_receipt(found())
    remedy = await world.settle(case, "receipt_issue", receipt)
    if remedy.liable is Liable.UNDETERMINED:
        remedy = await world.settle(case, "receipt_issue", receipt, await world.rule(case, "carrier"))
    await closed(world, case, remedy)
    (first,) = remedy.recoveries
    assert first.liable is Liable.CARRIER
    if paid:
        await carrier_pays(world, case, first)
    said = await re_ruled(world, case, "consumer")
    assert [(one.to, one.amount) for one in said.back] == ([("carrier", LOSS)] if paid else [])
    assert (said.refunds, said.repayments, said.indemnity) == ((), (), None)
    assert plans(said) == [(f"{first.claim_ref}.r2", Liable.CONSUMER, LOSS, False)]
    if tier:
        await line_is(world, frozen=True, used=36_000)
    await sound(world)
    await consumer_pays(world, case, said.recoveries[0], LOSS)
    books = await insurer_bears_nothing(world)
    assert (books.get("P1110", 0), books["P2000"]) == (0, 36)
    await line_is(world, frozen=False, used=0)
    await sound(world)


async def ordinary(world: World) -> CaseRef:
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case)
    return case


@pytest.mark.parametrize("paid", ["always", "never", "the first time"])
async def test_to_and_fro(world: World, paid: str) -> None:
    """Carrier, consumer, carrier, consumer, merchant: four recoveries, each entry under a key of its own."""
    case = await lightning(world)
    await world.settle(case, "receipt_issue", LATE)
    remedy = await world.settle(case, "receipt_issue", LATE, await world.rule(case, "carrier"))
    await closed(world, case, remedy)
    (plan,) = remedy.recoveries
    for n, liable in enumerate(("consumer", "carrier", "consumer"), 2):
        if paid != "never" and plan.liable is Liable.CARRIER:
            await carrier_pays(world, case, plan)
        elif paid != "never":
            await consumer_pays(world, case, plan, plan.amount)
        said = await re_ruled(world, case, liable, n)
        (plan,) = said.recoveries
        assert (plan.ref, plan.liable.value, plan.amount) == (f"{plan.claim_ref}.r{n}", liable, LOSS)
        await sound(world)
    if paid == "always":
        await consumer_pays(world, case, plan, plan.amount)
    await re_ruled(world, case, "merchant", 5)
    await sound(world)
    await insurer_bears_nothing(world)
    assert [row.amount_minor for row in await rows(world, plan.claim_ref)] == [0, 0, 0, 0]
    await line_is(world, frozen=False, used=0)
    assert (await world.balances()).get("P1110", 0) == 0


# ---- what the consumer has paid of J50 -------------------------------------------------------------------------------


async def clawed_back(world: World) -> tuple[CaseRef, RecoveryPlan]:
    """600.00 of the coat by lightning without a cover, ruled against the consumer."""
    case = await lightning(world, rdv=None)
    receipt = at_receipt(found(severity=50))
    await world.settle(case, "receipt_issue", receipt)
    remedy = await world.settle(case, "receipt_issue", receipt, await world.rule(case, "consumer"))
    await closed(world, case, remedy)
    (plan,) = remedy.recoveries
    assert (plan.claim_ref, plan.amount) == (claim_ref(CaseId("m1", "r1"), CLAWBACK), yuan("600.00"))
    return case, plan


async def test_a_clawback_that_was_paid_is_repaid(world: World) -> None:
    """J50 and J51 of 600.00; then the merchant's own fault: charged in full, and the consumer has 600.00 back."""
    case, plan = await clawed_back(world)
    await consumer_pays(world, case, plan, plan.amount)
    said = await re_ruled(world, case, "merchant")
    key = f"m1:r1:repaid.{plan.claim_ref}.v2:1"
    assert [(one.key, one.amount) for one in said.repayments] == [(key, yuan("600.00"))]
    assert (said.back, said.recoveries, said.changed) == ((), (), True)
    (entry,) = await world.entries("J45")
    assert (entry.key, entry.payment_key) == (f"J45:m1/r1:{key}", None)
    books = await world.balances()
    assert [books.get(name, 0) for name in ("P1110", "P1130", "P2010", "P4000", "P5020")] == [0, 0, 0, 0, 0]
    assert (books["P1000"], books["P1010"], books["P2000"]) == (60_000, -60_036, 36)  # 0.36 is the premium
    await line_is(world, frozen=False, used=0)
    await sound(world)


@pytest.mark.parametrize("paid", ["0.00", "200.00", "600.00"])
@pytest.mark.parametrize(("severity", "owed"), [(30, "360.00"), (80, "960.00")])
async def test_a_clawback_of_another_amount(world: World, severity: int, owed: str, paid: str) -> None:
    """The consumer's fault still, of less or more: what they have paid counts, and the rest is demanded or repaid."""
    case, plan = await clawed_back(world)
    got, wanted = yuan(paid), yuan(owed)
    if got:
        await consumer_pays(world, case, plan, got)
    said = await re_ruled(world, case, "consumer", 2, found(severity=severity))
    assert [one.amount for one in said.repayments] == ([got - wanted] if got > wanted else [])
    books = await world.balances()
    left = max(wanted - got, ZERO)
    assert (books.get("P1110", 0), books.get("P2010", 0)) == (left.minor, 0)
    await line_is(world, frozen=bool(left), used=left.minor)
    more = wanted - plan.amount
    fresh = [(f"{plan.claim_ref}.r2", Liable.CONSUMER, more, False)] if more > ZERO else []
    assert plans(said) == fresh
    async with world.store.read() as session:
        owing = [
            (await recoveries.owed(session, row.recovery_ref, "m1/r1"))[0] for row in await rows(world, plan.claim_ref)
        ]
    assert Money.sum(owing, "CNY") == left
    await sound(world)


async def test_a_clawback_that_was_written_off_and_is_more(world: World) -> None:
    """Ended with 200.00 of 600.00: what is demanded now is what was not paid of the new amount."""
    case, plan = await clawed_back(world)
    await consumer_pays(world, case, plan, yuan("200.00"))
    async with world.store.transaction() as session:
        row = await claims.need_recovery(session, plan.ref, lock=True)
        row.state, row.written_off_minor = "partial", 40_000
        session.add(row)
    said = await re_ruled(world, case, "consumer", 2, found(severity=80))
    assert plans(said) == [(f"{plan.claim_ref}.r2", Liable.CONSUMER, yuan("760.00"), False)]
    assert (await world.balances())["P1110"] == 76_000
