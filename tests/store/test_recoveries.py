"""Recoveries: never more than is to be recovered, and no payable to a carrier used twice (invariant 6, X27)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import BackhaulError
from backhaul.ids import CaseId, collect_key, recovery_ref
from backhaul.ledger import (
    CaseRef,
    consumer_collected,
    consumer_owes_indemnity,
    freight_above_cap,
    left_uncharged,
    made,
)
from backhaul.money import Money
from store import claims, effects, ledger, recoveries
from store.effects import Intent
from store.engine import Store
from store.reconcile import check_books
from store.tables import RecoveryRow
from tests.store.support import AT, import_order, yuan

CASE = CaseRef(merchant_id="m1", order_id="o1", consumer_ref="c1", rma_id="r1")
ZERO = Money.zero()
LIFETIME = timedelta(days=30)


async def code(doing: Any) -> str:
    with pytest.raises(BackhaulError) as error:
        await doing
    return error.value.code


async def opened(store: Store, ref: str = "c1", amount: str = "360.00", **plan: object) -> None:
    async with store.transaction() as session:
        await claims.open_recovery(session, ref, "m1/r1", "carrier", yuan(amount), f"recovery:{ref}", plan, AT)


async def test_no_more_is_recovered_than_there_was(store: Store) -> None:
    for _ in range(2):
        await opened(store, waybill="W1")
    async with store.transaction() as session:
        row = await claims.need_recovery(session, "c1")
        assert (row.state, row.plan) == ("identified", {"waybill": "W1"})
        (entry,) = await recoveries.recognise(session, CASE, row, yuan("200.00"), AT)
        assert (entry.template, entry.key) == ("J40", "J40:m1/r1:c1")
        assert await recoveries.recognise(session, CASE, row, yuan("200.00"), AT) == ()
        (more,) = await recoveries.recognise(session, CASE, row, yuan("360.00"), AT)
        assert (more.key, more.lines[0].amount) == ("J40:m1/r1:c1:20000", yuan("160.00"))
        assert await code(recoveries.recognise(session, CASE, row, yuan("360.01"), AT)) == "over_indemnity"
        await recoveries.collect(session, row, yuan("360.00"), AT, cash=True)
        assert await code(recoveries.collect(session, row, yuan("0.01"), AT)) == "over_indemnity"
        await recoveries.remitted(session, "c1", yuan("360.00"), AT)
        assert await code(recoveries.remitted(session, "c1", yuan("0.01"), AT)) == "over_indemnity"
        assert (row.state, recoveries.left(row)) == ("collected", ZERO)
        assert await code(claims.need_recovery(session, "none")) == "not_found"


async def test_what_is_in_hand_is_not_demanded_again(store: Store) -> None:
    await opened(store, in_hand={"minor": 6_000, "currency": "CNY"})
    await opened(store, "c2", withheld=True)
    async with store.transaction() as session:
        row = await claims.need_recovery(session, "c1")
        assert (row.in_hand_minor, recoveries.left(row)) == (6_000, yuan("300.00"))
        assert await code(recoveries.collect(session, row, yuan("300.01"), AT)) == "over_indemnity"
        assert recoveries.left(await claims.need_recovery(session, "c2")) == ZERO


async def test_two_recoveries_never_use_the_same_payable(stores: tuple[Store, Store]) -> None:
    """P2020 is 100.00: of ten set-offs of 30.00 at once three are begun, and a fourth of the last 10.00."""
    await import_order(stores[0])
    owed = freight_above_cap(CASE, yuan("100.00"), bearer="merchant", courier="x", waybill="w")
    async with stores[0].transaction() as session:
        await ledger.post(session, made(owed), AT)

    async def begin(n: int) -> int:
        async def work(session: AsyncSession) -> int:
            amount = yuan("30.00").at_most(await recoveries.payable(session, "x", "CNY"))
            if not amount:
                return 0
            intent = Intent(
                key=f"k{n}",
                kind=recoveries.SET_OFF,
                provider="x",
                amount=amount,
                payee="platform",
                lifetime=LIFETIME,
                case_key="m1/r1",
            )
            await effects.begin(session, intent, AT)
            return amount.minor

        return await stores[n % 2].run(work)

    taken = sorted(await asyncio.gather(*(begin(n) for n in range(10))))
    assert taken[-4:] == [1_000, 3_000, 3_000, 3_000]
    assert sum(taken) == 10_000


async def test_what_a_consumer_owes_is_what_the_journal_says(store: Store) -> None:
    """J53 is the claim's, J50 nobody's; freight is neither; what was collected is not owed any more."""
    await import_order(store)
    await opened(store, "c1")
    await opened(store, "m1.r1.clawback.1", "50.00")
    async with store.transaction() as session:
        entries = made(
            consumer_owes_indemnity(CASE, yuan("360.00"), claim_ref="c1"),
            left_uncharged(CASE, yuan("50.00")),
            freight_above_cap(CASE, yuan("7.00"), bearer="consumer", courier="x", waybill="w"),
        )
        await ledger.post(session, entries, AT)
        assert await recoveries.owed(session, "c1", "m1/r1") == (yuan("360.00"), True)
        assert await recoveries.owed(session, "m1.r1.clawback.1", "m1/r1") == (yuan("50.00"), False)
        await ledger.post(session, made(consumer_collected(CASE, yuan("60.00"), key="k", claim_ref="c1")), AT)
        assert await recoveries.owed(session, "c1", "m1/r1") == (yuan("300.00"), True)
        assert await recoveries.owed(session, "m1.r1.clawback.1", "m1/r1") == (yuan("50.00"), False)


async def test_all_recoveries_of_a_claim_are_together_within_its_indemnity(store: Store) -> None:
    """Invariant 6 over both: where each is opened, where money comes in, and in the line of the reconciliation."""
    await import_order(store)
    loss = yuan("360.00")
    async with store.transaction() as session:
        await claims.plan(session, "c1", "loss", "o1-rdv", "m1/r1", loss, "m1", at=AT)
        await claims.advance(session, "c1", "approved", AT, approved=loss)
    await opened(store)

    async def second(session: AsyncSession, amount: str) -> RecoveryRow:
        ref = recovery_ref("c1", 2)
        return await claims.open_recovery(
            session, "c1", "m1/r1", "consumer", yuan(amount), f"recovery:{ref}", {}, AT, n=2
        )

    async with store.transaction() as session:
        assert await code(second(session, "0.01")) == "over_indemnity"
        await claims.cut_recovery(session, "c1", 10_000, AT)
        assert await code(second(session, "260.01")) == "over_indemnity"
        for _ in range(2):
            await second(session, "260.00")
    async with store.transaction() as session:
        one, two = await claims.recoveries_of(session, "c1")
        assert (one.recovery_ref, two.recovery_ref, two.n) == ("c1", "c1.r2", 2)
        assert await recoveries.of_case(session, "m1/r1") == (one, two)
        await recoveries.collect(session, one, yuan("100.00"), AT)
        assert await code(recoveries.collect(session, two, yuan("260.01"), AT)) == "over_indemnity"
        (entry,) = await recoveries.recognise(session, CASE, two, yuan("260.00"), AT)
        assert (entry.key, entry.claim_ref) == ("J40:m1/r1:c1:r2", "c1")
        await recoveries.collect(session, two, yuan("260.00"), AT)
        await recoveries.remitted(session, "c1.r2", yuan("260.00"), AT)
    assert await over_recovered(store) == []
    async with store.transaction() as session:
        one = await claims.need_recovery(session, "c1", lock=True)
        one.amount_minor = 10_001
        session.add(one)
    assert await over_recovered(store) == [("c1", 1)]


async def test_a_claim_s_second_recovery_checks_what_the_first_has(store: Store) -> None:
    """Each is within its own amount; together they are above what was indemnified."""
    await import_order(store)
    loss = yuan("360.00")
    async with store.transaction() as session:
        await claims.plan(session, "c1", "loss", "o1-rdv", "m1/r1", loss, "m1", at=AT)
        await claims.advance(session, "c1", "approved", AT, approved=loss)
        await claims.open_recovery(session, "c1", "m1/r1", "carrier", loss, "w", {}, AT)
        two = RecoveryRow.model_validate(
            {
                **(await claims.need_recovery(session, "c1")).model_dump(),
                "recovery_ref": "c1.r2",
                "n": 2,
            }
        )
        session.add(two)
        await session.flush()
        await recoveries.collect(session, await claims.need_recovery(session, "c1"), yuan("300.00"), AT)
        assert await code(recoveries.collect(session, two, yuan("60.01"), AT)) == "over_indemnity"
        await recoveries.collect(session, two, yuan("60.00"), AT)


async def over_recovered(store: Store) -> list[tuple[str, int]]:
    return [(one.subject, one.minor) for one in await check_books(store) if one.code == "over_recovery"]


async def test_a_charge_under_way_is_of_its_recovery_alone(store: Store) -> None:
    case = CaseId("m1", "r1")
    for ref in ("c1", "c1.r2"):
        async with store.transaction() as session:
            intent = Intent(collect_key(case, ref, 1), "charge", "psp", yuan("1.00"), "platform", LIFETIME)
            row, _ = await effects.begin(session, intent, AT)
            row.state = "succeeded" if ref == "c1" else "sent"
            session.add(row)
    async with store.read() as session:
        assert [await recoveries.charging(session, case, ref) for ref in ("c1", "c1.r2", "c1.r3")] == [
            False,
            True,
            False,
        ]
