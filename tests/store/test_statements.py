"""Statements kept page by page against the journal: each planted difference is found, money under way is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from backhaul.ledger import courier_paid_by_insurer, made, refund_bounced, refund_succeeded
from store import effects, ledger
from store.effects import Answer, Intent, Outcome
from store.engine import Store
from store.reconcile.findings import CLOSED, EXPLAINED, IN_FLIGHT, OPEN, explain, finding_id, keep, some
from store.reconcile.statements import LAG, Compared, Told, compare_statements, fetched, totals
from store.reconcile.statements import keep as keep_rows
from tests.store.support import AT, a_case, open_case, yuan

LATER = AT + 2 * LAG
KEY = "m1:r1:refund.o1-p1:1"
REFUND = Told(1, "refund", KEY, 120_000, "CNY", "c1", AT)
BOUNCED = replace(REFUND, seq=2, kind="bounce")


async def refunded(store: Store, *, state: str = "succeeded") -> None:
    """One refund that succeeded, with its entry; or one that was only sent. The order's captures are left out."""
    intent = Intent(KEY, "refund", "psp", yuan("1200.00"), "c1", timedelta(days=30), case_key="m1/r1")
    async with store.transaction() as session:
        row, _ = await effects.begin(session, intent, AT)
        effects.mark_sent(session, row, AT)
        if state == "succeeded":
            entries = made(refund_succeeded(a_case(), yuan("1200.00"), key=KEY))
            await effects.finish(session, row, Answer(Outcome.SUCCEEDED), AT, entries=lambda _: entries)


async def told(store: Store, *rows: Told, provider: str = "psp") -> None:
    async with store.transaction() as session:
        await keep_rows(session, provider, provider, rows, AT)


async def compared(store: Store, at: datetime = LATER, *, whole: bool = False) -> Compared:
    async with store.transaction() as session:
        return await compare_statements(session, at, whole=whole)


def codes(result: Compared) -> list[tuple[str, str]]:
    return sorted((finding.code, finding.subject.split(" ")[1]) for finding in result.findings)


async def test_what_both_sides_say_is_no_finding(store: Store) -> None:
    await refunded(store)
    await told(store, REFUND)
    assert await compared(store) == Compared((), (), ())


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], "not_on_statement"),
        ([replace(REFUND, minor=120_001)], "amount_differs"),
        ([replace(REFUND, currency="JPY")], "currency_differs"),
        ([replace(REFUND, payee="c2")], "payee_differs"),
        ([REFUND, replace(REFUND, seq=2)], "there_twice"),
    ],
)
async def test_each_planted_row_is_found_by_its_code(store: Store, rows: list[Told], code: str) -> None:
    await refunded(store)
    await told(store, *rows)
    assert codes(await compared(store)) == [(code, "refund")]


async def test_a_row_that_we_know_nothing_of(store: Store) -> None:
    await refunded(store)
    await told(store, REFUND, replace(REFUND, seq=2, key="m1:r9:refund.x:1"))
    (finding,) = (await compared(store)).findings
    assert (finding.code, finding.minor, finding.currency) == ("not_in_journal", 120_000, "CNY")
    assert finding.subject == "psp refund m1:r9:refund.x:1"


async def test_money_under_way_is_no_finding_until_the_lag_is_over(store: Store) -> None:
    await refunded(store, state="sent")
    await told(store, REFUND)
    young = await compared(store, AT + timedelta(hours=1))
    assert (young.findings, [one.code for one in young.under_way]) == ((), ["not_in_journal"])
    async with store.transaction() as session:
        await keep(session, "cut-1", young.findings, young.under_way, AT)
    async with store.read() as session:
        assert [row.state for row in await some(session, None)] == [IN_FLIGHT]
    # Nothing is new on either side, and still it is looked at again.
    assert codes(await compared(store)) == [("not_in_journal", "refund")]


async def test_a_statement_may_lag_a_day_behind_our_entry(store: Store) -> None:
    await refunded(store)
    early = await compared(store, AT + timedelta(hours=1))
    assert (early.findings, [one.code for one in early.under_way]) == ((), ["not_on_statement"])


async def test_a_waybill_is_under_way_while_the_insurer_has_not_paid_all_of_it(store: Store) -> None:
    case = a_case()
    paid = courier_paid_by_insurer(case, yuan("10.00"), claim_ref="f1", key="kf1", waybill="W1")
    async with store.transaction() as session:
        await ledger.post(session, made(paid), AT)
    row = Told(1, "freight_invoice", "W1", 1_400, "CNY", "", AT)
    await told(store, row, provider="courier")
    assert [one.code for one in (await compared(store, AT)).under_way if "W1" in one.subject] == ["amount_differs"]
    assert ("amount_differs", "freight_invoice") in codes(await compared(store, whole=True))


async def test_a_bounce_that_nobody_told_of_names_its_case(store: Store) -> None:
    await open_case(store)
    await refunded(store)
    await told(store, REFUND, BOUNCED)
    result = await compared(store, AT)
    assert [finding.code for finding in result.findings] == ["not_in_journal"]
    ((case, line, at),) = result.bounced
    assert (case, line.key, line.minor, at) == ("m1/r1", KEY, 120_000, AT)
    async with store.transaction() as session:
        await ledger.post(session, made(refund_bounced(a_case(), yuan("1200.00"), key=KEY)), AT)
    assert (await compared(store, AT, whole=True)).bounced == ()


async def test_pages_are_kept_once_and_counted(store: Store) -> None:
    await told(store, REFUND, BOUNCED)
    await told(store, REFUND, BOUNCED, replace(REFUND, seq=3, key="k3"))
    async with store.transaction() as session:
        assert await fetched(session, "psp", "psp") == 3
        assert await totals(session) == [("psp", "bounce", "CNY", 1, 120_000), ("psp", "refund", "CNY", 2, 240_000)]


async def test_a_finding_is_kept_once_explained_and_closed(store: Store) -> None:
    await told(store, REFUND)
    (finding,) = (await compared(store)).findings
    ref = finding_id(finding)

    async def look(cut: str, *found: object) -> list[tuple[str, str, str]]:
        async with store.transaction() as session:
            await keep(session, cut, found, (), AT)  # type: ignore[arg-type]
        async with store.read() as session:
            return [(row.state, row.first_cut, row.last_cut) for row in await some(session, None)]

    assert await look("c1", finding) == [(OPEN, "c1", "c1")]
    assert await look("c2", finding) == [(OPEN, "c1", "c2")]
    async with store.transaction() as session:
        await explain(session, ref, "a test payment", "op-1", AT)
    assert await look("c3", finding) == [(EXPLAINED, "c1", "c3")]
    assert await look("c4", replace(finding, found="more")) == [(OPEN, "c1", "c4")]
    assert await look("c5") == [(CLOSED, "c1", "c4")]
    assert await look("c6", finding) == [(OPEN, "c1", "c6")]
