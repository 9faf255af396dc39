"""Facts for tests: the coat of the worked example, with whatever a test changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from backhaul.facts import (
    BookRef,
    CaseFacts,
    ConsumerFacts,
    CoverFacts,
    CoverKind,
    Finding,
    Inspection,
    InspectionResult,
    LineFacts,
    LineFinding,
    MerchantFacts,
    Method,
    PaymentFacts,
    Reason,
)
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.library import load_library

BOOK = load_library().by_version("2025-05")
SIGNED = datetime(2025, 6, 1, 4, 0, tzinfo=UTC)  # noon in Shanghai
REQUESTED = datetime(2025, 6, 3, 4, 0, tzinfo=UTC)
BOUND = datetime(2025, 5, 20, 4, 0, tzinfo=UTC)


def yuan(text: str) -> Money:
    return Money.of(text, "CNY")


def fen(minor: int) -> Money:
    return Money(minor=minor, currency="CNY")


def line(**over: Any) -> LineFacts:
    given: dict[str, Any] = {
        "line_id": "l1",
        "sku": "coat",
        "category": "clothing",
        "ordered": 1,
        "quantity": 1,
        "paid": yuan("1200.00"),
        "weight_g": 1500,
        "volume_cm3": 6000,
        "commission_bps": 500,
    }
    return LineFacts(**(given | over))


def cover(kind: CoverKind = CoverKind.RDV, **over: Any) -> CoverFacts:
    given: dict[str, Any] = {
        "coverage_id": f"c-{kind.value}",
        "kind": kind,
        "sum_insured": yuan("3000.00"),
        "remaining": yuan("3000.00"),
        "bound_at": BOUND,
        "book": BookRef(version=BOOK.version, hash=BOOK.hash),
    }
    return CoverFacts(**(given | over))


def consumer(**over: Any) -> ConsumerFacts:
    given: dict[str, Any] = {
        "consumer_ref": "u1",
        "tier": 3,
        "credit_limit": yuan("3000.00"),
        "credit_used": yuan("0.00"),
    }
    return ConsumerFacts(**(given | over))


def facts(**over: Any) -> CaseFacts:
    given: dict[str, Any] = {
        "merchant": MerchantFacts(merchant_id="m1"),
        "consumer": consumer(),
        "order_id": "o1",
        "rma_id": "r1",
        "requested_at": REQUESTED,
        "signed_at": SIGNED,
        "reason": Reason.NO_REASON,
        "method": Method.PICKUP,
        "lines": (line(),),
        "covers": (cover(CoverKind.RFI, sum_insured=yuan("25.00"), remaining=yuan("25.00")), cover()),
        "payments": (PaymentFacts(payment_id="p1", captured=yuan("1200.00"), refunded=yuan("0.00")),),
    }
    return CaseFacts(**(given | over))


def finding(kind: Finding = Finding.DAMAGE, **over: Any) -> LineFinding:
    given: dict[str, Any] = {"line_id": "l1", "finding": kind, "quantity": 1}
    if kind is Finding.DAMAGE:
        given["severity"] = 30
    return LineFinding(**(given | over))


def inspection(*findings: LineFinding, result: InspectionResult | None = None) -> Inspection:
    outcome = result or (InspectionResult.FINDING if findings else InspectionResult.OK)
    return Inspection(result=outcome, findings=findings, at=REQUESTED)


def book_with(section: str, **over: Any) -> PolicyBook:
    """The book with some fields of one section changed."""
    return BOOK.model_copy(update={section: getattr(BOOK, section).model_copy(update=over)})
