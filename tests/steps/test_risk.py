"""Risk on the steps (4.6): counted from our own store at the request, recorded, and obeyed to the end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from backhaul.facts import Finding, LineFinding, Risk
from store import cases, profiles
from store.engine import Store
from tests.steps.support import AT, World, a_line, a_request, an_order

SWAP = LineFinding(line_id="l1", finding=Finding.MISMATCH, quantity=1)
AGO = AT.replace(year=AT.year - 1)


@pytest.fixture
async def scored(database_url: str) -> AsyncIterator[World]:
    """Cases judged under the book that has risk rules."""
    store = Store(database_url)
    yield World(store, "2025-09")
    await store.close()


async def _swaps(world: World, count: int) -> None:
    """So many coats of another order were found to be something else at the door."""
    await world.order(an_order(a_line(quantity=count + 1), order_id="before", tier=0))
    for n in range(count):
        case = (await world.judge(a_request(f"b{n}", order_id="before"))).case
        await world.collect(case, SWAP)


async def test_nothing_is_known_of_a_new_consumer(scored: World) -> None:
    await scored.order()
    judged = await scored.judge()
    assert (judged.outcome, judged.risk) == ("authorized", Risk.ALLOW)
    told = next(one for one in judged.verdicts if one.decision == "risk")
    assert (told.outcome, told.numbers["score"]) == ("allow", 0)
    assert "points." in told.text.en and "分。" in told.text.zh
    assert (await scored.collect(judged.case)).lightning


async def test_our_own_books_are_counted(scored: World) -> None:
    await _swaps(scored, 2)
    await scored.order(an_order(order_id="o2"))
    async with scored.store.read() as session:
        found = await profiles.profile(session, "c1", "a1", AGO, AT)
        other = await profiles.profile(session, "c2", "a1", AGO, AT)
        early = await profiles.profile(session, "c1", "a1", AGO, AGO)
    assert (found.returns, found.swaps, found.shared_address) == (2, 2, 0)
    assert (other.orders, other.returns, other.swaps, other.shared_address) == (0, 0, 0, 1)
    assert (early.returns, early.orders, early.swaps) == (0, 0, 0)
    judged = await scored.judge(a_request("r9", order_id="o2"))
    assert (judged.outcome, judged.risk) == ("referred", Risk.REFER)


async def test_refused_cover_is_not_a_refused_return(scored: World) -> None:
    """Three swaps: no cover, no lightning, freight is the consumer's, but the return is authorised (statute)."""
    await _swaps(scored, 3)
    await scored.order(an_order(order_id="o2"))
    judged = await scored.judge(a_request("r9", order_id="o2"))
    assert (judged.outcome, judged.risk, judged.rfi, judged.rdv) == ("authorized", Risk.DENY, False, False)
    scan = await scored.collect(judged.case)
    assert (scan.lightning, scan.freight) == (False, None)
    assert "J14" in await scored.templates("r9")


async def test_the_profile_is_kept_with_the_facts_and_the_verdict_names_them(scored: World) -> None:
    await scored.order()
    await scored.judge()
    async with scored.store.read() as session:
        kept = await cases.decisions(session, "m1/r1")
    told = next(one for one in kept if one.decision == "risk")
    assert told.book.version == "2025-09"
    assert len({one.facts_hash for one in kept}) == 1


async def test_who_must_be_checked_is_not_accepted_by_silence(scored: World) -> None:
    """step_up: the merchant's silence goes to a person; ruled to be the merchant's, the whole refund is due."""
    await scored.order(an_order(risk="step_up"))
    case = (await scored.judge()).case
    assert not (await scored.collect(case)).lightning
    remedy = await scored.settle(case, "receipt_silence")
    assert (remedy.liable.value, remedy.reasons, remedy.refunds) == ("undetermined", ("receipt_check_needed",), ())
    ruled = await scored.settle(case, "receipt_silence", ruling=await scored.rule(case, "merchant"))
    assert [part.amount.minor for part in ruled.refunds] == [120_000]
    assert (await scored.templates())[-1] == "J23"


async def test_a_checked_receipt_is_enough(scored: World) -> None:
    await scored.order(an_order(risk="step_up"))
    case = (await scored.judge()).case
    await scored.collect(case)
    assert [part.amount.minor for part in (await scored.settle(case)).refunds] == [120_000]


async def test_an_older_book_goes_by_the_signal_alone(world: World) -> None:
    await world.order(an_order(risk="deny"))
    judged = await world.judge()
    assert (judged.outcome, judged.risk, judged.rfi) == ("authorized", Risk.DENY, False)
