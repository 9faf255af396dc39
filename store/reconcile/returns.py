"""Invariants 3, 5, 7, 9 and 15: order lines and cases, what they took and what they left open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from sqlmodel import col, select

from backhaul.case import ACCEPTED_AT_CLOSE, Region
from store import credit
from store.reconcile.look import Books, Finding, amount
from store.tables import CaseRow, CaseStepRow, ConsumerRow, EntryRow, OrderLineRow, PaymentRow

_NEVER_INSPECTED = frozenset({"lost", "not_required", "returned_to_consumer"})


async def lines_within_sale(books: Books) -> AsyncIterator[Finding]:
    """3: refunds per order line <= paid, accepted quantity <= ordered, refunds sent <= captured; counters = journal."""
    lines = """
        SELECT o.order_id, o.line_id, o.currency, o.paid_minor, o.refunded_minor, o.quantity,
            coalesce((SELECT sum(c.quantity) FROM case_lines c
                WHERE c.order_id = o.order_id AND c.line_id = o.line_id AND c.active), 0) AS back
        FROM order_lines o WHERE o.order_id > :after AND o.order_id <= :upto"""
    async for order, line, currency, paid, refunded, quantity, back in books.found(OrderLineRow.order_id, lines):
        if not 0 <= refunded <= paid:
            said = amount(refunded, currency)
            yield Finding(
                3, "over_refund", f"{order}/{line}", f"<= {amount(paid, currency)}", said, refunded - paid, currency
            )
        if int(back) > quantity:
            yield Finding(3, "over_quantity", f"{order}/{line}", f"<= {quantity} units", f"{back} units")
    payments = """
        SELECT payment_id, currency, captured_minor, refunded_minor FROM payments
        WHERE payment_id > :after AND payment_id <= :upto AND (refunded_minor > captured_minor OR refunded_minor < 0)"""
    async for payment, currency, captured, refunded in books.found(PaymentRow.payment_id, payments):
        said = f"<= {amount(captured, currency)}"
        yield Finding(3, "over_capture", payment, said, amount(refunded, currency), refunded - captured, currency)
    async for finding in _journal_of_orders(books):
        yield finding


async def _journal_of_orders(books: Books) -> AsyncIterator[Finding]:
    sums = """
        SELECT e.order_id, l.currency,
            sum(CASE WHEN e.template IN ('J21', 'J60', 'J61', 'J63') AND l.account IN ('P1000', 'P1010')
                THEN -({net}) ELSE 0 END) AS sent,
            sum(CASE WHEN e.template = 'J01' AND l.account = 'P1000' THEN {net}
                WHEN e.template IN ('J16', 'J45', 'J80') AND l.account = 'P2010' THEN -({net}) ELSE 0 END) AS room,
            sum(CASE WHEN e.template IN ('J20', 'J23', 'J82') AND l.account = 'P2010' THEN -({net})
                WHEN e.template = 'J50' AND l.account = 'P1130' THEN {net} ELSE 0 END) AS granted,
            (SELECT sum(o.refunded_minor) FROM order_lines o WHERE o.order_id = e.order_id) AS counted
        FROM journal_entries e JOIN journal_lines l ON l.sequence = e.sequence
        WHERE e.order_id > :after AND e.order_id <= :upto GROUP BY e.order_id, l.currency"""
    async for order, currency, sent, room, granted, counted in books.found(EntryRow.order_id, sums):
        if sent > room:
            wanted, said = f"<= {amount(room, currency)}", amount(sent, currency)
            yield Finding(3, "sent_above_sale", order, wanted, said, int(sent - room), currency)
        if counted is not None and int(granted) != int(counted):
            wanted, said = amount(granted, currency), amount(counted, currency)
            yield Finding(3, "refunds_miscounted", order, wanted, said, int(counted) - int(granted), currency)


# ---- by case ---------------------------------------------------------------------------------------------------

_SUMS = """
    SELECT e.case_key,
        sum(CASE WHEN l.account = 'P1130' THEN {net} ELSE 0 END) AS advances,
        sum(CASE WHEN l.account = 'P1110' AND e.template NOT IN ('J14', 'J56') THEN {net} ELSE 0 END) AS receivable,
        sum(CASE WHEN l.account = 'P2010' THEN -({net}) ELSE 0 END) AS payable,
        sum(CASE WHEN e.template = 'J20' AND l.account = 'P1130' THEN {net} ELSE 0 END) AS granted,
        sum(CASE WHEN e.template = 'J22' AND l.account = 'P1130' OR e.template = 'J23' AND l.account = 'P2010'
            THEN -({net}) ELSE 0 END) AS charged,
        sum(CASE WHEN e.template IN ('J31', 'J75', 'J75b') AND l.account = 'P2000'
            THEN -({net}) ELSE 0 END) AS indemnified
    FROM journal_entries e JOIN journal_lines l ON l.sequence = e.sequence
    WHERE e.case_key > :after AND e.case_key <= :upto GROUP BY e.case_key"""
_NOTHING = {"advances": 0, "receivable": 0, "payable": 0, "granted": 0, "charged": 0, "indemnified": 0}


Seen = tuple[CaseRow, Mapping[str, int], dict[str, Any] | None]
"""A case with its sums in the journal and the amounts that were fixed for it last, if any."""


async def by_case(books: Books) -> AsyncIterator[Seen]:
    """Every case as seen, window by window."""
    async for window in books.windows(CaseRow.case_key):
        if books.last is None or books.last[0] != window:
            books.last = window, await _seen(books, window)
        for one in books.last[1]:
            yield one


async def _seen(books: Books, window: Mapping[str, Any]) -> list[Seen]:
    rows = await books.rows(_SUMS, **window)
    sums = {row.case_key: {name: int(row._mapping[name]) for name in _NOTHING} for row in rows}
    steps = select(CaseStepRow).where(
        col(CaseStepRow.case_key) > window["after"],
        col(CaseStepRow.case_key) <= window["upto"],
        (col(CaseStepRow.step) == "settled") | col(CaseStepRow.step).startswith("settled.", autoescape=True),
    )
    versions = sorted(await books.session.exec(steps), key=lambda row: int(row.step.partition(".")[2] or 1))
    fixed = {row.case_key: row.result for row in versions}
    inside = (col(CaseRow.case_key) > window["after"], col(CaseRow.case_key) <= window["upto"])
    found = await books.session.exec(select(CaseRow).where(*inside).order_by(col(CaseRow.case_key)))
    return [(case, sums.get(case.case_key, _NOTHING), fixed.get(case.case_key)) for case in found]


async def remedies_exclude(books: Books) -> AsyncIterator[Finding]:
    """5: what the merchant is not charged, and what they are indemnified, is together at most the loss."""
    async for case, sums, fixed in by_case(books):
        if fixed is None:
            continue
        result = fixed["result"]
        loss, pending = result["loss"]["minor"], result["pending"]["minor"]
        uncharged = result["refund"]["minor"] - sums["charged"] - pending
        both = uncharged + sums["indemnified"]
        if both > loss:
            said = f"{amount(uncharged, case.currency)} uncharged and {amount(sums['indemnified'], case.currency)}"
            yield Finding(
                5, "over_relief", case.case_key, f"<= {amount(loss, case.currency)}", said, both - loss, case.currency
            )


async def advances_covered(books: Books) -> AsyncIterator[Finding]:
    """7: P1130 of a closed case is 0; what is out on lightning is on a hold, and no grant goes above the limit.

    A debt that returns, or a lower limit, may leave a line above it: it grants nothing then."""
    async for case, sums, _ in by_case(books):
        if case.closed_at is not None and sums["advances"]:
            said = amount(sums["advances"], case.currency)
            yield Finding(
                7, "advance_open", case.case_key, amount(0, case.currency), said, sums["advances"], case.currency
            )
    holds = """
        SELECT c.consumer_ref, c.currency, c.limit_minor, c.used_minor,
            coalesce((SELECT sum(h.amount_minor) FROM credit_holds h
                WHERE h.consumer_ref = c.consumer_ref AND h.state <> 'released'), 0) AS held,
            coalesce((SELECT sum({net}) FROM journal_entries e JOIN journal_lines l ON l.sequence = e.sequence
                WHERE e.case_key IN (SELECT h.reservation_key FROM credit_holds h WHERE h.consumer_ref = c.consumer_ref)
                    AND (l.account = 'P1130' OR l.account = 'P1110' AND e.template NOT IN ('J14', 'J56'))), 0) AS out,
            (SELECT count(*) FROM credit_events v WHERE v.consumer_ref = c.consumer_ref
                AND v.used_minor > v.limit_minor AND v.reason = :granted) AS granted,
            (SELECT count(*) FROM credit_events v WHERE v.consumer_ref = c.consumer_ref
                AND v.used_minor > v.limit_minor AND (v.kind = 'limit' OR v.reason = :corrected)
                AND v.seq > coalesce((SELECT max(w.seq) FROM credit_events w WHERE w.consumer_ref = c.consumer_ref
                    AND w.used_minor <= w.limit_minor), 0)) AS fell
        FROM consumers c WHERE c.consumer_ref > :after AND c.consumer_ref <= :upto"""
    reasons = {"granted": credit.LIGHTNING, "corrected": credit.CORRECTED}
    async for consumer, currency, limit, used, held, out, granted, fell in books.found(
        ConsumerRow.consumer_ref, holds, **reasons
    ):
        if used != int(held):
            said = amount(used, currency)
            yield Finding(7, "credit_miscounted", consumer, amount(held, currency), said, used - int(held), currency)
        if granted or (max(int(out), int(held)) > limit and not fell):
            said = amount(max(int(out), int(held)), currency)
            yield Finding(7, "over_credit", consumer, f"<= {amount(limit, currency)}", said, 0, currency)
        if int(out) > int(held):
            said = f"{amount(out, currency)} out"
            yield Finding(
                7, "credit_unheld", consumer, f"<= {amount(held, currency)}", said, int(out) - int(held), currency
            )


async def refunds_owed(books: Books) -> AsyncIterator[Finding]:
    """9: P2010 of a closed case is 0: paid, or kept for the consumer in 2060."""
    async for case, sums, _ in by_case(books):
        if case.closed_at is not None and sums["payable"]:
            said = amount(sums["payable"], case.currency)
            yield Finding(
                9, "refund_owed", case.case_key, amount(0, case.currency), said, sums["payable"], case.currency
            )


async def nothing_left_open(books: Books) -> AsyncIterator[Finding]:
    """15: a closed case has no open region, wait, claim, visit or effect; an open one says on whom it waits."""
    async for case, _, _ in by_case(books):
        if case.closed_at is None:
            if case.waiting_on is None and case.attention is None:
                yield Finding(15, "silent", case.case_key, "waits on somebody, or is parked", f"stage {case.stage}")
            continue
        left = [name for name in ("waiting_on", "attention", "due_at", "outcome") if _open(case, name)]
        left += _regions((case.status or {}).get("regions") or {})
        if left:
            yield Finding(15, "closed_and_open", case.case_key, "nothing open", ", ".join(left))
    async for window in books.windows(CaseRow.case_key):
        for key, what in await books.rows(_LEFT_OPEN, **window):
            yield Finding(15, "left_open", key, "nothing open", what)


_LEFT_OPEN = """
    SELECT k.case_key, 'claim ' || c.claim_ref || ' ' || c.state FROM cases k JOIN claims c ON c.case_key = k.case_key
    WHERE k.case_key > :after AND k.case_key <= :upto AND k.closed_at IS NOT NULL AND c.state IN ('planned', 'reserved')
    UNION ALL
    SELECT k.case_key, 'visit ' || m.pickup_id FROM cases k JOIN pickup_members m ON m.case_key = k.case_key
    WHERE k.case_key > :after AND k.case_key <= :upto AND k.closed_at IS NOT NULL AND m.state = 'joined'
    UNION ALL
    SELECT k.case_key, 'hold ' || g.reason FROM cases k JOIN settlement_holds g ON g.case_key = k.case_key
    WHERE k.case_key > :after AND k.case_key <= :upto AND k.closed_at IS NOT NULL
        AND g.released_at IS NULL AND g.held_at < k.closed_at AND g.reason LIKE 'dispute%'"""


def _open(case: CaseRow, name: str) -> bool:
    there = getattr(case, name) is not None
    return not there if name == "outcome" else there


def _regions(regions: Mapping[str, str]) -> list[str]:
    """Regions of the last view in which a closed case may not be."""
    travelled = regions.get(Region.LOGISTICS.value) not in _NEVER_INSPECTED
    return [
        f"{name}={state}"
        for name, state in regions.items()
        if state not in ACCEPTED_AT_CLOSE[Region(name)] and (name != Region.INSPECTION.value or travelled)
    ]
