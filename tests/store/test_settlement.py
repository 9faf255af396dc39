"""Settlement: whatever order legs come in, each is paid in one batch, once (domain 6, netting; invariant 12)."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Rejected
from backhaul.ledger import (
    JournalEntry,
    P,
    advance_paid,
    goods_accepted,
    made,
    rdv_approved,
    rdv_reserved,
    reversal,
    settlement_paid,
)
from backhaul.money import Money
from store import holds, ledger, settlement
from store.engine import Store
from store.tables import BatchRow, LegRow
from tests.store.support import AT, a_case, an_order, blocking_sqlite, import_order, key_of, yuan


async def post(store: Store, *entries: JournalEntry | None) -> None:
    async with store.transaction() as session:
        await ledger.post(session, made(*entries), AT)


async def cut(store: Store, name: str) -> int:
    async with store.transaction() as session:
        return (await settlement.open_cut(session, name, AT)).sequence


async def form(store: Store, name: str, merchant: str = "m1") -> tuple[BatchRow, ...]:
    return await store.run(lambda session: settlement.form_batches(session, merchant, name, AT))


async def pay(session: AsyncSession, batch: BatchRow) -> None:
    """What the payout's effect does when it succeeds."""
    net = Money(minor=batch.payout_minor, currency=batch.currency)
    paid = settlement_paid(batch.merchant_id, net, batch=batch.batch, key=batch.payout_key)
    await settlement.close_batch(session, batch.batch, AT)
    await ledger.post(session, made(paid), AT)


async def settle(store: Store, name: str) -> list[tuple[int, int, str]]:
    """A whole cycle of one merchant: (net, paid out, state) of each batch."""
    await cut(store, name)
    done = []
    for batch in await form(store, name):
        done.append((batch.net_minor, batch.payout_minor, batch.state))
        if batch.state == "formed":
            async with store.transaction() as session:
                await pay(session, batch)
    async with store.read() as session:
        assert await settlement.check_batches(session) == ()
    return done


def charge(rma_id: str = "r1", amount: str = "1200.00", commission: str = "60.00") -> JournalEntry | None:
    return goods_accepted(a_case(rma_id), yuan(amount), yuan(commission))


async def test_a_sale_is_paid_once(store: Store) -> None:
    await import_order(store)
    assert await settle(store, "d1") == [(113_964, 113_964, "formed")]
    assert await settle(store, "d2") == []
    async with store.read() as session:
        assert await ledger.balance(session, P.MERCHANT_PAYABLE, "CNY") == yuan("0.00")


async def test_forming_again_answers_the_same(store: Store) -> None:
    await import_order(store)
    await cut(store, "d1")
    first = await form(store, "d1")
    await import_order(store, an_order("o2"))
    assert [row.model_dump() for row in await form(store, "d1")] == [row.model_dump() for row in first]
    assert first[0].payout_key == "m1:settlement:d1.CNY:1"


async def test_what_comes_after_the_cut_waits_for_the_next(store: Store) -> None:
    await import_order(store)
    at_cut = await cut(store, "d1")
    await import_order(store, an_order("o2"))
    assert await cut(store, "d1") == at_cut
    assert [batch.net_minor for batch in await form(store, "d1")] == [113_964]
    assert [net for net, _, _ in await settle(store, "d2")] == [113_964]


async def test_a_held_leg_waits_and_is_not_lost(store: Store) -> None:
    await import_order(store)
    await post(store, charge())
    async with store.transaction() as session:
        await holds.hold_legs(session, key_of(a_case()), AT)
    assert await settle(store, "d1") == [(113_964, 113_964, "formed")]
    async with store.transaction() as session:
        await holds.release_legs(session, key_of(a_case()), AT)
    assert await settle(store, "d2") == [(-114_000, 0, "shortfall")]


