"""Orders: imported once, read as one bundle, counted under the order's lock. Domain 2, 6 (J01 to J03)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal, Rejected
from backhaul.facts import BookRef, digest
from backhaul.ledger import JournalEntry, OrderRef, cover_bound, made, premium_remitted, sale_captured
from backhaul.messages import ImportOrder, OrderImported
from backhaul.money import Money
from store import credit
from store.ledger import post
from store.sql import insert_once, upsert
from store.tables import (
    CaseLineRow,
    ConsumerRow,
    CoverageRow,
    MerchantRow,
    OrderLineRow,
    OrderRow,
    PaymentRow,
)


@dataclass(frozen=True)
class OrderBundle:
    """An order with all that belongs to it. `returned`: units per line in cases that still hold them."""

    order: OrderRow
    merchant: MerchantRow
    consumer: ConsumerRow
    lines: tuple[OrderLineRow, ...]
    payments: tuple[PaymentRow, ...]
    coverages: tuple[CoverageRow, ...]
    returned: dict[str, int]


async def import_order(
    session: AsyncSession, order: ImportOrder, book_of_version: Callable[[str], BookRef], at: datetime
) -> OrderImported:
    """Keep an order and post J01 to J03. The same order again changes nothing but the profiles, shipping and signing.

    Raises Refusal(`currency_mismatch`, `invalid_input`, `unknown_book`, `order_conflict`)."""
    currency = _checked(order)
    books = {cover.coverage_id: _book(book_of_version, cover.book_version) for cover in order.covers}
    await _keep_profiles(session, order, at)
    content = content_hash(order)
    row = OrderRow(
        order_id=order.order_id,
        merchant_id=order.merchant.merchant_id,
        consumer_ref=order.consumer.consumer_ref,
        paid_minor=sum(line.paid.minor for line in order.lines),
        currency=currency,
        captured_at=order.captured_at,
        signed_at=order.signed_at,
        shipped_at=order.shipped_at,
        content_hash=content,
    )
    if not await insert_once(session, row):
        await _same_again(session, order, content)
        return OrderImported(order_id=order.order_id, created=False)
    await _keep_parts(session, order, books)
    keys = await post(session, _entries(order, currency), at)
    return OrderImported(order_id=order.order_id, created=True, entries=keys)


def content_hash(order: ImportOrder) -> str:
    """What an order is, without the profiles (later imports update them), shipping and signing (they come later)."""
    plain = order.model_dump(
        mode="json", exclude={"merchant", "consumer", "signed_at", "shipped_at"}, exclude_none=True
    )
    return digest({**plain, "merchant_id": order.merchant.merchant_id, "consumer_ref": order.consumer.consumer_ref})


def _checked(order: ImportOrder) -> str:
    currency = order.lines[0].paid.currency
    covers = [
        amount
        for cover in order.covers
        for amount in (cover.sum_insured, cover.premium_merchant, cover.premium_platform, cover.declared)
        if amount is not None
    ]
    amounts = [
        *(line.paid for line in order.lines),
        *(payment.amount for payment in order.payments),
        *covers,
        order.consumer.credit_limit,
    ]
    if any(amount.currency != currency for amount in amounts):
        raise Refusal("currency_mismatch", field="lines")
    if any(amount.minor < 0 for amount in amounts):
        raise Refusal("invalid_input", "an amount of an order is not negative", field="lines")
    for field, ids in (
        ("lines", [line.line_id for line in order.lines]),
        ("payments", [payment.payment_id for payment in order.payments]),
        ("covers", [cover.coverage_id for cover in order.covers]),
        ("covers", [cover.kind for cover in order.covers]),
    ):
        if len(set(ids)) != len(ids):
            raise Refusal("invalid_input", f"{field} names one thing twice", field=field)
    if sum(line.paid.minor for line in order.lines) != sum(paid.amount.minor for paid in order.payments):
        raise Refusal("invalid_input", "the payments do not add up to what the lines cost", field="payments")
    return currency


def _book(book_of_version: Callable[[str], BookRef], version: str) -> BookRef:
    try:
        return book_of_version(version)
    except (LookupError, Rejected) as error:
        raise Refusal("unknown_book", f"no policy book {version}", field="covers") from error


async def _keep_profiles(session: AsyncSession, order: ImportOrder, at: datetime) -> None:
    merchant, consumer = order.merchant, order.consumer
    await upsert(
        session,
        MerchantRow(
            merchant_id=merchant.merchant_id,
            name=merchant.name,
            commission_bps=merchant.commission_bps,
            auto_authorize=merchant.auto_authorize,
            offers=merchant.offers,
            updated_at=at,
        ),
        ["merchant_id"],
        ["name", "commission_bps", "auto_authorize", "offers", "updated_at"],
    )
    known = await session.get(ConsumerRow, consumer.consumer_ref)
    if known is not None and known.currency != consumer.credit_limit.currency:
        raise Refusal("currency_mismatch", "the consumer's credit line is in another currency", field="consumer")
    if known is not None:
        await credit.set_limit(session, consumer.consumer_ref, consumer.credit_limit, at, "import")
    await upsert(
        session,
        ConsumerRow(
            consumer_ref=consumer.consumer_ref,
            tier=consumer.tier,
            risk=consumer.risk,
            limit_minor=consumer.credit_limit.minor,
            currency=consumer.credit_limit.currency,
            updated_at=at,
        ),
        ["consumer_ref"],
        ["tier", "risk", "limit_minor", "updated_at"],
    )


async def _same_again(session: AsyncSession, order: ImportOrder, content: str) -> None:
    known = (await session.exec(select(OrderRow).where(OrderRow.order_id == order.order_id))).one()
    if known.content_hash != content:
        raise Refusal("order_conflict", field="order_id")
    for moment in ("shipped_at", "signed_at"):
        before, now = getattr(known, moment), getattr(order, moment)
        if now is not None and before != now:
            if before is not None:
                raise Refusal("order_conflict", f"the order has another {moment}", field=moment)
            setattr(known, moment, now)
            session.add(known)


async def _keep_parts(session: AsyncSession, order: ImportOrder, books: dict[str, BookRef]) -> None:
    for position, line in enumerate(order.lines):
        session.add(
            OrderLineRow(
                order_id=order.order_id,
                line_id=line.line_id,
                position=position,
                sku=line.sku,
                category=line.category,
                quantity=line.quantity,
                paid_minor=line.paid.minor,
                currency=line.paid.currency,
                weight_g=line.weight_g,
                volume_cm3=line.volume_cm3,
                commission_bps=order.merchant.commission_bps,
            )
        )
    for position, payment in enumerate(order.payments):
        kept = await insert_once(
            session,
            PaymentRow(
                payment_id=payment.payment_id,
                order_id=order.order_id,
                position=position,
                captured_minor=payment.amount.minor,
                currency=payment.amount.currency,
            ),
        )
        if not kept:
            raise Refusal("order_conflict", "a payment belongs to another order", field="payments")
    for position, cover in enumerate(order.covers):
        book = books[cover.coverage_id]
        kept = await insert_once(
            session,
            CoverageRow(
                coverage_id=cover.coverage_id,
                order_id=order.order_id,
                position=position,
                kind=cover.kind.value,
                sum_insured_minor=cover.sum_insured.minor,
                remaining_minor=cover.sum_insured.minor,
                declared_minor=cover.declared.minor if cover.declared else None,
                currency=cover.sum_insured.currency,
                upper_tier=cover.upper_tier,
                premium_merchant_minor=cover.premium_merchant.minor,
                premium_platform_minor=cover.premium_platform.minor,
                bound_at=cover.bound_at,
                book_version=book.version,
                book_hash=book.hash,
            ),
        )
        if not kept:
            raise Refusal("order_conflict", "a cover belongs to another order", field="covers")


def _entries(order: ImportOrder, currency: str) -> tuple[JournalEntry, ...]:
    """J01 per payment, J02 and J03 per cover. Commission rounds down per line, then is split over the payments."""
    ref = OrderRef(
        merchant_id=order.merchant.merchant_id,
        order_id=order.order_id,
        consumer_ref=order.consumer.consumer_ref,
    )
    rate = order.merchant.commission_bps
    commission = Money.sum((line.paid.fraction(rate, 10_000) for line in order.lines), currency)
    shares = commission.split([payment.amount.minor for payment in order.payments])
    sales = [
        sale_captured(ref, payment.amount, share, payment_id=payment.payment_id)
        for payment, share in zip(order.payments, shares, strict=True)
    ]
    covers = []
    for cover in order.covers:
        premium = cover.premium_merchant + cover.premium_platform
        covers += [
            cover_bound(ref, cover.premium_merchant, cover.premium_platform, coverage_id=cover.coverage_id),
            premium_remitted(ref, premium, coverage_id=cover.coverage_id),
        ]
    return made(*sales, *covers)


async def need(session: AsyncSession, order_id: str) -> OrderRow:
    """The order by itself. Raises Refusal(`order_unknown`)."""
    order = (await session.exec(select(OrderRow).where(OrderRow.order_id == order_id))).first()
    if order is None:
        raise Refusal("order_unknown", field="order_id")
    return order


async def lines(session: AsyncSession, order_id: str) -> tuple[OrderLineRow, ...]:
    """An order's lines, as they are now, in order."""
    found = select(OrderLineRow).where(OrderLineRow.order_id == order_id).order_by(col(OrderLineRow.position))
    return tuple((await session.exec(found, execution_options={"populate_existing": True})).all())


