"""A small world around the steps: orders, visits, and the providers' side of every effect, posted by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.contract import (
    AssessFinding,
    Assessment,
    Collected,
    EndCase,
    FreightClaim,
    IndemnityPlan,
    JudgeCase,
    Judgement,
    RecordPickup,
    RecordWaybill,
    RefundPart,
    Remedy,
    SettleCase,
)
from activities.steps import CaseSteps
from backhaul.facts import (
    CoverKind,
    Finding,
    Inspection,
    InspectionResult,
    LiabilityShare,
    LineFinding,
    Method,
    Party,
    Reason,
    digest,
)
from backhaul.ids import CaseId, claim_ref
from backhaul.ledger import (
    CaseRef,
    JournalEntry,
    advance_paid,
    consumer_paid_by_insurer,
    courier_paid_by_insurer,
    insurer_funded,
    made,
    rdv_approved,
    rdv_reserved,
    recovery_remitted,
    refund_succeeded,
    reserve_changed,
    rfi_approved,
    rfi_reserved,
)
from backhaul.messages import (
    CaseStatus,
    ConsumerProfile,
    CreateRuling,
    DoorstepFinding,
    EvidenceRef,
    ImportOrder,
    MerchantProfile,
    MoneyView,
    OpenReturn,
    OrderCover,
    OrderLine,
    OrderPayment,
    PickupOutcome,
    PickupReport,
    ProvideWaybill,
    ReturnLine,
)
from backhaul.money import Money
from backhaul.policy.library import load_library
from store import authority, cases, claims, ledger, orders, pickups, settlement
from store.engine import Store
from store.ledger import trial_balance
from store.pickups import Visit

A = TypeVar("A")
R = TypeVar("R")

AT = datetime(2025, 6, 3, 8, 0, tzinfo=UTC)
BOOK = "2025-05"
LIBRARY = load_library()
DAMAGE = Finding.DAMAGE


def yuan(major: str) -> Money:
    return Money.of(major)


def claim_of(rma_id: str, kind: str, n: int = 1) -> str:
    """The number of a case's claim."""
    return claim_ref(CaseId("m1", rma_id), kind, n)


def a_line(line_id: str = "l1", paid: str = "1200.00", quantity: int = 1, **more: Any) -> OrderLine:
    given = {"sku": "coat", "category": "apparel", "weight_g": 1500, **more}
    return OrderLine(line_id=line_id, paid=yuan(paid), quantity=quantity, **given)


def an_order(
    *lines: OrderLine,
    order_id: str = "o1",
    rfi: str | None = "25.00",
    rdv: str | None = "max",
    tier: int = 3,
    limit: str = "3000.00",
    risk: str = "allow",
    payments: tuple[str, ...] = (),
    auto: bool = True,
    upper_tier: bool = False,
) -> ImportOrder:
    """A coat under RFI and RDV, unless said otherwise."""
    lines = lines or (a_line(),)
    paid = Money.sum((line.paid for line in lines), "CNY")
    amounts = [yuan(one) for one in payments] or [paid]
    covers = []
    for kind, amount in ((CoverKind.RFI, rfi), (CoverKind.RDV, rdv)):
        if amount is None:
            continue
        covers.append(
            OrderCover(
                coverage_id=f"{order_id}-{kind.value.lower()}",
                kind=kind,
                sum_insured=paid if amount == "max" else yuan(amount),
                premium_merchant=yuan("0.36") if kind is CoverKind.RFI else yuan("0.00"),
                premium_platform=yuan("0.60") if kind is CoverKind.RDV else yuan("0.00"),
                upper_tier=upper_tier,
                bound_at=AT - timedelta(days=3),
                book_version=BOOK,
            )
        )
    return ImportOrder(
        order_id=order_id,
        merchant=MerchantProfile(merchant_id="m1", commission_bps=500, auto_authorize=auto),
        consumer=ConsumerProfile(consumer_ref="c1", tier=tier, credit_limit=yuan(limit), risk=risk),
        lines=lines,
        payments=tuple(OrderPayment(payment_id=f"{order_id}-p{n}", amount=one) for n, one in enumerate(amounts, 1)),
        covers=tuple(covers),
        captured_at=AT - timedelta(days=3),
        signed_at=AT - timedelta(days=1),
    )


