"""After the case: what was indemnified, or paid too early, is got back. X26 to X28; and what risk changes (4.6).

A recovery starts as the case ends and outlives it, so that time is let pass by hand from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from activities.contract import RecoveryOutcome
from backhaul.errors import Refusal
from backhaul.facts import Risk
from backhaul.ids import collect_key, recovery_id
from backhaul.ledger import CaseRef, I, P, freight_above_cap, made
from backhaul.messages import ApplyRuling, CloseCase, ConfirmReceipt, RetryStep, SkipStep
from backhaul.recoveries import RecoveryStatus
from store import credit, ledger
from tests.workflows.scenarios.registry import scenario
from tests.workflows.scenarios.telling import decisions, templates, to_the_merchant
from tests.workflows.world import COAT, Case, Plan, World, at_receipt, cny, objection

LOSS = 36_000
"""30 % of the coat."""
A_MOMENT = timedelta(minutes=5)


@dataclass
class Recovering:
    """One recovery of a case, and what operators do to it."""

    case: Case
    claim_ref: str

    async def status(self) -> RecoveryStatus:
        return await self.case.world.backhaul.recovery(self.claim_ref)

    async def until(self, test: Any, what: str) -> RecoveryStatus:
        """Poll the view until it fits."""
        found: RecoveryStatus = await self.case.world.asked(self.status, test, what)  # refused until it is started
        return found

    async def waits(self, code: str) -> datetime:
        """Until it waits for this; until when."""
        status = await self.until(lambda s: s.waiting is not None and s.waiting.code == code, f"waiting for {code}")
        assert status.waiting is not None
        return status.waiting.due

    async def parks(self, reason: str) -> RecoveryStatus:
        """Until it is parked for this."""
        return await self.until(lambda s: s.attention is not None and s.attention.reason == reason, f"parked: {reason}")

    async def rule(self, outcome: str) -> None:
        """A reviewer rules on the recovery, an operator applies it."""
        ruling = await self.case.world.rule(self.case, "recovery", outcome)
        await self.say("apply_ruling", ApplyRuling(ruling_id=ruling))

    async def say(self, update: str, body: Any) -> None:
        await self.case.world.backhaul.report_recovery(self.claim_ref, update, body)

    async def outcome(self) -> RecoveryOutcome:
        handle = self.case.world.env.client.get_workflow_handle(
            recovery_id(self.claim_ref), result_type=RecoveryOutcome
        )
        with self.case.world.env.auto_time_skipping_disabled():
            found: RecoveryOutcome = await handle.result()
        return found


async def recovery_of(case: Case) -> Recovering:
    """The recovery that a case handed over when it ended."""
    started = (await case.ended()).recovery
    assert started is not None
    return Recovering(case, started.removeprefix("recovery:"))


async def _told_of(recovery: Recovering) -> list[tuple[str, str, object, object]]:
    """What explain says was ruled on a recovery, by which path, and how much had been collected and was left then."""
    return [
        (one.outcome, one.rules[-1], one.numbers["collected"], one.numbers["left"])
        for one in await decisions(recovery.case)
        if one.decision == "ruling" and one.numbers.get("recovery") == recovery.claim_ref
    ]


async def books(world: World, account: P | I) -> int:
    """One account in minor units, debits less credits."""
    async with world.store.read() as session:
        return (await ledger.balance(session, account, "CNY")).minor


async def frozen(case: Case) -> tuple[bool, int]:
    """Is the consumer's line frozen, and how much of it is taken?"""
    async with case.world.store.read() as session:
        line = await credit.line_of(session, f"c-{case.request.order_id}")
    return line.frozen, line.used_minor


async def _demanded(world: World, plan: Plan | None = None, **demand: Any) -> Recovering:
    """Clean at the door, 30 % damaged at the receipt: the carrier is liable for 360.00, and answers like this."""
    case = await world.open(plan or Plan(tier=0))
    match = f"{case.request.merchant_id}/{case.request.rma_id}"
    visit = {"after_ms": 0, "outcome": "picked_up", "hold": True}
    await world.outside.script("courier", match, visits=[visit] * 8, demand={"after_ms": 0, **demand})
    await to_the_merchant(case)
    await case.say("report_receipt_issue", objection(at_receipt()))
    return await recovery_of(case)


