"""What tests of effects stand on: a store with orders and cases, the sandbox's servers, the activities."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.contract import (
    FreightClaim,
    IndemnityPlan,
    Patience,
    RecoveryPlan,
    RefundPart,
)
from activities.couriers import CourierActivities
from activities.insurers import InsurerActivities
from activities.payments import PaymentActivities
from backhaul.facts import BookRef, CoverKind, Liable
from backhaul.ids import CaseId, claim_ref, payment_key
from backhaul.ledger import CaseRef, JournalEntry, refund_due
from backhaul.messages import (
    ConsumerProfile,
    ImportOrder,
    MerchantProfile,
    OpenReturn,
    OrderCover,
    OrderLine,
    OrderPayment,
)
from backhaul.money import Money
from store import cases, claims, ledger, orders, refunds
from store.engine import Store
from store.tables import CaseRow
from tests.approvals import CreateApproval, create_approval
from tests.gateways.outside import Outside, outside
from tests.servers.postgres import PostgresServer
from tests.waiting import PATIENCE_S

A = TypeVar("A")
R = TypeVar("R")
AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
BOOK = BookRef(version="demo", hash="0" * 64)
PATIENCE = Patience(delays_s=(60.0, 300.0))
PAID = Money(minor=120_000)


@dataclass
class Kit:
    """The store, the world outside, the activities."""

    store: Store
    world: Outside
    now: datetime = AT
    beats: int = 0
    attempt: int = 1
    started: datetime = AT
    couriers: CourierActivities = field(init=False)
    payments: PaymentActivities = field(init=False)
    insurers: InsurerActivities = field(init=False)

    def __post_init__(self) -> None:
        made = (self.store, self.world.gateways, lambda: self.now)
        self.couriers, self.payments = CourierActivities(*made), PaymentActivities(*made)
        self.insurers = InsurerActivities(*made)

    async def run(self, method: Callable[[A], Awaitable[R]], argument: A) -> R:
        """Run an activity as a worker would."""
        environment = ActivityEnvironment()
        environment.info = replace(ActivityEnvironment.default_info(), attempt=self.attempt, started_time=self.started)

        def beat(*_: object) -> None:
            self.beats += 1

        environment.on_heartbeat = beat
        result: R = await environment.run(method, argument)
        return result

    async def fails(self, method: Callable[[A], Awaitable[Any]], argument: A) -> ApplicationError:
        """Run an activity that fails; its failure."""
        try:
            await self.run(method, argument)
        except ApplicationError as error:
            return error
        raise AssertionError("the activity did not fail")

    async def case(self, rma: str, order: str = "", *, quantity: int = 1, cover: bool = True) -> CaseRef:
        """A case of an order of its own (or of one that is there): payment captured, covers bound outside."""
        order_id = order or f"o.{rma}"
        if not order:
            await self._order(order_id, cover=cover)
        case = CaseRef(merchant_id="m1", order_id=order_id, consumer_ref="c1", rma_id=rma)
        request = OpenReturn.model_validate(
            {
                "merchant_id": "m1",
                "rma_id": rma,
                "order_id": order_id,
                "reason": "dont_like",
                "lines": [{"line_id": "l1", "quantity": quantity}],
                "address_ref": "a1",
            }
        )
        key = CaseId("m1", rma)
        row = CaseRow(
            case_key=key.key,
            merchant_id="m1",
            rma_id=rma,
            order_id=order_id,
            consumer_ref="c1",
            workflow_id=key.workflow_id,
            request=request.model_dump(mode="json"),
            request_hash="0",
            book_version="demo",
            book_hash="0",
            stage="pickup",
            currency="CNY",
            opened_at=AT,
            updated_at=AT,
        )
        async with self.store.transaction() as session:
            await cases.insert(session, row, [("l1", quantity)])
        return case

    async def _order(self, order_id: str, *, cover: bool) -> None:
        covers = tuple(
            OrderCover(
                coverage_id=f"{kind.value}.{order_id}",
                kind=kind,
                sum_insured=Money(minor=limit),
                premium_merchant=Money(minor=36),
                premium_platform=Money(minor=60),
                bound_at=AT,
                book_version="demo",
            )
            for kind, limit in ((CoverKind.RFI, 2_500), (CoverKind.RDV, 500_000))
            if cover
        )
        order = ImportOrder(
            order_id=order_id,
            merchant=MerchantProfile(merchant_id="m1", commission_bps=500),
            consumer=ConsumerProfile(consumer_ref="c1", tier=3, credit_limit=Money(minor=300_000)),
            lines=(OrderLine(line_id="l1", sku="coat", category="coats", quantity=3, paid=PAID, weight_g=1500),),
            payments=(OrderPayment(payment_id=f"pay.{order_id}", amount=PAID),),
            covers=covers,
            captured_at=AT,
            signed_at=AT,
        )
        async with self.store.transaction() as session:
            await orders.import_order(session, order, lambda _: BOOK, AT)
        await self.world.capture(f"pay.{order_id}", PAID.minor)
        for each in covers:
            await self.world.cover(each.coverage_id, order_id, each.kind.value, each.sum_insured.minor)

    async def entries(self, case: CaseRef, *templates: str) -> list[JournalEntry]:
        """The case's entries, of these templates if any are named."""
        async with self.store.read() as session:
            posted = await ledger.entries_of(session, key_of(case))
        return [one.entry for one in posted if not templates or one.entry.template in templates]

    async def numbers(self, case: CaseRef) -> list[str]:
        """The templates of the case's entries, in the order posted."""
        return [entry.template for entry in await self.entries(case)]

    async def due(self, part: RefundPart, case: CaseRef) -> None:
        """The refund is owed (J23) and counted on the payment, as the step before it does."""
        async with self.store.transaction() as session:
            await refunds.take(session, case.order_id, part.amount)
            entry = refund_due(case, part.amount, Money.zero("CNY"), part=part.payment_key)
            assert entry is not None
            await ledger.post(session, [entry], AT)

    async def approve(self, case: CaseRef, subject: str, amount: Money, payee: str) -> str:
        """A second person's approval."""
        asked = CreateApproval(
            merchant_id=case.merchant_id,
            rma_id=case.rma_id,
            subject=subject,
            amount=amount,
            payee=payee,
            prepared_by="ann",
        )
        approval_id = f"ap.{case.rma_id}.{subject.count(':')}"
        async with self.store.transaction() as session:
            await create_approval(session, approval_id, asked, "bob", AT)
        return approval_id

    async def recovery(self, case: CaseRef, plan: RecoveryPlan) -> None:
        """The recovery is known, as the step before it keeps it."""
        async with self.store.transaction() as session:
            await claims.open_recovery(
                session,
                plan.claim_ref,
                key_of(case),
                plan.liable.value,
                plan.amount,
                f"recovery:{plan.claim_ref}",
                plan.model_dump(mode="json"),
                AT,
            )


