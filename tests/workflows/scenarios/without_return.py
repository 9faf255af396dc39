"""Money without goods coming back: the offer for keeping them (X30), and the refund alone (X29).

The coat of domain 6: 1200.00 paid, commission 5 %, freight 12.00 by the table, so that an offer is at most 14.40.
"""

from __future__ import annotations

from datetime import timedelta

from backhaul.facts import RemedyKind
from backhaul.messages import (
    AnswerOffer,
    Authorize,
    ConfirmReceipt,
    Decline,
    ExtendDeadline,
    OfferAnswer,
    Withdraw,
)
from tests.workflows.scenarios.registry import scenario
from tests.workflows.scenarios.telling import refused, templates, to_the_merchant, told
from tests.workflows.world import COAT, Case, Plan, World, cny

OFFERED = Plan(offers=True, tier=0)
OFFER = 1_440
"""12.00 x 1.2; 15 % of the coat would be 180.00."""
MONEY = Plan(remedy=RemedyKind.REFUND_ONLY)
NOT_SHIPPED = Plan(remedy=RemedyKind.REFUND_ONLY, signed_days_ago=None)


# ---- X30: save-the-sale ------------------------------------------------------------------------------------------


@scenario("X30", timer="timers.offer_answer")
async def offer_not_answered(world: World) -> Case:
    """Silence for 24 h: the return goes on as if nothing had been offered."""
    case = await world.open(OFFERED)
    waiting = await case.asked("offer")
    status = await case.status()
    assert (status.stage, status.offer) == ("retaining", cny(OFFER))
    assert await told(case) == [(f"consumer:c-{case.request.order_id}", "offer")]
    await world.until(waiting.due - timedelta(minutes=1))
    assert (await case.status()).waybill is None
    await world.until(waiting.due + timedelta(minutes=1))
    await refused(case, "answer_offer", AnswerOffer(answer=OfferAnswer.ACCEPT), "no_offer")
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("refunded", cny(COAT))
    assert "J82" not in templates(await case.entries())
    return case


@scenario("X30")
async def offer_accepted(world: World) -> Case:
    """The consumer keeps the coat for 14.40: J82 less commission 0.72, no pickup, and the coat may come back later."""
    case = await world.open(OFFERED)
    await case.asked("offer")
    await world.env.sleep(timedelta(hours=23))
    await case.say("answer_offer", AnswerOffer(answer=OfferAnswer.ACCEPT))
    outcome = await case.ended()
    assert (outcome.outcome, outcome.refunded, outcome.freight) == ("retained", cny(OFFER), cny(0))
    assert outcome.regions["authorization"] == "retained" and outcome.regions["logistics"] == "not_required"
    assert templates(await case.entries()) == {"J82": OFFER, "J21": OFFER}
    assert await case.posted("J82") == {"P2000": OFFER - 72, "P4000": 72, "P2010": -OFFER}
    key = f"{case.request.merchant_id}:{case.request.rma_id}:offer.pay-{case.request.order_id}:1"
    assert [row.amount for row in await world.outside.statement("psp", key)] == [cny(OFFER)]
    later = await world.open(Plan(tier=0), order=world.order_of(case))
    assert later.first.refundable == cny(COAT - OFFER)
    await later.asked("offer")
    await later.say("withdraw", Withdraw())
    assert (await later.end()).outcome == "withdrawn"
    return case


@scenario("X30")
async def offer_refused(world: World) -> Case:
    """The consumer refuses: the pickup is booked at once. A second answer is none."""
    case = await world.open(OFFERED)
    await case.asked("offer")
    await case.say("answer_offer", AnswerOffer(answer=OfferAnswer.REFUSE))
    await to_the_merchant(case)
    await refused(case, "answer_offer", AnswerOffer(answer=OfferAnswer.ACCEPT), "no_offer")
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).refunded == cny(COAT)
    return case