async def _owe_the_carrier(case: Case, minor: int, waybill: str = "older") -> None:
    """Freight of another parcel that we have not paid yet."""
    request = case.request
    about = CaseRef(
        merchant_id=request.merchant_id,
        order_id=request.order_id,
        rma_id=request.rma_id,
        consumer_ref=f"c-{request.order_id}",
    )
    owed = freight_above_cap(about, cny(minor), bearer="merchant", courier="sandbox", waybill=waybill)
    async with case.world.store.transaction() as session:
        await ledger.post(session, made(owed), await case.now())


@scenario("X27", timer="recovery.demand_answer")
async def carrier_stays_silent(world: World) -> Case:
    """The carrier never answers: after 15 days what we owe it is set off, after 15 more a human rules on the rest."""
    recovery = await _demanded(world, answer="silent")
    case = recovery.case
    await recovery.waits("demand_answer")
    told = await case.now()
    await _owe_the_carrier(case, 10_000)
    await world.until(told + timedelta(days=15) - A_MOMENT)
    await recovery.waits("demand_answer")
    assert not {"J40", "J41"} & templates(await case.entries()).keys()
    await world.until(told + timedelta(days=15) + A_MOMENT)
    await recovery.until(lambda s: s.collected == cny(10_000), "the set-off")
    totals = templates(await case.entries())
    assert (totals["J40"], totals["J41"], totals["J42"]) == (10_000, 10_000, 10_000)
    await world.until(told + timedelta(days=30) + 3 * A_MOMENT)
    parked = await recovery.parks("no_answer")
    assert parked.attention is not None and "260.00" in parked.attention.headline
    await recovery.rule("uncollectable")
    outcome = await recovery.outcome()
    assert (outcome.state, outcome.recovered, outcome.written_off) == ("partial", cny(10_000), cny(0))
    assert "J43" not in templates(await case.entries())
    assert await books(world, P.RECOVERIES_OWED) == await books(world, I.SUBROGATION) == 0
    return case


@scenario("X27", timer="recovery.demand_answer")
async def carrier_accepts_and_does_not_pay(world: World) -> Case:
    """The carrier accepts and pays nothing: set off after 15 days; what never comes leaves the books."""
    recovery = await _demanded(world, answer="accept", pay_after_ms=None)
    case = recovery.case
    await recovery.until(lambda s: s.state == "accepted", "the acceptance")
    told = await case.now()
    assert templates(await case.entries())["J40"] == LOSS
    await _owe_the_carrier(case, 10_000)
    await world.until(told + timedelta(days=15) + A_MOMENT)
    await recovery.until(lambda s: s.collected == cny(10_000), "the set-off")
    await world.until(told + timedelta(days=30) + 3 * A_MOMENT)
    await recovery.parks("no_answer")
    with pytest.raises(Refusal) as refused:
        await recovery.say("close_case", CloseCase(reason="too little"))
    assert refused.value.code == "money_under_way"
    await recovery.rule("uncollectable")
    outcome = await recovery.outcome()
    assert (outcome.state, outcome.recovered, outcome.written_off) == ("partial", cny(10_000), cny(26_000))
    totals = templates(await case.entries())
    assert (totals["J40"], totals["J41"], totals["J42"], totals["J43"]) == (36_000, 10_000, 10_000, 26_000)
    assert await books(world, P.RECOVERIES_OWED) == await books(world, I.SUBROGATION) == 0
    return case


