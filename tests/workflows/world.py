"""A whole product around one Temporal server: real store, real sandbox, real worker. Tests play the parties.

The courier of the sandbox is held back by a script, so that every report comes from the test, at the workflow's own
(skipped) time; bookings, refunds, claims and payouts are real HTTP.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import select
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from backhaul.client import Backhaul, request_hash
from backhaul.disputes import LodgeAppeal
from backhaul.errors import BackhaulError
from backhaul.facts import CoverKind, Finding, LiabilityShare, LineFinding, Method, Party, Reason, RemedyKind, Risk
from backhaul.ids import CaseId, dispute_id, return_id
from backhaul.ledger import JournalEntry, Side
from backhaul.messages import (
    Ack,
    CaseOutcome,
    CaseStatus,
    ConsumerAtDoor,
    ConsumerProfile,
    CreateRuling,
    DoorstepFinding,
    EvidenceRef,
    FirstDecision,
    ImportOrder,
    MerchantProfile,
    OpenReturn,
    OrderCover,
    OrderLine,
    OrderPayment,
    PickupOutcome,
    PickupReport,
    ReportReceiptIssue,
    ReturnLine,
    Slot,
    SubmitEvidence,
    TrackingReport,
    TrackingStatus,
    WaitView,
)
from backhaul.money import Money
from backhaul.policy.library import load_library
from store import authority, ledger, orders
from store.engine import Store
from store.tables import PickupRow
from tests.approvals import CreateApproval, create_approval
from tests.gateways.outside import TOKEN, Outside, outside
from tests.waiting import PATIENCE_S, eventually
from worker.registry import activities_of, build_workers

COAT = 120_000
"""The coat of domain 6: 1200.00."""
BRISK = Path(__file__).with_name("brisk.toml")
"""The policy book of tests in real time; its version is the file's name."""
_NUMBERS = itertools.count(1)


def cny(minor: int) -> Money:
    """Fen."""
    return Money(minor=minor, currency="CNY")


@dataclass
class Plan:
    """One order and one return of it. Defaults: one coat, RFI and RDV, tier S3, lightning possible."""

    lines: Sequence[tuple[str, int, int]] = (("L1", 1, COAT),)
    """(line, quantity ordered, paid for the line in fen)"""
    back: Sequence[tuple[str, int]] | None = None
    """(line, quantity returned); all when not given"""
    reason: Reason = Reason.NO_REASON
    method: Method = Method.PICKUP
    tier: int = 3
    credit: int = 500_000
    risk: Risk = Risk.ALLOW
    rfi: bool = True
    rdv: bool = True
    auto: bool = True
    commission_bps: int = 500
    signed_days_ago: float | None = 2
    """None: not signed for."""
    shipped_days_ago: float | None = None
    offers: bool = False
    remedy: RemedyKind = RemedyKind.RETURN
    reopens: str | None = None
    merchant: str | None = None
    order: str | None = None
    book: str = "2025-05"
    payments: Sequence[int] | None = None
    """What each payment of the order brought, in fen; one payment of everything when not given"""
    slot_in: timedelta | None = None
    """From now to the start of the slot that the consumer wishes; two hours long."""