@scenario("X30")
async def offer_given_more_time(world: World) -> Case:
    """An operator gives an hour more, visibly, and the consumer accepts in it."""
    case = await world.open(OFFERED)
    before = await case.asked("offer")
    await case.say("extend_deadline", ExtendDeadline(seconds=3_600))
    after = (await case.status()).waiting
    assert after is not None and after.due - before.due == timedelta(hours=1)
    await world.until(before.due + timedelta(minutes=30))
    await case.say("answer_offer", AnswerOffer(answer=OfferAnswer.ACCEPT))
    assert (await case.end()).outcome == "retained"
    return case


# ---- X29: the money alone ------------------------------------------------------------------------------------------


@scenario("X29")
async def not_shipped_refunded_at_once(world: World) -> Case:
    """Neither shipped nor signed: 1200.00 leave at once, 60.00 of commission go back, nothing travels."""
    case = await world.open(NOT_SHIPPED)
    assert (case.first.outcome, case.first.reasons) == ("authorized", ("not_shipped",))
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("refunded", cny(COAT))
    assert (outcome.regions["logistics"], outcome.regions["inspection"]) == ("not_required", "waived")
    assert templates(await case.entries()) == {"J23": COAT, "J21": COAT}
    assert await case.posted("J23") == {"P2000": COAT - 6_000, "P4000": 6_000, "P2010": -COAT}
    assert await told(case) == []
    return case


@scenario("X29")
async def under_way_not_refunded(world: World) -> Case:
    """Shipped and not received: the goods are to be refused or returned, the money alone is not."""
    case = await world.open(Plan(remedy=RemedyKind.REFUND_ONLY, signed_days_ago=None, shipped_days_ago=1))
    assert (case.first.outcome, case.first.reasons) == ("declined", ("goods_under_way",))
    assert (await case.end()).outcome == "declined"
    assert await case.entries() == []
    return case


@scenario("X29", timer="timers.refund_only_decision")
async def money_alone_merchant_silent(world: World) -> Case:
    """Received goods: the merchant was told and stays silent for 48 h, which grants it."""
    case = await world.open(MONEY)
    assert (case.first.outcome, case.first.reasons) == ("merchant_review", ("merchant_decides",))
    waiting = await case.asked("merchant_review")
    assert waiting.told is not None and waiting.due == waiting.told + timedelta(hours=48)
    assert await told(case) == [(f"merchant:{case.request.merchant_id}", "refund_only_request")]
    await world.until(waiting.due - timedelta(minutes=1))
    assert await case.entries() == []
    await world.until(waiting.due + timedelta(minutes=1))
    outcome = await case.ended()
    assert (outcome.outcome, outcome.refunded) == ("refunded", cny(COAT))
    assert templates(await case.entries()) == {"J23": COAT, "J21": COAT}
    again = await world.open(Plan(tier=0), order=world.order_of(case))
    assert (again.first.outcome, again.first.reasons) == ("declined", ("quantity_over_ordered",))
    return case


@scenario("X29")
async def money_alone_granted(world: World) -> Case:
    """The merchant grants it in time; an operator's extra hour shows before."""
    case = await world.open(MONEY)
    before = await case.asked("merchant_review")
    await case.say("extend_deadline", ExtendDeadline(seconds=3_600))
    after = (await case.status()).waiting
    assert after is not None and after.due - before.due == timedelta(hours=1)
    await case.say("authorize", Authorize())
    assert (await case.end()).refunded == cny(COAT)
    return case


@scenario("X29")
async def money_alone_refused(world: World) -> Case:
    """By books since May 2025 the merchant's refusal is final; the consumer is told, and may return the goods."""
    case = await world.open(MONEY)
    await case.asked("merchant_review")
    await case.say("decline", Decline(reason="not_defective"))
    outcome = await case.ended()
    assert (outcome.outcome, outcome.refunded) == ("declined", cny(0))
    assert [about for _, about in await told(case)] == ["refund_only_request", "refund_only_refused"]
    later = await world.open(Plan(tier=0), order=world.order_of(case))
    assert later.first.outcome == "authorized"
    await later.waits_for("pickup")
    await later.say("withdraw", Withdraw())
    assert (await later.end()).outcome == "withdrawn"
    return case
