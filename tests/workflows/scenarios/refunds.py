"""Refunds that do not go straight: unknown answers, void cards, silence, a short payer, several payments, bounces.

Amounts are the coat's, 1200.00, unless a story says otherwise.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from backhaul.corrections import CorrectionKind
from backhaul.errors import Refusal
from backhaul.facts import Method, Reason
from backhaul.messages import (
    Authorize,
    ClaimRefund,
    CloseCase,
    ConfirmReceipt,
    CorrectionStatus,
    PaymentNews,
    ProvideAccount,
    ProvideWaybill,
    RetryStep,
    SkipStep,
)
from store import corrections, unclaimed
from tests.workflows.scenarios.registry import scenario
from tests.workflows.scenarios.telling import refused, templates, to_the_merchant
from tests.workflows.world import Case, Plan, World, cny
from worker.corrections import claim, sweep_bounces, tell_payment

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
COAT = 120_000


def refund_key(case: Case, n: int = 1, payment: str = "") -> str:
    """The key of a refund to the order's first payment, or to the one of this suffix."""
    request = case.request
    return f"{request.merchant_id}:{request.rma_id}:refund.pay-{request.order_id}{payment}:{n}"


def payout_key(case: Case, n: int = 1, payment: str = "") -> str:
    """The key of the payout in its place."""
    return refund_key(case, n, payment).replace(":refund.", ":payout.")


async def keys_outside(world: World, case: Case) -> list[str]:
    """Every key of the case under which the payment provider was asked to move money to the consumer."""
    rows = await world.outside.whole_statement("psp")
    mine = f"{case.request.merchant_id}:{case.request.rma_id}:"
    return sorted(row.key for row in rows if row.key.startswith(mine) and row.kind in {"refund", "payout"})


async def accepted(world: World, plan: Plan | None = None) -> Case:
    """An ordinary return up to the merchant's acceptance: the refund leaves now."""
    case = await world.open(plan or Plan(tier=0))
    await to_the_merchant(case)
    return case


async def void_card(world: World) -> Case:
    """The consumer's card is void; the refund has just been refused."""
    order = await world.import_order(Plan(tier=0))
    await world.outside.control("psp", "accounts", {"payee": order.consumer.consumer_ref, "state": "abnormal"})
    case = await world.open(Plan(tier=0), order)
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.waits_for("account")
    return case


# ---- X18: nobody knows -----------------------------------------------------------------------------------------------


@scenario("X18", timer="timers.lookup_delays")
async def refund_unknown_for_an_hour(world: World) -> Case:
    """The refund's answer is lost, and four look-ups fail: the fifth, after 66 minutes, finds it paid once."""
    await world.outside.faults(
        "psp",
        {"match": "POST /v1/refunds", "kind": "error_after", "times": 1},
        {"match": "GET /v1/operations/{key}", "kind": "unavailable_before", "times": 4},
    )
    case = await accepted(world)
    before = await case.now()
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.until(lambda s: s.money.refund_under_way == cny(COAT), "the refund under way")
    await world.env.sleep(35 * MINUTE)
    status = await case.status()
    assert (status.money.refunded, status.regions["refund"]) == (cny(0), "submitted")
    assert "J21" not in templates(await case.entries())
    outcome = await case.end()
    assert outcome.refunded == cny(COAT)
    assert await case.now() - before >= 66 * MINUTE
    assert await keys_outside(world, case) == [refund_key(case)]
    assert templates(await case.entries())["J21"] == COAT
    return case


@scenario("X18")
async def refund_unknown_to_the_end(world: World) -> Case:
    """No look-up is answered: the case parks, and an operator's retry looks up the same key. No other key is made."""
    await world.outside.faults(
        "psp",
        {"match": "POST /v1/refunds", "kind": "error_after", "times": 1},
        {"match": "GET /v1/operations/{key}", "kind": "unavailable_before"},
    )
    case = await accepted(world)
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.until(lambda s: s.money.refund_under_way == cny(COAT), "the refund under way")
    await world.env.sleep(3 * HOUR)
    status = await case.parks("provider_unknown")
    assert status.attention is not None and status.attention.step == "send_refund"
    await refused(case, "close_case", CloseCase(reason="enough"), "already_picked_up")
    await world.outside.faults("psp")
    await case.say("retry_step", RetryStep())
    assert (await case.end()).refunded == cny(COAT)
    assert await keys_outside(world, case) == [refund_key(case)]
    return case


