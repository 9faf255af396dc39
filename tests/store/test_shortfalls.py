"""X22 in the store: later sales, deposit, top-ups, the receivable's time, the authority; holds; premiums; pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import event
from sqlmodel import col, func, select

from backhaul.errors import Refusal, Rejected
from backhaul.facts import BookRef
from backhaul.ledger import (
    CaseRef,
    JournalEntry,
    OrderRef,
    P,
    goods_accepted,
    made,
    rdv_approved,
    sale_captured,
)
from backhaul.money import Money
from backhaul.policy.library import load_library
from backhaul.policy.windows import signed_before
from backhaul.treasury import PostTreasury, TreasuryKind, TreasuryPosted
from store import cases, holds, ledger, premiums, settlement, shortfalls, treasury
from store.engine import Store
from store.sql import insert_all
from store.tables import BatchRow, CoverageRow, EntryLineRow, EntryRow, LegRow, MerchantRow
from tests.approvals import CreateApproval, create_approval
from tests.store.support import AT, BOOK, a_case, an_order, case_row, import_order, key_of, yuan
from tests.store.test_settlement import charge, pay, post

PATIENCE = shortfalls.Patience(timedelta(days=30), yuan("3000.00"))
DAY = timedelta(days=1)


async def at_cut(
    store: Store, name: str, days: float, merchant: str = "m1", *, tell: bool = True
) -> dict[str, tuple[int, int, str]]:
    """A merchant's settlement so many days later: (net, payout, state) of each batch; what is payable is paid, and of
    what is short the merchant is told."""
    now = AT + timedelta(days=days)
    async with store.transaction() as session:
        await settlement.open_cut(session, name, now)
    rows = await store.run(lambda session: settlement.form_batches(session, merchant, name, now, PATIENCE))
    again = await store.run(lambda session: settlement.form_batches(session, merchant, name, now, PATIENCE))
    assert [row.model_dump() for row in again] == [row.model_dump() for row in rows]
    for row in rows:
        async with store.transaction() as session:
            if row.state == "formed":
                await pay(session, row)
            elif tell and shortfalls.is_untold(row):
                shortfalls.told(await settlement.need_batch(session, row.batch, lock=True), now)
    async with store.read() as session:
        assert await settlement.check_batches(session) == ()
    return {row.batch: (row.net_minor, row.payout_minor, row.state) for row in rows}


async def owed(store: Store, account: P = P.MERCHANT_RECEIVABLE, currency: str = "CNY") -> Money:
    async with store.read() as session:
        return await ledger.balance(session, account, currency, party="m1" if account is not P.BAD_DEBT else None)


async def state_of(store: Store, batch: str) -> str:
    async with store.read() as session:
        return (await settlement.need_batch(session, batch)).state


async def approve(
    store: Store, subject: str, amount: Money, *, merchant: str = "m1", payee: str | None = None, n: str = "a"
) -> str:
    wanted = CreateApproval(
        merchant_id=merchant, subject=subject, amount=amount, payee=payee or merchant, prepared_by="clerk"
    )
    async with store.transaction() as session:
        await create_approval(session, f"{n}-{subject}".replace(":", "."), wanted, "boss", AT)
    return f"{n}-{subject}".replace(":", ".")


async def book(store: Store, kind: TreasuryKind, amount: str, reference: str, merchant: str = "m1") -> TreasuryPosted:
    """Approved and booked."""
    subject = f"{kind.value}:{reference}"
    approval = await approve(store, subject, yuan(amount), merchant=merchant)
    asked = PostTreasury(
        kind=kind, merchant_id=merchant, amount=yuan(amount), reference=reference, approval_id=approval
    )
    return await store.run(lambda session: treasury.post(session, asked, AT))


async def a_shortfall(store: Store, amount: str = "1139.64") -> None:
    """A sale, paid out at d1; a charge, short at d2."""
    await import_order(store)
    await at_cut(store, "d1", 0)
    await post(store, charge(amount=amount, commission="0.00"))
    assert (await at_cut(store, "d2", 1))["m1:d2.CNY"][1:] == (0, "shortfall")


async def test_later_sales_come_before_the_deposit(store: Store) -> None:
    """X22's order: J71 alone at the cut, then J76 from the next sale, then J72 for the rest, and only then cash."""
    await a_shortfall(store, "1000.00")
    await book(store, TreasuryKind.DEPOSIT_RECEIVED, "500.00", "dep1")
    assert (await owed(store), await owed(store, P.MERCHANT_DEPOSIT)) == (yuan("1000.00"), yuan("-500.00"))
    await import_order(store, an_order("o2", paid="800.00"))  # 800.00 less 5 % and 0.36 is 759.64
    assert await at_cut(store, "d3", 2) == {"m1:d3.CNY": (75_964, 0, "empty")}
    assert (await owed(store), await owed(store, P.MERCHANT_DEPOSIT)) == (yuan("0.00"), yuan("-259.64"))
    assert await state_of(store, "m1:d2.CNY") == "cured"