def a_request(
    rma_id: str = "r1",
    *,
    order_id: str = "o1",
    lines: dict[str, int] | None = None,
    reason: Reason = Reason.NO_REASON,
    method: Method = Method.PICKUP,
    arrived_damaged: bool = False,
) -> OpenReturn:
    evidence = EvidenceRef(ref="photo", sha256="a" * 64, by="merchant", shows_arrival_damage=True)  # type: ignore[arg-type]
    return OpenReturn(
        merchant_id="m1",
        rma_id=rma_id,
        order_id=order_id,
        reason=reason,
        method=method,
        lines=tuple(ReturnLine(line_id=name, quantity=count) for name, count in (lines or {"l1": 1}).items()),
        address_ref="a1",
        evidence=(evidence,) if arrived_damaged else (),
    )


def found(finding: Finding = DAMAGE, severity: int | None = 30, quantity: int = 1, line: str = "l1") -> LineFinding:
    return LineFinding(line_id=line, finding=finding, severity=severity, quantity=quantity)


def at_receipt(*findings: LineFinding, after: timedelta = timedelta(hours=1)) -> Inspection:
    result = InspectionResult.FINDING if findings else InspectionResult.OK
    return Inspection(result=result, findings=findings, at=DELIVERED + after)


DELIVERED = AT + timedelta(days=2)
BENCH = EvidenceRef(ref="bench.jpg", sha256="b" * 64, by=Party.MERCHANT)
"""What the merchant objects with."""