@scenario("X27")
async def carrier_accepts_a_part(world: World) -> Case:
    """The carrier pays 100.00 of 360.00 and contests the rest: ruled to be owed, that is set off at once."""
    recovery = await _demanded(world, answer="accept", pay_after_ms=0, accepted_amount=10_000)
    case = recovery.case
    await world.until(await case.now() + timedelta(hours=36))
    parked = await recovery.parks("claim_contested")
    assert (parked.collected, parked.remitted) == (cny(10_000), cny(10_000))
    await _owe_the_carrier(case, 50_000)
    await recovery.rule("owed")
    outcome = await recovery.outcome()
    assert (outcome.state, outcome.recovered) == ("collected", cny(LOSS))
    totals = templates(await case.entries())
    assert (totals["J44"], totals["J41"], totals["J40"], totals["J42"]) == (10_000, 26_000, 36_000, 36_000)
    assert await _told_of(recovery) == [("owed", "X27", 10_000, 26_000)]
    assert await books(world, P.CARRIER_PAYABLE) == -(50_000 - 26_000)
    assert await books(world, P.RECOVERIES_OWED) == await books(world, I.SUBROGATION) == 0
    return case


@scenario("X27", timer="recovery.demand_answer")
async def set_off_given_up(world: World) -> Case:
    """Nobody can say whether a set-off took place, and it is given up: no other follows until the carrier's books show
    it; then it is booked, and the rest is set off under the next number."""
    recovery = await _demanded(world, answer="silent")
    case = recovery.case
    await recovery.waits("demand_answer")
    told = await case.now()
    await _owe_the_carrier(case, 10_000)
    await world.outside.faults("courier", {"match": "POST /v1/set_offs", "kind": "unavailable_before"})
    await world.until(told + timedelta(days=15, hours=4))
    parked = await recovery.until(lambda s: s.attention is not None, "parked")
    assert parked.attention is not None and parked.attention.step == "set_off_demand"
    first = f"{recovery.claim_ref}:set_off"
    await recovery.say("skip_step", SkipStep(approval_id=await world.approve(case, first, 10_000, "platform")))
    await world.outside.faults("courier")
    await _owe_the_carrier(case, 5_000, "newer")
    await world.until(told + timedelta(days=31))
    parked = await recovery.parks("given_up")
    assert parked.attention is not None and first in parked.attention.headline and not parked.collected.minor
    await world.outside.gateways.courier("sandbox").set_off(first, recovery.claim_ref, cny(10_000))
    await recovery.rule("owed")
    await recovery.until(lambda s: s.collected == cny(10_000), "the one that was given up")
    await world.until(await case.now() + timedelta(days=15, hours=1))
    await recovery.until(lambda s: s.collected == cny(15_000), "the next one")
    await recovery.parks("no_answer")
    totals = templates(await case.entries())
    assert (totals["J41"], totals["J42"]) == (15_000, 15_000)
    await recovery.rule("uncollectable")
    assert (await recovery.outcome()).recovered == cny(15_000)
    assert await _told_of(recovery) == [("owed", "X27", 0, LOSS), ("uncollectable", "X27", 15_000, LOSS - 15_000)]
    return case


@scenario("X27")
async def carrier_contests_and_is_right(world: World) -> Case:
    """The carrier contests; a ruling on another question is refused, one for the carrier ends it."""
    recovery = await _demanded(world, answer="contest")
    case = recovery.case
    await world.until(await case.now() + timedelta(hours=36))
    await recovery.parks("claim_contested")
    with pytest.raises(Refusal) as refused:
        await recovery.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "liability", "carrier")))
    assert refused.value.code == "ruling_mismatch"
    await recovery.say("retry_step", RetryStep())
    await recovery.parks("claim_contested")
    await recovery.rule("uncollectable")
    outcome = await recovery.outcome()
    assert (outcome.state, outcome.recovered, outcome.written_off) == ("waived", cny(0), cny(0))
    assert not {"J40", "J43"} & templates(await case.entries()).keys()
    assert await _told_of(recovery) == [("uncollectable", "X27", 0, LOSS)]
    return case