async def test_the_deposit_is_drawn_without_a_new_sale(store: Store) -> None:
    """A merchant with a shortfall and no leg is visited all the same; two draws are two entries."""
    await a_shortfall(store, "1000.00")
    for reference, day in (("dep1", 2), ("dep2", 3)):
        await book(store, TreasuryKind.DEPOSIT_RECEIVED, "300.00", reference)
        async with store.transaction() as session:
            await settlement.open_cut(session, f"d{day + 1}", AT + day * DAY)
        async with store.read() as session:
            assert (await settlement.page_merchants(session, f"d{day + 1}")).merchants == ("m1",)
        await at_cut(store, f"d{day + 1}", day)
    assert (await owed(store), await owed(store, P.MERCHANT_DEPOSIT)) == (yuan("400.00"), yuan("0.00"))
    async with store.read() as session:
        drawn = await ledger.find(session, templates=["J72"])
    assert [one.entry.key for one in drawn] == ["J72:m1:1", "J72:m1:2"]


async def test_a_top_up_cures_and_never_more_than_is_owed(store: Store) -> None:
    await a_shortfall(store, "1000.00")
    first = await book(store, TreasuryKind.SHORTFALL_TOPPED_UP, "400.00", "t1")
    again = await book(store, TreasuryKind.SHORTFALL_TOPPED_UP, "400.00", "t1")
    assert (first.created, again.created, first.entry) == (True, False, again.entry)
    assert await owed(store) == yuan("600.00")
    with pytest.raises(Refusal) as caught:
        await book(store, TreasuryKind.SHORTFALL_TOPPED_UP, "600.01", "t2")
    assert caught.value.code == "exceeds_owed"
    await book(store, TreasuryKind.SHORTFALL_TOPPED_UP, "600.00", "t3")
    assert (await owed(store), await state_of(store, "m1:d2.CNY")) == (yuan("0.00"), "cured")


async def test_money_at_the_bank_needs_the_approval_that_fits(store: Store) -> None:
    await import_order(store)
    good = await approve(store, "deposit_received:x", yuan("10.00"))
    wrong = PostTreasury(
        kind=TreasuryKind.DEPOSIT_RECEIVED, merchant_id="m1", amount=yuan("11.00"), reference="x", approval_id=good
    )
    with pytest.raises(Rejected) as caught:
        await store.run(lambda session: treasury.post(session, wrong, AT))
    assert caught.value.code == "approval_mismatch"
    assert await owed(store, P.MERCHANT_DEPOSIT) == yuan("0.00")


async def test_the_providers_balance_is_swept_and_topped_up(store: Store) -> None:
    """J05, J06: the platform's own; both books stay in balance."""
    await import_order(store)
    await book(store, TreasuryKind.PSP_SWEPT, "100.00", "s1", "platform")
    await book(store, TreasuryKind.PSP_TOPPED_UP, "30.00", "s2", "platform")
    async with store.read() as session:
        assert await ledger.balance(session, P.PSP_CLEARING, "CNY") == yuan("1130.00")
    with pytest.raises(ValueError, match="name a merchant"):
        PostTreasury(kind=TreasuryKind.PSP_SWEPT, merchant_id="m1", amount=yuan("1.00"), reference="r", approval_id="a")


