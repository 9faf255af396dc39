"""Facts of a case, read from the store: once at the request, and what moves (money, limits) again at each step."""

from __future__ import annotations

from datetime import datetime

from backhaul.errors import Refusal
from backhaul.facts import (
    BookRef,
    CaseFacts,
    ConsumerFacts,
    CoverFacts,
    CoverKind,
    LineFacts,
    MerchantFacts,
    Method,
    PaymentFacts,
    Risk,
    RiskProfile,
)
from backhaul.messages import OpenReturn
from backhaul.money import Money
from store.orders import OrderBundle
from store.tables import CoverageRow, OrderLineRow


def facts_of_request(
    request: OpenReturn, order: OrderBundle, requested_at: datetime, profile: RiskProfile | None = None
) -> CaseFacts:
    """Everything the first judgement knows. Raises Refusal(`line_unknown`, `currency_mismatch`)."""
    known = {line.line_id: line for line in order.lines}
    for wanted in request.lines:
        if wanted.line_id not in known:
            raise Refusal("line_unknown", f"order {request.order_id} has no line {wanted.line_id}", field="lines")
    if order.consumer.currency != order.order.currency:
        raise Refusal("currency_mismatch", "the consumer's credit line is in another currency", field="order_id")
    return CaseFacts(
        merchant=MerchantFacts(
            merchant_id=order.merchant.merchant_id,
            auto_authorize=order.merchant.auto_authorize,
            credit_tier=order.merchant.credit_tier,
            offers=order.merchant.offers,
        ),
        consumer=consumer_facts(order),
        order_id=request.order_id,
        rma_id=request.rma_id,
        requested_at=requested_at,
        signed_at=order.order.signed_at,
        reason=request.reason,
        method=request.method,
        lines=tuple(_line(known[one.line_id], one.quantity, order) for one in request.lines),
        covers=covers_of(order, requested_at),
        payments=payments_of(order),
        profile=profile,
        outbound_damage=any(one.shows_arrival_damage for one in request.evidence),
        remedy=request.remedy,
        shipped_at=order.order.shipped_at,
        evidence=len(request.evidence),
    )


def refreshed(facts: CaseFacts, order: OrderBundle) -> CaseFacts:
    """The same facts with what has moved since: refunds on lines and payments, limits of cover, use of credit.

    Units, profile and cover in force stay as they were at the request."""
    rows = {line.line_id: line for line in order.lines}
    covers = {cover.coverage_id: cover for cover in covers_of(order, facts.requested_at)}
    consumer = facts.consumer.model_copy(
        update={
            "credit_limit": _money(order.consumer.limit_minor, order),
            "credit_used": _money(order.consumer.used_minor, order),
            "frozen": order.consumer.frozen,
        }
    )
    lines = tuple(
        line.model_copy(
            update={
                "refunded_before": _money(rows[line.line_id].refunded_minor, order),
                "commission_reversed_before": _money(rows[line.line_id].commission_reversed_minor, order),
            }
        )
        for line in facts.lines
    )
    return facts.model_copy(
        update={
            "consumer": consumer,
            "lines": lines,
            "covers": tuple(covers.get(cover.coverage_id, cover) for cover in facts.covers),
            "payments": payments_of(order),
        }
    )


def collected_facts(facts: CaseFacts, collected: tuple[str, ...], *, self_ship: bool) -> CaseFacts:
    """The facts of what really travels: the lines that went along (all, where the report names none) and how."""
    lines = tuple(line for line in facts.lines if not collected or line.line_id in collected)
    method = Method.SELF_SHIP if self_ship else Method.PICKUP
    return facts.model_copy(update={"lines": lines or facts.lines, "method": method})


def consumer_facts(order: OrderBundle) -> ConsumerFacts:
    """The consumer's profile and credit line now."""
    consumer = order.consumer
    return ConsumerFacts(
        consumer_ref=consumer.consumer_ref,
        tier=consumer.tier,
        credit_limit=_money(consumer.limit_minor, order),
        credit_used=_money(consumer.used_minor, order),
        frozen=consumer.frozen,
        risk=Risk(consumer.risk) if consumer.risk in set(Risk) else Risk.REFER,
    )


def covers_of(order: OrderBundle, at: datetime) -> tuple[CoverFacts, ...]:
    """The covers that were bound at a moment, with what is left of them now."""
    return tuple(_cover(row, order) for row in order.coverages if row.bound_at <= at)


def payments_of(order: OrderBundle) -> tuple[PaymentFacts, ...]:
    """The original payments with what refunds took of them."""
    return tuple(
        PaymentFacts(
            payment_id=row.payment_id,
            captured=_money(row.captured_minor, order),
            refunded=_money(row.refunded_minor, order),
        )
        for row in order.payments
    )


def _line(row: OrderLineRow, quantity: int, order: OrderBundle) -> LineFacts:
    return LineFacts(
        line_id=row.line_id,
        sku=row.sku,
        category=row.category,
        ordered=row.quantity,
        quantity=quantity,
        already_returned=order.returned.get(row.line_id, 0),
        paid=_money(row.paid_minor, order),
        weight_g=row.weight_g,
        volume_cm3=row.volume_cm3,
        commission_bps=row.commission_bps,
        refunded_before=_money(row.refunded_minor, order),
        commission_reversed_before=_money(row.commission_reversed_minor, order),
    )


def _cover(row: CoverageRow, order: OrderBundle) -> CoverFacts:
    return CoverFacts(
        coverage_id=row.coverage_id,
        kind=CoverKind(row.kind),
        sum_insured=_money(row.sum_insured_minor, order),
        remaining=_money(row.remaining_minor, order),
        declared=None if row.declared_minor is None else _money(row.declared_minor, order),
        # What a declared value stands against: the goods of the whole order, as they were imported.
        insured_value=_money(order.order.paid_minor, order),
        upper_tier=row.upper_tier,
        bound_at=row.bound_at,
        book=BookRef(version=row.book_version, hash=row.book_hash),
    )


def _money(minor: int, order: OrderBundle) -> Money:
    return Money(minor=minor, currency=order.order.currency)
