"""X22: a return that the merchant's next settlement cannot pay for, and what becomes of the shortfall."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import WorkflowHandle

from activities.contract import Patience, SettlementOutcome, SettlementRequest
from backhaul.ids import settlement_id
from backhaul.ledger import P
from backhaul.messages import ApplyApproval, ConfirmReceipt
from backhaul.names import QUEUE, WorkflowType
from backhaul.treasury import PostTreasury, TreasuryKind
from store import ledger, settlement, treasury
from tests.approvals import CreateApproval, create_approval
from tests.workflows.scenarios.registry import scenario
from tests.workflows.scenarios.telling import to_the_merchant
from tests.workflows.world import Case, Plan, World, cny

RECEIVABLE = timedelta(days=30)
COAT_PAID = 113_964
"""1200.00 less 5 % and the premium of 0.36."""
COAT_BACK = 114_000
"""1200.00 less the commission that is given back."""


async def begin(case: Case, cut: str) -> WorkflowHandle[object, SettlementOutcome]:
    """The merchant's settlement at a cut of its own. Not as a cycle's child: this server would never skip again."""
    world, merchant = case.world, case.request.merchant_id
    async with world.store.transaction() as session:
        await settlement.open_cut(session, cut, await world.now())
    return await world.env.client.start_workflow(
        WorkflowType.SETTLEMENT.value,
        SettlementRequest(merchant_id=merchant, cut=cut, patience=Patience()),
        id=settlement_id(merchant, cut),
        task_queue=QUEUE,
        result_type=SettlementOutcome,
    )


async def settle(case: Case, cut: str) -> tuple[list[int], list[int]]:
    """What was paid, and what is short."""
    with case.world.env.auto_time_skipping_disabled():  # the case's own waits go on meanwhile
        outcome = await (await begin(case, cut)).result()
    return [one.minor for one in outcome.paid], [one.minor for one in outcome.shortfall]


async def posted(world: World, *templates: str) -> list[tuple[str, int]]:
    """Entries of these templates, and the amount of each."""
    async with world.store.read() as session:
        found = await ledger.find(session, templates=templates)
    return [(one.entry.template, one.entry.lines[0].amount.minor) for one in found]


async def owed(case: Case) -> int:
    async with case.world.store.read() as session:
        balance = await ledger.balance(session, P.MERCHANT_RECEIVABLE, "CNY", party=case.request.merchant_id)
    return balance.minor


async def approve(case: Case, subject: str, amount: int) -> str:
    """A second person's yes that concerns the merchant and no case."""
    merchant, n = case.request.merchant_id, f"approval-{subject}".replace(":", ".")
    wanted = CreateApproval(
        merchant_id=merchant, subject=subject, amount=cny(amount), payee=merchant, prepared_by="clerk-1"
    )
    async with case.world.store.transaction() as session:
        await create_approval(session, n, wanted, "boss-1", await case.world.now())
    return n


async def book(case: Case, kind: TreasuryKind, amount: int) -> None:
    """Money came in at the bank."""
    merchant = case.request.merchant_id
    approval = await approve(case, f"{kind.value}:bank-{kind.value}", amount)
    asked = PostTreasury(
        kind=kind, merchant_id=merchant, amount=cny(amount), reference=f"bank-{kind.value}", approval_id=approval
    )
    now = await case.world.now()
    await case.world.store.run(lambda session: treasury.post(session, asked, now))