# ---- X19, X20: another account ---------------------------------------------------------------------------------------


@scenario("X19")
async def void_card_another_account(world: World) -> Case:
    """The card is void: the consumer is asked at once, names an account, and is paid there under a key of its own."""
    case = await void_card(world)
    status = await case.status()
    assert (status.regions["refund"], status.stage) == ("abnormal", "refunding")
    assert status.waiting is not None and status.waiting.on.value == "consumer"
    subject = f"{case.request.merchant_id}/{case.request.rma_id}"
    told = await world.asked(lambda: world.outside.told(subject), lambda rows: any("account" in row[1] for row in rows))
    assert [about for _, about in told].count("account_needed") == 1
    await case.say("provide_account", ProvideAccount(account_ref="acc-1"))
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("refunded", cny(COAT))
    assert outcome.regions["refund"] == "succeeded"
    totals = templates(await case.entries())
    assert (totals["J23"], totals["J61"]) == (COAT, COAT)
    assert "J21" not in totals and "J62" not in totals
    assert await keys_outside(world, case) == [payout_key(case)]
    assert [row.amount for row in await world.outside.payouts("acc-1")] == [cny(COAT)]
    return case


@scenario("X19", "X20", timer=("timers.account_answer", "timers.unclaimed"))
async def void_card_and_silence(world: World) -> Case:
    """Nobody answers in 7 days, nor to three reminders in 30 more: unclaimed money, and the case closes."""
    case = await void_card(world)
    subject = f"{case.request.merchant_id}/{case.request.rma_id}"
    due = (await case.status()).waiting
    assert due is not None
    await world.env.sleep(due.due - await case.now() - MINUTE)
    told = [about for _, about in await world.outside.told(subject)]
    assert (told.count("account_needed"), told.count("refund_unclaimed")) == (1, 0)
    await world.env.sleep(2 * MINUTE)
    status = await case.until(lambda s: s.waiting is not None and s.waiting.due > due.due, "the longer wait")
    assert status.waiting is not None
    assert timedelta(days=30) <= status.waiting.due - due.due < timedelta(days=30) + HOUR
    await world.env.sleep(status.waiting.due - await case.now() - MINUTE)
    told = [about for _, about in await world.outside.told(subject)]
    assert told.count("refund_unclaimed") == 3
    assert (await case.status()).regions["refund"] == "abnormal"
    assert "J62" not in templates(await case.entries())
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("unclaimed", cny(0))
    totals = templates(await case.entries())
    assert (totals["J23"], totals["J62"]) == (COAT, COAT)
    assert "J21" not in totals and "J61" not in totals
    assert await keys_outside(world, case) == []
    return case


@scenario("X20")
async def account_named_at_the_last_reminder(world: World) -> Case:
    """An account named on the last day of the thirty is paid (J61); nothing becomes unclaimed."""
    case = await void_card(world)
    await world.env.sleep(36 * DAY)
    await case.say("provide_account", ProvideAccount(account_ref="acc-2"))
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("refunded", cny(COAT))
    totals = templates(await case.entries())
    assert totals["J61"] == COAT and "J62" not in totals
    return case


@scenario("X19")
async def second_account_is_void_too(world: World) -> Case:
    """The account named takes no money either: asked again; the payout's number rises, since the provider ended it."""
    case = await void_card(world)
    await world.outside.control("psp", "accounts", {"payee": "acc-bad", "state": "abnormal"})
    await case.say("provide_account", ProvideAccount(account_ref="acc-bad"))
    await case.until(
        lambda s: s.waiting is not None and s.waiting.code == "account" and s.regions["refund"] == "abnormal"
        and sum("account" in event.what for event in s.events) > 2, "asked again",
    )  # fmt: skip
    await refused(case, "retry_step", RetryStep(), "not_parked")
    await case.say("provide_account", ProvideAccount(account_ref="acc-good"))
    assert (await case.end()).refunded == cny(COAT)
    assert await keys_outside(world, case) == [payout_key(case, 2)]
    assert await world.outside.payouts("acc-bad") == []
    assert templates(await case.entries())["J61"] == COAT
    return case


