"""The check that explain and journal agree can fail: what is told wrong, twice, or not at all is found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from activities.contract import EndDispute, EndRecovery, FollowRuling, RecoveryPlan
from backhaul.facts import Verdict
from backhaul.ids import recovery_key
from backhaul.ledger import CaseRef, JournalEntry, carrier_set_off, made
from backhaul.policy.denials import insurer_decision
from store import cases, claims, ledger, recoveries
from tests.steps.support import AT, World, an_order, at_receipt, found, refused, yuan
from tests.steps.test_resettling import closed
from tests.workflows.explained import compare


async def _ruled(world: World) -> tuple[Sequence[Verdict], Sequence[JournalEntry]]:
    """50 % at the door, ruled consumer: 600.00 withheld and indemnified."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case, found(severity=50))
    ruling = await world.rule(case, "consumer")
    await world.run(world.steps.end_dispute, EndDispute(case=case, n=1, at=AT, ruling_id=ruling))
    plan = (await world.assess(case, found(severity=50), ruling=ruling)).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    remedy = await world.settle(case, "received_ok")
    await world.refund(case, remedy.refunds)
    async with world.store.read() as session:
        entries = [one.entry for one in await ledger.entries_of(session, "m1/r1")]
        told = await cases.decisions(session, "m1/r1")
    answer = insurer_decision(plan.amount, plan.amount, None, plan.claim_ref, told[0].book)
    return (*told[:-1], answer, told[-1]), entries


async def test_explain_and_journal_agree_or_the_difference_is_found(world: World) -> None:
    told, entries = await _ruled(world)
    assert list(compare(told, entries)) == []

    def changed(decision: str, **numbers: int) -> list[Verdict]:
        return [
            one.model_copy(update={"numbers": {**one.numbers, **numbers}}) if one.decision == decision else one
            for one in told
        ]

    without = [one for one in told if one.decision != "ruling"]
    ruling = next(one for one in told if one.decision == "ruling")
    wrong = [one.model_copy(update={"outcome": "merchant"}) if one == ruling else one for one in told]
    for planted, words in (
        (without, "told is None"),
        (wrong, "liable is consumer, told is merchant"),
        ([*told, told[-1]], "remedy partly is told twice"),
        (changed("indemnity", indemnity=0), "an indemnity of 0 is told"),
        (changed("remedy", charged=1), "told is 1"),
        (changed("remedy", to_consumer=120_000), "60000 is refunded, told is 120000"),
        (changed("insurer_decision", approved=1), "the insurer approved 1"),
    ):
        assert any(words in one for one in compare(planted, entries)), (words, list(compare(planted, entries)))


@pytest.mark.parametrize("gone", ["J31", "J54"])
async def test_an_entry_that_is_missing_is_found(world: World, gone: str) -> None:
    told, entries = await _ruled(world)
    left = [one for one in entries if one.template != gone]
    assert list(compare(told, left))


# ---- rulings on a recovery -------------------------------------------------------------------------------------------


async def _recovering(world: World) -> tuple[CaseRef, RecoveryPlan]:
    """Clean at the door, 30 % at the receipt: the carrier is to pay 360.00 back."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case)
    remedy = await world.settle(case, "receipt_issue", at_receipt(found()))
    await closed(world, case, remedy)
    (plan,) = remedy.recoveries
    return case, plan


async def _set_off(world: World, case: CaseRef, plan: RecoveryPlan, amount: str, n: int) -> None:
    """J40 and J41."""
    async with world.store.transaction() as session:
        row = await claims.need_recovery(session, plan.ref, lock=True)
        got = yuan(amount)
        entries = await recoveries.recognise(session, case, row, yuan("360.00"), AT)
        await recoveries.collect(session, row, got, AT)
        key = recovery_key(plan.ref, "set_off", n)
        entries += made(carrier_set_off(case, got, claim_ref=plan.claim_ref, courier="sandbox", key=key))
        await ledger.post(session, entries, AT)


async def _follow(world: World, case: CaseRef, plan: RecoveryPlan, outcome: str) -> tuple[Verdict, ...]:
    ruling = await world.rule(case, outcome, ruling_id=f"rul-{outcome}", decides="recovery")
    asked = FollowRuling(case=case, plan=plan, ruling_id=ruling, at=AT)
    told = [(await world.run(world.steps.follow_ruling, asked)).verdicts for _ in range(2)]
    assert told[0] == told[1]  # a repeat tells nothing anew
    return told[0]


async def _on_recoveries(world: World, **changed: object) -> tuple[list[Verdict], list[str]]:
    """The rulings that are told, and what is wrong about them once the last one is changed."""
    async with world.store.read() as session:
        entries = [one.entry for one in await ledger.entries_of(session, "m1/r1")]
        told = [one for one in await cases.decisions(session, "m1/r1") if one.decision == "ruling"]
    planted = [*told[:-1], told[-1].model_copy(update=changed)] if changed else told
    return told, [one for one in compare(planted, entries) if "is ruled" in one or "let go" in one]


async def test_owed_is_told_with_what_was_left_and_more_of_it_came(world: World) -> None:
    case, plan = await _recovering(world)
    await _set_off(world, case, plan, "100.00", 1)
    (said,) = await _follow(world, case, plan, "owed")
    assert (said.outcome, said.rules) == ("owed", ("4.5.ruling", "X27"))
    assert (said.numbers["recovery"], said.numbers["collected"], said.numbers["left"]) == (plan.ref, 10_000, 26_000)
    assert await _on_recoveries(world) == (
        [said],
        [f"{plan.ref} is ruled owed with 10000 collected, and 10000 came in the end"],
    )
    await _set_off(world, case, plan, "260.00", 2)
    assert (await _on_recoveries(world))[1] == []
    for changed in ({"outcome": "uncollectable"}, {"numbers": {**said.numbers, "collected": 36_000}}):
        assert (await _on_recoveries(world, **changed))[1], changed


async def test_what_is_let_go_was_ruled_to_be_uncollectable(world: World) -> None:
    case, plan = await _recovering(world)
    await _set_off(world, case, plan, "100.00", 1)
    (said,) = await _follow(world, case, plan, "uncollectable")
    ended = await world.run(world.steps.end_recovery, EndRecovery(case=case, plan=plan, ruling_id="rul-uncollectable"))
    assert ended.written_off == yuan("260.00")
    assert await _on_recoveries(world) == ([said], [])
    for changed in (
        {"outcome": "owed"},
        {"numbers": {**said.numbers, "recovery": "another"}},
        {"numbers": {**said.numbers, "left": 25_999}},
    ):
        assert (await _on_recoveries(world, **changed))[1], changed


async def test_a_ruling_that_nobody_made_is_not_followed(world: World) -> None:
    case, plan = await _recovering(world)
    asked = FollowRuling(case=case, plan=plan, ruling_id="never", at=AT)
    assert await refused(world.run(world.steps.follow_ruling, asked)) == "ruling_unknown"
