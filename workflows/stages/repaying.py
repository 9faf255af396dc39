"""What a consumer is owed besides refunds: to the account that they pay from. X19, X20, J61, J62."""

from __future__ import annotations

from temporalio import workflow

from activities.contract import KeepUnclaimed, PayConsumer, Proof, Repayment
from activities.declarations import keep_unclaimed, pay_consumer
from backhaul.facts import Party
from backhaul.ids import account_key, next_key
from workflows.case_run import CaseDesk
from workflows.stages.accounts import another_account
from workflows.stages.refunding import ABNORMAL, next_payout


async def repay(run: CaseDesk, owed: Repayment) -> None:
    """Once, whatever ways it takes: an account that takes no money is followed by one that the consumer names; where
    they name none it waits to be claimed."""
    case, key, tried = run.judged.case, account_key(owed.key), set[str]()
    account: str | None = case.consumer_ref
    while account is not None:
        tried.add(account)
        done = await run.effect(
            pay_consumer,
            PayConsumer(
                case=case, of=owed.key, key=key, amount=owed.amount, account_ref=account, patience=run.patience
            ),
            key=lambda a: a.key,
            again=next_payout,
            hand_back=frozenset({ABNORMAL}),
        )
        if not isinstance(done, Proof) or done.state == "succeeded":
            run.tell(f"{owed.amount} paid to the consumer's account", Party.PSP)
            return
        if done.state != ABNORMAL:  # proved by somebody, who kept it with that
            run.tell(f"{owed.amount} went to unclaimed money", Party.PLATFORM)
            return
        key = next_key(done.key)
        account = await another_account(run, frozenset(tried))
    await run.step(keep_unclaimed, KeepUnclaimed(case=case, of=owed.key, amount=owed.amount, at=workflow.now()))
    run.tell(f"{owed.amount} went to unclaimed money", Party.PLATFORM)
