"""The 17 lines of the report over a database: clean books give nothing, on both engines, and each line says itself."""

from __future__ import annotations

import time

from backhaul.ledger import made, rdv_reserved, refund_due
from store import ledger
from store.engine import Store
from store.reconcile import CHECKS, check_books, check_lines
from tests.store.support import AT, a_case, an_order, import_order, open_case, yuan


async def test_clean_books_give_seventeen_lines_and_nothing_found(store: Store) -> None:
    await open_case(store)
    async with store.transaction() as session:
        case = a_case()
        await ledger.post(session, made(refund_due(case, yuan("0.00"), yuan("0.00"))), AT)
    lines = await check_lines(store)
    assert [line.invariant for line in lines] == list(range(1, 18))
    found = {finding.code for line in lines for finding in line.findings}
    assert found == {"silent"}, "the case of the fixture waits on nobody, and nothing else is wrong"
    assert all(line.says for line in lines)
    assert lines[0].looked > 0


async def test_windows_of_one_row_find_the_same(store: Store) -> None:
    for n in range(1, 6):
        await import_order(store, an_order(f"o{n}", merchant=f"m{n}", consumer=f"c{n}"))
    async with store.transaction() as session:
        entries = made(
            *(rdv_reserved(a_case(f"r{n}", order_id=f"o{n}"), yuan("1.00"), claim_ref=f"x{n}") for n in range(1, 6))
        )
        await ledger.post(session, entries, AT)
    whole = await check_books(store)
    assert [finding.subject for finding in whole] == ["x1", "x2", "x3", "x4", "x5"]
    assert await check_books(store, page=1) == whole
    assert await check_books(store, page=2) == whole


async def test_a_look_at_small_books_is_quick(store: Store) -> None:
    """Simulations look thousands of times."""
    await import_order(store)
    await check_books(store)
    spans = []
    for _ in range(5):
        began = time.perf_counter()
        await check_books(store)
        spans.append(time.perf_counter() - began)
    assert min(spans) < 0.5  # the best of them: a moment in which the machine stalls says nothing
    assert set(CHECKS) == set(range(1, 18))
