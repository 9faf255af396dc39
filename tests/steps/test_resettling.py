"""What was settled turns out otherwise: the difference, entry by entry, and never a second refund of the same money."""

from __future__ import annotations

import pytest

from activities.contract import Remedy, Resettle, Resettled, SettleCase
from backhaul.facts import Liable
from backhaul.ids import next_key
from backhaul.ledger import (
    CaseRef,
    carrier_accepted,
    carrier_paid_cash,
    courier_paid,
    made,
    rdv_approved,
    rdv_reserved,
    recovery_remitted,
    recovery_returned,
)
from backhaul.money import Money
from store import claims, ledger, recoveries, settlement
from tests.steps.support import AT, World, an_order, at_receipt, found, yuan
from tests.steps.test_disputes import LATE, lightning

ZERO = yuan("0.00")


def arrived(case: CaseRef, event: str = "received_ok", **given: object) -> dict[str, object]:
    """A parcel that was lost ended so after all."""
    return {"arrived": SettleCase.model_validate({"case": case, "event": event, "at": AT, **given})}


async def resettle(world: World, case: CaseRef, **given: object) -> Resettled:
    argument = Resettle.model_validate({"case": case, "tag": "correction.1", "at": AT, **given})
    return await world.run(world.steps.resettle, argument)


async def carry_out(world: World, case: CaseRef, said: Resettled) -> None:
    """What the effects of the correction post."""
    if said.indemnity is not None and not said.claim_first:
        await world.indemnify(case, said.indemnity)
    for one in said.back:
        ref, key = one.claim_ref, one.key
        if one.to == "insurer":
            await world.post(recovery_remitted(case, one.amount, claim_ref=ref, key=key))
            continue
        await world.post(recovery_returned(case, one.amount, claim_ref=ref, key=key, courier=one.courier))
        if one.courier is not None:
            await world.post(courier_paid(case, one.amount, courier=one.courier, waybill=one.waybill or "", key=key))
    await world.refund(case, said.refunds)


async def closed(world: World, case: CaseRef, remedy: Remedy) -> None:
    if remedy.indemnity is not None:
        await world.indemnify(case, remedy.indemnity)
    await world.refund(case, remedy.refunds)
    for one in remedy.recoveries:
        if one.withheld:
            await remit(world, case, one.claim_ref, one.amount)
    await world.end(case)


async def remit(world: World, case: CaseRef, ref: str, amount: Money) -> None:
    await world.remit(case, ref, amount)
    async with world.store.transaction() as session:
        await recoveries.remitted(session, ref, amount, AT)


async def carrier_pays(world: World, case: CaseRef, ref: str, amount: Money) -> None:
    """J40, J44, J42: the recovery went to its end."""
    await world.post(carrier_accepted(case, amount, claim_ref=ref), carrier_paid_cash(case, amount, claim_ref=ref))
    async with world.store.transaction() as session:
        row = await claims.need_recovery(session, ref, lock=True)
        row.accepted_minor = amount.minor
        await recoveries.collect(session, row, amount, AT, cash=True)
    await remit(world, case, ref, amount)


CLEARED = ("P1120", "P2040", "P2020", "P2010", "P1130", "I1200", "I2210")


async def insurer_bears_nothing(world: World) -> dict[str, int]:
    books = await world.balances()
    assert [name for name in CLEARED if books.get(name, 0)] == []
    assert books.get("I5000", 0) + books.get("I5100", 0) == 0
    return books


