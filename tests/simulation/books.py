"""Reading the books at the end of a sequence: our own, the providers' against ours, and the providers' alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.corrections import CorrectionKind
from backhaul.facts import Liable
from backhaul.ids import CaseId, return_id
from store import ledger
from store.reconcile import check_books
from store.tables import CaseStepRow, CorrectionRow
from tests.simulation.world import Simulation, library
from tests.workflows import books

KEPT = frozenset({"J56", "J62"})
"""Templates that say where a refund went that nobody was sent: freight the consumer owes, money to be claimed."""


def violations(sim: Simulation) -> list[str]:
    """Every invariant of domain 6 that does not hold in our own books."""
    return [str(finding) for finding in sim.server.do(check_books(sim.store, library()))]


def differences(sim: Simulation) -> list[str]:
    """Every movement on which a provider's statement and our journal differ (invariant 2)."""
    return [str(finding) for finding in sim.server.do(books.differences(sim))]


def paid_twice(sim: Simulation) -> list[str]:
    """Every purpose for which the payment provider moved money more than once, and every charge above what was owed at
    first. A purpose is a key without its number: the next number follows only on the end of the one before."""
    psp = sim.parties["psp"].book
    paid = """SELECT rtrim(key, '0123456789') AS purpose, count(*) AS times FROM transfers
        WHERE state = 'succeeded' GROUP BY purpose HAVING times > 1"""
    charged = """SELECT rtrim(key, '0123456789') AS purpose, sum(collected) AS came, max(amount) AS owed FROM charges
        GROUP BY purpose HAVING came > owed"""
    back = """SELECT p.payment_id, p.amount, sum(t.amount) AS back FROM payments p
        JOIN transfers t ON t.payment_id = p.payment_id
        WHERE t.state = 'succeeded' GROUP BY p.payment_id HAVING back > p.amount"""
    return [
        *(f"{row['purpose']} was paid {row['times']} times" for row in psp.all(paid)),
        *(f"{row['purpose']} took {row['came']} of {row['owed']}" for row in psp.all(charged)),
        *(f"{row['payment_id']} gave back {row['back']} of {row['amount']}" for row in psp.all(back)),
    ]


def left_alone(sim: Simulation, cases: list[str]) -> Iterator[str]:
    """Every case whose goods a courier took, and that ended with nobody refunded, nothing that says why not, and the
    goods not back with the consumer."""
    for case in cases:
        request = sim.opened[case]
        key = CaseId(request.merchant_id, request.rma_id)
        if _collected(sim, key) and not _refunded(sim, key) and not sim.server.do(_explained(sim, key)):
            yield f"{case} was collected and came to nothing: {sim.outcome(case).model_dump_json()}"


def _collected(sim: Simulation, case: CaseId) -> bool:
    """Did a courier take the goods, and not bring them back? By its own book; what it told nobody after the end is
    left out."""
    sql = """SELECT w.waybill FROM items i JOIN waybills w ON w.waybill = i.waybill
        WHERE i.case_ref = ? AND i.collected = 1 AND w.state <> 'returned'
        AND (w.booking_id IS NOT NULL OR w.state <> 'collected')"""  # a parcel that nobody has seen yet is no parcel
    scanned = sim.status(return_id(*case)).regions["settlement"] != "none"
    found = sim.parties["courier"].book.all(sql, case.key)
    return any(scanned or row["waybill"] not in sim.unheard for row in found)


def _refunded(sim: Simulation, case: CaseId) -> bool:
    sql = """SELECT 1 FROM transfers WHERE key LIKE ? AND state = 'succeeded'
        AND (kind = 'refund' AND bounced_us IS NULL OR key LIKE '%:payout.%' OR key LIKE '%:claim%')"""
    return sim.parties["psp"].book.one(sql, f"{case.merchant_id}:{case.rma_id}:%") is not None


async def _explained(sim: Simulation, case: CaseId) -> bool:
    """Was what is due kept for the consumer, or found to be nothing because they are liable? Or did a person deal with
    goods that were scanned after the end?"""
    async with sim.store.read() as session:
        dealt = select(CorrectionRow).where(
            CorrectionRow.case_key == case.key, CorrectionRow.kind == CorrectionKind.LATE_SCAN.value
        )
        if (await session.exec(dealt)).first() is not None:
            return True
        if KEPT & {item.entry.template for item in await ledger.entries_of(session, case.key)}:
            return True
        fixed = await _fixed(session, case)
        return fixed is not None and fixed["liable"] == Liable.CONSUMER and fixed["refund_now"]["minor"] == 0


async def _fixed(session: AsyncSession, case: CaseId) -> dict[str, Any] | None:
    """The amounts as they were fixed last."""
    steps = select(CaseStepRow).where(
        CaseStepRow.case_key == case.key,
        (col(CaseStepRow.step) == "settled") | col(CaseStepRow.step).startswith("settled.", autoescape=True),
    )
    rows = sorted(await session.exec(steps), key=lambda row: int(row.step.partition(".")[2] or 1))
    return rows[-1].result["result"] if rows else None
