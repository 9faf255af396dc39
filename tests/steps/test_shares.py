"""More than one party is liable, each for what the ruling names: nobody pays for another's part. Domain 4.5."""

from __future__ import annotations

from datetime import timedelta

import pytest

from activities.contract import Remedy
from backhaul.errors import Refusal
from backhaul.facts import Finding, Inspection, LiabilityShare, Liable, LineFinding
from backhaul.ledger import CaseRef, P, Side
from backhaul.money import Money
from tests.steps.support import AT, World, a_line, a_request, an_order, at_receipt, found, yuan
from tests.steps.test_rerulings import carrier_pays, consumer_pays, line_is, plans, re_ruled, rows, sound
from tests.steps.test_resettling import arrived, carry_out, closed, remit, resettle

DOOR = found()
"""The consumer's: 30 % of 1200.00."""
WAY = found(severity=50, line="l2")
"""The carrier's: 50 % of 400.00."""
MINE, THEIRS, ZERO = yuan("360.00"), yuan("200.00"), yuan("0.00")
BOTH = at_receipt(DOOR, WAY)
LATER = AT + timedelta(days=9)


def share(liable: Liable, *findings: LineFinding) -> LiabilityShare:
    return LiabilityShare(liable=liable, findings=findings)


async def damaged_twice(world: World, tier: int, rdv: str | None = "max") -> CaseRef:
    """Two lines; 30 % of the coat at the door, at the receipt 50 % of the scarf besides: findings differ."""
    await world.order(an_order(a_line(), a_line("l2", paid="400.00"), tier=tier, rdv=rdv))
    case = (await world.judge(a_request(lines={"l1": 1, "l2": 1}))).case
    collected = await world.collect(case, DOOR)
    await world.refund(case, collected.refunds)
    assert (await world.settle(case, "receipt_issue", BOTH)).liable is Liable.UNDETERMINED
    return case


async def settled(world: World, case: CaseRef, ruling: str, receipt: Inspection = BOTH) -> Remedy:
    """To its end, the insurer having agreed first where the consumer gives something back of it."""
    said = await world.settle(case, "receipt_issue", receipt, ruling)
    if said.claim_first:
        assert said.indemnity is not None
        await world.indemnify(case, said.indemnity)
        said = await world.settle(case, "receipt_issue", receipt, ruling, said.indemnity.claim_ref)
        return said.model_copy(update={"indemnity": None})
    return said


async def shared(world: World, case: CaseRef, *, first: Liable = Liable.CONSUMER) -> Remedy:
    """The consumer is liable for the coat and the carrier for the scarf, whoever is named as the outcome."""
    if first is Liable.CONSUMER:
        ruling = await world.rule(case, "consumer", DOOR, shares=(share(Liable.CARRIER, WAY),))
    else:
        ruling = await world.rule(case, "carrier", WAY, shares=(share(Liable.CONSUMER, DOOR),))
    return await settled(world, case, ruling)


def of_case(said: Remedy) -> list[tuple[Liable, Money]]:
    return [(one.liable, one.amount) for one in said.recoveries]


@pytest.mark.parametrize("first", [Liable.CONSUMER, Liable.CARRIER])
async def test_each_pays_for_their_own_part(world: World, first: Liable) -> None:
    """The merchant is indemnified 560.00: 360.00 are withheld from the consumer, 200.00 are the carrier's."""
    case = await damaged_twice(world, 0)
    said = await shared(world, case, first=first)
    assert (said.liable, said.loss, said.withheld) == (Liable.CONSUMER, MINE + THEIRS, MINE)
    assert [one.amount for one in said.refunds] == [yuan("1240.00")]
    assert of_case(said) == [(Liable.CONSUMER, MINE), (Liable.CARRIER, THEIRS)]
    claim = said.recoveries[0].claim_ref
    assert [one.ref for one in said.recoveries] == [claim, f"{claim}.r2"]
    told = {one.decision: one for one in said.verdicts}
    assert (told["remedy"].numbers["indemnity"], told["remedy"].numbers["withheld"]) == (56_000, 36_000)
    await closed(world, case, said)
    await carrier_pays(world, case, said.recoveries[1])
    books = await world.balances()
    assert (books["P2010"], books["P2040"], books["I5000"] + books["I5100"], books["P1000"]) == (0, 0, 0, 36_000)
    await sound(world)


