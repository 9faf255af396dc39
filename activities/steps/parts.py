"""Refunds back to the original payments, each part under its one key, and what no payment has room for. Domain 6."""

from __future__ import annotations

from activities.contract import RefundPart, Repayment
from activities.steps.desk import Work, id_of
from backhaul.ids import payment_key
from backhaul.money import Money
from store import consumer_money, refunds


async def refund_parts(work: Work, amount: Money, purpose: str = "refund") -> tuple[RefundPart, ...]:
    """Spread a refund over the payments; count it on them; name each part's key.

    Raises Rejected(`exceeds_capture`) where that much is not left of them."""
    if not amount:
        return ()
    taken = await refunds.take(work.session, work.case.order_id, amount)
    case = id_of(work.case)
    return tuple(
        RefundPart(
            payment_key=payment_key(case, f"{purpose}.{payment_id}"),
            payment_id=payment_id,
            amount=part,
            payee=work.case.consumer_ref,
        )
        for payment_id, part in taken
    )


async def with_freight(
    work: Work, refund: Money, freight: Money
) -> tuple[tuple[RefundPart, ...], tuple[Repayment, ...]]:
    """A refund and the freight that is owed with it (J16): the freight goes with the refund as far as the payments have
    room for it, and what is over is paid to the consumer's account (J61). A payment takes back no more than it brought.

    Raises as `refund_parts` where not even the refund is left of them."""
    left = Money(
        minor=sum(row.captured_minor - row.refunded_minor for row in work.order.payments), currency=refund.currency
    )
    fits = freight.at_most(max(left - refund, Money.zero(refund.currency)))
    parts = await refund_parts(work, refund + fits)
    over = freight - fits
    if not over:
        return parts, ()
    owed = Repayment(key=payment_key(id_of(work.case), "owed.self_ship_freight"), amount=over)
    await consumer_money.owe(work.session, work.key, owed.key, over, work.at)
    return parts, (owed,)
