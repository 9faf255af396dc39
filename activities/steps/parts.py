"""Refunds back to the original payments, each part under its one key. Domain 6, payment keys."""

from __future__ import annotations

from activities.contract import RefundPart
from activities.steps.desk import Work, id_of
from backhaul.ids import payment_key
from backhaul.ledger import refund_unclaimed
from backhaul.money import Money
from store import refunds, unclaimed


async def refund_parts(work: Work, refund: Money, freight: Money, purpose: str = "refund") -> tuple[RefundPart, ...]:
    """Spread a refund, and freight that is owed with it, over the payments; count it on them; name each part's key.

    A payment takes back no more than it brought: freight beyond that is kept for the consumer as unclaimed (J62).
    Raises Rejected(`exceeds_capture`) where not even the refund is left of them."""
    left = Money(
        minor=sum(row.captured_minor - row.refunded_minor for row in work.order.payments), currency=refund.currency
    )
    room = max(left - refund, Money.zero(refund.currency))
    over = freight - freight.at_most(room)
    work.post(refund_unclaimed(work.case, over, part="freight"))
    await unclaimed.keep(work.session, work.case, payment_key(id_of(work.case), "refund.freight"), over, work.at)
    amount = refund + freight.at_most(room)
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
