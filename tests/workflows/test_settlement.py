"""X22 and what goes wrong with a payout, on the full server: cycles, children that park, shortfalls and their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.contract import CycleOutcome, CycleRequest, SettlementOutcome
from backhaul.ids import settlement_id
from backhaul.ledger import CaseRef, P, goods_accepted, made
from backhaul.messages import ApplyApproval, ExtendDeadline, RetryStep, SkipStep
from backhaul.money import Money
from backhaul.names import QUEUE, WorkflowType
from store import ledger, settlement
from store.tables import BatchRow
from tests.approvals import CreateApproval, create_approval
from tests.servers.temporal import start_dev_server
from tests.waiting import eventually
from tests.workflows.world import BRISK, Plan, World, cny, world
from worker.sweeper import sweep_once

SALE = 113_964
"""A coat of 1200.00 less 5 % and the premium of 0.36."""
RECEIVABLE = timedelta(days=30)
A_WHILE = timedelta(hours=6)


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[World]:
    """The product on a full server."""
    async with (
        start_dev_server(tmp_path) as environment,
        world(environment, tmp_path, book="brisk", books=BRISK) as running,
    ):
        yield running


async def cycle(full: World, cut: str, page: int = 200) -> CycleOutcome:
    """One cycle, to its end."""
    result: CycleOutcome = await full.env.client.execute_workflow(
        WorkflowType.SETTLEMENT_CYCLE.value,
        CycleRequest(cut=cut, page=page),
        id=f"settlement-cycle:{cut}",
        task_queue=QUEUE,
        result_type=CycleOutcome,
    )
    return result


async def sell(full: World, merchant: str, minor: int = 120_000) -> str:
    return (await full.import_order(Plan(merchant=merchant, lines=(("L1", 1, minor),)))).order_id


async def charge(full: World, merchant: str, order: str, minor: int) -> None:
    """A return that the merchant is charged for, without its story."""
    case = CaseRef(merchant_id=merchant, order_id=order, consumer_ref="c", rma_id=f"r-{order}")
    async with full.store.transaction() as session:
        await ledger.post(session, made(goods_accepted(case, cny(minor), cny(0))), await full.now())


async def batch_of(full: World, merchant: str, cut: str) -> BatchRow:
    async with full.store.read() as session:
        return await settlement.need_batch(session, f"{merchant}:{cut}.CNY")


async def ages(full: World, merchant: str, cut: str, span: timedelta) -> None:
    """A batch was formed, and its merchant told of it, so much earlier."""
    async with full.store.transaction() as session:
        batch = await settlement.need_batch(session, f"{merchant}:{cut}.CNY")
        batch.formed_at -= span
        batch.told_at = None if batch.told_at is None else batch.told_at - span
        session.add(batch)


async def balance(full: World, account: P, merchant: str) -> int:
    async with full.store.read() as session:
        return (await ledger.balance(session, account, "CNY", party=merchant)).minor


class Child:
    """One merchant's settlement at a cut, and what an operator does to it."""

    def __init__(self, full: World, merchant: str, cut: str) -> None:
        self.handle = full.env.client.get_workflow_handle(settlement_id(merchant, cut), result_type=SettlementOutcome)

    async def parked(self) -> str:
        """The reason, as the search attribute shows it."""

        async def seen() -> str:
            attributes = (await self.handle.describe()).search_attributes
            return str((attributes.get("ReturnAttention") or [""])[0])

        return await eventually(seen, what="parked")

    async def say(self, update: str, body: Any) -> None:
        await self.handle.execute_update(update, body)

    async def refused(self, update: str, body: Any) -> str:
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await self.say(update, body)
        assert isinstance(caught.value.cause, ApplicationError)
        return str(caught.value.cause.details[0]["code"])


