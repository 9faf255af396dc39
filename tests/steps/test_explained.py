"""The check that explain and journal agree can fail: what is told wrong, twice, or not at all is found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from activities.contract import EndDispute
from backhaul.facts import Verdict
from backhaul.ledger import JournalEntry
from backhaul.policy.denials import insurer_decision
from store import cases, ledger
from tests.steps.support import AT, World, an_order, found
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