async def test_a_reversed_leg_cancels_out(store: Store) -> None:
    await import_order(store)
    entry = charge()
    assert entry is not None
    await post(store, entry, reversal(entry))
    assert await settle(store, "d1") == [(113_964, 113_964, "formed")]
    await post(store, charge("r2", "10.00", "0.00"))
    two = charge("r3", "10.00", "0.00")
    assert two is not None
    await post(store, two)
    assert await settle(store, "d2") == [(-2_000, 0, "shortfall")]
    await post(store, reversal(two))
    assert await settle(store, "d3") == [(1_000, 0, "empty")]


async def test_a_shortfall_is_netted_from_later_sales(store: Store) -> None:
    await import_order(store)
    assert [state for _, _, state in await settle(store, "d1")] == ["formed"]
    await post(store, charge())
    assert await settle(store, "d2") == [(-114_000, 0, "shortfall")]
    await import_order(store, an_order("o2", paid="100.00"))
    assert await settle(store, "d3") == [(9_464, 0, "empty")]
    await import_order(store, an_order("o3", paid="2000.00"))
    net = 189_964
    assert await settle(store, "d4") == [(net, net - (114_000 - 9_464), "formed")]
    async with store.read() as session:
        for account in (P.MERCHANT_PAYABLE, P.MERCHANT_RECEIVABLE):
            assert await ledger.balance(session, account, "CNY") == yuan("0.00")


async def test_an_advance_is_a_batch_of_its_own(store: Store) -> None:
    await import_order(store)
    case, amount, ref = a_case(), yuan("360.00"), "m1.r1.loss.1"
    async with store.transaction() as session:
        with pytest.raises(Rejected):
            await settlement.form_advance(session, ref, "k", AT)
        await ledger.post(session, made(rdv_reserved(case, amount, claim_ref=ref)), AT)
        await ledger.post(session, made(rdv_approved(case, amount, claim_ref=ref)), AT)
        for _ in range(2):
            batch = await settlement.form_advance(session, ref, "m1:r1:advance:1", AT)
    # A settlement between the approval and the payout does not pay it too.
    assert await settle(store, "d1") == [(113_964, 113_964, "formed")]
    async with store.transaction() as session:
        paid = advance_paid(case, amount, claim_ref=ref, key=batch.payout_key, batch=batch.batch)
        await settlement.close_batch(session, batch.batch, AT)
        await ledger.post(session, made(paid), AT)
    async with store.read() as session:
        assert await settlement.check_batches(session) == ()
        assert await ledger.balance(session, P.MERCHANT_PAYABLE, "CNY") == yuan("0.00")


async def test_an_advance_that_cannot_be_paid_is_settled(store: Store) -> None:
    await import_order(store)
    case, amount, ref = a_case(), yuan("360.00"), "m1.r1.loss.1"
    async with store.transaction() as session:
        await ledger.post(session, made(rdv_approved(case, amount, claim_ref=ref)), AT)
        await settlement.form_advance(session, ref, "m1:r1:advance:1", AT)
    for _ in range(2):
        async with store.transaction() as session:
            await settlement.dissolve_advance(session, ref, AT)
    assert await settle(store, "d1") == [(113_964 + 36_000, 113_964 + 36_000, "formed")]


async def test_merchants_come_in_pages(store: Store) -> None:
    for n in range(5):
        await import_order(store, an_order(f"o{n}", merchant=f"m{n}"))
    await cut(store, "d1")
    await import_order(store, an_order("o9", merchant="m9"))
    async with store.read() as session:
        assert (await settlement.need_cut(session, "d1")).merchants == 5
        first = await settlement.page_merchants(session, "d1", limit=3)
        assert (first.merchants, first.next) == (("m0", "m1", "m2"), "m2")
        last = await settlement.page_merchants(session, "d1", after="m2", limit=3)
        assert (last.merchants, last.next) == (("m3", "m4"), None)
    await form(store, "d1", "m0")
    async with store.read() as session:
        # Formed but not paid yet: a cycle that starts again still comes by.
        assert "m0" in (await settlement.page_merchants(session, "d1")).merchants


