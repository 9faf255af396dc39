"""The consumer's money that could not be paid: kept (J62), taken by the correction that pays it, left again. X20."""

from __future__ import annotations

from activities.contract import KeepUnclaimed, LeaveUnclaimed, Receipt, TakeUnclaimed, UnclaimedItem, UnclaimedMoney
from activities.steps.desk import Desk, Work
from backhaul.ledger import refund_unclaimed
from backhaul.money import Money
from store import consumer_money, refunds, unclaimed
from store.effects import Outcome


async def keep(desk: Desk, argument: KeepUnclaimed) -> Receipt:
    """J62, once, and only when nothing begun for the money can pay any more. What a failed refund took of its payment
    is free again; one that came back went through the payment and stays counted."""

    async def work(now: Work) -> Receipt:
        of, amount = argument.of, argument.amount
        refund = await consumer_money.need_refund_over(now.session, now.key, of, amount)
        if refund is not None and refund.state == Outcome.FAILED:
            await refunds.give_back(now.session, refund.request["about"]["payment_id"], amount)
        await unclaimed.keep(now.session, argument.case, of, amount, now.at)
        now.post(refund_unclaimed(argument.case, amount, part=of))
        return Receipt(key=of, ref="unclaimed", amount=amount)

    return await desk.once(argument.case, f"unclaimed:{argument.of}", argument, Receipt, work, argument.at)


async def take(desk: Desk, argument: TakeUnclaimed) -> UnclaimedMoney:
    """What the correction pays out; nobody else takes it meanwhile."""

    async def work(now: Work) -> UnclaimedMoney:
        rows = await unclaimed.take(now.session, now.key, argument.n)
        return UnclaimedMoney(
            items=tuple(
                UnclaimedItem(key=row.key, amount=Money(minor=row.amount_minor, currency=row.currency)) for row in rows
            )
        )

    return await desk.once(argument.case, f"take:{argument.n}", argument, UnclaimedMoney, work, argument.at)


async def leave(desk: Desk, argument: LeaveUnclaimed) -> Receipt:
    """It waits again, once no payout for it can pay any more."""

    async def work(now: Work) -> Receipt:
        await consumer_money.need_payouts_over(now.session, now.key, argument.key)
        await unclaimed.leave(now.session, argument.key, argument.n)
        return Receipt(key=argument.key, ref="unclaimed", amount=Money.zero(now.order.order.currency))

    step = f"leave:{argument.n}:{argument.key}"
    return await desk.once(argument.case, step, argument, Receipt, work, argument.at)
