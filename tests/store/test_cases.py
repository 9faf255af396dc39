"""The read model and the record of decisions: written once, answered for ever."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import BackhaulError
from backhaul.facts import (
    Finding,
    Inspection,
    InspectionResult,
    LineFinding,
    MerchantFacts,
    Party,
    Text,
    Verdict,
)
from backhaul.messages import AttentionView, CaseStatus, MoneyView, WaitView
from store import cases
from store.cases import CaseFilter
from store.engine import Store
from tests.store.support import AT, BOOK, a_case, an_order, case_row, import_order, open_case, yuan


async def code(doing: Any) -> str:
    with pytest.raises(BackhaulError) as error:
        await doing
    return error.value.code


def verdict(outcome: str = "yes") -> Verdict:
    text = Text(en="Because.", zh="因为。")
    numbers: dict[str, int | str | bool | None] = {"paid": 120_000, "why": "七天", "ok": True, "none": None}
    return Verdict(
        decision="eligibility", outcome=outcome, reasons=("r",), numbers=numbers, text=text, book=BOOK, facts_hash="f"
    )


async def test_a_case_is_inserted_once(store: Store) -> None:
    await open_case(store)
    async with store.transaction() as session:
        assert await code(cases.insert(session, case_row(a_case()), [])) == "return_conflict"
        assert await cases.lines_of(session, "m1/r1") == {"l1": 1}
        assert await code(cases.need(session, "m1/none")) == "not_found"


async def test_a_step_answers_what_it_answered_first(stores: tuple[Store, Store]) -> None:
    """Two runs of one step at once: one decides, both answer the same."""
    await open_case(stores[0])
    argument = MerchantFacts(merchant_id="m1")

    async def step(session: AsyncSession, n: int) -> MerchantFacts:
        known = await cases.recorded(session, "m1/r1", "judge", MerchantFacts, argument)
        if known is not None:
            return known
        result = MerchantFacts(merchant_id=f"m{n}")
        await cases.record(session, "m1/r1", "judge", argument, result, AT)
        return result

    def run(n: int) -> Any:
        return stores[n % 2].run(lambda session: step(session, n))

    answers = await asyncio.gather(*(run(n) for n in range(10)))
    assert len(set(answers)) == 1
    async with stores[0].read() as session:
        other = cases.recorded(session, "m1/r1", "judge", MerchantFacts, MerchantFacts(merchant_id="other"))
        assert await code(other) == "invariant_broken"


async def test_decisions_explain_themselves_in_order(store: Store) -> None:
    await open_case(store)
    async with store.transaction() as session:
        await cases.add_decisions(session, "m1/r1", "judge", [verdict("yes"), verdict("no")], AT)
        await cases.add_decisions(session, "m1/r1", "scan", [verdict("open")], AT)
        await cases.add_decisions(session, "m1/r1", "scan", [], AT)
    async with store.read() as session:
        explained = await cases.explanation(session, "m1/r1")
        assert explained.decisions == (verdict("yes"), verdict("no"), verdict("open"))
        assert await cases.decisions(session, "m1/r1", "scan") == (verdict("open"),)
        assert await code(cases.explanation(session, "m1/none")) == "not_found"


async def test_facts_and_inspections_are_written_once(store: Store) -> None:
    await open_case(store)
    facts = MerchantFacts(merchant_id="m1")
    finding = LineFinding(line_id="l1", finding=Finding.DAMAGE, quantity=1, severity=30)
    found = Inspection(result=InspectionResult.FINDING, findings=(finding,), at=AT)
    async with store.transaction() as session:
        first = await cases.store_facts(session, "m1/r1", "judge", facts)
        await cases.store_facts(session, "m1/r1", "judge", MerchantFacts(merchant_id="later"))
        assert await cases.facts_of(session, "m1/r1", "judge", MerchantFacts) == facts
        assert await cases.facts_of(session, "m1/r1", "scan", MerchantFacts) is None
        assert len(first) == 64
        await cases.save_inspection(session, "m1/r1", "doorstep", found, "e1")
        await cases.save_inspection(session, "m1/r1", "doorstep", Inspection(result=InspectionResult.OK, at=AT))
        assert await cases.inspection(session, "m1/r1", "doorstep") == found
        assert await cases.inspection(session, "m1/r1", "receipt") is None


def status(stage: str, attention: AttentionView | None = None) -> CaseStatus:
    nothing = yuan("0.00")
    money = MoneyView(
        paid=nothing, refundable=nothing, refunded=nothing, refund_under_way=nothing, withheld=nothing,
        indemnified=nothing, freight=nothing, remaining=nothing,
    )  # fmt: skip
    waiting = WaitView(on=Party.COURIER, code="visit", since=AT, due=AT + timedelta(hours=2))
    return CaseStatus(
        merchant_id="m1",
        rma_id="r1",
        order_id="o1",
        stage=stage,
        regions={"refund": "due"},
        waiting=waiting,
        attention=attention,
        money=money,
    )


async def test_a_status_is_kept_whole_and_in_columns(store: Store) -> None:
    await open_case(store)
    attention = AttentionView(
        reason="ruling_needed", headline="h", step="s", since=AT, due=AT + timedelta(days=1), send="x", runbook="r"
    )
    async with store.transaction() as session:
        await cases.save_status(session, status("pickup"), AT)
        row = await cases.need(session, "m1/r1", lock=True)
        assert (row.stage, row.waiting_on, row.attention, row.due_at) == (
            "pickup",
            "courier",
            None,
            AT + timedelta(hours=2),
        )
        await cases.save_status(session, status("dispute", attention), AT)
        row = await cases.need(session, "m1/r1", lock=True)
        assert (row.attention, row.due_at) == ("ruling_needed", AT + timedelta(days=1))
        assert CaseStatus.model_validate(row.status) == status("dispute", attention)
        await cases.set_stage(session, "m1/r1", "transit", AT)
        await cases.add_money(session, "m1/r1", refunded=5, freight=7)
        await cases.add_money(session, "m1/r1", refunded=5)
        row = await cases.need(session, "m1/r1", lock=True)
        assert (row.stage, row.attention, row.refunded_minor, row.freight_minor) == ("transit", None, 10, 7)


async def test_a_case_closes_once(store: Store) -> None:
    await open_case(store)
    async with store.transaction() as session:
        await cases.close(session, "m1/r1", "refunded", AT)
        await cases.close(session, "m1/r1", "withdrawn", AT + timedelta(days=1))
        row = await cases.need(session, "m1/r1", lock=True)
        assert (row.stage, row.outcome, row.closed_at) == ("closed", "refunded", AT)


async def test_lists_are_newest_first_in_pages_that_fit_together(store: Store) -> None:
    await import_order(store)
    await import_order(store, an_order("o2", merchant="m2"))
    async with store.transaction() as session:
        for n in range(5):
            opened = AT + timedelta(minutes=n // 2)  # some at the same moment
            await cases.insert(session, case_row(a_case(f"r{n}"), opened_at=opened), [])
        await cases.insert(session, case_row(a_case("r9", order_id="o2", merchant="m2")), [])
        await cases.set_stage(session, "m1/r1", "dispute", AT, attention="ruling_needed")
        await cases.close(session, "m1/r2", "refunded", AT)

    async def keys(wanted: CaseFilter, limit: int = 50) -> list[str]:
        seen: list[str] = []
        after: str | None = None
        async with store.read() as session:
            while True:
                page = await cases.list_cases(session, wanted, after, limit)
                assert len(page.cases) <= limit
                seen += [row.rma_id for row in page.cases]
                after = page.next
                if after is None:
                    return seen

    for limit in (1, 2, 5, 50):
        assert await keys(CaseFilter(merchant_id="m1"), limit) == ["r4", "r3", "r2", "r1", "r0"]
    assert await keys(CaseFilter(order_id="o2")) == ["r9"]
    assert await keys(CaseFilter(parked=True)) == ["r1"]
    assert await keys(CaseFilter(closed=True)) == ["r2"]
    assert await keys(CaseFilter(merchant_id="m1", parked=False, closed=False)) == ["r4", "r3", "r0"]
    assert await keys(CaseFilter(stage="dispute", consumer_ref="c1")) == ["r1"]
    async with store.read() as session:
        for cursor in ("nonsense", "2025-06-01T08:00:00~m1/r1"):
            assert await code(cases.list_cases(session, CaseFilter(), cursor)) == "invalid_input"