@pytest.mark.parametrize("tier", [0, 3])
@pytest.mark.parametrize("collected", [True, False])
async def test_a_lost_parcel_is_found_after_the_close(world: World, tier: int, collected: bool) -> None:
    """1200.00 lost, refunded, indemnified, got from the carrier; then it is here. The consumer keeps the refund; the
    merchant keeps the goods and gives the indemnity back; the carrier gets its money back."""
    await world.order(an_order(tier=tier))
    case = (await world.judge()).case
    await world.refund(case, (await world.collect(case)).refunds)
    remedy = await world.settle(case, "lost")
    await closed(world, case, remedy)
    assert remedy.indemnity is not None
    ref, amount = remedy.indemnity.claim_ref, yuan("1200.00")
    if collected:
        await carrier_pays(world, case, ref, amount)
    said = await resettle(world, case, **arrived(case))
    assert (said.changed, said.refunds, said.indemnity) == (True, (), None)
    carrier = [("carrier", amount)] if collected else []
    assert [(one.to, one.amount) for one in said.back] == [*carrier, ("insurer", amount)]
    assert await resettle(world, case, **arrived(case)) == said  # a repeat posts nothing
    await carry_out(world, case, said)
    books = await insurer_bears_nothing(world)
    # The sale of 1200.00 and its commission are undone; the advance is owed back at the next settlement.
    assert (books["P2000"], books["P1000"], books.get("P4000", 0)) == (36 + 120_000, 0, 0)
    async with world.store.read() as session:
        row = await claims.need_recovery(session, ref)
    assert (row.state, row.amount_minor, row.withdrawn) == ("waived", 0, True)
    again = await resettle(world, case, tag="correction.2", **arrived(case))
    assert (again.changed, again.back, again.refunds) == (False, (), ())


async def test_found_before_the_insurer_paid(world: World) -> None:
    """J75: nothing was funded, nothing goes back; the claim is closed at the insurer."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case)
    remedy = await world.settle(case, "lost")
    assert remedy.indemnity is not None
    await world.indemnify(case, remedy.indemnity, fund=False)
    await world.refund(case, remedy.refunds)
    said = await resettle(world, case, **arrived(case))
    assert (said.back, said.closed_claims) == ((), (remedy.indemnity.claim_ref,))
    await carry_out(world, case, said)
    assert (await world.templates())[-1] == "J75"
    await insurer_bears_nothing(world)


async def test_an_appeal_from_the_consumer_to_the_merchant(world: World) -> None:
    """840.00 refunded, 360.00 withheld and remitted. Re-ruled: the merchant's own fault. The insurer gives 360.00 back
    for the consumer, who gets it; the merchant's 360.00 goes back to the insurer."""
    await world.order()
    case = (await world.judge()).case
    await world.collect(case, found())
    plan = (await world.assess(case, found(), ruling=await world.rule(case, "consumer"))).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    await closed(world, case, await world.settle(case))
    ruling = await world.rule(case, "merchant", ruling_id="ruling2")
    said = await resettle(world, case, ruling_id=ruling)
    assert [(one.to, one.amount) for one in said.back] == [("consumer", yuan("360.00")), ("insurer", yuan("360.00"))]
    assert [(one.amount, one.payment_key) for one in said.refunds] == [
        (yuan("360.00"), "m1:r1:refund.correction.1.o1-p1:1")
    ]
    await carry_out(world, case, said)
    books = await insurer_bears_nothing(world)
    assert (books["P2000"], books["P1000"]) == (36 + 36_000, 0)
    assert (await world.templates())[-4:] == ["J75b", "J45", "J42", "J21"]


async def test_an_appeal_without_cover_refunds_the_rest_once(world: World) -> None:
    """R - L was refunded and charged; re-ruled against the merchant: the other L, by the place of the commission."""
    await world.order(an_order(rdv=None))
    case = (await world.judge()).case
    await world.collect(case, found())
    await world.assess(case, found(), ruling=await world.rule(case, "consumer"))
    await closed(world, case, await world.settle(case))
    said = await resettle(world, case, ruling_id=await world.rule(case, "merchant", ruling_id="ruling2"))
    assert [one.amount for one in said.refunds] == [yuan("360.00")]
    await carry_out(world, case, said)
    charges = [[line.amount.minor for line in one.lines] for one in await world.entries("J23")]
    assert charges == [[79_800, 4_200, 84_000], [34_200, 1_800, 36_000]]
    books = await world.balances()
    assert (books["P1000"], books["P2000"], books.get("P4000", 0), books["P2010"]) == (0, 36, 0, 0)