async def test_a_receivable_is_written_off_at_its_time(store: Store) -> None:
    """Just before 30 days nothing happens; at 30 days from the notice, within the authority, J74."""
    await a_shortfall(store, "1000.00")
    assert await at_cut(store, "d3", 30.99) == {}
    assert (await owed(store), await state_of(store, "m1:d2.CNY")) == (yuan("1000.00"), "shortfall")
    await at_cut(store, "d4", 31)
    assert (await owed(store), await state_of(store, "m1:d2.CNY")) == (yuan("0.00"), "written_off")
    assert await owed(store, P.BAD_DEBT) == yuan("1000.00")


async def test_the_receivables_time_begins_when_the_merchant_was_told(store: Store) -> None:
    """X22: until then nothing is written off, however long; from then on it has its 30 days. The first time stays."""
    await import_order(store)
    await at_cut(store, "d1", 0)
    await post(store, charge(amount="1000.00", commission="0.00"))
    await at_cut(store, "d2", 1, tell=False)
    await at_cut(store, "d3", 60, tell=False)
    assert await state_of(store, "m1:d2.CNY") == "shortfall"
    async with store.read() as session:
        assert await settlement.under_way(session, AT + 2 * DAY) == (("m1", "d2"),)
    for days in (61, 70):
        async with store.transaction() as session:
            row = await settlement.need_batch(session, "m1:d2.CNY", lock=True)
            shortfalls.told(row, AT + timedelta(days=days))
    async with store.read() as session:
        assert await settlement.under_way(session, AT + 2 * DAY) == ()
    await at_cut(store, "d4", 90.99)
    assert await state_of(store, "m1:d2.CNY") == "shortfall"
    await at_cut(store, "d5", 91)
    assert await state_of(store, "m1:d2.CNY") == "written_off"


async def test_a_sale_on_the_last_day_is_netted_first(store: Store) -> None:
    """The sale and the receivable's end fall on one cut: what the sale covers is not written off."""
    await a_shortfall(store, "1000.00")
    await import_order(store, an_order("o2", paid="800.00"))
    await at_cut(store, "d3", 31)
    assert (await owed(store), await owed(store, P.BAD_DEBT)) == (yuan("0.00"), yuan("240.36"))


async def test_above_the_authority_a_second_person_decides(store: Store) -> None:
    """3000.01 stays open and holds the payouts of other currencies; the approval is for the very amount, once."""
    await a_shortfall(store, "3000.01")
    await at_cut(store, "d3", 31)
    assert await state_of(store, "m1:d2.CNY") == "overdue"
    async with store.transaction() as session:
        entry = rdv_approved(a_case("r9"), Money(minor=500, currency="USD"), claim_ref="m1.r9.loss.1")
        await ledger.post(session, made(entry), AT)
    assert await at_cut(store, "d4", 32) == {}
    async with store.read() as session:
        assert [row.batch for row in await settlement.found_overdue(session, "m1", "d3")] == ["m1:d2.CNY"]
        assert await settlement.found_overdue(session, "m1", "d4") == ()

    async def write_off(approval: str) -> bool:
        async with store.transaction() as session:
            row = await settlement.need_batch(session, "m1:d2.CNY", lock=True)
            return await shortfalls.write_off(session, row, approval, "test", AT)

    subject = shortfalls.write_off_subject("m1:d2.CNY")
    with pytest.raises(Rejected):
        await write_off(await approve(store, subject, yuan("3000.00"), n="less"))
    good = await approve(store, subject, yuan("3000.01"))
    assert await write_off(good) is True
    assert await write_off(good) is False
    assert (await owed(store), await owed(store, P.BAD_DEBT)) == (yuan("0.00"), yuan("3000.01"))
    assert await at_cut(store, "d5", 33) == {"m1:d5.USD": (500, 500, "formed")}


async def test_two_small_ones_are_one_large_one(store: Store) -> None:
    """The authority counts everything overdue of a merchant together."""
    await a_shortfall(store, "2000.00")
    await post(store, charge("r2", "2000.00", "0.00"))
    await at_cut(store, "d3", 2)
    await at_cut(store, "d4", 32)
    assert {await state_of(store, "m1:d2.CNY"), await state_of(store, "m1:d3.CNY")} == {"overdue"}