@dataclass
class Case:
    """One running case, and what parties do to it."""

    world: World
    request: OpenReturn
    first: FirstDecision
    handle: WorkflowHandle[Any, CaseOutcome]
    events: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def id(self) -> CaseId:
        """The case by merchant and the merchant's own id."""
        return CaseId(self.request.merchant_id, self.request.rma_id)

    async def now(self) -> datetime:
        """The server's time, skipped or not."""
        return await self.world.now()

    async def say(self, update: str, body: Any, *, update_id: str | None = None) -> Ack:
        """Send an update; a refusal raises backhaul.errors.Refusal."""
        return await self.world.backhaul.report(
            self.request.merchant_id, self.request.rma_id, update, body, update_id=update_id
        )

    async def status(self) -> CaseStatus:
        """The typed view."""
        return await self.world.backhaul.status(self.request.merchant_id, self.request.rma_id)

    async def until(self, test: Any, what: str = "condition") -> CaseStatus:
        """Poll the view until it fits."""
        return await eventually(self.status, test, what, tell=lambda status: status.model_dump_json(indent=1))

    async def waits_for(self, code: str) -> CaseStatus:
        """Until the case waits for this."""
        return await self.until(lambda s: s.waiting is not None and s.waiting.code == code, f"waiting for {code}")

    async def until_told(self, recipient: str, about: str) -> None:
        """Until the inbox delivered this."""
        subject = f"{self.request.merchant_id}/{self.request.rma_id}"
        await eventually(lambda: self.world.outside.told(subject), lambda told: (recipient, about) in told, about)

    async def asked(self, code: str) -> WaitView:
        """Until the case waits for this and the party was told; the wait."""
        status = await self.until(
            lambda s: s.waiting is not None and s.waiting.code == code and s.waiting.told is not None, f"asked: {code}"
        )
        assert status.waiting is not None
        return status.waiting

    async def parks(self, reason: str) -> CaseStatus:
        """Until the case is parked for this reason. Where both sides are heard first, they have nothing to say."""
        if reason in {"ruling_needed", "arbitration_needed"}:
            status = await self.until(
                lambda s: s.attention is not None or (s.waiting is not None and s.waiting.code == "evidence"),
                f"a dispute, or parked: {reason}",
            )
            if status.attention is None:
                await self.nothing_more("consumer", "merchant")
        return await self.until(lambda s: s.attention is not None and s.attention.reason == reason, f"parked: {reason}")

    def dispute(self, n: int = 1) -> WorkflowHandle[Any, Any]:
        """The nth dispute of the case."""
        workflow_id = dispute_id(CaseId(self.request.merchant_id, self.request.rma_id), n)
        return self.world.env.client.get_workflow_handle(workflow_id)

    async def dispute_shows(self, n: int = 1) -> str:
        """What a human reads on the nth dispute."""
        shown: str = await self.dispute(n).query("status", result_type=str)
        return shown

    async def nothing_more(self, *sides: str) -> None:
        """Sides of a dispute that have nothing to say."""
        for side in sides:
            await self.say("submit_evidence", SubmitEvidence(nothing_more=True, by=Party(side)))

    async def pickup(
        self,
        outcome: PickupOutcome = PickupOutcome.PICKED_UP,
        findings: Sequence[DoorstepFinding] = (),
        *,
        reason: str | None = None,
        at: datetime | None = None,
        event_id: str | None = None,
        inspected: bool = True,
        waybill: str | None = None,
        taken: Sequence[str] | None = None,
    ) -> Ack:
        """The courier reports a visit: this one, or an earlier one by its waybill. `taken`: items of all cases that
        went along, by default this case's own."""
        status = await self.until(lambda s: s.waybill is not None, "a waybill")
        ours = tuple(f"{self.request.merchant_id}/{self.request.rma_id}/{one.line_id}" for one in self.request.lines)
        report = PickupReport(
            event_id=event_id or f"ev-{self.request.rma_id}-{next(self.events)}",
            outcome=outcome,
            waybill=waybill or status.waybill or "",
            occurred_at=at or await self.now(),
            reason=reason,
            collected=tuple(line.line_id for line in self.request.lines) if outcome == "picked_up" else (),
            taken=tuple(ours if taken is None else taken) if outcome == "picked_up" else (),
            inspected=inspected,
            findings=tuple(findings),
        )
        return await self.say("report_pickup", report, update_id=report.event_id)

    async def nothing_taken(self, taken: Sequence[str]) -> Ack:
        """The courier's visit took goods of other cases only."""
        report = PickupReport(
            event_id=f"ev-{self.request.rma_id}-{next(self.events)}",
            outcome=PickupOutcome.PICKED_UP,
            waybill=(await self.status()).waybill or "",
            occurred_at=await self.now(),
            taken=tuple(taken),
        )
        return await self.say("report_pickup", report, update_id=report.event_id)

    async def track(self, status: str, *, at: datetime | None = None, waybill: str | None = None) -> Ack:
        """The courier reports a movement."""
        view = await self.status()
        report = TrackingReport(
            event_id=f"ev-{self.request.rma_id}-{next(self.events)}",
            status=TrackingStatus(status),
            waybill=waybill or view.waybill or "",
            occurred_at=at or await self.now(),
        )
        return await self.say("report_tracking", report, update_id=report.event_id)

    async def end(self) -> CaseOutcome:
        """The workflow's result; on the time-skipping server this lets time pass."""
        env: Any = self.world.env
        if not env.supports_time_skipping_v1:
            return await self.handle.result()
        async with env.time_skipping_unlocked():
            return await self.handle.result()

    async def ended(self) -> CaseOutcome:
        """The workflow's result, while no time passes for the other cases of the test."""
        with self.world.env.auto_time_skipping_disabled():
            return await self.handle.result()

    async def collect_outside(self, until: str | None = None) -> None:
        """The courier really takes the goods (its own book has the scan); the report still comes from the test.
        `until`: and they travel so far; else they stand still, however long the story takes."""
        match = f"{self.request.merchant_id}/{self.request.rma_id}"
        waybill = (await self.until(lambda s: s.waybill is not None, "a waybill")).waybill or ""
        if until is None:
            await self.world.hold_courier(self.request, tracking=[])
        await self.world.outside.control("courier", "release", {"match": match})
        courier = self.world.outside.gateways.courier("sandbox")
        await eventually(
            lambda: courier.events(waybill),
            lambda told: bool(told) and (until is None or until in {one.movement for one in told}),
            "the courier",
        )

    async def posted(self, template: str) -> dict[str, int]:
        """What one template moved on the case: account to debits less credits, in minor units; nothings left out."""
        async with self.world.store.read() as session:
            posted = await ledger.entries_of(session, f"{self.request.merchant_id}/{self.request.rma_id}")
        moved: dict[str, int] = {}
        for line in (line for item in posted if item.entry.template == template for line in item.entry.lines):
            sign = 1 if line.side is Side.DEBIT else -1
            moved[line.account] = moved.get(line.account, 0) + sign * line.amount.minor
        return {account: minor for account, minor in moved.items() if minor}

    async def entries(self) -> list[tuple[str, int]]:
        """The case's journal: (template, amount in minor units as it stands in one book), in order posted."""
        async with self.world.store.read() as session:
            posted = await ledger.entries_of(session, f"{self.request.merchant_id}/{self.request.rma_id}")
        return [(item.entry.template, _amount(item.entry)) for item in posted]