async def test_a_parked_payout_holds_up_nobody(full: World) -> None:
    """The channel ends one merchant's payout: the others are paid, the cycle ends, the next one leaves its legs alone;
    a retry pays under the next key."""
    await sell(full, "bad")
    await sell(full, "good")
    await full.outside.script("psp", "bad:settlement:c1.CNY:1", state="failed", code="channel_closed")
    first = await cycle(full, "c1")
    assert (first.merchants, first.left) == (2, 1)
    assert len(await full.outside.payouts("good")) == 1
    child = Child(full, "bad", "c1")
    assert await child.parked() == "channel_closed"
    await sell(full, "bad", 10_000)
    second = await cycle(full, "c2")
    assert (second.merchants, second.left) == (1, 0)
    assert [row.amount for row in await full.outside.payouts("bad")] == [cny(10_000 - 500 - 36)]
    await child.say("extend_deadline", ExtendDeadline(seconds=60))
    await child.say("retry_step", RetryStep())
    outcome = await child.handle.result()
    assert outcome.paid == (cny(SALE),)
    keys = [row.key for row in await full.outside.payouts("bad")]
    assert keys == ["bad:settlement:c2.CNY:1", "bad:settlement:c1.CNY:2"]
    assert await balance(full, P.MERCHANT_PAYABLE, "bad") == 0


async def test_pages_go_on_past_a_parked_merchant(full: World) -> None:
    """One merchant a page, the first one parked, one payout looked up for ever: all others are paid at the same cut."""
    for merchant in ("a-parked", "b", "c-pending", "d"):
        await sell(full, merchant)
    await full.outside.script("psp", "a-parked:settlement:c1.CNY:1", state="failed", code="channel_closed")
    await full.outside.script("psp", "c-pending:settlement:c1.CNY:1", state="pending")
    done = await cycle(full, "c1", page=1)
    assert done.merchants == 4
    assert done.left >= 2  # a page waits half a second for its settlements: a slow one is left to itself, too
    for merchant in ("b", "d"):
        paid = await full.asked(partial(full.outside.payouts, merchant), bool, f"the payout to {merchant}")
        assert [row.amount for row in paid] == [cny(SALE)]
    assert await Child(full, "c-pending", "c1").parked() == "pending"
    assert (await cycle(full, "c2")).merchants == 0


async def test_an_unknown_answer_never_makes_a_new_key(full: World) -> None:
    """X18 for a payout: looked up under the same key, paid once."""
    await sell(full, "m")
    await full.outside.faults("psp", {"match": "POST /v1/payouts", "kind": "error_after", "times": 1})
    assert (await cycle(full, "c1")).left == 0
    assert [row.key for row in await full.outside.payouts("m")] == ["m:settlement:c1.CNY:1"]


async def test_a_payout_skipped_under_proof_goes_into_the_next_settlement(full: World) -> None:
    """The merchant's account is closed: proved by the channel, the batch is dissolved, the next cut pays everything."""
    await sell(full, "m")
    await full.outside.script("psp", "m:settlement:c1.CNY:1", state="failed", code="account_abnormal")
    assert (await cycle(full, "c1")).left == 1
    child = Child(full, "m", "c1")
    assert await child.parked() == "account_abnormal"
    assert await child.refused("skip_step", SkipStep()) == "proof_required"
    await child.say("skip_step", SkipStep(provider_proof=True))
    outcome = await child.handle.result()
    assert outcome.paid == ()
    assert (await batch_of(full, "m", "c1")).state == "dissolved"
    await sell(full, "m", 10_000)
    await cycle(full, "c2")
    assert [row.amount for row in await full.outside.payouts("m")] == [cny(SALE + 9_464)]
    async with full.store.read() as session:
        assert await settlement.check_batches(session) == ()


async def test_a_terminated_settlement_is_carried_on(full: World) -> None:
    """The sweeper starts it again: the same batch under the payout key that it had reached, paid once."""
    await sell(full, "m")
    await full.outside.script("psp", "m:settlement:c1.CNY:1", state="failed", code="channel_closed")
    assert (await cycle(full, "c1")).left == 1
    child = Child(full, "m", "c1")
    await child.parked()
    client, none = full.env.client, timedelta(0)
    assert await sweep_once(client, full.store, settling=none) == []
    await child.handle.terminate()
    (found,) = await sweep_once(client, full.store, settling=none)
    assert (found.code, found.workflow_id, found.carried_on) == ("case_terminated", "settlement:m:c1", True)
    again = Child(full, "m", "c1")
    await again.parked()
    await again.say("retry_step", RetryStep())
    assert (await again.handle.result()).paid == (cny(SALE),)
    assert [row.key for row in await full.outside.payouts("m")] == ["m:settlement:c1.CNY:2"]
    assert await sweep_once(client, full.store, settling=none) == []


