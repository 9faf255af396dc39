"""What the store's tests start from: an imported order, a case on it, a clock that tests move."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backhaul.facts import BookRef, CoverKind
from backhaul.ledger import CaseRef
from backhaul.messages import (
    ConsumerProfile,
    ImportOrder,
    MerchantProfile,
    OrderCover,
    OrderLine,
    OrderPayment,
)
from backhaul.money import Money
from store import cases, orders, sqlite
from store.engine import Store
from store.tables import CaseRow

AT = datetime(2025, 6, 1, 8, 0, tzinfo=UTC)
BOOK = BookRef(version="2025-05", hash="b" * 64)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers in a crowd on a slow machine wait their turn."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 60_000)


def yuan(major: str) -> Money:
    return Money.of(major)


def book_of(version: str) -> BookRef:
    if version != BOOK.version:
        raise LookupError(version)
    return BOOK


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> datetime:
        return self.now

    def forward(self, span: timedelta) -> None:
        self.now += span


def an_order(
    order_id: str = "o1",
    *,
    merchant: str = "m1",
    consumer: str = "c1",
    paid: str = "1200.00",
    payments: tuple[str, ...] | None = None,
    limit: str = "3000.00",
    tier: int = 2,
) -> ImportOrder:
    """A coat under RFI and RDV: the worked example of the rules, paid in one or several payments."""
    amounts = payments if payments is not None else (paid,)
    return ImportOrder(
        order_id=order_id,
        merchant=MerchantProfile(merchant_id=merchant, commission_bps=500),
        consumer=ConsumerProfile(consumer_ref=consumer, tier=tier, credit_limit=yuan(limit)),
        lines=(OrderLine(line_id="l1", sku="coat", category="apparel", quantity=1, paid=yuan(paid), weight_g=1500),),
        payments=tuple(
            OrderPayment(payment_id=f"{order_id}-p{n}", amount=yuan(amount)) for n, amount in enumerate(amounts, 1)
        ),
        covers=(
            OrderCover(
                coverage_id=f"{order_id}-rfi",
                kind=CoverKind.RFI,
                sum_insured=yuan("25.00"),
                premium_merchant=yuan("0.36"),
                premium_platform=yuan("0.00"),
                bound_at=AT,
                book_version=BOOK.version,
            ),
            OrderCover(
                coverage_id=f"{order_id}-rdv",
                kind=CoverKind.RDV,
                sum_insured=yuan("1200.00"),
                premium_merchant=yuan("0.00"),
                premium_platform=yuan("0.60"),
                bound_at=AT,
                book_version=BOOK.version,
            ),
        ),
        captured_at=AT,
        signed_at=AT,
    )


async def import_order(store: Store, order: ImportOrder | None = None) -> None:
    async with store.transaction() as session:
        await orders.import_order(session, order or an_order(), book_of, AT)


def a_case(rma_id: str = "r1", *, order_id: str = "o1", merchant: str = "m1", consumer: str = "c1") -> CaseRef:
    return CaseRef(merchant_id=merchant, order_id=order_id, consumer_ref=consumer, rma_id=rma_id)


def case_row(case: CaseRef, *, opened_at: datetime = AT, stage: str = "authorizing") -> CaseRow:
    return CaseRow(
        case_key=f"{case.merchant_id}/{case.rma_id}",
        merchant_id=case.merchant_id,
        rma_id=case.rma_id,
        order_id=case.order_id,
        consumer_ref=case.consumer_ref,
        workflow_id=f"return:{case.merchant_id}:{case.rma_id}",
        request={"rma_id": case.rma_id},
        request_hash="a" * 64,
        book_version=BOOK.version,
        book_hash=BOOK.hash,
        stage=stage,
        refundable_minor=120_000,
        currency="CNY",
        opened_at=opened_at,
        updated_at=opened_at,
    )


async def open_case(store: Store, case: CaseRef | None = None) -> CaseRef:
    """Import the case's order and open it."""
    case = case or a_case()
    await import_order(store, an_order(case.order_id, merchant=case.merchant_id, consumer=case.consumer_ref))
    async with store.transaction() as session:
        await cases.insert(session, case_row(case), [("l1", 1)])
    return case


def key_of(case: CaseRef) -> str:
    return f"{case.merchant_id}/{case.rma_id}"


@asynccontextmanager
async def fresh_sqlite() -> AsyncIterator[Store]:
    """A database for one example of a property: fixtures live for all of them."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'example.db'}")
        await store.create_all()
        try:
            yield store
        finally:
            await store.close()


def blocking_sqlite() -> tuple[Callable[[Coroutine[Any, Any, Any]], Any], Store, Callable[[], None]]:
    """For state machines, which are not async: run a coroutine on a loop of its own, a fresh store, and the end."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(300)

    context = fresh_sqlite()
    store: Store = run(context.__aenter__())

    def end() -> None:
        run(context.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)

    return run, store, end
