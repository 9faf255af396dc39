"""Our journal against the providers' statements: a bijection, and every kind of difference is seen (invariant 2)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from backhaul.ledger import (
    advance_paid,
    carrier_paid_cash,
    consumer_paid_by_insurer,
    courier_paid,
    courier_paid_by_insurer,
    freight_above_cap,
    insurer_funded,
    made,
    recovery_remitted,
    refund_succeeded,
    settlement_paid,
)
from store import effects, ledger, reconcile
from store.effects import Intent
from store.engine import Store
from store.reconcile import StatementLine, compare
from tests.store.support import AT, a_case, an_order, import_order, yuan

REFUND = StatementLine("psp", "refund", "m1:r1:refund.o1-p1:1", 120_000, "CNY", "c1")


async def test_the_journal_says_what_happened_outside(store: Store) -> None:
    await import_order(store, an_order(payments=("1000.00", "200.00")))
    case, other, ref = a_case(), a_case("r2"), "m1.r1.loss.1"
    entries = made(
        refund_succeeded(case, yuan("1200.00"), key=REFUND.key),
        courier_paid_by_insurer(case, yuan("10.00"), claim_ref="f1", key="kf1", waybill="W1"),
        freight_above_cap(other, yuan("4.00"), bearer="merchant", courier="sandbox", waybill="W1"),
        courier_paid(other, yuan("4.00"), courier="sandbox", waybill="W1"),
        consumer_paid_by_insurer(a_case("r3"), yuan("10.00"), claim_ref="f3", key="kf3", waybill="S1"),
        advance_paid(case, yuan("360.00"), claim_ref=ref, key="ka", batch=f"advance:{ref}"),
        insurer_funded(case, yuan("360.00"), claim_ref=ref, key="ki"),
        carrier_paid_cash(case, yuan("360.00"), claim_ref=ref),
        recovery_remitted(case, yuan("360.00"), claim_ref=ref, key="kr"),
        settlement_paid("m1", yuan("1.00"), batch="b", key="ks"),
    )
    payees = {REFUND.key: "c1", "kf1": "courier:sandbox", "kf3": "consumer:c1", "ka": "m1"}
    async with store.transaction() as session:
        for key, payee in payees.items():
            intent = Intent(key, "any", "any", yuan("1.00"), payee, timedelta(days=30))
            await effects.begin(session, intent, AT)
        await ledger.post(session, entries, AT)
    async with store.read() as session:
        ours = await reconcile.journal_side(session)
    line = StatementLine
    assert ours == tuple(
        sorted(
            [
                line("courier", "compensation", ref, 36_000, "CNY", "platform"),
                line("courier", "freight_invoice", "W1", 1_400, "CNY", "courier:sandbox"),
                line("insurer", "payment", "kf1", 1_000, "CNY", "courier:sandbox"),
                line("insurer", "payment", "kf3", 1_000, "CNY", "consumer:c1"),
                line("insurer", "payment", "ki", 36_000, "CNY", "platform"),
                line("insurer", "premium", "o1-rdv", 60, "CNY", "insurer"),
                line("insurer", "premium", "o1-rfi", 36, "CNY", "insurer"),
                line("insurer", "recovery", "kr", 36_000, "CNY", "insurer"),
                line("psp", "capture", "o1-p1", 100_000, "CNY", "m1"),
                line("psp", "capture", "o1-p2", 20_000, "CNY", "m1"),
                line("psp", "payout", "ka", 36_000, "CNY", "m1"),
                line("psp", "payout", "ks", 100, "CNY", "m1"),
                REFUND,
            ]
        )
    )
    assert compare(ours, reversed(ours)) == ()


async def test_the_command_prints_our_side(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await import_order(store)
    monkeypatch.setenv("BACKHAUL_DATABASE_URL", store.url.render_as_string(hide_password=False))
    assert await asyncio.to_thread(reconcile.main, ["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    async with store.read() as session:
        assert [StatementLine(**line) for line in printed["journal"]] == list(await reconcile.journal_side(session))
    assert printed["trial_balance"]["P"]["P1000"] == {"CNY": 120_000}


@pytest.mark.parametrize(
    "theirs",
    [
        [],
        [REFUND, REFUND],
        [replace(REFUND, minor=1)],
        [replace(REFUND, currency="JPY")],
        [replace(REFUND, payee="somebody")],
        [REFUND, replace(REFUND, payee="somebody")],
        [replace(REFUND, key="another")],
        [replace(REFUND, kind="payout")],
    ],
)
def test_every_difference_is_seen_from_both_sides(theirs: list[StatementLine]) -> None:
    assert compare([REFUND], theirs)
    assert compare(theirs, [REFUND])


def test_twice_the_same_on_both_sides_is_no_agreement() -> None:
    (difference,) = compare([REFUND, REFUND], [REFUND, REFUND])
    assert difference.key == REFUND.key
    assert compare([REFUND], [REFUND]) == ()