async def test_a_small_shortfall_is_written_off_at_its_time_and_not_before(full: World) -> None:
    """X22 by itself: J71 at the cut, nothing within the receivable's time, J74 at the first cut after it."""
    order = await sell(full, "m", 20_000)
    await cycle(full, "c1")
    await charge(full, "m", order, 20_000)
    await cycle(full, "c2")
    assert ((await batch_of(full, "m", "c2")).state, await balance(full, P.MERCHANT_RECEIVABLE, "m")) == (
        "shortfall",
        20_000,
    )
    assert await full.outside.told("m:c2.CNY") == [("merchant:m", "shortfall")]
    assert (await batch_of(full, "m", "c2")).told_at is not None
    await ages(full, "m", "c2", RECEIVABLE - A_WHILE)
    await cycle(full, "c3")
    assert (await batch_of(full, "m", "c2")).state == "shortfall"
    await ages(full, "m", "c2", A_WHILE)
    await cycle(full, "c4")
    assert (await batch_of(full, "m", "c2")).state == "written_off"
    assert await balance(full, P.MERCHANT_RECEIVABLE, "m") == 0
    async with full.store.read() as session:
        assert (await ledger.balance(session, P.BAD_DEBT, "CNY")).minor == 20_000
    assert (await cycle(full, "c5")).merchants == 0


async def test_a_shortfall_that_the_merchant_was_not_told_of_has_no_end(full: World) -> None:
    """X22: the notice reaches nobody, the settlement parks; the receivable's time begins only once they were told."""
    order = await sell(full, "m", 20_000)
    await cycle(full, "c1")
    await charge(full, "m", order, 20_000)
    await full.outside.script("notices", "notice.shortfall:1", state="failed")
    assert (await cycle(full, "c2")).left == 1
    child = Child(full, "m", "c2")
    assert await child.parked() == "notice_undelivered"
    await ages(full, "m", "c2", RECEIVABLE + A_WHILE)
    await cycle(full, "c3")
    batch = await batch_of(full, "m", "c2")
    assert (batch.state, batch.told_at) == ("shortfall", None)
    told = await full.now()
    await child.say("skip_step", SkipStep())
    assert (await child.handle.result()).shortfall == (cny(20_000),)
    await cycle(full, "c4")
    batch = await batch_of(full, "m", "c2")
    assert batch.state == "shortfall"
    assert batch.told_at is not None and batch.told_at >= told - timedelta(seconds=1)
    assert await full.outside.told("m:c2.CNY") == []


async def test_a_large_shortfall_waits_for_a_second_person(full: World) -> None:
    """X22 above the authority: payouts are held, a human is asked once, and only the approval that fits ends it."""
    order = await sell(full, "m", 400_000)
    await cycle(full, "c1")
    await charge(full, "m", order, 400_000)
    await cycle(full, "c2")
    await ages(full, "m", "c2", RECEIVABLE)
    assert (await cycle(full, "c3")).left == 1
    child = Child(full, "m", "c3")
    assert await child.parked() == "approval_required"
    assert (await cycle(full, "c4")).left == 0
    subject = "write_off:m:c2.CNY"
    assert await child.refused("skip_step", SkipStep(provider_proof=True)) == "not_waiting"
    wrong = await approve(full, "a1", subject, 300_000)
    assert await child.refused("apply_approval", ApplyApproval(approval_id=wrong)) == "approval_mismatch"
    await child.say("retry_step", RetryStep())
    assert await child.parked() == "approval_required"
    await child.say("apply_approval", ApplyApproval(approval_id=await approve(full, "a2", subject, 400_000)))
    await child.handle.result()
    assert ((await batch_of(full, "m", "c2")).state, await balance(full, P.MERCHANT_RECEIVABLE, "m")) == (
        "written_off",
        0,
    )


async def approve(full: World, approval_id: str, subject: str, minor: int) -> str:
    wanted = CreateApproval(
        merchant_id="m", subject=subject, amount=Money(minor=minor), payee="m", prepared_by="clerk-1"
    )
    async with full.store.transaction() as session:
        await create_approval(session, approval_id, wanted, "boss-1", await full.now())
    return approval_id