async def test_a_dissolved_batch_gives_everything_back(store: Store) -> None:
    """Its legs are open again, the shortfall that it paid a part of too; the next cut nets and pays anew."""
    await a_shortfall(store, "1000.00")
    await import_order(store, an_order("o2", paid="2000.00"))
    async with store.transaction() as session:
        await settlement.open_cut(session, "d3", AT + 2 * DAY)
        (row,) = await settlement.form_batches(session, "m1", "d3", AT, PATIENCE)
        assert (row.net_minor, row.netted_minor, row.payout_minor) == (189_964, 100_000, 89_964)
    for _ in range(2):
        async with store.transaction() as session:
            await ledger.post(session, await settlement.dissolve_batch(session, "m1:d3.CNY", AT), AT)
    assert (await owed(store), await state_of(store, "m1:d2.CNY")) == (yuan("1000.00"), "shortfall")
    assert await at_cut(store, "d4", 3) == {"m1:d4.CNY": (189_964, 89_964, "formed")}
    assert (await owed(store), await owed(store, P.MERCHANT_PAYABLE)) == (yuan("0.00"), yuan("0.00"))
    with pytest.raises(Rejected):
        async with store.transaction() as session:
            await settlement.dissolve_batch(session, "m1:d4.CNY", AT)


# ---- holds -----------------------------------------------------------------------------------------------------------


async def test_a_hold_also_keeps_what_is_posted_meanwhile(store: Store) -> None:
    await import_order(store)
    case = key_of(a_case())
    async with store.transaction() as session:
        await holds.hold_legs(session, case, AT)
    await post(store, charge(amount="100.00", commission="0.00"))
    assert await at_cut(store, "d1", 0) == {"m1:d1.CNY": (113_964, 113_964, "formed")}
    async with store.transaction() as session:
        await holds.hold(session, "m1", AT, case_key=case, by="li")  # an operator's, beside the dispute's
        await holds.release_legs(session, case, AT)
    assert await at_cut(store, "d2", 1) == {}
    async with store.transaction() as session:
        assert [row.held_by for row in await holds.holds_of(session, "m1")] == ["li"]
        assert await holds.release(session, "m1", AT, case_key=case)
        assert not await holds.release(session, "m1", AT, case_key=case)
    assert await at_cut(store, "d3", 2) == {"m1:d3.CNY": (-10_000, 0, "shortfall")}


async def test_a_merchant_on_hold_is_not_settled_at_all(store: Store) -> None:
    await import_order(store)
    await import_order(store, an_order("o2", merchant="m2"))
    async with store.transaction() as session:
        await holds.hold(session, "m1", AT, by="li", note="looks like fraud")
        await settlement.open_cut(session, "d0", AT)
    async with store.read() as session:
        assert (await settlement.page_merchants(session, "d0")).merchants == ("m2",)
    assert await at_cut(store, "d1", 0) == {}
    async with store.transaction() as session:
        await holds.release(session, "m1", AT)
        await holds.hold(session, "m1", AT)  # and once more
        await holds.release(session, "m1", AT)
    assert await at_cut(store, "d2", 1) == {"m1:d2.CNY": (113_964, 113_964, "formed")}


# ---- premiums --------------------------------------------------------------------------------------------------------


async def earn(store: Store, days: float, limit: int = 10) -> int:
    """J04 at a moment so many days after signing, by the book of 2025-05 (15 days at most)."""
    before = signed_before(load_library().by_version("2025-05"), AT + timedelta(days=days))
    return await store.run(lambda session: premiums.earn(session, {BOOK: before}, limit, AT))


