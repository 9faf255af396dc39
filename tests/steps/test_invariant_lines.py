"""Rows planted in the books of the coat of domain 6: each line finds its own kind of fault, and only then."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import text

from backhaul.policy.library import load_library
from store import credit
from store.reconcile import check_books
from tests.steps.support import AT, World, a_request, an_order, found, yuan

DROP = ("DROP TRIGGER journal_entries_no_update", "DROP TRIGGER journal_lines_no_update")
CASES = "UPDATE cases SET {} WHERE case_key = 'm1/r1'"
EFFECT = (
    "INSERT INTO effects (key, kind, case_key, provider, amount_minor, currency, payee, request, request_hash, state,"
    " attempts, created_at, approval_id) VALUES ('{}', 'refund', 'm1/r1', 'psp', {}, 'CNY', 'c1', '{{}}', 'x', '{}', 1,"
    " '2025-06-03 08:00:00', {})"
)
OTHER = (
    "INSERT INTO effects (key, kind, case_key, provider, amount_minor, currency, payee, request, request_hash, state,"
    " code, attempts, created_at) VALUES ('{}', '{}', 'm1/r1', 'p', 5, 'CNY', 'platform', '{{{{}}}}', 'x', '{}', {}, 1,"
    " '2025-06-03 08:00:00')"
)
CHARGES = OTHER.format("m1:r1:collect.x:{}", "charge", "{}", "{}")
SET_OFFS = OTHER.format("x:set_off{}", "set_off", "{}", "NULL")
APPROVAL = (
    "INSERT INTO approvals (approval_id, case_key, subject, amount_minor, currency, payee, prepared_by, approved_by,"
    " note, binding, at, used_by) VALUES ('a1', 'm1/r1', 's', 5, 'CNY', 'm1', 'anna', '{}', '', '{}',"
    " '2025-06-03 08:00:00', {})"
)
HOLD = (
    "INSERT INTO credit_holds (reservation_key, consumer_ref, granted_minor, amount_minor, currency, state, at)"
    " VALUES ('m1/r9', 'c1', 9999999, 9999999, 'CNY', 'held', '2025-06-03 08:00:00')"
)
GRANTED = (
    "INSERT INTO credit_events (consumer_ref, seq, kind, minor, used_minor, limit_minor, currency, frozen, by, reason,"
    " at) VALUES ('c1', 99, 'reserved', 6, 6, 5, 'CNY', 0, 'rule', 'lightning refund', '2025-06-03 08:00:00')"
)
REFUND = "m1:r1:refund.o1-p1:1"

PLANTED: list[tuple[str, tuple[str, ...]]] = [
    ("entries_missing", ("UPDATE journal_head SET last = last + 1",)),
    ("entry_changed", (*DROP, "UPDATE journal_entries SET claim_ref = 'other' WHERE template = 'J30'")),
    ("unbalanced", (*DROP, "UPDATE journal_lines SET minor = minor + 1 WHERE account = 'P1000'")),
    ("effect_without_entry", (EFFECT.format("m1:r1:refund.x:1", 100, "succeeded", "NULL"),)),
    ("entry_differs", (EFFECT.format(REFUND, 1, "succeeded", "NULL"),)),
    ("over_refund", ("UPDATE order_lines SET refunded_minor = paid_minor + 1",)),
    ("refunds_miscounted", ("UPDATE order_lines SET refunded_minor = refunded_minor - 1",)),
    ("over_quantity", ("UPDATE case_lines SET quantity = 2",)),
    ("over_capture", ("UPDATE payments SET refunded_minor = captured_minor + 1",)),
    ("sent_above_sale", (*DROP, "UPDATE journal_lines SET minor = 999999 WHERE account = 'P1000' AND side = 'credit'")),
    ("over_reserve", ("UPDATE claims SET approved_minor = reserved_minor + 1",)),
    ("limit_differs", ("UPDATE coverages SET remaining_minor = remaining_minor - 1",)),
    ("over_loss", (*DROP, ("UPDATE journal_lines SET minor = 999999 WHERE account = 'P2000' AND sequence IN "
                          "(SELECT sequence FROM journal_entries WHERE template = 'J31')"))),
    ("over_relief", (*DROP, ("UPDATE journal_lines SET minor = 1 WHERE account = 'P2010' AND sequence IN "
                            "(SELECT sequence FROM journal_entries WHERE template = 'J23')"))),
    ("over_recovery", ("UPDATE recoveries SET amount_minor = amount_minor + 1",)),
    ("over_remitted", (*DROP, "UPDATE journal_lines SET minor = minor + 1 WHERE account = 'P2040' AND side = 'debit'")),
    ("credit_miscounted", ("UPDATE consumers SET used_minor = 5",)),
    ("over_credit", (HOLD,)),
    ("over_credit", (GRANTED,)),
    ("reserve_differs", ("UPDATE claims SET state = 'reserved' WHERE kind = 'loss'",)),
    ("paid_unapproved",
     (*DROP, "UPDATE journal_lines SET minor = minor + 1 WHERE account = 'I2210' AND side = 'debit'")),
    ("reserve_of_nobody", (*DROP, "UPDATE journal_lines SET party = 'nobody' WHERE account = 'I2200'")),
    ("refund_owed", (*DROP, "UPDATE journal_lines SET minor = minor + 1 WHERE account = 'P2010' AND side = 'credit'")),
    ("shares_differ", ("UPDATE pickup_members SET share_minor = share_minor + 1",)),
    ("freight_overpaid", ("UPDATE pickups SET freight_minor = freight_minor - 1",)),
    ("books_differ", (*DROP, "UPDATE journal_lines SET minor = minor + 1 WHERE account = 'P2030' AND side = 'debit'")),
    ("batch_differs", ("UPDATE settlement_batches SET net_minor = net_minor + 1",)),
    ("payout_differs", ("UPDATE settlement_batches SET payout_minor = payout_minor + 1",)),
    ("leg_differs", ("UPDATE settlement_legs SET minor = minor + 1 WHERE batch IS NULL",)),
    ("same_person", (APPROVAL.format("anna", "x", "NULL"),)),
    ("approval_changed", (APPROVAL.format("boss", "x", "NULL"),)),
    ("approval_misused",
     (APPROVAL.format("boss", "x", f"'{REFUND}'"), EFFECT.format(REFUND, 84_000, "succeeded", "'a1'"))),
    ("unfounded", ("UPDATE decisions SET facts_hash = ''",)),
    ("key_after_unknown", (EFFECT.format("m1:r1:refund.o1-p1:2", 1, "sent", "NULL"),)),
    ("key_after_unknown", (CHARGES.format(1, "failed", "'no_answer'"), CHARGES.format(2, "succeeded", "NULL"))),
    ("key_after_unknown", (SET_OFFS.format("", "sent"), SET_OFFS.format(".2", "succeeded"))),
    ("closed_and_open", (CASES.format("waiting_on = 'courier'"),)),
    ("closed_and_open",
     (CASES.format("outcome = 'closed_by_operator', status = '{\"regions\": {\"logistics\": \"delivered\"}}'"),)),
    ("left_open", ("UPDATE claims SET state = 'planned' WHERE kind = 'freight'",)),
    ("silent", (CASES.format("closed_at = NULL, waiting_on = NULL, attention = NULL"),)),
    ("other_book", ("UPDATE decisions SET book_version = '2024-09' WHERE decision = 'indemnity'",)),
    ("unknown_book", (CASES.format("book_hash = 'x'"),)),
    ("commission_drifts", ("UPDATE order_lines SET commission_reversed_minor = commission_reversed_minor + 1",)),
]  # fmt: skip
"""Code, and what is done to the books."""


async def coat(world: World) -> None:
    """The coat, 30 % damaged at the door, from request to close."""
    await world.order()
    case = (await world.judge(a_request())).case
    scanned = await world.collect(case, found())
    plan = (await world.assess(case, found())).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    remedy = await world.settle(case)
    await world.refund(case, remedy.refunds)
    assert remedy.recovery is not None
    assert scanned.freight is not None
    await world.remit(case, remedy.recovery.claim_ref, remedy.recovery.amount)
    await world.claim_freight(case, scanned.freight)
    await world.end(case)
    await plant(world, ["UPDATE settlement_batches SET state = 'paid'"])  # as the effect of the advance does


async def codes(world: World) -> set[str]:
    return {finding.code for finding in await check_books(world.store, load_library())}


async def plant(world: World, statements: Sequence[str]) -> None:
    async with world.store.transaction() as session:
        connection = await session.connection()
        for statement in statements:
            await connection.execute(text(statement))


@pytest.mark.parametrize(("code", "statements"), PLANTED, ids=[code for code, _ in PLANTED])
async def test_a_planted_row_is_found(sqlite_world: World, code: str, statements: Sequence[str]) -> None:
    await coat(sqlite_world)
    before = await codes(sqlite_world)
    assert before <= {"entry_without_effect"}, "the world posts by hand what effects would"
    await plant(sqlite_world, statements)
    assert code in await codes(sqlite_world)


async def test_a_line_above_its_limit_by_no_grant(sqlite_world: World) -> None:
    """A lower limit, and a debt that returns: what is used above it stays, and nothing more is granted."""
    await sqlite_world.order(an_order(tier=3))
    case = (await sqlite_world.judge(a_request())).case
    assert (await sqlite_world.collect(case)).refunds
    async with sqlite_world.store.transaction() as session:
        await credit.set_limit(session, "c1", yuan("100.00"), AT, "import")
    assert "over_credit" not in await codes(sqlite_world)
    async with sqlite_world.store.transaction() as session:
        await credit.release(session, "m1/r1", AT)
        await credit.set_limit(session, "c1", yuan("1000.00"), AT, "import")
        await credit.correct(session, "m1/r1", yuan("1200.00"), AT, at_fault=True)
        assert not await credit.reserve(session, "m1/r2", "c1", yuan("1.00"), AT)
    assert "over_credit" not in await codes(sqlite_world)


@pytest.mark.parametrize(("held", "is_found"), [("'2025-06-01 08:00:00'", True), ("closed_at", False)])
async def test_a_hold_from_before_the_close_is_left_open(sqlite_world: World, held: str, is_found: bool) -> None:
    """The close releases what its disputes held: a hold from the same instant is an appeal's, which came after it."""
    await coat(sqlite_world)
    hold = (
        "INSERT INTO settlement_holds (merchant_id, case_key, reason, held_by, note, held_at)"
        f" SELECT 'm1', 'm1/r1', 'dispute:2', 'backhaul', '', {held} FROM cases"
    )
    await plant(sqlite_world, (hold,))
    assert ("left_open" in await codes(sqlite_world)) is is_found