@scenario
async def account_named_unasked(world: World) -> Case:
    """Nothing asks for an account: it is refused."""
    case = await world.open(Plan(tier=0))
    await to_the_merchant(case)
    await refused(case, "provide_account", ProvideAccount(account_ref="acc-1"), "not_waiting")
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).refunded == cny(COAT)
    return case


# ---- ended by the channel --------------------------------------------------------------------------------------------


@scenario
async def refund_closed_by_the_channel(world: World) -> Case:
    """The provider closed the attempt: parked; an operator's retry leaves under the next key and is paid once."""
    case = await accepted(world)
    await world.outside.script("psp", refund_key(case), state="failed", code="channel_closed")
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.parks("channel_closed")
    await case.say("retry_step", RetryStep())
    assert (await case.end()).refunded == cny(COAT)
    assert await keys_outside(world, case) == [refund_key(case, 2)]
    return case


@scenario
async def refund_given_up_under_proof(world: World) -> Case:
    """Skipping needs the provider's proof: refused without, then the money is unclaimed (J62) and the case closes."""
    case = await accepted(world)
    await world.outside.script("psp", refund_key(case), state="failed", code="channel_closed")
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.parks("channel_closed")
    await refused(case, "skip_step", SkipStep(), "proof_required")
    await refused(case, "close_case", CloseCase(reason="enough"), "already_picked_up")
    await case.say("skip_step", SkipStep(provider_proof=True))
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("unclaimed", cny(0))
    assert templates(await case.entries())["J62"] == COAT
    return case


# ---- X21: the payer's account is short -------------------------------------------------------------------------------


async def short_payer(world: World) -> Case:
    """The refund waits at the provider for the payer's money."""
    case = await accepted(world)
    await world.outside.control("psp", "payers", {"payer": case.request.merchant_id, "state": "short"})
    await case.say("confirm_receipt", ConfirmReceipt())
    status = await case.waits_for("payer_funds")
    assert status.attention is None and status.regions["refund"] == "submitted"
    return case


@scenario("X21", timer="timers.payer_alarms")
async def payer_short_then_funded(world: World) -> Case:
    """Alarms on days 1 and 3; the account is funded on day 4, and the look-up of day 5 finds the same key paid."""
    case = await short_payer(world)
    since = (await case.status()).waiting
    assert since is not None
    await world.env.sleep(since.since + DAY - await case.now() - MINUTE)
    assert (await case.status()).attention is None
    await world.env.sleep(2 * MINUTE)
    first = await case.parks("payer_short")
    assert first.attention is not None and "1 days" in first.attention.headline
    await world.env.sleep(2 * DAY)
    third = await case.until(lambda s: s.attention is not None and "3 days" in s.attention.headline, "day 3")
    await refused(case, "skip_step", SkipStep(provider_proof=True), "not_waiting")
    assert third.money.refund_under_way == cny(COAT)
    await world.env.sleep(DAY)
    await world.outside.control("psp", "payers", {"payer": case.request.merchant_id, "state": "funded"})
    assert (await case.status()).money.refunded == cny(0)
    await world.env.sleep(DAY + MINUTE)
    assert (await case.end()).refunded == cny(COAT)
    assert await keys_outside(world, case) == [refund_key(case)]
    assert templates(await case.entries())["J21"] == COAT
    return case


@scenario("X21")
async def payer_funded_and_told(world: World) -> Case:
    """The provider's own news that the refund is decided comes before any alarm: nobody waits for the look-up."""
    case = await short_payer(world)
    await world.outside.control("psp", "payers", {"payer": case.request.merchant_id, "state": "funded"})
    now = await case.now()
    await tell_payment(world.store, world.backhaul, refund_key(case), PaymentNews.SETTLED, now, now)
    await case.until(lambda s: s.money.refunded == cny(COAT), "the look-up")
    assert await case.now() - now < HOUR
    assert (await case.end()).refunded == cny(COAT)
    assert await keys_outside(world, case) == [refund_key(case)]
    return case