@scenario("X27", timer="recovery.demand_answer")
async def carrier_pays_in_time(world: World) -> Case:
    """The carrier accepts and pays on day 14: the insurer has all of it back, nothing is set off."""
    recovery = await _demanded(world, answer="accept", pay_after_ms=0, hold=True)
    case = recovery.case
    await recovery.waits("demand_answer")
    told = await case.now()
    await _owe_the_carrier(case, 50_000)
    await world.until(told + timedelta(days=13, hours=12) - A_MOMENT)
    assert (await recovery.status()).state == "demanded"
    await world.outside.control("courier", "release", {"match": recovery.claim_ref})
    await world.until(told + timedelta(days=13, hours=12))
    outcome = await recovery.outcome()
    assert (outcome.state, outcome.recovered) == ("collected", cny(LOSS))
    totals = templates(await case.entries())
    assert (totals["J40"], totals["J44"], totals["J42"]) == (LOSS, LOSS, LOSS)
    assert "J41" not in totals
    return case


# ---- from the consumer ---------------------------------------------------------------------------------------------


async def _at_fault(world: World, plan: Plan, severity: int = 30) -> Recovering:
    """Paid by lightning, damaged at the receipt, objected to after 50 hours, ruled to be the consumer's fault."""
    case = await world.open(plan)
    await to_the_merchant(case)
    await case.until(lambda s: s.regions["refund"] == "succeeded", "lightning")
    await world.env.sleep(timedelta(hours=50))
    await case.say("report_receipt_issue", objection(at_receipt(severity=severity)))
    await case.parks("ruling_needed")
    await case.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "liability", "consumer")))
    return await recovery_of(case)


@scenario("X26", "X28", timer="timers.clawback_notice")
async def clawback_without_a_cover(world: World) -> Case:
    """Lightning paid, no cover, ruled against the consumer: the line freezes, 7 days after the notice they are charged,
    and what is collected in full thaws the line."""
    recovery = await _at_fault(world, Plan(rdv=False))
    case = recovery.case
    await case.until_told(f"consumer:c-{case.request.order_id}", "clawback")
    due = await recovery.waits("payment")
    assert await frozen(case) == (True, LOSS)
    totals = templates(await case.entries())
    assert (totals["J20"], totals["J22"], totals["J50"]) == (COAT, COAT - LOSS, LOSS)
    await world.until(due - A_MOMENT)
    assert await frozen(case) == (True, LOSS)
    assert "J51" not in templates(await case.entries())
    await world.until(due)
    outcome = await recovery.outcome()
    assert (outcome.state, outcome.recovered) == ("collected", cny(LOSS))
    assert templates(await case.entries())["J51"] == LOSS
    assert "J42" not in templates(await case.entries())
    assert await frozen(case) == (False, 0)
    assert await books(world, P.CONSUMER_RECEIVABLE) == 0
    return case


@scenario("X26", "X28", timer="timers.clawback_notice")
async def clawback_in_parts_then_written_off(world: World) -> Case:
    """A charge gets 100.00, the next one fails: a ruling writes 260.00 off, and the line stays frozen."""
    recovery = await _at_fault(world, Plan(rdv=False))
    case = recovery.case
    due = await recovery.waits("payment")
    await world.outside.script("psp", f"{recovery.claim_ref}:1", collects=10_000)
    await world.outside.script("psp", f"{recovery.claim_ref}:2", state="failed", code="insufficient_balance")
    await world.until(due + A_MOMENT)
    await recovery.until(lambda s: s.collected == cny(10_000), "the first part")
    assert await frozen(case) == (True, LOSS - 10_000)
    await world.until(due + timedelta(days=7) + 3 * A_MOMENT)
    parked = await recovery.parks("uncollectable")
    assert parked.attention is not None and "260.00" in parked.attention.headline
    await recovery.rule("uncollectable")
    outcome = await recovery.outcome()
    assert (outcome.state, outcome.recovered, outcome.written_off) == ("partial", cny(10_000), cny(26_000))
    totals = templates(await case.entries())
    assert (totals["J50"], totals["J51"], totals["J52"]) == (36_000, 10_000, 26_000)
    assert await _told_of(recovery) == [("uncollectable", "X28", 10_000, 26_000)]
    assert await frozen(case) == (True, 0)
    assert await books(world, P.CONSUMER_RECEIVABLE) == 0
    return case


