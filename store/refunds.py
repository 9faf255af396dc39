"""What refunds take of lines and payments: counted on condition, so that no order of events exceeds what was paid."""

from __future__ import annotations

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Rejected
from backhaul.money import Money
from store.tables import OrderLineRow, PaymentRow


async def add_to_line(
    session: AsyncSession, order_id: str, line_id: str, amount: Money, commission: Money | None = None
) -> None:
    """Count a refund on an order line, with the commission reversed for it. Negative amounts take it back.

    Raises Rejected(`over_refund`) where the line was not paid that much (invariant 3)."""
    after = col(OrderLineRow.refunded_minor) + amount.minor
    changed = await session.exec(
        update(OrderLineRow)
        .where(
            col(OrderLineRow.order_id) == order_id,
            col(OrderLineRow.line_id) == line_id,
            col(OrderLineRow.currency) == amount.currency,
            after <= col(OrderLineRow.paid_minor),
            after >= 0,
        )
        .values(
            refunded_minor=after,
            commission_reversed_minor=col(OrderLineRow.commission_reversed_minor)
            + (commission.minor if commission else 0),
        )
    )
    if changed.rowcount != 1:
        raise Rejected("over_refund", f"{amount} on line {line_id} is more than was paid for it")


async def take(session: AsyncSession, order_id: str, amount: Money) -> tuple[tuple[str, Money], ...]:
    """Spread a refund over the order's payments, in their order, and count it on them: (payment_id, part).

    Raises Rejected(`exceeds_capture`) where less is left of them."""
    statement = (
        select(PaymentRow)
        .where(PaymentRow.order_id == order_id)
        .order_by(col(PaymentRow.position))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    left, parts = amount.minor, []
    for payment in (await session.exec(statement)).all():
        part = min(left, payment.captured_minor - payment.refunded_minor)
        if part <= 0 or payment.currency != amount.currency:
            continue
        payment.refunded_minor += part
        session.add(payment)
        parts.append((payment.payment_id, Money(minor=part, currency=amount.currency)))
        left -= part
    if left:
        raise Rejected("exceeds_capture", f"{amount} is more than is left of the payments")
    return tuple(parts)


async def give_back(session: AsyncSession, payment_id: str, amount: Money) -> None:
    """A refund that will never leave, proved by the channel: what it took of the payment is free again."""
    after = col(PaymentRow.refunded_minor) - amount.minor
    changed = await session.exec(
        update(PaymentRow).where(col(PaymentRow.payment_id) == payment_id, after >= 0).values(refunded_minor=after)
    )
    if changed.rowcount != 1:
        raise Rejected("invariant_broken", f"payment {payment_id} has no refund of {amount} under way")