class World:
    """The steps, and what the world outside would do."""

    def __init__(self, store: Store, book: str = BOOK) -> None:
        self.store = store
        self.now = AT
        self.steps = CaseSteps(store, LIBRARY, book, clock=lambda: self.now)

    async def run(self, activity: Callable[[A], Awaitable[R]], argument: A) -> R:
        """As a worker runs it: errors are the failures a workflow sees."""
        result: R = await ActivityEnvironment().run(activity, argument)
        return result

    # ---- the case's own steps ----------------------------------------------------------------------------------

    async def order(self, order: ImportOrder | None = None) -> None:
        async with self.store.transaction() as session:
            await orders.import_order(session, order or an_order(), lambda v: LIBRARY.by_version(v).ref, AT)

    async def judge(self, request: OpenReturn | None = None) -> Judgement:
        request = request or a_request()
        argument = JudgeCase(
            request=request,
            request_hash=digest(request),
            workflow_id=f"return:m1:{request.rma_id}",
            requested_at=AT,
        )
        return await self.run(self.steps.judge_case, argument)

    async def book(self, rma_id: str = "r1", n: int = 1, slot: timedelta = timedelta()) -> str:
        """Join or make the pickup; the courier's side is taken as told."""
        start = AT + timedelta(hours=2) + slot
        async with self.store.transaction() as session:
            case = CaseId("m1", rma_id)
            row = await cases.need(session, case.key)
            items = ({"ref": f"{case.key}/l1"},)
            visit = Visit(
                case.key, n, row.order_id, "a1", "default", start, start + timedelta(hours=2), "sandbox", items
            )
            joined = await pickups.join_or_create(session, visit, AT)
            await pickups.booked(
                session,
                joined.pickup.pickup_id,
                f"b-{joined.pickup.pickup_id}",
                f"w-{joined.pickup.pickup_id}",
                visit.slot_start,
                visit.slot_end,
                AT,
            )
        return joined.pickup.pickup_id

    def scan_of(
        self,
        case: CaseRef,
        pickup_id: str | None,
        *findings: LineFinding,
        collected: Iterable[str] = (),
        inspected: bool = True,
        self_ship: ProvideWaybill | None = None,
    ) -> RecordPickup:
        waybill = self_ship.waybill if self_ship else f"w-{pickup_id}"
        report = PickupReport(
            event_id=f"e-{case.rma_id}",
            outcome=PickupOutcome.PICKED_UP,
            waybill=waybill,
            occurred_at=AT + timedelta(hours=3),
            collected=tuple(collected),
            inspected=inspected,
            findings=doorstep(*findings),
        )
        return RecordPickup(case=case, report=report, pickup_id=pickup_id, self_ship=self_ship)

    async def collect(self, case: CaseRef, *findings: LineFinding, **more: Any) -> Collected:
        pickup_id = await self.book(case.rma_id)
        return await self.run(self.steps.record_pickup, self.scan_of(case, pickup_id, *findings, **more))

    async def self_ship(self, case: CaseRef, proven: str | None = None, waybill: str = "sf1") -> Collected:
        parcel = ProvideWaybill(waybill=waybill, proven_freight=None if proven is None else yuan(proven))
        await self.run(self.steps.record_waybill, RecordWaybill(case=case, waybill=parcel))
        scan = self.scan_of(case, None, inspected=False, self_ship=parcel)
        return await self.run(self.steps.record_pickup, scan)

    async def assess(self, case: CaseRef, *findings: LineFinding, ruling: str | None = None) -> Assessment:
        argument = AssessFinding(case=case, findings=doorstep(*findings), ruling_id=ruling)
        return await self.run(self.steps.assess_finding, argument)

    async def settle(
        self,
        case: CaseRef,
        event: str = "received_ok",
        receipt: Inspection | None = None,
        ruling: str | None = None,
        claimed: str | None = None,
        evidence: tuple[EvidenceRef, ...] = (BENCH,),
    ) -> Remedy:
        argument = SettleCase(
            case=case,
            event=event,
            receipt=receipt,
            lost=event == "lost",
            ruling_id=ruling,
            delivered_at=None if event == "lost" else DELIVERED,
            claimed=claimed,
            at=receipt.at if receipt else DELIVERED + timedelta(hours=1),
            evidence=evidence if event == "receipt_issue" else (),
        )
        return await self.run(self.steps.settle_case, argument)

    async def end(self, case: CaseRef, outcome: str = "refunded") -> None:
        zero = Money.zero()
        money = MoneyView(
            paid=zero,
            refundable=zero,
            refunded=zero,
            refund_under_way=zero,
            withheld=zero,
            indemnified=zero,
            freight=zero,
            remaining=zero,
        )
        status = CaseStatus(
            merchant_id=case.merchant_id,
            rma_id=case.rma_id,
            order_id=case.order_id,
            stage="closed",
            outcome=outcome,
            regions={},
            money=money,
            closed=True,
        )
        await self.run(
            self.steps.end_case, EndCase(case=case, outcome=outcome, status=status, at=AT + timedelta(days=3))
        )

    async def rule(
        self,
        case: CaseRef,
        outcome: str,
        *findings: LineFinding,
        ruling_id: str = "ruling1",
        decides: str = "liability",
        shares: tuple[LiabilityShare, ...] = (),
    ) -> str:
        request = CreateRuling(
            merchant_id=case.merchant_id,
            rma_id=case.rma_id,
            decides=decides,
            outcome=outcome,
            findings=findings or None,
            shares=shares,
            reason="photos",
        )
        async with self.store.transaction() as session:
            await authority.create_ruling(session, ruling_id, request, "judge", AT)
        return ruling_id

    # ---- what the effects would post ---------------------------------------------------------------------------

    async def post(self, *entries: JournalEntry | None) -> None:
        async with self.store.transaction() as session:
            await ledger.post(session, made(*entries), self.now)

    async def refund(self, case: CaseRef, parts: Iterable[RefundPart]) -> None:
        for part in parts:
            await self.post(refund_succeeded(case, part.amount, key=part.payment_key))

    async def claim_freight(self, case: CaseRef, claim: FreightClaim) -> None:
        paid = consumer_paid_by_insurer if claim.payee.startswith("consumer:") else courier_paid_by_insurer
        ref, amount = claim.claim_ref, claim.amount
        async with self.store.transaction() as session:
            await claims.advance(session, ref, "approved", AT, approved=amount)
            await claims.advance(session, ref, "paid", AT, paid=amount)
            entries = made(
                rfi_reserved(case, amount, claim_ref=ref),
                rfi_approved(case, amount, claim_ref=ref),
                paid(case, amount, claim_ref=ref, key=claim.payment_key, waybill=claim.waybill),
            )
            await ledger.post(session, entries, AT)

    async def indemnify(
        self, case: CaseRef, plan: IndemnityPlan, *, agreed: Money | None = None, fund: bool = True
    ) -> None:
        """The whole of J30, J31, J34, and J32 unless the insurer has not funded it yet. `agreed`: to so much of it."""
        ref, amount = plan.claim_ref, agreed or plan.amount
        async with self.store.transaction() as session:
            await claims.advance(session, ref, "approved", AT, approved=amount)
            entries = made(
                rdv_reserved(case, plan.amount, claim_ref=ref),
                reserve_changed(case, amount - plan.amount, claim_ref=ref),
                rdv_approved(case, amount, claim_ref=ref),
            )
            await ledger.post(session, entries, AT)
            batch = await settlement.form_advance(session, ref, plan.advance_key, AT)
            paid = advance_paid(case, amount, claim_ref=ref, key=plan.advance_key, batch=batch.batch)
            await ledger.post(session, made(paid), AT)
        if fund:
            async with self.store.transaction() as session:
                await claims.advance(session, ref, "paid", AT, paid=amount)
                funded = insurer_funded(case, amount, claim_ref=ref, key=plan.funding_key)
                await ledger.post(session, made(funded), AT)

    async def deny(self, case: CaseRef, plan: IndemnityPlan) -> None:
        async with self.store.transaction() as session:
            await claims.deny(session, plan.claim_ref, "claim_denied", AT)
            entries = made(
                rdv_reserved(case, plan.amount, claim_ref=plan.claim_ref),
                reserve_changed(case, -plan.amount, claim_ref=plan.claim_ref),
            )
            await ledger.post(session, entries, AT)

    async def remit(self, case: CaseRef, ref: str, amount: Money) -> None:
        await self.post(recovery_remitted(case, amount, claim_ref=ref, key=f"{ref}:remit"))

    # ---- what the books say ------------------------------------------------------------------------------------

    async def templates(self, rma_id: str = "r1") -> list[str]:
        async with self.store.read() as session:
            return [one.entry.template for one in await ledger.entries_of(session, f"m1/{rma_id}")]

    async def entries(self, template: str, rma_id: str = "r1") -> list[JournalEntry]:
        async with self.store.read() as session:
            every = await ledger.entries_of(session, f"m1/{rma_id}")
        return [one.entry for one in every if one.entry.template == template]

    async def balances(self) -> dict[str, int]:
        """Debits less credits by account; each book adds up to zero, or the test fails here."""
        async with self.store.read() as session:
            books = await trial_balance(session)
        for accounts in books.values():
            assert sum(amounts["CNY"] for amounts in accounts.values()) == 0
        return {name: amounts["CNY"] for accounts in books.values() for name, amounts in accounts.items()}


def doorstep(*findings: LineFinding) -> tuple[DoorstepFinding, ...]:
    return tuple(
        DoorstepFinding(line_id=one.line_id, finding=one.finding, quantity=one.quantity, severity=one.severity)
        for one in findings
    )


async def refused(work: Awaitable[object]) -> str:
    """The code with which a step refuses."""
    with pytest.raises(ApplicationError) as failure:
        await work
    return str(failure.value.details[0]["code"])