async def returned_after_the_payout(world: World, plan: Plan) -> Case:
    """The sale is paid out, then everything comes back: the next settlement is short."""
    case = await world.open(plan)
    await settle(case, "c1")
    await to_the_merchant(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.end()
    return case


@scenario("X22", timer="settlement.receivable")
async def shortfall_written_off(world: World) -> Case:
    """The merchant owes 1140.00 and sells nothing more: a receivable for 30 days, then written off."""
    case = await returned_after_the_payout(world, Plan(tier=0))
    assert await settle(case, "c2") == ([], [COAT_BACK])
    assert await posted(world, "J70", "J71", "J74", "J76") == [("J70", COAT_PAID), ("J71", COAT_BACK)]
    await world.env.sleep(RECEIVABLE - timedelta(minutes=10))
    assert (await settle(case, "c3"), await owed(case)) == (([], []), COAT_BACK)
    await world.env.sleep(timedelta(minutes=11))
    assert (await settle(case, "c4"), await owed(case)) == (([], []), 0)
    assert await posted(world, "J72", "J73", "J74", "J76") == [("J74", COAT_BACK)]
    assert len(await world.outside.payouts(case.request.merchant_id)) == 1
    return case


@scenario("X22", timer="settlement.receivable")
async def shortfall_paid_in_time(world: World) -> Case:
    """Later sales pay first, then the deposit, then the merchant itself; nothing is left to write off."""
    case = await returned_after_the_payout(world, Plan(tier=0))
    await settle(case, "c2")
    await book(case, TreasuryKind.DEPOSIT_RECEIVED, 10_000)
    await world.import_order(Plan(merchant=case.request.merchant_id, lines=(("L1", 1, 20_000),)))
    assert await settle(case, "c3") == ([], [])
    sold = 20_000 - 1_000 - 36
    assert await posted(world, "J72", "J76") == [("J76", sold), ("J72", 10_000)]
    rest = COAT_BACK - sold - 10_000
    assert await owed(case) == rest
    await world.env.sleep(RECEIVABLE - timedelta(minutes=10))
    await book(case, TreasuryKind.SHORTFALL_TOPPED_UP, rest)
    await world.env.sleep(timedelta(minutes=11))
    assert (await settle(case, "c4"), await owed(case)) == (([], []), 0)
    assert await posted(world, "J73", "J74") == [("J73", rest)]
    return case


@scenario("X22", timer="settlement.receivable")
async def shortfall_meets_a_sale_at_its_end(world: World) -> Case:
    """A sale and the end of the 30 days fall on the same cut: the sale counts, only what it does not cover is lost."""
    case = await returned_after_the_payout(world, Plan(tier=0))
    await settle(case, "c2")
    await world.env.sleep(RECEIVABLE)
    await world.import_order(Plan(merchant=case.request.merchant_id, lines=(("L1", 1, 100_000),)))
    assert await settle(case, "c3") == ([], [])
    sold = 100_000 - 5_000 - 36
    assert await posted(world, "J74", "J76") == [("J76", sold), ("J74", COAT_BACK - sold)]
    assert await owed(case) == 0
    return case


@scenario("X22", timer="settlement.receivable")
async def shortfall_above_the_authority(world: World) -> Case:
    """The merchant owes 3800.00 after 30 days: never written off without a second person."""
    case = await returned_after_the_payout(world, Plan(tier=0, lines=(("L1", 1, 400_000),)))
    merchant, short = case.request.merchant_id, 380_000
    assert await settle(case, "c2") == ([], [short])
    await world.env.sleep(RECEIVABLE)
    late = await begin(case, "c3")
    subject = f"write_off:{merchant}:c2.CNY"
    good = await approve(case, subject, short)
    await late.execute_update("apply_approval", ApplyApproval(approval_id=good))
    assert (await late.result()).paid == ()
    assert (await posted(world, "J74"), await owed(case)) == ([("J74", short)], 0)
    return case


@scenario("X22", timer="settlement.receivable")
async def shortfall_above_the_authority_paid_late(world: World) -> Case:
    """The merchant pays 3800.00 after the 30 days: the settlement that waited for a second person ends by itself."""
    case = await returned_after_the_payout(world, Plan(tier=0, lines=(("L1", 1, 400_000),)))
    await settle(case, "c2")
    await world.env.sleep(RECEIVABLE)
    late = await begin(case, "c3")
    await book(case, TreasuryKind.SHORTFALL_TOPPED_UP, 380_000)
    assert (await late.result()).paid == ()
    assert (await posted(world, "J73", "J74"), await owed(case)) == ([("J73", 380_000)], 0)
    return case
