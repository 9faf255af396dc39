"""More than one party is liable, each for what the ruling names: nobody pays for another's part. Domain 4.5."""

from __future__ import annotations

from datetime import timedelta

import pytest

from activities.contract import Remedy
from backhaul.errors import Refusal
from backhaul.facts import Finding, Inspection, LiabilityShare, Liable, LineFinding
from backhaul.ledger import CaseRef
from backhaul.money import Money
from tests.steps.support import World, a_line, a_request, an_order, at_receipt, found, yuan
from tests.steps.test_rerulings import carrier_pays, consumer_pays, line_is, plans, re_ruled, rows, sound
from tests.steps.test_resettling import closed

DOOR = found()
"""The consumer's: 30 % of 1200.00."""
WAY = found(severity=50, line="l2")
"""The carrier's: 50 % of 400.00."""
MINE, THEIRS, ZERO = yuan("360.00"), yuan("200.00"), yuan("0.00")
BOTH = at_receipt(DOOR, WAY)


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


@pytest.mark.parametrize("rdv", ["max", None])
async def test_after_lightning_the_consumer_owes_their_part_only(world: World, rdv: str | None) -> None:
    """Clean at the door, 1600.00 refunded; found too late. With a cover 360.00 of the indemnity are demanded, without
    one the consumer owes the platform what the merchant is not charged: 360.00 either way."""
    await world.order(an_order(a_line(), a_line("l2", paid="400.00"), tier=3, rdv=rdv))
    case = (await world.judge(a_request(lines={"l1": 1, "l2": 1}))).case
    await world.refund(case, (await world.collect(case)).refunds)
    late = at_receipt(DOOR, WAY, after=timedelta(hours=49))
    assert (await world.settle(case, "receipt_issue", late)).liable is Liable.UNDETERMINED
    ruling = await world.rule(case, "consumer", DOOR, shares=(share(Liable.CARRIER, WAY),))
    said = await settled(world, case, ruling, late)
    assert (said.refunds, said.withheld) == ((), ZERO)
    carriers = [(Liable.CARRIER, THEIRS)] if rdv else []
    assert of_case(said) == [(Liable.CONSUMER, MINE), *carriers]
    await closed(world, case, said)
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


async def test_the_merchant_s_own_part_is_not_paid_for(world: World) -> None:
    case = await damaged_twice(world, 0)
    ruling = await world.rule(case, "merchant", WAY, shares=(share(Liable.CONSUMER, DOOR),))
    said = await settled(world, case, ruling)
    assert (said.liable, said.loss, said.withheld) == (Liable.CONSUMER, MINE, MINE)
    assert of_case(said) == [(Liable.CONSUMER, MINE)]
    await closed(world, case, said)
    await sound(world)


async def test_two_causes_on_one_line_add_up_at_most_to_its_value(world: World) -> None:
    """80 % the consumer's, 50 % the carrier's, of one coat: 960.00 and the 240.00 that are left of it."""
    case = await damaged_twice(world, 0)
    carriers = share(Liable.CARRIER, found(severity=50))
    ruling = await world.rule(case, "consumer", found(severity=80), shares=(carriers,))
    said = await settled(world, case, ruling)
    assert of_case(said) == [(Liable.CONSUMER, yuan("960.00")), (Liable.CARRIER, yuan("240.00"))]
    await closed(world, case, said)
    await sound(world)


async def test_an_insurer_s_part_is_recovered_from_nobody(world: World) -> None:
    case = await damaged_twice(world, 0)
    ruling = await world.rule(case, "insurer", DOOR, shares=(share(Liable.CARRIER, WAY),))
    said = await settled(world, case, ruling)
    assert (said.liable, of_case(said)) == (Liable.CARRIER, [(Liable.CARRIER, THEIRS)])
    assert said.indemnity is not None
    assert said.indemnity.amount == MINE + THEIRS
    await closed(world, case, said)
    await sound(world)


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


async def test_the_same_shares_again_change_nothing(world: World) -> None:
    case, _ = await ended(world)
    before = await world.balances()
    said = await re_ruled(world, case, "carrier", 2, WAY, shares=(share(Liable.CONSUMER, DOOR),))
    assert (said.changed, said.refunds, said.back, said.recoveries) == (False, (), (), ())
    assert await world.balances() == before


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