async def test_a_premium_is_earned_when_nothing_can_come_back_any_more(store: Store) -> None:
    """Signed on 1 June, 16:00 at +08:00: 15 days end with 16 June there, which is 16:00 UTC of that day."""
    await import_order(store)
    assert await earn(store, 15 + 7.99 / 24) == 0
    assert await earn(store, 15 + 8 / 24) == 2
    assert await earn(store, 40) == 0
    async with store.read() as session:
        found = await ledger.find(session, templates=["J04"])
        assert [one.entry.key for one in found] == ["J04:m1/o1:o1-rdv", "J04:m1/o1:o1-rfi"]
        assert (await ledger.trial_balance(session))["I"]["I2100"]["CNY"] == 0
        assert (await ledger.trial_balance(session))["I"]["I4000"]["CNY"] == -96


async def test_an_open_case_keeps_the_cover_in_force(store: Store) -> None:
    await import_order(store)
    row = case_row(a_case())
    async with store.transaction() as session:
        await cases.insert(session, row, [("l1", 1)])
    assert await earn(store, 40) == 0
    async with store.transaction() as session:
        (await cases.need(session, key_of(a_case()))).closed_at = AT
    assert await earn(store, 40, limit=1) == 1
    assert await earn(store, 40, limit=1) == 1
    assert await earn(store, 40, limit=1) == 0


async def test_cover_of_another_book_or_unsigned_goods_stays(store: Store) -> None:
    await import_order(store, an_order().model_copy(update={"signed_at": None}))
    await import_order(store, an_order("o2"))
    assert await earn(store, 14) == 0
    other = BookRef(version="2024-09", hash="b" * 64)
    assert await store.run(lambda session: premiums.earn(session, {other: AT + 40 * DAY}, 10, AT)) == 0
    assert await earn(store, 40) == 2
    async with store.read() as session:
        left = await session.exec(select(CoverageRow.order_id).where(col(CoverageRow.earned_at).is_(None)))
        assert set(left.all()) == {"o1"}


# ---- pages -----------------------------------------------------------------------------------------------------------


@contextmanager
def counted(store: Store) -> Iterator[list[str]]:
    """The statements that the store sends meanwhile."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(store.engine.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(store.engine.sync_engine, "before_cursor_execute", note)


async def many_merchants(store: Store, count: int) -> None:
    """A sale for each, written straight into the tables."""
    heads, lines, legs, merchants = [], [], [], []
    for n in range(1, count + 1):
        merchant = f"m{n:05}"
        merchants.append(MerchantRow(merchant_id=merchant, updated_at=AT).model_dump())
        heads.append(
            EntryRow(
                sequence=n, entry_key=f"J01:{n}", content_hash="x", template="J01", merchant_id=merchant, at=AT
            ).model_dump()
        )
        for position, (account, side, party) in enumerate((("P1000", "debit", None), ("P2000", "credit", merchant))):
            lines.append(
                EntryLineRow(
                    sequence=n, position=position, book="P", account=account, side=side, minor=100,
                    currency="CNY", party=party,
                ).model_dump()
            )  # fmt: skip
        legs.append(LegRow(sequence=n, position=1, merchant_id=merchant, minor=100, currency="CNY").model_dump())
    async with store.transaction() as session:
        await insert_all(session, MerchantRow, merchants)
        await insert_all(session, EntryRow, heads)
        await insert_all(session, EntryLineRow, lines)
        await insert_all(session, LegRow, legs)
        await ledger._allot(session, count)


async def test_two_thousand_merchants_are_paged_at_the_same_cost_each(store: Store) -> None:
    """A page is two statements wherever it is; forming a merchant's batch is as many for the last as for the first."""
    await many_merchants(store, 2_000)
    async with store.transaction() as session:
        cut = await settlement.open_cut(session, "d1", AT)
    assert (cut.sequence, cut.merchants) == (2_000, 2_000)
    pages, costs, after = [], set(), ""
    while True:
        with counted(store) as sent:
            async with store.read() as session:
                page = await settlement.page_merchants(session, "d1", after, 200)
        costs.add(len([one for one in sent if one.lstrip().upper().startswith("SELECT")]))
        pages.append(page.merchants)
        if page.next is None:
            break
        after = page.next
    assert [len(page) for page in pages] == [200] * 10
    assert costs == {2}
    forming = []
    for merchant in (pages[0][0], pages[5][7], pages[9][199]):
        with counted(store) as sent:
            await store.run(lambda session, m=merchant: settlement.form_batches(session, m, "d1", AT, PATIENCE))  # type: ignore[misc]
        forming.append(len(sent))
    assert len(set(forming)) == 1
    assert forming[0] <= 20
    async with store.read() as session:
        assert (await session.exec(select(func.count()).select_from(BatchRow))).one() == 3