async def _given_up(world: World) -> tuple[Recovering, str]:
    """The charge stays pending to the end, and a second person gives it up: nothing goes on but by a ruling."""
    recovery = await _at_fault(world, Plan(rdv=False))
    case = recovery.case
    due = await recovery.waits("payment")
    key = collect_key(case.id, recovery.claim_ref, 1)
    await world.outside.script("psp", key, state="pending")
    await world.until(due + timedelta(hours=4))
    await recovery.parks("pending")
    approval = await world.approve(case, key, LOSS, "platform")
    await recovery.say("skip_step", SkipStep(approval_id=approval))
    parked = await recovery.parks("given_up")
    assert parked.attention is not None and key in parked.attention.headline
    assert parked.attention.send.startswith("apply_ruling")
    with pytest.raises(Refusal) as refused:
        await recovery.say("retry_step", RetryStep())
    assert refused.value.code == "given_up"
    await recovery.rule("owed")
    due = await recovery.waits("payment")
    await world.until(due + A_MOMENT)
    await recovery.parks("given_up")
    assert "J51" not in templates(await case.entries())
    return recovery, key


async def _charged(world: World, recovery: Recovering) -> list[tuple[str, int]]:
    """What the payment provider took from the consumer, by key."""
    mine = collect_key(recovery.case.id, recovery.claim_ref, 1).removesuffix("1")
    rows = await world.outside.whole_statement("psp")
    return [(row.key.removeprefix(mine), row.amount.minor) for row in rows if row.key.startswith(mine)]


@scenario("X26", "X28")
async def charge_given_up_succeeds_after_all(world: World) -> Case:
    """A charge that was given up collects late: the provider's books are asked before another leaves, and none does."""
    recovery, key = await _given_up(world)
    await world.outside.control("psp", "charges", {"key": key})
    await recovery.rule("owed")
    await world.until(await recovery.waits("payment"))
    outcome = await recovery.outcome()
    assert (outcome.state, outcome.recovered) == ("collected", cny(LOSS))
    assert await _charged(world, recovery) == [("1", LOSS)]
    assert templates(await recovery.case.entries())["J51"] == LOSS
    return recovery.case


@scenario("X26", "X28")
async def charge_given_up_fails_after_all(world: World) -> Case:
    """Once the provider itself has ended the charge that was given up, the next number leaves and collects."""
    recovery, key = await _given_up(world)
    await world.outside.control("psp", "charges", {"key": key, "code": "channel_closed"})
    await recovery.rule("owed")
    await world.until(await recovery.waits("payment"))
    outcome = await recovery.outcome()
    assert (outcome.state, outcome.recovered) == ("collected", cny(LOSS))
    assert await _charged(world, recovery) == [("2", LOSS)]
    return recovery.case


@scenario("X26", "X28", timer="timers.clawback_notice")
async def clawback_of_an_indemnity(world: World) -> Case:
    """The same with a cover: the merchant is made whole, and what is collected goes to the insurer."""
    recovery = await _at_fault(world, Plan())
    case = recovery.case
    due = await recovery.waits("payment")
    totals = templates(await case.entries())
    assert (totals["J22"], totals["J31"], totals["J34"], totals["J53"]) == (COAT, LOSS, LOSS, LOSS)
    assert await frozen(case) == (True, LOSS)
    await world.until(due)
    outcome = await recovery.outcome()
    assert (outcome.state, outcome.recovered) == ("collected", cny(LOSS))
    totals = templates(await case.entries())
    assert (totals["J51"], totals["J42"]) == (LOSS, LOSS)
    assert await frozen(case) == (False, 0)
    assert await books(world, P.RECOVERIES_OWED) == await books(world, I.SUBROGATION) == 0
    return case


