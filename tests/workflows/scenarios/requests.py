"""The request: who says yes, who is told, and what silence does. Domain 4.1, X1, X2, X13."""

from __future__ import annotations

from datetime import timedelta

from backhaul.facts import Reason
from backhaul.messages import Authorize, ConfirmReceipt
from tests.workflows.scenarios.registry import scenario
from tests.workflows.scenarios.telling import to_the_merchant, told
from tests.workflows.world import Case, Plan, World

REVIEWED = Plan(auto=False, reason=Reason.QUALITY, tier=0)


@scenario("X1", timer=("timers.merchant_silence", "timers.merchant_reminder"))
async def merchant_silent_then_authorized(world: World) -> Case:
    """Reminded after 24 h, authorized after 48 h, both from the notice; the return goes on to its refund."""
    case = await world.open(REVIEWED)
    waiting = (await case.waits_for("merchant_review")).waiting
    assert waiting is not None
    merchant = f"merchant:{case.request.merchant_id}"
    assert await told(case) == [(merchant, "review_request")]
    start = waiting.due - timedelta(hours=48)
    assert timedelta(0) <= waiting.since - start < timedelta(minutes=1)
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
