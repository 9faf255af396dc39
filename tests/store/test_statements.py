"""Statements: whatever order sales, charges, holds, cuts and payouts come in, they chain and add up."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal, Rejected
from backhaul.ledger import JournalEntry, P, made, reversal
from backhaul.ledger.meanings import MEANINGS, meaning
from backhaul.statements import Statement, checked, to_csv
from store import holds, ledger, settlement, shortfalls, statements
from store.engine import Store
from store.tables import BatchRow, LegRow
from tests.store.support import AT, an_order, blocking_sqlite, import_order, yuan
from tests.store.test_settlement import charge, cut, pay, post, settle


async def of_cut(store: Store, name: str, merchant: str = "m1") -> Statement:
    async with store.read() as session:
        return await statements.statement(session, merchant, await statements.span_of_cut(session, name))


async def whole(store: Store, merchant: str = "m1") -> Statement:
    async with store.read() as session:
        return await statements.statement(
            session, merchant, await statements.span_of_time(session, merchant, None, None)
        )


async def test_a_statement_tells_every_line(store: Store) -> None:
    await import_order(store)
    await settle(store, "d1")
    await post(store, charge(amount="100.00", commission="5.00"))
    await settle(store, "d2")
    (first,) = (await of_cut(store, "d1")).accounts
    assert [(line.template, line.amount) for line in first.lines] == [("J01", yuan("1140.00")), ("J02", yuan("-0.36"))]
    assert (first.opening, first.closing, first.paid) == (yuan("0.00"), yuan("1139.64"), yuan("0.00"))
    (second,) = (await of_cut(store, "d2")).accounts
    assert [(line.template, line.amount) for line in second.lines] == [
        ("J70", yuan("-1139.64")),
        ("J22", yuan("-95.00")),
    ]
    assert (second.opening, second.closing, second.paid) == (yuan("1139.64"), yuan("-95.00"), yuan("1139.64"))
    paid, back = second.lines
    assert (paid.batch, paid.payment_key, paid.case) == ("m1:d1.CNY", "m1:settlement:d1.CNY:1", None)
    assert (back.case, back.link, back.batch) == ("m1/r1", "/v1/returns/r1?merchant_id=m1", "m1:d2.CNY")
    assert back.meaning.zh == "退货退款(已退佣金)"
    assert first.lines[0].link == "/v1/returns?order_id=o1&merchant_id=m1"
    (everything,) = (await whole(store)).accounts
    assert (everything.closing, everything.owed_closing) == (yuan("0.00"), yuan("95.00"))
    assert [one.state for one in everything.batches] == ["paid", "shortfall"]


async def test_csv_has_the_same_lines(store: Store) -> None:
    await import_order(store)
    await settle(store, "d1")
    rows = list(csv.DictReader(io.StringIO(to_csv(await whole(store)))))
    assert [row["balance"] for row in rows] == ["0.00", "1140.00", "1139.64", "0.00", "0.00"]
    assert [row["template"] for row in rows] == ["", "J01", "J02", "J70", ""]


async def test_a_period_begins_where_the_last_ended(store: Store) -> None:
    await import_order(store)
    later = AT + timedelta(hours=1)
    async with store.transaction() as session:
        await ledger.post(session, made(charge()), later)
    async with store.read() as session:
        spans = [
            await statements.span_of_time(session, "m1", None, later),
            await statements.span_of_time(session, "m1", later, None),
        ]
        first, second = [(await statements.statement(session, "m1", span)).accounts[0] for span in spans]
    assert (first.closing, second.opening, second.closing) == (yuan("1139.64"), yuan("1139.64"), yuan("-0.36"))


async def test_no_statement_of_a_stranger_or_an_unknown_cut(store: Store) -> None:
    await import_order(store)
    with pytest.raises(Refusal) as caught:
        await whole(store, "nobody")
    assert caught.value.code == "not_found"
    with pytest.raises(Refusal):
        await of_cut(store, "never")


async def test_wrong_numbers_are_never_shown(store: Store) -> None:
    """A leg moved to another batch, and each field of a statement changed: all are seen."""
    await import_order(store)
    await settle(store, "d1")
    good = await whole(store)
    (account,) = good.accounts
    (batch,) = account.batches
    legs = {batch.batch: batch.net.minor}
    assert checked(good, legs) == good
    one = yuan("0.01")
    for broken in (
        account.model_copy(update={"opening": one}),
        account.model_copy(update={"closing": one}),
        account.model_copy(update={"paid": one}),
        account.model_copy(update={"lines": account.lines[1:]}),
        account.model_copy(update={"batches": ()}),
        account.model_copy(update={"batches": (batch.model_copy(update={"state": "formed"}),)}),
        account.model_copy(update={"batches": (batch.model_copy(update={"payout": one}),)}),
    ):
        with pytest.raises(Rejected):
            checked(good.model_copy(update={"accounts": (broken,)}), legs)
    with pytest.raises(Rejected):
        checked(good, {batch.batch: 1})
    async with store.transaction() as session:
        leg = (await session.exec(select(LegRow).limit(1))).one()
        leg.batch = None
        session.add(leg)
    with pytest.raises(Rejected) as caught:
        await whole(store)
    assert caught.value.code == "invariant_broken"


async def test_too_long_a_statement_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await import_order(store)
    monkeypatch.setattr(statements, "MOST_LINES", 1)
    with pytest.raises(Refusal) as caught:
        await whole(store)
    assert caught.value.code == "invalid_input"


async def test_cuts_are_listed_newest_first(store: Store) -> None:
    for n in range(3):
        await import_order(store, an_order(f"o{n}"))
        await settle(store, f"d{n}")
    async with store.read() as session:
        page = await statements.settled_cuts(session, "m1", limit=2)
        rest = await statements.settled_cuts(session, "m1", page.next, 2)
    assert ([one.cut for one in page.cuts], page.next) == (["d2", "d1"], "d1")
    assert ([one.cut for one in rest.cuts], rest.next) == (["d0"], None)
    assert rest.cuts[0].batches[0].payout == yuan("1139.64")


def test_every_entry_on_the_account_has_words() -> None:
    assert meaning("J22", reversed_=True).en == "Taken back: refund of a return, less commission"
    assert all(words.en and words.zh for words in MEANINGS.values())


async def _tell(session: AsyncSession, row: BatchRow) -> None:
    shortfalls.told(await settlement.need_batch(session, row.batch, lock=True), AT)


class Accounts(RuleBasedStateMachine):
    """Sales, charges, reversals, holds, deposits, cuts, payouts that succeed or are dissolved: statements of
    consecutive cuts chain, and what was paid is what the legs of paid batches come to, less what paid shortfalls."""

    def __init__(self) -> None:
        super().__init__()
        self.loop, self.store, self.end = blocking_sqlite()
        self.n = 0
        self.cuts: list[str] = []
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

    @rule(held=st.booleans(), n=st.integers(1, 6))
    def hold(self, held: bool, n: int) -> None:
        async def work() -> None:
            async with self.store.transaction() as session:
                move = holds.hold_legs if held else holds.release_legs
                await move(session, f"m1/r{n}", AT)

        self.loop(work())

    @rule(deposit=st.integers(1, 50_000))
    def deposit(self, deposit: int) -> None:
        from backhaul.ledger import deposit_received

        self.n += 1
        self.loop(post(self.store, deposit_received("m1", yuan(f"{deposit / 100:.2f}"), key=f"dep{self.n}")))

    @rule(fate=st.sampled_from(("paid", "dissolved", "parked")))
    def cycle(self, fate: str) -> None:
        self.n += 1
        name = f"d{self.n:04}"
        self.cuts.append(name)

        async def work() -> None:
            await cut(self.store, name)
            patience = shortfalls.Patience(timedelta(0), yuan("300.00"))
            rows = await self.store.run(lambda session: settlement.form_batches(session, "m1", name, AT, patience))
            for row in rows:
                if shortfalls.is_untold(row):
                    await self.store.run(lambda session, row=row: _tell(session, row))  # type: ignore[misc]
                if row.state == "formed" and fate != "parked":
                    await self.store.run(lambda session, row=row: self._end(session, row, fate))  # type: ignore[misc]

        self.loop(work())

    async def _end(self, session: AsyncSession, row: BatchRow, fate: str) -> None:
        if fate == "paid":
            await pay(session, row)
        else:
            await ledger.post(session, await settlement.dissolve_batch(session, row.batch, AT), AT)

    @invariant()
    def it_chains_and_adds_up(self) -> None:
        async def read() -> None:
            async with self.store.read() as session:
                assert await settlement.check_batches(session) == ()
                closing, paid = 0, 0
                for name in self.cuts:
                    span = await statements.span_of_cut(session, name)
                    for account in (await statements.statement(session, "m1", span)).accounts:
                        assert account.opening.minor == closing
                        closing = account.closing.minor
                        paid += account.paid.minor
                everything = await statements.statement(
                    session, "m1", await statements.span_of_time(session, "m1", None, None)
                )
                paid_batches = select(BatchRow.batch).where(BatchRow.state == "paid")
                legs = select(func.coalesce(func.sum(LegRow.minor), 0)).where(col(LegRow.batch).in_(paid_batches))
                netted = select(func.coalesce(func.sum(BatchRow.netted_minor), 0)).where(BatchRow.state == "paid")
                owed = int((await session.exec(legs)).one()) - int((await session.exec(netted)).one())
                assert sum(account.paid.minor for account in everything.accounts) == owed
                assert paid <= owed
                receivable = await ledger.balance(session, P.MERCHANT_RECEIVABLE, "CNY", party="m1")
                assert receivable.minor == sum(one.open_minor for one in await shortfalls.owed(session, "m1"))

        self.loop(read())


TestStatementsInAnyOrder = Accounts.TestCase
TestStatementsInAnyOrder.settings = settings(max_examples=12, stateful_step_count=14, deadline=None)
