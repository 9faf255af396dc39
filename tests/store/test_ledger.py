"""The journal: balanced, once per key, in an order that a cut can trust."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Rejected
from backhaul.ledger import (
    JournalEntry,
    Line,
    P,
    Side,
    advance_paid,
    goods_accepted,
    lightning_granted,
    made,
    refund_succeeded,
    reversal,
)
from store import ledger
from store.engine import Store
from store.tables import EntryRow, JournalHeadRow, LegRow
from tests.store.support import AT, a_case, import_order, key_of, yuan


def lightning(rma_id: str = "r1", amount: str = "1200.00") -> tuple[JournalEntry, ...]:
    case, money = a_case(rma_id), yuan(amount)
    return made(lightning_granted(case, money), refund_succeeded(case, money, key=f"m1:{rma_id}:refund.p1:1"))


async def post(store: Store, *entries: JournalEntry) -> tuple[str, ...]:
    async with store.transaction() as session:
        return await ledger.post(session, entries, AT)


async def test_what_is_posted_is_read_back(store: Store) -> None:
    entries = lightning()
    assert await post(store, *entries) == tuple(entry.key for entry in entries)
    async with store.read() as session:
        read = await ledger.entries_of(session, key_of(a_case()))
        assert [posted.entry for posted in read] == list(entries)
        assert [posted.sequence for posted in read] == [1, 2]
        assert all(posted.at == AT for posted in read)
        assert await ledger.head(session) == 2


async def test_the_same_entry_again_is_no_change(store: Store) -> None:
    await post(store, *lightning())
    assert await post(store, *lightning()) == ()
    async with store.read() as session:
        assert await ledger.head(session) == 2


async def test_a_key_stands_for_one_content(store: Store) -> None:
    await post(store, *lightning())
    with pytest.raises(Rejected) as refused:
        await post(store, *lightning(amount="1.00"))
    assert refused.value.code == "entry_conflict"
    with pytest.raises(Rejected) as refused:
        await post(store, *lightning("r2"), *lightning("r2", amount="1.00"))
    assert refused.value.code == "entry_conflict"


async def test_an_unbalanced_entry_is_refused(store: Store) -> None:
    line = Line(account=P.BANK, side=Side.DEBIT, amount=yuan("1.00"))
    crooked = JournalEntry(template="J80", key="crooked", merchant_id="m1", lines=(line,))
    with pytest.raises(Rejected) as refused:
        await post(store, *lightning(), crooked)
    assert refused.value.code == "unbalanced"
    async with store.read() as session:
        assert await ledger.head(session) == 0


async def test_an_entry_that_closes_a_batch_names_it(store: Store) -> None:
    closing = advance_paid(a_case(), yuan("1.00"), claim_ref="c", key="k", batch="b")
    assert closing is not None
    with pytest.raises(Rejected) as refused:
        await post(store, closing.model_copy(update={"batch": None}))
    assert refused.value.code == "invariant_broken"


async def test_legs_are_what_the_merchant_is_owed(store: Store) -> None:
    await import_order(store)
    charge = goods_accepted(a_case(), yuan("1200.00"), yuan("60.00"))
    closing = advance_paid(a_case(), yuan("1.00"), claim_ref="c", key="k", batch="b")
    assert charge is not None
    await post(store, *made(charge, closing, reversal(charge)))
    async with store.read() as session:
        legs = (await session.exec(select(LegRow).order_by(col(LegRow.sequence)))).all()
    assert [leg.minor for leg in legs] == [114_000, -36, -114_000, 114_000]
    assert {leg.merchant_id for leg in legs} == {"m1"}


async def test_each_book_adds_up_to_nothing(store: Store) -> None:
    await import_order(store)
    await post(store, *lightning())
    async with store.read() as session:
        trial = await ledger.trial_balance(session)
        at_import = await ledger.trial_balance(session, upto=1)
        advanced = await ledger.balance(session, P.LIGHTNING_ADVANCES, "CNY", case_key="m1/r1")
        other = await ledger.balance(session, P.LIGHTNING_ADVANCES, "CNY", case_key="m1/r2")
        party = await ledger.balance(session, P.MERCHANT_PAYABLE, "CNY", party="m1")
    assert {book: sum(sums["CNY"] for sums in accounts.values()) for book, accounts in trial.items()} == {
        "P": 0,
        "I": 0,
    }
    assert at_import["P"]["P1000"] == {"CNY": 120_000}
    assert (advanced, other, party) == (yuan("1200.00"), yuan("0.00"), yuan("-1139.64"))


HEAD = select(JournalHeadRow.last).scalar_subquery()
GREATEST = select(func.max(EntryRow.sequence)).scalar_subquery()


async def overtaken(stores: tuple[Store, Store], head: Any, within: float = 0.5) -> bool:
    """One has posted and dawdles before its commit, another comes later and may commit first. Does a reader, in one
    snapshot, see a head with something missing below it? A cut there would lose the first one's legs.

    `within`: seconds for the later one; one that has to wait for the first takes them all."""

    async def late() -> None:
        async with stores[1].transaction() as session:
            await ledger.post(session, lightning("r2"), AT)

    async with stores[0].transaction() as session:
        await ledger.post(session, lightning("r1"), AT)
        other = asyncio.create_task(late())
        await asyncio.wait([other], timeout=within)
        snapshot = select(func.coalesce(head, 0), func.count()).where(col(EntryRow.sequence) <= head)
        async with stores[1].read() as reader:
            last, seen = (await reader.exec(snapshot)).one()
    await other
    return bool(last != seen)


async def test_the_order_of_sequences_is_the_order_of_commits(stores: tuple[Store, Store]) -> None:
    assert not await overtaken(stores, HEAD)
    async with stores[0].read() as session:
        assert await ledger.head(session) == 4


async def test_a_plain_sequence_would_be_overtaken(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: with numbers from a sequence, a later one commits before an earlier one."""
    numbers = itertools.count(1, 2)

    async def plain(session: AsyncSession, count: int) -> int:
        return next(numbers)

    monkeypatch.setattr(ledger, "_allot", plain)
    stores = (Store(postgres_url), Store(postgres_url))
    assert await overtaken(stores, GREATEST, within=60)
    for store in stores:
        await store.close()


async def test_one_entry_posted_by_many_is_one_entry(stores: tuple[Store, Store]) -> None:
    posted = await asyncio.gather(
        *(stores[n % 2].run(lambda session: ledger.post(session, lightning(), AT)) for n in range(10))
    )
    assert sorted(len(keys) for keys in posted) == [0] * 9 + [2]
    async with stores[0].read() as session:
        assert await ledger.head(session) == 2