@scenario("X21", timer="timers.payer_closed")
async def payer_short_until_the_channel_closes(world: World) -> Case:
    """Day 7: while the channel has not closed the attempt its key stays; once it has, the next number is paid."""
    case = await short_payer(world)
    await world.env.sleep(DAY + MINUTE)
    await case.parks("payer_short")
    await world.env.sleep(5 * DAY)
    await case.say("retry_step", RetryStep())
    await case.until(lambda s: s.attention is not None and "6 days" in s.attention.headline, "still under its key")
    await world.outside.control("psp", "payers", {"payer": case.request.merchant_id, "state": "closed"})
    await world.outside.control("psp", "payers", {"payer": case.request.merchant_id, "state": "funded"})
    await world.env.sleep(DAY)
    assert (await case.end()).refunded == cny(COAT)
    assert await keys_outside(world, case) == [refund_key(case, 2)]
    assert templates(await case.entries())["J21"] == COAT
    return case


# ---- several payments ------------------------------------------------------------------------------------------------


@scenario("X19")
async def refund_over_three_payments(world: World) -> Case:
    """1200.00 paid as 500.00, 400.00 and 300.00: each takes back what it brought, under its own key; one card is void,
    the others are paid meanwhile, and the case closes when all three are over."""
    case = await accepted(world, Plan(tier=0, payments=(50_000, 40_000, 30_000)))
    await world.outside.script("psp", refund_key(case, payment="-1"), state="failed", code="account_abnormal")
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.waits_for("account")
    status = await case.until(lambda s: s.money.refunded == cny(80_000), "two parts")
    assert (status.regions["refund"], status.money.refund_under_way) == ("abnormal", cny(40_000))
    await case.say("provide_account", ProvideAccount(account_ref="acc-1"))
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("refunded", cny(COAT))
    totals = templates(await case.entries())
    assert (totals["J23"], totals["J21"], totals["J61"]) == (COAT, 80_000, 40_000)
    keys = [payout_key(case, payment="-1"), refund_key(case), refund_key(case, payment="-2")]
    assert await keys_outside(world, case) == sorted(keys)
    rows = {row.key: row.amount for row in await world.outside.whole_statement("psp")}
    assert [rows[key] for key in keys] == [cny(40_000), cny(50_000), cny(30_000)]
    return case


@scenario
async def two_returns_over_two_payments(world: World) -> Case:
    """100.00 paid as 60.00 and 40.00, returned in two cases of 50.00: the first payment in order is taken first, and
    the second return takes what is left: 10.00 of the first and 40.00 of the second."""
    plan = Plan(tier=0, lines=(("L1", 2, 10_000),), back=(("L1", 1),), payments=(6_000, 4_000))
    order = await world.import_order(plan)
    amounts = []
    for _ in range(2):
        case = await world.open(plan, order)
        await to_the_merchant(case)
        await case.say("confirm_receipt", ConfirmReceipt())
        assert (await case.ended()).refunded == cny(5_000)
        rows = {row.key: row.amount.minor for row in await world.outside.whole_statement("psp")}
        mine = await keys_outside(world, case)
        amounts.append({payment: rows[key] for payment in ("", "-1") if (key := refund_key(case, 1, payment)) in mine})
    assert amounts == [{"": 5_000}, {"": 1_000, "-1": 4_000}]
    return case


# ---- bounced after success -------------------------------------------------------------------------------------------


async def bounce(world: World, case: Case, key: str) -> None:
    """The money comes back, and nobody tells us."""
    await world.outside.control("psp", "bounces", {"key": key})


async def told_of_bounce(world: World, case: Case, key: str) -> str:
    """The provider's webhook has come in: what came of it."""
    now = await case.now()
    return (await tell_payment(world.store, world.backhaul, key, PaymentNews.BOUNCED, now, now))[1]


async def correction(world: World, case: Case, n: int = 1) -> CorrectionStatus:
    """A correction's own view."""
    return await world.backhaul.correction(case.id, n)