async def coverages(session: AsyncSession, order_id: str) -> tuple[CoverageRow, ...]:
    """An order's covers, as they are now, in order."""
    found = select(CoverageRow).where(CoverageRow.order_id == order_id).order_by(col(CoverageRow.position))
    return tuple((await session.exec(found, execution_options={"populate_existing": True})).all())


async def get(session: AsyncSession, order_id: str, *, lock: bool = False) -> OrderBundle | None:
    """The order with all that belongs to it. With `lock`, nobody else counts its units or money till the commit."""
    statement = select(OrderRow).where(OrderRow.order_id == order_id)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    order = (await session.exec(statement)).first()
    if order is None:
        return None
    profiles = (
        select(MerchantRow, ConsumerRow)
        .select_from(OrderRow)
        .join(MerchantRow, col(MerchantRow.merchant_id) == col(OrderRow.merchant_id))
        .join(ConsumerRow, col(ConsumerRow.consumer_ref) == col(OrderRow.consumer_ref))
        .where(OrderRow.order_id == order_id)
    )
    fresh = {"populate_existing": True}
    merchant, consumer = (await session.exec(profiles, execution_options=fresh)).one()
    payments = select(PaymentRow).where(PaymentRow.order_id == order_id).order_by(col(PaymentRow.position))
    units = (
        select(CaseLineRow.line_id, func.sum(CaseLineRow.quantity))
        .where(CaseLineRow.order_id == order_id, col(CaseLineRow.active).is_(True))
        .group_by(col(CaseLineRow.line_id))
    )
    return OrderBundle(
        order=order,
        merchant=merchant,
        consumer=consumer,
        lines=await lines(session, order_id),
        payments=tuple((await session.exec(payments, execution_options=fresh)).all()),
        coverages=await coverages(session, order_id),
        returned={line_id: int(count) for line_id, count in await session.exec(units)},
    )


async def lock(session: AsyncSession, order_id: str) -> OrderBundle:
    """The order, locked to the commit. Raises Refusal(`order_unknown`)."""
    bundle = await get(session, order_id, lock=True)
    if bundle is None:
        raise Refusal("order_unknown", field="order_id")
    return bundle


async def need_merchant(session: AsyncSession, merchant_id: str, *, lock: bool = False) -> MerchantRow:
    """A merchant that must be there; with `lock`, nobody else nets or cures its money till the commit.

    Raises Refusal(`not_found`)."""
    statement = select(MerchantRow).where(MerchantRow.merchant_id == merchant_id)
    if lock:
        statement = statement.with_for_update()
    row = (await session.exec(statement)).first()
    if row is None:
        raise Refusal("not_found", f"there is no merchant {merchant_id}", field="merchant_id")
    return row
