"""Orders come in once, with J01 to J03, however often they are sent; what refunds take of them is bounded."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from backhaul.errors import BackhaulError
from backhaul.messages import ImportOrder, OrderImported
from backhaul.money import Money
from store import cases, ledger, orders, refunds
from store.engine import Store
from tests.store.support import AT, a_case, an_order, book_of, case_row, import_order, yuan


async def send(store: Store, order: ImportOrder) -> OrderImported:
    return await store.run(lambda session: orders.import_order(session, order, book_of, AT))


async def refused(store: Store, order: ImportOrder) -> str:
    with pytest.raises(BackhaulError) as error:
        await send(store, order)
    return error.value.code


async def test_an_import_posts_the_sale_and_the_premiums(store: Store) -> None:
    imported = await send(store, an_order(payments=("1000.00", "200.00")))
    assert imported.created
    async with store.read() as session:
        bundle = await orders.get(session, "o1")
        entries = [posted.entry for posted in await ledger.find(session, order_id="o1")]
    assert bundle is not None
    assert (bundle.order.paid_minor, bundle.consumer.tier, bundle.merchant.commission_bps) == (120_000, 2, 500)
    assert [cover.remaining_minor for cover in bundle.coverages] == [2_500, 120_000]
    assert [entry.template for entry in entries] == ["J01", "J01", "J02", "J03", "J02", "J03"]
    assert [entry.external_key for entry in entries if entry.template == "J01"] == ["o1-p1", "o1-p2"]
    assert {entry.external_key for entry in entries if entry.template == "J03"} == {"o1-rfi", "o1-rdv"}


async def test_the_same_order_again_updates_the_profiles_only(store: Store) -> None:
    await send(store, an_order())
    again = await send(store, an_order(tier=5, limit="1.00"))
    assert again == OrderImported(order_id="o1", created=False)
    async with store.read() as session:
        bundle = await orders.get(session, "o1")
        assert await ledger.head(session) == 5
    assert bundle is not None
    assert (bundle.consumer.tier, bundle.consumer.limit_minor) == (5, 100)


async def test_an_order_is_signed_once(store: Store) -> None:
    unsigned = an_order().model_copy(update={"signed_at": None})
    await send(store, unsigned)
    assert not (await send(store, an_order())).created
    assert not (await send(store, unsigned)).created
    later = an_order().model_copy(update={"signed_at": AT + timedelta(days=1)})
    assert await refused(store, later) == "order_conflict"
    async with store.read() as session:
        bundle = await orders.get(session, "o1")
    assert bundle is not None
    assert bundle.order.signed_at == AT


async def test_an_order_is_shipped_once_and_offers_follow_the_profile(store: Store) -> None:
    fresh = an_order().model_copy(update={"signed_at": None})
    await send(store, fresh)
    shipped = fresh.model_copy(update={"shipped_at": AT})
    profile = shipped.merchant.model_copy(update={"offers": True})
    assert not (await send(store, shipped.model_copy(update={"merchant": profile}))).created
    assert await refused(store, fresh.model_copy(update={"shipped_at": AT + timedelta(days=1)})) == "order_conflict"
    async with store.read() as session:
        bundle = await orders.get(session, "o1")
    assert bundle is not None
    assert (bundle.order.shipped_at, bundle.order.signed_at, bundle.merchant.offers) == (AT, None, True)


async def test_other_contents_are_a_conflict(store: Store) -> None:
    await send(store, an_order())
    assert await refused(store, an_order(paid="1.00")) == "order_conflict"
    assert await refused(store, an_order(merchant="m2")) == "order_conflict"
    other = an_order("o2").model_copy(update={"payments": an_order("o1").payments})
    assert await refused(store, other) == "order_conflict"
    other = an_order("o2").model_copy(update={"covers": an_order("o1").covers})
    assert await refused(store, other) == "order_conflict"
    async with store.read() as session:
        assert await orders.get(session, "o2") is None


async def test_contradictions_are_refused_before_anything_is_kept(store: Store) -> None:
    order = an_order()
    line, payment, cover = order.lines[0], order.payments[0], order.covers[0]
    yen = Money(minor=1, currency="JPY")
    for code, change in (
        ("currency_mismatch", {"payments": (payment.model_copy(update={"amount": yen}),)}),
        ("currency_mismatch", {"covers": (cover.model_copy(update={"sum_insured": yen}),)}),
        ("invalid_input", {"payments": (payment.model_copy(update={"amount": yuan("1199.99")}),)}),
        ("invalid_input", {"lines": (line, line)}),
        ("invalid_input", {"lines": (line.model_copy(update={"paid": yuan("-1.00")}),)}),
        ("invalid_input", {"covers": (cover, cover)}),
        ("unknown_book", {"covers": (cover.model_copy(update={"book_version": "1999"}),)}),
    ):
        assert await refused(store, order.model_copy(update=change)) == code, change
    async with store.read() as session:
        assert await orders.get(session, "o1") is None


async def test_one_order_sent_many_times_at_once(stores: tuple[Store, Store]) -> None:
    answers = await asyncio.gather(*(send(stores[n % 2], an_order()) for n in range(10)))
    assert sorted(answer.created for answer in answers) == [False] * 9 + [True]
    async with stores[0].read() as session:
        assert await ledger.head(session) == 5


async def test_units_of_open_cases_are_counted_and_given_back(store: Store) -> None:
    await import_order(store)
    async with store.transaction() as session:
        await cases.insert(session, case_row(a_case()), [("l1", 1)])
    async with store.transaction() as session:
        assert (await orders.lock(session, "o1")).returned == {"l1": 1}
        await cases.release_units(session, "m1/r1")
    async with store.transaction() as session:
        assert (await orders.lock(session, "o1")).returned == {}


async def test_an_unknown_order_cannot_be_locked(store: Store) -> None:
    with pytest.raises(BackhaulError) as error:
        async with store.transaction() as session:
            await orders.lock(session, "none")
    assert error.value.code == "order_unknown"


async def test_the_lock_lets_one_case_count_at_a_time(stores: tuple[Store, Store]) -> None:
    """One unit, ten cases at once that each look and then take it: one gets it (invariant 3)."""
    await import_order(stores[0])

    async def take(n: int) -> bool:
        async with stores[n % 2].transaction() as session:
            bundle = await orders.lock(session, "o1")
            await asyncio.sleep(0.02)  # time for the others to look too, if they could
            if bundle.returned.get("l1", 0):
                return False
            await cases.insert(session, case_row(a_case(f"r{n}")), [("l1", 1)])
            return True

    assert sum(await asyncio.gather(*(take(n) for n in range(10)))) == 1


async def test_refunds_never_exceed_what_was_paid(stores: tuple[Store, Store]) -> None:
    """Thirty refunds of 50 at once on a line and payments of 1200: twenty-four fit."""
    await import_order(stores[0], an_order(payments=("1000.00", "200.00")))

    async def refund(n: int) -> tuple[tuple[str, Money], ...]:
        async with stores[n % 2].transaction() as session:
            await refunds.add_to_line(session, "o1", "l1", yuan("50.00"), yuan("2.50"))
            return await refunds.take(session, "o1", yuan("50.00"))

    done = await asyncio.gather(*(refund(n) for n in range(30)), return_exceptions=True)
    parts = [part for one in done if not isinstance(one, BaseException) for part in one]
    assert sum(part.minor for _, part in parts) == 120_000
    assert sum(part.minor for payment, part in parts if payment == "o1-p1") == 100_000
    assert {error.code for error in done if isinstance(error, BackhaulError)} == {"over_refund"}
    async with stores[0].read() as session:
        bundle = await orders.get(session, "o1")
    assert bundle is not None
    assert (bundle.lines[0].refunded_minor, bundle.lines[0].commission_reversed_minor) == (120_000, 6_000)


async def test_payments_are_spread_by_one_refund_at_a_time(stores: tuple[Store, Store]) -> None:
    await import_order(stores[0], an_order(payments=("1000.00", "200.00")))

    async def take(n: int) -> int:
        async with stores[n % 2].transaction() as session:
            parts = await refunds.take(session, "o1", yuan("700.00"))
            await asyncio.sleep(0.02)
            return sum(part.minor for _, part in parts)

    done = await asyncio.gather(*(take(n) for n in range(6)), return_exceptions=True)
    assert [one for one in done if isinstance(one, int)] == [70_000]
    async with stores[0].read() as session:
        bundle = await orders.get(session, "o1")
    assert bundle is not None
    assert sum(payment.refunded_minor for payment in bundle.payments) == 70_000


async def test_what_never_left_can_be_taken_again(store: Store) -> None:
    await import_order(store)
    async with store.transaction() as session:
        await refunds.take(session, "o1", yuan("1200.00"))
        await refunds.give_back(session, "o1-p1", yuan("200.00"))
        assert await refunds.take(session, "o1", yuan("200.00")) == (("o1-p1", yuan("200.00")),)
    with pytest.raises(BackhaulError) as error:
        async with store.transaction() as session:
            await refunds.take(session, "o1", yuan("0.01"))
    assert error.value.code == "exceeds_capture"