async def after_lightning(world: World, rdv: str | None = "max") -> tuple[CaseRef, Remedy]:
    """Clean at the door, 1600.00 refunded by lightning; found too late, and ruled as `shared`. The case is closed."""
    await world.order(an_order(a_line(), a_line("l2", paid="400.00"), tier=3, rdv=rdv))
    case = (await world.judge(a_request(lines={"l1": 1, "l2": 1}))).case
    await world.refund(case, (await world.collect(case)).refunds)
    late = at_receipt(DOOR, WAY, after=timedelta(hours=49))
    assert (await world.settle(case, "receipt_issue", late)).liable is Liable.UNDETERMINED
    ruling = await world.rule(case, "consumer", DOOR, shares=(share(Liable.CARRIER, WAY),))
    said = await settled(world, case, ruling, late)
    await closed(world, case, said)
    return case, said


@pytest.mark.parametrize("rdv", ["max", None])
async def test_after_lightning_the_consumer_owes_their_part_only(world: World, rdv: str | None) -> None:
    """With a cover 360.00 of the indemnity are demanded, without one the consumer owes the platform what the merchant
    is not charged: 360.00 either way."""
    case, said = await after_lightning(world, rdv)
    assert (said.refunds, said.withheld) == ((), ZERO)
    carriers = [(Liable.CARRIER, THEIRS)] if rdv else []
    assert of_case(said) == [(Liable.CONSUMER, MINE), *carriers]
    await line_is(world, frozen=True, used=36_000)
    await consumer_pays(world, case, said.recoveries[0], MINE)
    await line_is(world, frozen=False, used=0)
    assert (await world.balances())["P1110"] == 0
    await sound(world)


async def test_without_a_cover_only_the_consumer_s_part_lowers_the_refund(world: World) -> None:
    """Nobody indemnifies: the merchant is not charged the consumer's 360.00, and bears the carrier's 200.00."""
    case = await damaged_twice(world, 0, rdv=None)
    said = await shared(world, case)
    assert [one.amount for one in said.refunds] == [yuan("1240.00")]
    assert (said.indemnity, said.recoveries) == (None, ())
    (entry,) = await world.entries("J23")
    assert sum(line.amount.minor for line in entry.lines if line.account == "P2010") == 124_000
    await closed(world, case, said)
    await sound(world)


async def test_a_limit_is_shared_by_what_was_insured(world: World) -> None:
    """280.00 are left of the cover, half of the 560.00: half of each part, 180.00 and 100.00."""
    case = await damaged_twice(world, 0, rdv="280.00")
    said = await shared(world, case)
    assert (said.withheld, of_case(said)) == (
        yuan("180.00"),
        [(Liable.CONSUMER, yuan("180.00")), (Liable.CARRIER, yuan("100.00"))],
    )
    await closed(world, case, said)
    await sound(world)


async def ends(world: World, outcome: str, finding: LineFinding, other: LiabilityShare) -> Remedy:
    """Damaged twice, ruled so and closed, with sound books."""
    case = await damaged_twice(world, 0)
    said = await settled(world, case, await world.rule(case, outcome, finding, shares=(other,)))
    await closed(world, case, said)
    await sound(world)
    return said


async def test_the_merchant_s_own_part_is_not_paid_for(world: World) -> None:
    said = await ends(world, "merchant", WAY, share(Liable.CONSUMER, DOOR))
    assert (said.liable, said.loss, said.withheld) == (Liable.CONSUMER, MINE, MINE)
    assert of_case(said) == [(Liable.CONSUMER, MINE)]


async def test_two_causes_on_one_line_add_up_at_most_to_its_value(world: World) -> None:
    """80 % the consumer's, 50 % the carrier's, of one coat: 960.00 and the 240.00 that are left of it."""
    said = await ends(world, "consumer", found(severity=80), share(Liable.CARRIER, found(severity=50)))
    assert of_case(said) == [(Liable.CONSUMER, yuan("960.00")), (Liable.CARRIER, yuan("240.00"))]


async def test_an_insurer_s_part_is_recovered_from_nobody(world: World) -> None:
    said = await ends(world, "insurer", DOOR, share(Liable.CARRIER, WAY))
    assert (said.liable, of_case(said)) == (Liable.CARRIER, [(Liable.CARRIER, THEIRS)])
    assert sum(entry.total(P.MERCHANT_PAYABLE, Side.CREDIT) for entry in await world.entries("J31")) == 56_000


# ---- an appeal -------------------------------------------------------------------------------------------------------