def _amount(entry: JournalEntry) -> int:
    books: dict[str, int] = {}
    for line in entry.lines:
        if line.side is Side.DEBIT:
            books[line.book] = books.get(line.book, 0) + line.amount.minor
    return max(books.values())


@dataclass
class World:
    """One server, one worker, one store, the four parties."""

    env: WorkflowEnvironment
    store: Store
    outside: Outside
    backhaul: Backhaul
    imported: dict[str, ImportOrder] = field(default_factory=dict)

    async def booking(self, waybill: str | None) -> dict[str, Any]:
        """The visit of a waybill in the courier's own book."""
        async with self.store.read() as session:
            row = (await session.exec(select(PickupRow).where(PickupRow.waybill == waybill))).one()
        url = f"{self.outside.servers['courier'].url}/v1/bookings/{row.booking_id}"
        answer = await self.outside.http.get(url, headers={"Authorization": f"Bearer {TOKEN}"})
        seen: dict[str, Any] = answer.json()
        return seen

    async def now(self) -> datetime:
        """The server's time."""
        return (await self.env.get_current_time()).astimezone(UTC)

    def order_of(self, case: Case) -> ImportOrder:
        """The order of a case, for another return of it."""
        return self.imported[case.request.order_id]

    async def until(self, moment: datetime) -> None:
        """Let time pass up to a moment; a moment that is over is over."""
        left = moment - await self.now()
        if left > timedelta(0):
            await self.env.sleep(left)

    async def import_order(self, plan: Plan) -> ImportOrder:
        """Import the plan's order in the product, capture and cover it outside."""
        n = next(_NUMBERS)
        now = await self.now()
        order_id, merchant = plan.order or f"O{n}", plan.merchant or f"m{n}"
        paid = sum(line[2] for line in plan.lines)
        covers = []
        if plan.rfi:
            covers.append(self._cover(f"{order_id}-rfi", CoverKind.RFI, 2_500, 36, 0, now, plan))
        if plan.rdv:
            covers.append(self._cover(f"{order_id}-rdv", CoverKind.RDV, max(paid, 1), 0, 60, now, plan))
        brought = plan.payments or (paid,)
        payments = [(f"pay-{order_id}" + (f"-{n}" if n else ""), minor) for n, minor in enumerate(brought)]
        order = ImportOrder(
            order_id=order_id,
            merchant=MerchantProfile(
                merchant_id=merchant,
                commission_bps=plan.commission_bps,
                auto_authorize=plan.auto,
                offers=plan.offers,
            ),
            consumer=ConsumerProfile(
                consumer_ref=f"c-{order_id}", tier=plan.tier, credit_limit=cny(plan.credit), risk=plan.risk.value
            ),
            lines=tuple(
                OrderLine(
                    line_id=line, sku=f"sku-{line}", category="apparel", quantity=count, paid=cny(minor), weight_g=900
                )
                for line, count, minor in plan.lines
            ),
            payments=tuple(OrderPayment(payment_id=ref, amount=cny(minor)) for ref, minor in payments),
            covers=tuple(covers),
            captured_at=now - timedelta(days=(plan.signed_days_ago or 0) + 2),
            signed_at=None if plan.signed_days_ago is None else now - timedelta(days=plan.signed_days_ago),
            shipped_at=None if plan.shipped_days_ago is None else now - timedelta(days=plan.shipped_days_ago),
        )
        for ref, minor in payments:
            await self.outside.capture(ref, minor, merchant, f"c-{order_id}")
        for cover in covers:
            premium = cover.premium_merchant.minor + cover.premium_platform.minor
            await self.outside.cover(cover.coverage_id, order_id, cover.kind.value, cover.sum_insured.minor, premium)
        library = load_library()
        async with self.store.transaction() as session:
            await orders.import_order(session, order, lambda version: library.by_version(version).ref, now)
        return order

    def _cover(
        self, ref: str, kind: CoverKind, insured: int, merchant: int, platform: int, now: datetime, plan: Plan
    ) -> OrderCover:
        return OrderCover(
            coverage_id=ref,
            kind=kind,
            sum_insured=cny(insured),
            premium_merchant=cny(merchant),
            premium_platform=cny(platform),
            bound_at=now - timedelta(days=(plan.signed_days_ago or 0) + 2),
            book_version=plan.book,
        )

    async def open(self, plan: Plan | None = None, order: ImportOrder | None = None) -> Case:
        """Import the order, hold the courier back, open the return."""
        plan = plan or Plan()
        order = order or await self.import_order(plan)
        rma = f"R{next(_NUMBERS)}"
        self.imported[order.order_id] = order
        back = plan.back or [(line.line_id, line.quantity) for line in order.lines]
        request = OpenReturn(
            merchant_id=order.merchant.merchant_id,
            rma_id=rma,
            order_id=order.order_id,
            reason=plan.reason,
            method=plan.method,
            lines=tuple(ReturnLine(line_id=line, quantity=count) for line, count in back),
            address_ref=f"addr-{order.order_id}",
            remedy=plan.remedy,
            reopens=plan.reopens,
            slot=None if plan.slot_in is None else await self._slot(plan.slot_in),
        )
        await self.hold_courier(request)
        first = await self.backhaul.open(request)
        handle = self.env.client.get_workflow_handle(return_id(request.merchant_id, rma), result_type=CaseOutcome)
        return Case(self, request, first, handle)

    async def _slot(self, ahead: timedelta) -> Slot:
        start = await self.now() + ahead
        return Slot(start=start, end=start + timedelta(hours=2))

    async def hold_courier(self, request: OpenReturn, **more: Any) -> None:
        """The sandbox's courier stays still: the test reports for it. Demands it accepts and pays at once."""
        visit = {"after_ms": 0, "outcome": "picked_up", "hold": True}
        demand = {"answer": "accept", "after_ms": 0, "pay_after_ms": 0}
        match = f"{request.merchant_id}/{request.rma_id}"
        await self.outside.script("courier", match, visits=[visit] * 8, demand=demand, **more)

    async def parcel(self, case: Case, waybill: str) -> None:
        """A parcel that the consumer posted stands still at the courier."""
        lines = [f"{case.request.merchant_id}/{case.request.rma_id}/{line.line_id}" for line in case.request.lines]
        await self.outside.control("courier", "self_ship", {"waybill": waybill, "items": lines, "tracking": []})

    async def rule(
        self,
        case: Case,
        decides: str,
        outcome: str,
        *,
        by: str = "reviewer-1",
        overrules: str | None = None,
        findings: tuple[LineFinding, ...] | None = None,
        shares: tuple[LiabilityShare, ...] = (),
    ) -> str:
        """A reviewer's ruling; its id."""
        n = f"ruling-{next(_NUMBERS)}"
        request = CreateRuling(
            merchant_id=case.request.merchant_id,
            rma_id=case.request.rma_id,
            decides=decides,
            outcome=outcome,
            findings=findings,
            shares=shares,
            reason="seen the photos",
            overrules=overrules,
        )
        async with self.store.transaction() as session:
            await authority.create_ruling(session, n, request, by, await self.now())
        return n

    async def appeal(self, case: Case, ruling_id: str, by: str = "merchant") -> Ack:
        """A side appeals to the open case; a refusal raises backhaul.errors.Refusal."""
        said = LodgeAppeal(appeal_id=f"appeal-{next(_NUMBERS)}", ruling_id=ruling_id, by=Party(by), reason="not so")
        return await self.backhaul.appeal(case.request.merchant_id, case.request.rma_id, said)

    async def approve(self, case: Case, subject: str, amount: int, payee: str) -> str:
        """A second person's approval; its id."""
        n = f"approval-{next(_NUMBERS)}"
        request = CreateApproval(
            merchant_id=case.request.merchant_id,
            rma_id=case.request.rma_id,
            subject=subject,
            amount=cny(amount),
            payee=payee,
            prepared_by="clerk-1",
        )
        async with self.store.transaction() as session:
            await create_approval(session, n, request, "boss-1", await self.now())
        return n

    async def asked(self, ask: Any, test: Any, what: str = "condition") -> Any:
        """Ask until there is an answer, and it fits."""

        async def answer() -> tuple[Any, ...]:
            try:
                return (await ask(),)
            except BackhaulError:
                return ()

        return (await eventually(answer, lambda found: bool(found) and test(found[0]), what))[0]

    async def trial_balance(self) -> dict[str, dict[str, dict[str, int]]]:
        """Per book, account and currency."""
        async with self.store.read() as session:
            return await ledger.trial_balance(session)