def key_of(case: CaseRef) -> str:
    return f"{case.merchant_id}/{case.rma_id}"


def id_of(case: CaseRef) -> CaseId:
    return CaseId(case.merchant_id, case.rma_id)


def part_of(case: CaseRef, minor: int = 84_000, n: int = 1) -> RefundPart:
    payment = f"pay.{case.order_id}"
    key = payment_key(id_of(case), f"refund.{payment}", n)
    return RefundPart(payment_key=key, payment_id=payment, amount=Money(minor=minor), payee="c1")


def freight_of(case: CaseRef, waybill: str = "SB1") -> FreightClaim:
    return FreightClaim(
        claim_ref=claim_ref(id_of(case), "freight"),
        coverage_id=f"RFI.{case.order_id}",
        amount=Money(minor=1_400),
        payee="courier:sandbox",
        waybill=waybill,
        payment_key=payment_key(id_of(case), "freight"),
    )


def loss_of(case: CaseRef, minor: int = 36_000, *, approval_needed: bool = False) -> IndemnityPlan:
    return IndemnityPlan(
        claim_ref=claim_ref(id_of(case), "loss"),
        coverage_id=f"RDV.{case.order_id}",
        amount=Money(minor=minor),
        payee="m1",
        advance_key=payment_key(id_of(case), "advance"),
        funding_key=payment_key(id_of(case), "funding"),
        approval_needed=approval_needed,
    )


def recovery_of(case: CaseRef, waybill: str | None, minor: int = 36_000) -> RecoveryPlan:
    return RecoveryPlan(
        claim_ref=claim_ref(id_of(case), "loss"),
        liable=Liable.CARRIER,
        amount=Money(minor=minor),
        waybill=waybill,
        coverage_id=f"RDV.{case.order_id}",
        withheld=waybill is None,
    )


def code_of(error: ApplicationError) -> tuple[str | None, str]:
    """The kind and the code of a failure, as a workflow reads them."""
    return error.type, error.details[0]["code"]


DATABASES = ("sqlite", "postgresql")


@asynccontextmanager
async def kit_on(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Kit]:
    """All of it, on the database that a fixture's parameter names."""
    if request.param == "sqlite":
        async with kit(folder) as made:
            yield made
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create()
    try:
        async with kit(folder, server.url(name)) as made:
            yield made
    finally:
        server.drop(name)


@asynccontextmanager
async def kit(folder: Path, url: str | None = None) -> AsyncIterator[Kit]:
    """All of it, in a folder; on SQLite there, or on an empty database."""
    store = Store(url or f"sqlite:///{folder / 'backhaul.db'}")
    await store.create_all()
    try:
        async with outside(folder, PATIENCE_S) as world:
            yield Kit(store, world)
    finally:
        await store.close()