async def test_a_page_reads_a_page(store: Store) -> None:
    """The plan walks the open legs' index and stops: nothing is sorted as a whole (SQLite says so in words)."""
    if store.dialect != "sqlite":
        pytest.skip("another database's plan")
    await many_merchants(store, 50)
    async with store.transaction() as session:
        await settlement.open_cut(session, "d1", AT)
    with counted(store) as sent:
        async with store.read() as session:
            await settlement.page_merchants(session, "d1", "", 5)
    paging = next(one for one in sent if "settlement_legs" in one)
    values = (2_000, "", "", 6, 0, "d1", "formed", "", 6, 0, "", 6, 0, 6, 0)
    async with store.read() as session:
        connection = await session.connection()
        plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {paging}", values)
        said = " | ".join(str(row._mapping["detail"]) for row in plan)
    assert "ix_settlement_legs_open" in said, said
    assert "ix_settlement_batches_owed" in said, said
    assert "SCAN settlement_" not in said, said


def _charged(n: int, minor: int, currency: str) -> JournalEntry | None:
    case = CaseRef(merchant_id="m1", order_id="o1", consumer_ref="c1", rma_id=f"x{n}")
    amount = Money(minor=minor, currency=currency)
    return goods_accepted(case, amount, Money.zero(currency))


def _sold(n: int, minor: int, currency: str) -> JournalEntry | None:
    order = OrderRef(merchant_id="m1", order_id=f"x{n}", consumer_ref="c1")
    return sale_captured(order, Money(minor=minor, currency=currency), Money.zero(currency), payment_id=f"x{n}")


@pytest.mark.parametrize(("overdue", "other"), [("CNY", "USD"), ("USD", "CNY")])
async def test_what_is_overdue_holds_a_currency_that_owes_a_little_too(store: Store, overdue: str, other: str) -> None:
    """5000.00 are overdue in one currency. 1.00 owed in the other does not let its 900.00 go; it waits with them, is
    not written off, and is paid of them once the overdue is paid."""
    await import_order(store)
    await at_cut(store, "d1", 0)
    await post(store, _charged(1, 500_000, overdue), _charged(2, 100, other))
    await at_cut(store, "d2", 1)
    await post(store, _sold(1, 90_000, other))
    assert await at_cut(store, "d3", 32) == {}
    assert await state_of(store, f"m1:d2.{overdue}") == "overdue"
    assert await state_of(store, f"m1:d2.{other}") == "shortfall"
    await post(store, _sold(2, 600_000, overdue))
    assert await at_cut(store, "d4", 33) == {
        f"m1:d4.{overdue}": (600_000, 100_000, "formed"),
        f"m1:d4.{other}": (90_000, 89_900, "formed"),
    }
    assert {await state_of(store, f"m1:d2.{one}") for one in (overdue, other)} == {"cured"}


async def test_nothing_is_written_off_that_legs_on_hold_could_pay(store: Store) -> None:
    """1000.00 owed, 5000.00 of sales held by an operator past the receivable's time: released, they pay it."""
    await import_order(store)
    await at_cut(store, "d1", 0)
    await post(store, _charged(1, 100_000, "CNY"))
    await at_cut(store, "d2", 1)
    async with store.transaction() as session:
        await holds.hold(session, "m1", AT, by="li")
    await post(store, _sold(1, 500_000, "CNY"))
    assert await at_cut(store, "d3", 40) == {}
    assert (await state_of(store, "m1:d2.CNY"), await owed(store, P.BAD_DEBT)) == ("shortfall", yuan("0.00"))
    async with store.transaction() as session:
        await holds.release(session, "m1", AT)
    assert await at_cut(store, "d4", 41) == {"m1:d4.CNY": (500_000, 400_000, "formed")}
    assert await state_of(store, "m1:d2.CNY") == "cured"
