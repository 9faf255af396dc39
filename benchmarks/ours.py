"""Driving real lightning returns: orders imported beforehand, the courier played from here, the parties over HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import WorkflowHandle

from backhaul.client import Backhaul
from backhaul.errors import Refusal
from backhaul.facts import CoverKind, Reason
from backhaul.ids import return_id
from backhaul.messages import (
    ConfirmReceipt,
    ConsumerProfile,
    ImportOrder,
    MerchantProfile,
    OpenReturn,
    OrderCover,
    OrderLine,
    OrderPayment,
    PickupOutcome,
    PickupReport,
    ReturnLine,
    TrackingReport,
    TrackingStatus,
)
from backhaul.money import Money
from backhaul.policy.library import load_library
from benchmarks.servers import Servers
from store import orders
from store.engine import Store

MERCHANT = "m-bench"
PRICE = Money.of("1200.00")


class Ours:
    """The product's side."""

    def __init__(self, servers: Servers, store: Store) -> None:
        self.servers, self.store = servers, store
        self.backhaul = Backhaul(servers.client)
        self.pid = servers.worker_pid

    @classmethod
    async def make(cls, servers: Servers) -> Ours:
        """Ready to run returns."""
        return cls(servers, Store(servers.database_url))

    async def run(self, number: int, pause: float) -> WorkflowHandle[Any, Any]:
        """One lightning return, from the request to the close."""
        rma = f"r-{number}"
        await self._order(number)
        await self.backhaul.open(
            OpenReturn(
                merchant_id=MERCHANT,
                rma_id=rma,
                order_id=f"o-{number}",
                reason=Reason.NO_REASON,
                lines=(ReturnLine(line_id="1", quantity=1),),
                address_ref=f"addr-{number}",
            )
        )
        await asyncio.sleep(pause)
        await self._say(rma, "report_pickup", self._scan(rma, number))
        await asyncio.sleep(pause)
        for status in (TrackingStatus.IN_TRANSIT, TrackingStatus.DELIVERED):
            report = TrackingReport(
                event_id=f"{rma}.{status}", status=status, waybill=f"wb-{number}", occurred_at=datetime.now(UTC)
            )
            await self._say(rma, "report_tracking", report)
            await asyncio.sleep(pause)
        await self._say(rma, "confirm_receipt", ConfirmReceipt())
        handle = self.servers.client.get_workflow_handle(return_id(MERCHANT, rma))
        await handle.result()
        return handle

    async def _say(self, rma: str, update: str, body: Any) -> None:
        """An update; one that comes too early under load is sent again."""
        for _ in range(300):
            try:
                await self.backhaul.report(MERCHANT, rma, update, body)
                return
            except Refusal as refusal:
                if refusal.code != "not_delivered":
                    raise
                await asyncio.sleep(0.1)
        status = await self.backhaul.status(MERCHANT, rma)
        seen = status.model_dump_json(include={"stage", "waiting", "attention", "events"})
        raise RuntimeError(f"{rma}: {update} is refused while {seen}")

    def _scan(self, rma: str, number: int) -> PickupReport:
        return PickupReport(
            event_id=f"{rma}.scan",
            outcome=PickupOutcome.PICKED_UP,
            waybill=f"wb-{number}",
            occurred_at=datetime.now(UTC),
            collected=("1",),
        )

    async def _order(self, number: int) -> None:
        """The order in our store, its payment and cover outside."""
        now = datetime.now(UTC)
        order_id = f"o-{number}"
        covers = tuple(
            OrderCover(
                coverage_id=f"{order_id}-{kind}",
                kind=kind,
                sum_insured=insured,
                premium_merchant=Money.of("0.36"),
                premium_platform=Money.zero(),
                bound_at=now - timedelta(days=3),
                book_version="2025-05",
            )
            for kind, insured in ((CoverKind.RFI, Money.of("25.00")), (CoverKind.RDV, PRICE))
        )
        order = ImportOrder(
            order_id=order_id,
            merchant=MerchantProfile(merchant_id=MERCHANT, commission_bps=500),
            consumer=ConsumerProfile(consumer_ref=f"c-{number}", tier=3, credit_limit=Money.of("5000.00")),
            lines=(OrderLine(line_id="1", sku="coat", category="apparel", quantity=1, paid=PRICE, weight_g=900),),
            payments=(OrderPayment(payment_id=f"p-{number}", amount=PRICE),),
            covers=covers,
            captured_at=now - timedelta(days=3),
            signed_at=now - timedelta(days=1),
        )
        await self.servers.psp.payment(f"p-{number}", PRICE.minor, "CNY", payee=MERCHANT, payer=f"c-{number}")
        for cover in covers:
            await self.servers.insurer.coverage(
                coverage_id=cover.coverage_id,
                order_id=order_id,
                kind=cover.kind.value,
                sum_insured=cover.sum_insured.minor,
                currency="CNY",
                premium=36,
                declared=None,
                bound_at=cover.bound_at.isoformat(),
                book="2025-05",
            )
        library = load_library()
        async with self.store.transaction() as session:
            await orders.import_order(session, order, lambda version: library.by_version(version).ref, now)
        await self.servers.courier.script(f"{MERCHANT}/r-{number}", hold=True)