async def ended(world: World, workflow_id: str) -> str:
    """How a correction ended."""
    async with world.env.time_skipping_unlocked():  # type: ignore[attr-defined]
        outcome = await world.env.client.get_workflow_handle(workflow_id).result()
    return str(outcome["outcome"])


@scenario("X19")
async def lightning_refund_bounces(world: World) -> Case:
    """The refund by lightning comes back while the goods travel: J60, another account, J61; then the goods are
    accepted and the merchant is charged as if nothing had happened."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup()
    await case.until(lambda s: s.regions["refund"] == "succeeded", "lightning")
    await bounce(world, case, refund_key(case))
    assert await told_of_bounce(world, case, refund_key(case)) == "told"
    status = await case.until(lambda s: s.regions["refund"] == "abnormal", "the bounce")
    assert status.money.refunded == cny(0)
    await case.until(lambda s: any("told the consumer" in event.what for event in s.events), "asked")
    await case.say("provide_account", ProvideAccount(account_ref="acc-1"))
    await case.until(lambda s: s.money.refunded == cny(COAT), "paid again")
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.refunded, outcome.regions["refund"]) == (cny(COAT), "succeeded")
    totals = templates(await case.entries())
    assert {name: totals[name] for name in ("J20", "J21", "J60", "J61", "J22")} == dict.fromkeys(
        ("J20", "J21", "J60", "J61", "J22"), COAT
    )
    return case


@scenario
async def bounce_that_never_was(world: World) -> Case:
    """A webhook says that the refund came back, and the provider's books do not: nothing is posted."""
    case = await world.open()
    await case.waits_for("pickup")
    await case.pickup()
    await case.until(lambda s: s.regions["refund"] == "succeeded", "lightning")
    await told_of_bounce(world, case, refund_key(case))
    await case.until(lambda s: any("books do not show" in event.what for event in s.events), "the check")
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).refunded == cny(COAT)
    assert "J60" not in templates(await case.entries())
    return case


@scenario
async def refund_bounces_after_the_close(world: World) -> Case:
    """A correction of the closed case: J60, the consumer names an account, J61. The webhook was lost, the statement
    tells; the same news again starts no other correction."""
    case = await accepted(world)
    await case.say("confirm_receipt", ConfirmReceipt())
    assert (await case.end()).refunded == cny(COAT)
    await bounce(world, case, refund_key(case))
    now = await case.now()
    assert await sweep_bounces(world.store, world.backhaul, world.outside.gateways.payments, now) == 1
    assert await sweep_bounces(world.store, world.backhaul, world.outside.gateways.payments, now) == 0
    started = await told_of_bounce(world, case, refund_key(case))
    assert started == f"correction:{case.request.merchant_id}:{case.request.rma_id}:1"
    async with world.store.read() as session:
        (row,) = await corrections.of_case(session, case.id.key)
    assert (row.kind, row.state) == (CorrectionKind.REFUND_BOUNCED, "open")
    await world.asked(lambda: correction(world, case), lambda s: s.waiting is not None, "asking for an account")
    said = ProvideAccount(account_ref="acc-9")
    await world.backhaul.report_correction(case.id, 1, "provide_account", said)
    assert await ended(world, started) == "paid_otherwise"
    totals = templates(await case.entries())
    assert {name: totals[name] for name in ("J23", "J21", "J60", "J61")} == dict.fromkeys(
        ("J23", "J21", "J60", "J61"), COAT
    )
    assert [row.amount for row in await world.outside.payouts("acc-9")] == [cny(COAT)]
    async with world.store.read() as session:
        (row,) = await corrections.of_case(session, case.id.key)
    assert (row.state, row.outcome) == ("closed", "paid_otherwise")
    return case