async def ended(world: World) -> tuple[CaseRef, Remedy]:
    """Shared, and all of it recovered."""
    case = await damaged_twice(world, 0)
    said = await shared(world, case)
    await closed(world, case, said)
    await carrier_pays(world, case, said.recoveries[1])
    return case, said


async def test_all_of_it_is_the_carrier_s_after_all(world: World) -> None:
    """The consumer gets 360.00, which the carrier is to pay besides the 200.00 that it did."""
    case, first = await ended(world)
    ref = first.recoveries[0].claim_ref
    said = await re_ruled(world, case, "carrier", 2, DOOR, WAY)
    assert ([one.amount for one in said.refunds], [(one.to, one.amount) for one in said.back]) == (
        [MINE],
        [("consumer", MINE)],
    )
    assert plans(said) == [(f"{ref}.r3", Liable.CARRIER, MINE, False)]
    assert [(one.liable, one.amount_minor) for one in await rows(world, ref)] == [
        ("consumer", 0),
        ("carrier", 20_000),
        ("carrier", 36_000),
    ]
    await sound(world)


async def test_all_of_it_is_the_consumer_s_after_all(world: World) -> None:
    """The carrier gets its 200.00 back, and the consumer owes them."""
    case, first = await ended(world)
    said = await re_ruled(world, case, "consumer", 2, DOOR, WAY)
    assert (said.refunds, [(one.to, one.amount) for one in said.back]) == ((), [("carrier", THEIRS)])
    assert plans(said) == [(f"{first.recoveries[0].claim_ref}.r3", Liable.CONSUMER, THEIRS, False)]
    await consumer_pays(world, case, said.recoveries[0], THEIRS)
    books = await world.balances()
    assert (books["P1110"], books["P2040"], books["P2020"], books["I5000"] + books["I5100"]) == (0, 0, 0, 0)
    await sound(world)


async def test_it_is_the_merchant_s_after_all(world: World) -> None:
    case, _ = await ended(world)
    said = await re_ruled(world, case, "merchant")
    assert sorted((one.to, one.amount) for one in said.back) == [
        ("carrier", THEIRS),
        ("consumer", MINE),
        ("insurer", MINE + THEIRS),
    ]
    books = await world.balances()
    assert (books["P2040"], books["P2020"], books["I5000"] + books["I5100"]) == (0, 0, 0)
    await sound(world)


async def test_it_is_shared_after_all(world: World) -> None:
    """At first all of it was the consumer's: 560.00 withheld. Now 200.00 are refunded and demanded of the carrier."""
    case = await damaged_twice(world, 0)
    said = await settled(world, case, await world.rule(case, "consumer", DOOR, WAY))
    assert said.withheld == MINE + THEIRS
    await closed(world, case, said)
    carriers = (share(Liable.CARRIER, WAY),)
    again = await re_ruled(world, case, "consumer", 2, DOOR, shares=carriers)
    assert ([one.amount for one in again.refunds], plans(again)) == (
        [THEIRS],
        [(f"{said.recoveries[0].claim_ref}.r2", Liable.CARRIER, THEIRS, False)],
    )
    assert (await re_ruled(world, case, "consumer", 3, DOOR, shares=carriers)).changed is False
    await sound(world)


async def test_the_carrier_s_part_is_the_insurer_s_after_all(world: World) -> None:
    """The consumer's part stays; the carrier gets its 200.00 back, and nobody owes them."""
    case, _ = await ended(world)
    said = await re_ruled(world, case, "consumer", 2, DOOR, shares=(share(Liable.INSURER, WAY),))
    assert (said.changed, [(one.to, one.amount) for one in said.back]) == (True, [("carrier", THEIRS)])
    assert (said.refunds, said.recoveries) == ((), ())
    books = await world.balances()
    assert (books["P2040"], books["P2020"], books["I5000"] + books["I5100"]) == (0, 0, THEIRS.minor)
    await sound(world)


async def test_the_same_shares_again_change_nothing(world: World) -> None:
    case, _ = await ended(world)
    before = await world.balances()
    said = await re_ruled(world, case, "carrier", 2, WAY, shares=(share(Liable.CONSUMER, DOOR),))
    assert (said.changed, said.refunds, said.back, said.recoveries) == (False, (), (), ())
    assert await world.balances() == before