@scenario("X26", "X28", timer="timers.clawback_notice")
async def clawback_of_an_indemnity_that_never_comes(world: World) -> Case:
    """The account is closed: the ruling takes the insurer's receivable back, in both books."""
    recovery = await _at_fault(world, Plan())
    case = recovery.case
    due = await recovery.waits("payment")
    await world.outside.control("psp", "accounts", {"payee": f"c-{case.request.order_id}", "state": "abnormal"})
    await world.until(due + A_MOMENT)
    await recovery.parks("uncollectable")
    await recovery.say("retry_step", RetryStep())
    await recovery.parks("uncollectable")
    await recovery.rule("uncollectable")
    outcome = await recovery.outcome()
    assert (outcome.state, outcome.written_off) == ("waived", cny(LOSS))
    totals = templates(await case.entries())
    assert (totals["J53"], totals["J55"]) == (LOSS, LOSS)
    assert not {"J42", "J51"} & totals.keys()
    assert await frozen(case) == (True, 0)
    assert await books(world, P.RECOVERIES_OWED) == await books(world, I.SUBROGATION) == 0
    return case


@scenario("X28")
async def exactly_five_is_demanded(world: World) -> Case:
    """A debt of exactly 5.00 is demanded and collected; under 5.00 it is waived with the settlement."""
    plan = Plan(rdv=False, lines=(("L1", 1, 5_000),))
    recovery = await _at_fault(world, plan, severity=10)
    case = recovery.case
    due = await recovery.waits("payment")
    await world.until(due)
    assert (await recovery.outcome()).recovered == cny(500)
    assert templates(await case.entries())["J51"] == 500
    return case


@scenario("X28")
async def under_five_is_waived(world: World) -> Case:
    """4.90 is not demanded: it is written off at once, and nobody is told or frozen."""
    case = await world.open(Plan(rdv=False, lines=(("L1", 1, 4_900),)))
    await to_the_merchant(case)
    await case.until(lambda s: s.regions["refund"] == "succeeded", "lightning")
    await world.env.sleep(timedelta(hours=50))
    await case.say("report_receipt_issue", objection(at_receipt(severity=10)))
    await case.parks("ruling_needed")
    await case.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "liability", "consumer")))
    assert (await case.end()).recovery is None
    totals = templates(await case.entries())
    assert (totals["J50"], totals["J52"]) == (490, 490)
    assert await frozen(case) == (False, 0)
    return case


# ---- risk ----------------------------------------------------------------------------------------------------------


@scenario("X11", timer="timers.receipt_silence")
async def silence_accepts_nothing_that_must_be_checked(world: World) -> Case:
    """step_up: no lightning, and the merchant's silence goes to a person, who rules that the consumer is refunded."""
    case = await world.open(Plan(risk=Risk.STEP_UP))
    await to_the_merchant(case)
    assert "J20" not in templates(await case.entries())
    await world.env.sleep(timedelta(days=10) + A_MOMENT)
    await case.parks("ruling_needed")
    assert "J23" not in templates(await case.entries())
    await case.say("apply_ruling", ApplyRuling(ruling_id=await world.rule(case, "liability", "merchant")))
    outcome = await case.end()
    assert (outcome.outcome, outcome.refunded) == ("refunded", cny(COAT))
    assert templates(await case.entries())["J23"] == COAT
    return case


@scenario
async def refused_cover_is_no_refused_return(world: World) -> Case:
    """deny (拒赔): the return goes on without cover; its freight is the consumer's and is taken from the refund."""
    case = await world.open(Plan(risk=Risk.DENY))
    assert (case.first.outcome, case.first.rfi, case.first.rdv) == ("authorized", False, False)
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    totals = templates(await case.entries())
    assert not {"J10", "J20", "J30"} & totals.keys()
    assert totals["J23"] == COAT
    assert outcome.refunded == cny(COAT - totals["J56"])
    return case