@scenario("X20")
async def bounced_unclaimed_and_claimed(world: World) -> Case:
    """Bounced after the close and nobody answers: J60, J62. A year later the consumer claims it: J63, once."""
    case = await accepted(world)
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.end()
    now = await case.now()
    with pytest.raises(Refusal) as nothing:
        await claim(world.store, world.backhaul, case.id.key, ClaimRefund(account_ref="acc-7"), now)
    assert nothing.value.code == "nothing_unclaimed"
    await bounce(world, case, refund_key(case))
    assert await ended(world, await told_of_bounce(world, case, refund_key(case))) == "unclaimed"
    await world.env.sleep(365 * DAY)
    said = ClaimRefund(account_ref="acc-7")
    row = await claim(world.store, world.backhaul, case.id.key, said, await case.now())
    assert (row.n, row.kind) == (2, CorrectionKind.REFUND_CLAIMED)
    again = await claim(world.store, world.backhaul, case.id.key, said, await case.now())
    assert again.n == 2
    assert await ended(world, row.workflow_id) == "claimed"
    totals = templates(await case.entries())
    assert {name: totals[name] for name in ("J21", "J60", "J62", "J63")} == dict.fromkeys(
        ("J21", "J60", "J62", "J63"), COAT
    )
    assert [row.amount for row in await world.outside.payouts("acc-7")] == [cny(COAT)]
    async with world.store.read() as session:
        (kept,) = await unclaimed.of_case(session, case.id.key)
    assert kept.state == unclaimed.CLAIMED
    return case


async def sent_back_whole(world: World, account: str) -> Case:
    """The whole order comes back by the consumer's own parcel for the merchant's fault: the payment has no room for the
    freight, which leaves for the account that the consumer pays from. That is in order, or `abnormal`."""
    plan = Plan(method=Method.SELF_SHIP, reason=Reason.WRONG_ITEM, tier=0)
    order = await world.import_order(plan)
    case = await world.open(plan, order)
    await case.waits_for("merchant_review")
    await case.say("authorize", Authorize())
    await case.waits_for("waybill")
    waybill = ProvideWaybill(waybill=f"SF{case.request.rma_id}", proven_freight=cny(1_800))
    await world.parcel(case, waybill.waybill)
    await case.say("provide_waybill", waybill)
    await case.waits_for("first_trace")
    await case.track("in_transit", waybill=waybill.waybill)
    await case.waits_for("delivery")
    await case.track("delivered", waybill=waybill.waybill)
    await case.waits_for("receipt")
    if account != "in order":
        await world.outside.script(
            "psp", f"{case.request.rma_id}:payout.owed.self_ship_freight:1", state="failed", code=account
        )
    await case.say("confirm_receipt", ConfirmReceipt())
    return case


@scenario
async def freight_owed_is_paid(world: World) -> Case:
    """Freight that no payment has room for is paid to the consumer's own account (J61), at once and unasked."""
    case = await sent_back_whole(world, "in order")
    assert (await case.end()).refunded == cny(COAT)
    totals = templates(await case.entries())
    assert (totals["J13"], totals["J16"], totals["J61"]) == (1_000, 200, 200)
    assert "J62" not in totals
    assert [row.amount for row in await world.outside.payouts(f"c-{case.request.order_id}")] == [cny(200)]
    told = await world.outside.told(f"{case.request.merchant_id}/{case.request.rma_id}")
    assert not {"account_needed", "refund_unclaimed"} & {about for _, about in told}
    return case


@scenario("X20")
async def freight_owed_is_claimed(world: World) -> Case:
    """The account takes no money: the consumer is asked and reminded, the freight waits unclaimed (J62) only after
    their silence, and is paid when claimed (J63)."""
    case = await sent_back_whole(world, "account_abnormal")
    await case.waits_for("account")
    assert "J62" not in templates(await case.entries())
    assert (await case.end()).refunded == cny(COAT)
    told = [about for _, about in await world.outside.told(f"{case.request.merchant_id}/{case.request.rma_id}")]
    assert (told.count("account_needed"), told.count("refund_unclaimed")) == (1, 3)
    totals = templates(await case.entries())
    assert (totals["J13"], totals["J16"], totals["J62"]) == (1_000, 200, 200)
    row = await claim(world.store, world.backhaul, case.id.key, ClaimRefund(account_ref="acc-3"), await case.now())
    assert await ended(world, row.workflow_id) == "claimed"
    assert templates(await case.entries())["J63"] == 200
    assert [row.amount for row in await world.outside.payouts("acc-3")] == [cny(200)]
    return case