async def test_what_the_consumer_paid_stays_with_the_recovery_that_goes_on(world: World) -> None:
    """Two recoveries from the consumer: 360.00 that they did not pay, 200.00 that they did. Then 200.00 are theirs, and
    paid; and then nothing is, and they get it back."""
    case, said = await after_lightning(world)
    more = (await re_ruled(world, case, "consumer", 2, DOOR, WAY)).recoveries[0]
    await consumer_pays(world, case, more, THEIRS)
    said2 = await re_ruled(world, case, "consumer", 3, WAY, shares=(share(Liable.CARRIER, DOOR),))
    assert (said2.back, said2.repayments) == ((), ())
    kept = {one.recovery_ref: (one.amount_minor, one.collected_minor) for one in await rows(world, more.claim_ref)}
    assert (kept[more.ref], kept[said.recoveries[0].ref]) == ((20_000, 20_000), (0, 0))
    assert (await world.balances())["P1110"] == 0
    last = await re_ruled(world, case, "merchant", 4)
    assert [one.amount for one in last.repayments] == [THEIRS]
    await sound(world)


async def found_twice(world: World) -> CaseRef:
    """80 % of the coat at the door, ruled the consumer's and paid out: 960.00."""
    await world.order(an_order(a_line(), a_line("l2", paid="400.00"), tier=0))
    case = (await world.judge(a_request(lines={"l1": 1, "l2": 1}))).case
    await world.collect(case, found(severity=80))
    ruling = await world.rule(case, "consumer", ruling_id="door")
    plan = (await world.assess(case, found(severity=80), ruling=ruling)).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    return case


async def test_what_was_overturned_waits_on_when_the_consumer_s_part_is_another_s(world: World) -> None:
    """Of 960.00 paid out 360.00 stand, and 600.00 wait for the insurer. Before the close all of it is the carrier's."""
    case = await found_twice(world)
    said = await world.settle(case, "receipt_issue", BOTH, await world.rule(case, "consumer", DOOR))
    await world.refund(case, said.refunds)
    assert [(one.liable, one.amount) for one in said.recoveries] == [(Liable.CONSUMER, yuan("960.00"))]
    ruling = await world.rule(case, "carrier", DOOR, ruling_id="late")
    again = await resettle(world, case, tag="late", at=LATER, **arrived(case, ruling_id=ruling))
    await carry_out(world, case, again)
    assert sorted((one.liable.value, one.amount) for one in again.recoveries) == [
        ("carrier", MINE),
        ("consumer", yuan("600.00")),
    ]
    first = again.recoveries[0]
    await remit(world, case, first.ref, yuan("600.00"))
    assert (await world.balances())["P2040"] == 0


async def test_before_the_close_nothing_is_waited_for_that_nobody_sends(world: World) -> None:
    """600.00 wait for the insurer beside 360.00 demanded of the carrier; then the fault is the merchant's."""
    case = await found_twice(world)
    said = await world.settle(case, "receipt_issue", BOTH, await world.rule(case, "carrier", DOOR))
    await world.refund(case, said.refunds)
    ruling = await world.rule(case, "merchant", ruling_id="late")
    again = await resettle(world, case, tag="late", at=LATER, **arrived(case, ruling_id=ruling))
    assert [(one.to, one.amount) for one in again.back] == [("insurer", MINE)]
    assert [(one.liable, one.amount) for one in again.recoveries] == [(Liable.CARRIER, yuan("600.00"))]