@asynccontextmanager
async def world(
    env: WorkflowEnvironment, folder: Path, *, book: str | None = None, books: Path | None = None
) -> AsyncIterator[World]:
    """Everything, running, until the block ends. `book`: the policy book of new cases, of `books` beside our own."""
    store = Store(f"sqlite:///{folder}/backhaul.db")
    await store.create_all()
    async with outside(folder) as parties:
        activities = activities_of(store, parties.gateways, load_library(books), book)
        async with build_workers(env.client, activities):
            yield World(env, store, parties, Backhaul(env.client, patience=timedelta(seconds=PATIENCE_S)))
    await store.close()


def damage(severity: int, *, line: str = "L1", quantity: int = 1, says: str = "agrees") -> DoorstepFinding:
    """A damaged line at the door."""
    return DoorstepFinding(
        line_id=line,
        finding=Finding.DAMAGE,
        quantity=quantity,
        severity=severity,
        photos=("photo-1",),
        consumer=ConsumerAtDoor(says),
    )


def at_receipt(
    finding: str = "damage", severity: int | None = 30, *, line: str = "L1", quantity: int = 1
) -> LineFinding:
    """What the merchant found."""
    return LineFinding(line_id=line, finding=Finding(finding), quantity=quantity, severity=severity)


def objection(*findings: LineFinding) -> ReportReceiptIssue:
    """The merchant objects, with evidence."""
    photo = EvidenceRef(ref="bench.jpg", sha256="b" * 64, by=Party.MERCHANT)
    return ReportReceiptIssue(findings=findings, evidence=(photo,))


__all__ = [
    "Case",
    "Plan",
    "WorkflowUpdateFailedError",
    "World",
    "at_receipt",
    "cny",
    "damage",
    "objection",
    "request_hash",
    "world",
]