async def test_many_that_form_one_batch_form_one(stores: tuple[Store, Store]) -> None:
    await import_order(stores[0])
    await post(stores[0], charge("r1", "10.00", "0.00"))
    await cut(stores[0], "d1")
    formed = await asyncio.gather(*(form(stores[n % 2], "d1") for n in range(8)))
    assert {tuple(batch.batch for batch in batches) for batches in formed} == {("m1:d1.CNY",)}
    async with stores[0].read() as session:
        assert await settlement.check_batches(session) == ()


async def test_cycles_during_posts_lose_and_double_nothing(stores: tuple[Store, Store]) -> None:
    """Writers that dawdle, and a cycle after the other beside them: at the end each leg is in exactly one batch."""
    await import_order(stores[0])
    writing = True

    async def write(n: int) -> None:
        async with stores[n % 2].transaction() as session:
            await ledger.post(session, made(charge(f"r{n}", "1.00", "0.00")), AT)
            await asyncio.sleep(0.01)

    async def cycle() -> None:
        n = 0
        while writing:
            n += 1
            await settle(stores[1], f"d{n}")

    cycling = asyncio.create_task(cycle())
    await asyncio.gather(*(write(n) for n in range(25)))
    writing = False
    await cycling
    await settle(stores[0], "last")
    async with stores[0].read() as session:
        assert (await session.exec(select(func.count()).where(col(LegRow.batch).is_(None)))).one() == 0
        # J01, J02 and 25 charges: 27 legs, none twice.
        assert (await session.exec(select(func.sum(BatchRow.legs)))).one() == 27


async def test_the_check_sees_a_leg_in_the_wrong_batch(store: Store) -> None:
    await import_order(store)
    await settle(store, "d1")
    async with store.transaction() as session:
        leg = (await session.exec(select(LegRow).limit(1))).one()
        leg.batch = None
        session.add(leg)
    async with store.read() as session:
        assert await settlement.check_batches(session) == ("m1:d1.CNY",)


class Legs(RuleBasedStateMachine):
    """Sales, charges, reversals, holds and cycles in any order: the payable is what is in no batch yet."""

    def __init__(self) -> None:
        super().__init__()
        self.loop, self.store, self.end = blocking_sqlite()
        self.n = 0
        self.charges: list[JournalEntry] = []
        self.loop(import_order(self.store))

    def teardown(self) -> None:
        self.end()

    @rule(paid=st.integers(1, 300_000))
    def sale(self, paid: int) -> None:
        self.n += 1
        self.loop(import_order(self.store, an_order(f"s{self.n}", paid=f"{paid / 100:.2f}")))

    @rule(amount=st.integers(1, 300_000))
    def refund(self, amount: int) -> None:
        self.n += 1
        entry = charge(f"r{self.n}", f"{amount / 100:.2f}", "0.00")
        assert entry is not None
        self.charges.append(entry)
        self.loop(post(self.store, entry))

    @rule()
    def reverse(self) -> None:
        if self.charges:
            self.loop(post(self.store, reversal(self.charges.pop())))

    @rule(held=st.booleans(), n=st.integers(1, 5))
    def hold(self, held: bool, n: int) -> None:
        async def work() -> None:
            async with self.store.transaction() as session:
                move = holds.hold_legs if held else holds.release_legs
                await move(session, f"m1/r{n}", AT)

        self.loop(work())

    @rule()
    def cycle(self) -> None:
        self.n += 1
        self.loop(settle(self.store, f"d{self.n}"))

    @invariant()
    def the_payable_is_what_waits(self) -> None:
        async def read() -> tuple[int, int, int]:
            async with self.store.read() as session:
                payable = await ledger.balance(session, P.MERCHANT_PAYABLE, "CNY")
                owed = await ledger.balance(session, P.MERCHANT_RECEIVABLE, "CNY")
                legs = select(func.coalesce(func.sum(LegRow.minor), 0)).where(col(LegRow.batch).is_(None))
                return payable.minor, owed.minor, int((await session.exec(legs)).one())

        payable, owed, waiting = self.loop(read())
        assert -payable == waiting
        assert owed >= 0


TestLegsInAnyOrder = Legs.TestCase
TestLegsInAnyOrder.settings = settings(max_examples=10, stateful_step_count=12, deadline=None)
