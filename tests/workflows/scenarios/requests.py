"""The request: who says yes, who is told, and what silence does. Domain 4.1, X1, X2, X13."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from backhaul.errors import Refusal
from backhaul.facts import Reason
from backhaul.messages import (
    AnswerInfo,
    ApplyRuling,
    Authorize,
    ConfirmReceipt,
    Decline,
    Escalate,
    ExtendDeadline,
    ImportOrder,
    RequestInfo,
    RetryStep,
    Withdraw,
)
from tests.workflows.scenarios.registry import scenario
from tests.workflows.scenarios.telling import refused, to_the_merchant, told
from tests.workflows.world import Case, Plan, World, cny

REVIEWED = Plan(auto=False, reason=Reason.QUALITY, tier=0)


@scenario("X1", timer=("timers.merchant_silence", "timers.merchant_reminder"))
async def merchant_silent_then_authorized(world: World) -> Case:
    """Reminded after 24 h, authorized after 48 h, both from the notice; the return goes on to its refund."""
    case = await world.open(REVIEWED)
    waiting = await case.asked("merchant_review")
    merchant = f"merchant:{case.request.merchant_id}"
    assert await told(case) == [(merchant, "review_request")]
    start = waiting.told
    assert start is not None and waiting.due == start + timedelta(hours=48)
    await world.until(start + timedelta(hours=24, minutes=-1))
    assert len(await told(case)) == 1
    await world.until(start + timedelta(hours=24, minutes=1))
    await case.until_told(merchant, "review_reminder")
    await world.until(start + timedelta(hours=48, minutes=-1))
    assert (await case.status()).regions["authorization"] == "requested"
    await world.until(start + timedelta(hours=48, minutes=1))
    await to_the_merchant(case)
    events = [event.what for event in (await case.status()).events]
    assert [what for what in events if what.startswith("told the merchant")] == [
        "told the merchant: A return asks for your decision; without one it is authorised.",
        "told the merchant: The return still asks for your decision; without one it is authorised.",
    ]
    assert "authorized by silence" in events
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario("X1")
async def merchant_authorizes_in_time(world: World) -> Case:
    """The merchant answers within a day: no reminder leaves."""
    case = await world.open(REVIEWED)
    await case.waits_for("merchant_review")
    await world.env.sleep(timedelta(hours=23))
    await case.say("authorize", Authorize())
    await to_the_merchant(case)
    await world.env.sleep(timedelta(hours=3))
    assert [about for _, about in await told(case)] == ["review_request"]
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario("X1")
async def merchant_given_more_time(world: World) -> Case:
    """An operator gives the merchant a day more, visibly; the reminder keeps its time, and silence authorizes then."""
    case = await world.open(REVIEWED)
    before = await case.asked("merchant_review")
    await case.say("extend_deadline", ExtendDeadline(seconds=86_400))
    after = (await case.status()).waiting
    assert after is not None and after.due - before.due == timedelta(days=1)
    assert before.told is not None
    await world.until(before.told + timedelta(hours=25))
    await case.until_told(f"merchant:{case.request.merchant_id}", "review_reminder")
    await world.until(before.due + timedelta(hours=1))
    assert (await case.status()).regions["authorization"] == "requested"
    await world.until(after.due + timedelta(minutes=1))
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


# ---- X2: the merchant asks the consumer --------------------------------------------------------------------------


@scenario("X2", timer="timers.info_answer")
async def question_not_answered(world: World) -> Case:
    """72 h after the consumer was asked the case expires; nothing is paid, its units are free."""
    case = await world.open(REVIEWED)
    await case.waits_for("merchant_review")
    await case.say("request_info", RequestInfo(question="photos"))
    waiting = await case.asked("info_answer")
    status = await case.status()
    assert (status.stage, status.regions["authorization"]) == ("authorizing", "info_requested")
    assert waiting.on == "consumer"
    await refused(case, "authorize", Authorize(), "not_waiting")
    assert (await told(case))[-1][1] == "info_request"
    await world.until(waiting.due - timedelta(minutes=1))
    assert (await case.status()).regions["authorization"] == "info_requested"
    await world.until(waiting.due + timedelta(minutes=1))
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("expired", cny(0))
    assert await case.entries() == []
    return case


@scenario("X2")
async def question_answered_in_time(world: World) -> Case:
    """The consumer answers; the merchant is told, has 48 h anew, may not ask again, and their silence authorizes."""
    case = await world.open(REVIEWED)
    await case.waits_for("merchant_review")
    await refused(case, "answer_info", AnswerInfo(), "not_waiting")
    await case.say("request_info", RequestInfo(question="photos"))
    await case.waits_for("info_answer")
    await world.env.sleep(timedelta(hours=71))
    await case.say("answer_info", AnswerInfo(note="the label is on the photo"))
    waiting = await case.asked("merchant_review")
    assert (await case.status()).regions["authorization"] == "requested"
    assert waiting.told is not None and waiting.due == waiting.told + timedelta(hours=48)
    assert (await told(case))[-1][1] == "info_answered"
    await refused(case, "request_info", RequestInfo(question="more"), "already_asked")
    await world.until(waiting.due + timedelta(minutes=1))
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario("X2")
async def question_given_more_time(world: World) -> Case:
    """An operator gives the consumer a day more: the view shows the new time, and the case expires then."""
    case = await world.open(REVIEWED)
    await case.waits_for("merchant_review")
    await case.say("request_info", RequestInfo(question="photos"))
    before = await case.asked("info_answer")
    await case.say("extend_deadline", ExtendDeadline(seconds=86_400))
    after = (await case.status()).waiting
    assert after is not None and after.due - before.due == timedelta(days=1)
    await world.until(before.due + timedelta(hours=1))
    assert (await case.status()).regions["authorization"] == "info_requested"
    assert (await case.end()).outcome == "expired"
    assert await case.now() >= after.due
    return case


@scenario("X2")
async def question_makes_the_consumer_withdraw(world: World) -> Case:
    """The consumer would rather take the return back than answer."""
    case = await world.open(REVIEWED)
    await case.waits_for("merchant_review")
    await case.say("request_info", RequestInfo(question="photos"))
    await case.waits_for("info_answer")
    await case.say("withdraw", Withdraw(reason="never mind"))
    assert (await case.end()).outcome == "withdrawn"
    return case


@scenario("X2")
async def expired_opened_again(world: World) -> Case:
    """An expired case goes on as a new, linked one; only for the same order, no more of each line, and once."""
    first = await _expired(world)
    order = world.order_of(first)
    for wrong, code in (
        (Plan(reopens="nobody"), "reopen_unknown"),
        (Plan(reopens=first.request.rma_id, back=(("L1", 2),)), "reopen_mismatch"),
    ):
        with pytest.raises(Refusal) as refusal:
            await world.open(wrong, order=order)
        assert refusal.value.code == code
    again = await world.open(replace(REVIEWED, reopens=first.request.rma_id), order=order)
    assert again.first.outcome == "merchant_review"
    assert (await again.status()).reopens == first.request.rma_id
    for taken in (first, again):
        with pytest.raises(Refusal) as refusal:
            await world.open(replace(REVIEWED, reopens=taken.request.rma_id), order=order)
        assert refusal.value.code == "reopen_not_expired"
    await again.asked("merchant_review")
    await again.say("authorize", Authorize())
    await to_the_merchant(again)
    await again.say("confirm_receipt", ConfirmReceipt())
    assert (await again.end()).refunded == cny(120_000)
    return again


async def _expired(world: World, reopens: str | None = None, order: ImportOrder | None = None) -> Case:
    case = await world.open(replace(REVIEWED, reopens=reopens), order=order)
    await case.asked("merchant_review")
    await case.say("request_info", RequestInfo(question="photos"))
    waiting = await case.asked("info_answer")
    await world.until(waiting.due + timedelta(minutes=1))
    assert (await case.ended()).outcome == "expired"
    return case


# ---- X13: a refusal, escalated or not ------------------------------------------------------------------------------


@scenario("X13", timer="timers.escalation")
async def refusal_stands(world: World) -> Case:
    """Nobody escalates within 7 d of the notice: the case closes declined."""
    case = await _refused(world)
    waiting = await case.asked("escalation")
    assert (await told(case))[-1] == (f"consumer:c-{case.request.order_id}", "request_refused")
    await world.until(waiting.due - timedelta(minutes=1))
    assert not (await case.status()).closed
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("declined", cny(0))
    assert await case.now() >= waiting.due
    return case


@scenario("X13")
async def refusal_overruled(world: World) -> Case:
    """Escalated in time: a human of the platform allows the return."""
    case = await _refused(world)
    await case.waits_for("escalation")
    await world.env.sleep(timedelta(days=6))
    await case.say("escalate", Escalate(reason="it was broken"))
    parked = (await case.parks("arbitration_needed")).attention
    assert parked is not None and parked.send.startswith("apply_ruling")
    await case.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "authorization", "authorize")))
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).refunded == cny(120_000)
    return case


@scenario("X13")
async def refusal_given_more_time(world: World) -> Case:
    """An operator gives the consumer a day more to escalate, visibly; then the case closes declined."""
    case = await _refused(world)
    before = await case.asked("escalation")
    await case.say("extend_deadline", ExtendDeadline(seconds=86_400))
    after = (await case.status()).waiting
    assert after is not None and after.due - before.due == timedelta(days=1)
    await world.until(before.due + timedelta(hours=1))
    assert not (await case.status()).closed
    assert (await case.end()).outcome == "declined"
    return case


@scenario("X13")
async def refusal_upheld(world: World) -> Case:
    """Escalated, and the platform upholds the refusal: declined."""
    case = await _refused(world)
    await case.waits_for("escalation")
    await case.say("escalate", Escalate())
    await case.parks("arbitration_needed")
    await case.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "authorization", "uphold")))
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("declined", cny(0))
    return case


async def _refused(world: World) -> Case:
    case = await world.open(REVIEWED)
    await case.waits_for("merchant_review")
    await case.say("decline", Decline(reason="used"))
    return case


# ---- notices that do not arrive ------------------------------------------------------------------------------------


@scenario("X1")
async def merchant_cannot_be_told(world: World) -> Case:
    """The notice reaches nobody: the case parks and no deadline runs; told again, 48 h start from there."""
    await world.outside.script("notices", "notice.review_request:1", state="failed")
    case = await world.open(REVIEWED)
    parked = (await case.parks("notice_undelivered")).attention
    assert parked is not None and (parked.step, parked.send) == ("send_notice", "retry_step {}")
    await world.env.sleep(timedelta(hours=60))
    assert (await case.status()).regions["authorization"] == "requested"
    await case.say("retry_step", RetryStep())
    waiting = await case.asked("merchant_review")
    assert timedelta(hours=47) < waiting.due - await case.now() <= timedelta(hours=48)
    assert (await case.status()).attention is None
    assert [about for _, about in await told(case)] == ["review_request"]
    await world.until(waiting.due + timedelta(minutes=1))
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case


@scenario("X1")
async def merchant_answers_untold(world: World) -> Case:
    """A merchant who looks by themselves may answer while the notice is stuck: what is parked is free."""
    await world.outside.script("notices", "notice.review_request:1", state="failed")
    case = await world.open(REVIEWED)
    await case.parks("notice_undelivered")
    await case.say("authorize", Authorize())
    await case.until(lambda s: s.attention is None and s.regions["authorization"] == "authorized", "authorized")
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).outcome == "refunded"
    return case
