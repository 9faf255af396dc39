"""Unclaimed money is claimed: paid to the account that the consumer names (J63). Domain 6, X20."""

from __future__ import annotations

import asyncio

from temporalio import workflow

from activities.contract import LeaveUnclaimed, PayConsumer, Proof, TakeUnclaimed, UnclaimedItem
from activities.declarations import leave_unclaimed, pay_consumer, take_unclaimed
from backhaul.case import Region
from backhaul.facts import Party
from backhaul.ids import claim_key, next_key
from backhaul.messages import ProvideAccount
from workflows.correction_run import CorrectionRun
from workflows.stages.accounts import another_account
from workflows.stages.refunding import ABNORMAL, next_payout


async def refund_claimed(run: CorrectionRun) -> str:
    """All that waits for the consumer on this case, to the account of the claim; where it takes no money another one
    is asked for, and what cannot be paid waits again."""
    account = run.request.event.account_ref
    run.mail.account = None if account is None else ProvideAccount(account_ref=account)
    money = await run.step(take_unclaimed, TakeUnclaimed(case=run.judged.case, n=run.request.n, at=workflow.now()))
    was = run.regions[Region.REFUND]
    if money.items and run.regions.may(Region.REFUND, "alternate"):
        run.regions.to(Region.REFUND, "alternate")
    paid = await asyncio.gather(*(_claim(run, item) for item in money.items))
    if run.regions[Region.REFUND] == "alternate":
        run.regions.to(Region.REFUND, "succeeded" if all(paid) else was)
    if not money.items:
        return "nothing_unclaimed"
    return "claimed" if all(paid) else "unclaimed"


async def _claim(run: CorrectionRun, item: UnclaimedItem) -> bool:
    case, n = run.judged.case, run.request.n
    key, tried = claim_key(item.key, n), set[str]()
    while True:
        account = await another_account(run, frozenset(tried))
        if account is None:
            await run.step(leave_unclaimed, LeaveUnclaimed(case=case, n=n, key=item.key, at=workflow.now()))
            return False
        tried.add(account)
        done = await run.effect(
            pay_consumer,
            PayConsumer(
                case=case,
                of=item.key,
                key=key,
                amount=item.amount,
                account_ref=account,
                unclaimed=True,
                patience=run.patience,
            ),
            key=lambda a: a.key,
            again=next_payout,
            hand_back=frozenset({ABNORMAL}),
        )
        if not isinstance(done, Proof) or done.state == "succeeded":
            run.tell(f"unclaimed money of {item.amount} paid", Party.PSP)
            return True
        if done.state != ABNORMAL:
            await run.step(leave_unclaimed, LeaveUnclaimed(case=case, n=n, key=item.key, at=workflow.now()))
            return False
        key = next_key(done.key)