async def test_a_larger_loss_than_at_first_can_close(world: World) -> None:
    """Lost, ruled 10 % the consumer's and the rest the merchant's; it turns up, and 80 % are the consumer's."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case, found(severity=80))
    assert (await world.settle(case, "lost")).liable is Liable.UNDETERMINED
    shares = (share(Liable.MERCHANT, found(severity=80)),)
    ruling = await world.rule(case, "consumer", found(severity=10), shares=shares)
    said = await world.settle(case, "lost", ruling=ruling)
    assert said.indemnity is not None
    await world.indemnify(case, said.indemnity)
    said = await world.settle(case, "lost", ruling=ruling, claimed=said.indemnity.claim_ref)
    assert (said.loss, said.withheld) == (yuan("120.00"), yuan("120.00"))
    await world.refund(case, said.refunds)
    how = arrived(case, ruling_id=await world.rule(case, "consumer", found(severity=80), ruling_id="late"))
    again = await resettle(world, case, tag="late", at=LATER, **how)
    assert again.indemnity is not None
    await world.indemnify(case, again.indemnity)
    again = await resettle(world, case, tag="late", at=LATER, claimed=again.indemnity.claim_ref, **how)
    await carry_out(world, case, again)
    assert sum(one.amount.minor for one in again.recoveries) == 96_000
    await world.end(case)


@pytest.mark.parametrize("agreed", ["280.00", "0.00"])
async def test_of_a_smaller_indemnity_each_owes_a_smaller_part(world: World, agreed: str) -> None:
    """The insurer agrees to half of 560.00: the carrier owes 100.00 of it. Ruled the same again, nothing changes."""
    case = await damaged_twice(world, 0)
    carriers = (share(Liable.CARRIER, WAY),)
    ruling = await world.rule(case, "insurer", DOOR, shares=carriers)
    said = await world.settle(case, "receipt_issue", BOTH, ruling)
    assert said.claim_first
    assert said.indemnity is not None
    if yuan(agreed):
        await world.indemnify(case, said.indemnity, agreed=yuan(agreed))
    else:
        await world.deny(case, said.indemnity)
    said = await world.settle(case, "receipt_issue", BOTH, ruling, said.indemnity.claim_ref)
    assert of_case(said) == ([(Liable.CARRIER, yuan("100.00"))] if yuan(agreed) else [])
    await closed(world, case, said)
    again = await re_ruled(world, case, "insurer", 2, DOOR, shares=carriers)
    assert (again.changed, again.back, again.recoveries) == (False, (), ())
    await sound(world)


@pytest.mark.parametrize(
    ("outcome", "findings", "shares"),
    [
        ("consumer", (DOOR,), (share(Liable.MERCHANT, found(severity=10)),)),
        ("merchant", (found(severity=10),), (share(Liable.CONSUMER, DOOR),)),
        ("consumer", (found(severity=50),), ()),
    ],
    ids=["the same", "in another order", "another part"],
)
async def test_goods_that_went_back_are_not_refunded_where_the_consumer_is_liable(
    world: World, outcome: str, findings: tuple[LineFinding, ...], shares: tuple[LiabilityShare, ...]
) -> None:
    """30 % the consumer's and 10 % the merchant's at the door; then the goods go straight back to the consumer."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case, DOOR)
    own = (share(Liable.MERCHANT, found(severity=10)),)
    plan = (await world.assess(case, DOOR, ruling=await world.rule(case, "consumer", DOOR, shares=own))).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    await closed(world, case, await world.settle(case, "returned"))
    said = await re_ruled(world, case, outcome, 2, *findings, shares=shares)
    assert (said.changed, said.refunds, said.indemnity, said.recoveries) == (False, (), None, ())


# ---- what a ruling can say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "findings", "shares", "decides"),
    [
        ("consumer", (), (share(Liable.CARRIER, WAY),), "liability"),
        ("consumer", (DOOR,), (share(Liable.CONSUMER, WAY),), "liability"),
        ("consumer", (DOOR,), (share(Liable.CARRIER, WAY), share(Liable.CARRIER, WAY)), "liability"),
        ("consumer", (DOOR,), (share(Liable.NOBODY, WAY),), "liability"),
        ("nobody", (DOOR,), (share(Liable.CARRIER, WAY),), "liability"),
        ("uphold", (DOOR,), (share(Liable.CARRIER, WAY),), "authorization"),
    ],
    ids=["no findings", "twice", "twice among them", "nobody's", "beside nobody", "no liability"],
)
async def test_shares_that_fit_no_ruling(
    world: World,
    outcome: str,
    findings: tuple[LineFinding, ...],
    shares: tuple[LiabilityShare, ...],
    decides: str,
) -> None:
    case = await damaged_twice(world, 0)
    with pytest.raises(ValueError, match="shares: "):
        await world.rule(case, outcome, *findings, decides=decides, shares=shares)


async def test_findings_on_lines_that_are_not_returned(world: World) -> None:
    case = await damaged_twice(world, 0)
    stray = found(Finding.MISSING, None, line="l9")
    cases: tuple[tuple[tuple[LineFinding, ...], tuple[LiabilityShare, ...]], ...] = (
        ((stray,), ()),
        ((DOOR,), (share(Liable.CARRIER, stray),)),
    )
    for findings, shares in cases:
        with pytest.raises(Refusal) as refusal:
            await world.rule(case, "consumer", *findings, shares=shares)
        assert (refusal.value.code, refusal.value.field) == ("line_unknown", "shares" if shares else "findings")