async def test_an_appeal_from_the_merchant_to_the_consumer(world: World) -> None:
    """1200.00 refunded in full; re-ruled against the consumer with RDV: claimed first, then J53 of what is paid."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case, found())
    await world.assess(case, found(), ruling=await world.rule(case, "merchant"))
    await closed(world, case, await world.settle(case))
    ruling = await world.rule(case, "consumer", ruling_id="ruling2")
    said = await resettle(world, case, ruling_id=ruling)
    assert said.indemnity is not None
    assert (said.claim_first, said.indemnity.amount) == (True, yuan("360.00"))
    await world.indemnify(case, said.indemnity)
    said = await resettle(world, case, ruling_id=ruling, claimed=said.indemnity.claim_ref)
    assert (said.refunds, said.back) == ((), ())
    assert [(one.liable, one.amount, one.withheld) for one in said.recoveries] == [
        (Liable.CONSUMER, yuan("360.00"), False)
    ]
    books = await world.balances()
    assert (books["P1110"], books["P2040"], books["P2000"], books["P1000"]) == (36_000, -36_000, 36, 0)


async def test_an_appeal_after_lightning_without_cover(world: World) -> None:
    """J50 of 600.00 and J22 of 600.00; re-ruled against the merchant: both taken back, J22 of 1200.00."""
    case = await lightning(world, rdv=None)
    receipt = at_receipt(found(severity=50))
    await world.settle(case, "receipt_issue", receipt)
    ruling = await world.rule(case, "consumer")
    remedy = await world.settle(case, "receipt_issue", receipt, ruling)
    assert remedy.recovery is not None
    await closed(world, case, remedy)
    said = await resettle(world, case, ruling_id=await world.rule(case, "merchant", ruling_id="ruling2"))
    assert (said.refunds, said.back, said.changed) == ((), (), True)
    books = await world.balances()
    assert (books.get("P1110", 0), books["P1130"], books["P2000"], books.get("P4000", 0)) == (0, 0, 36, 0)
    async with world.store.read() as session:
        row = await claims.need_recovery(session, remedy.recovery.claim_ref)
    assert row.state == "waived"


async def test_an_appeal_that_changes_nothing(world: World) -> None:
    case = await lightning(world)
    await world.settle(case, "receipt_issue", LATE)
    remedy = await world.settle(case, "receipt_issue", LATE, await world.rule(case, "carrier"))
    await closed(world, case, remedy)
    before = await world.templates()
    said = await resettle(world, case, ruling_id=await world.rule(case, "carrier", ruling_id="ruling2"))
    assert (said.changed, said.refunds, said.back, said.recoveries) == (False, (), (), ())
    assert await world.templates() == before


async def test_found_after_an_advance_that_was_never_paid(world: World) -> None:
    """The channel refused it, and its leg went to the next settlement: what is owed of it is taken back."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case)
    remedy = await world.settle(case, "lost")
    assert remedy.indemnity is not None
    ref, amount = remedy.indemnity.claim_ref, remedy.indemnity.amount
    async with world.store.transaction() as session:
        await claims.advance(session, ref, "approved", AT, approved=amount)
        entries = made(rdv_reserved(case, amount, claim_ref=ref), rdv_approved(case, amount, claim_ref=ref))
        await ledger.post(session, entries, AT)
        await settlement.form_advance(session, ref, remedy.indemnity.advance_key, AT)
        await settlement.dissolve_advance(session, ref, AT)
        await settlement.dissolve_advance(session, ref, AT)
    await world.refund(case, remedy.refunds)
    await world.end(case)
    said = await resettle(world, case, **arrived(case))
    assert (said.changed, said.back, said.closed_claims) == (True, (), (ref,))
    assert "J75" in await world.templates()
    async with world.store.read() as session:
        assert await settlement.check_batches(session) == ()


@pytest.mark.parametrize("again", [False, True])
async def test_what_the_insurer_was_to_pay_when_it_was_first_asked(world: World, again: bool) -> None:
    """It is asked for 1200.00, and the worker dies before that is sent. Overturned meanwhile, all of it is still asked
    for, since all of it goes back; only another question is for what stands then."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case)
    remedy = await world.settle(case, "lost")
    plan = remedy.indemnity
    assert plan is not None
    await world.indemnify(case, plan, fund=False)
    await world.refund(case, remedy.refunds)
    await world.end(case)
    ref, key = plan.claim_ref, plan.funding_key
    assert await world.store.run(lambda session: claims.begin_funding(session, ref, key)) == plan.amount
    said = await resettle(world, case, **arrived(case))
    assert [(one.to, one.amount) for one in said.back] == [("insurer", plan.amount)]
    asked = next_key(key) if again else key
    amount = await world.store.run(lambda session: claims.begin_funding(session, ref, asked))
    assert amount == (ZERO if again else plan.amount)
