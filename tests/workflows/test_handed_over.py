"""What goes on after the case: recovery from the carrier and from withheld money, the settlement cycle, the schedule.

On the full server, since the time-skipping one stops skipping once a child is handed over.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.contract import CycleOutcome, CycleRequest, RecoveryOutcome
from backhaul.ids import CaseId, claim_ref, settlement_id
from backhaul.ledger import P
from backhaul.messages import ConfirmReceipt
from backhaul.names import QUEUE, WorkflowType
from store import ledger
from tests.replay.recorded import record
from tests.servers.temporal import start_dev_server
from tests.workflows.world import BRISK, Case, Plan, World, at_receipt, cny, damage, objection, world


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[World]:
    """The product on a full server."""
    async with (
        start_dev_server(tmp_path) as environment,
        world(environment, tmp_path, book="brisk", books=BRISK) as running,
    ):
        yield running


async def _delivered(case: Case, *findings: object) -> None:
    await case.waits_for("pickup")
    await case.pickup(findings=findings)  # type: ignore[arg-type]
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")


async def _recovery(case: Case) -> RecoveryOutcome:
    outcome = await case.end()
    assert outcome.recovery is not None
    handle = case.world.env.client.get_workflow_handle(outcome.recovery, result_type=RecoveryOutcome)
    recovered: RecoveryOutcome = await handle.result()
    if os.environ.get("BACKHAUL_RECORD"):
        await record("recovery_withheld" if outcome.withheld.minor else "recovery_carrier", handle)
    return recovered


async def _balance(world: World, account: P) -> int:
    async with world.store.read() as session:
        return (await ledger.balance(session, account, "CNY")).minor


async def test_the_carrier_pays_and_the_insurer_nets_nothing(full: World) -> None:
    case = await full.open(Plan(tier=0))
    await _delivered(case)
    await case.say("report_receipt_issue", objection(at_receipt()))
    recovered = await _recovery(case)
    assert (recovered.state, recovered.recovered) == ("collected", cny(36_000))
    claim = claim_ref(CaseId(case.request.merchant_id, case.request.rma_id), "loss")
    assert len(await full.outside.statement("courier", claim)) == 1
    assert len(await full.outside.statement("insurer", f"{claim}:remit")) == 1
    assert await _balance(full, P.RECOVERIES_OWED) == 0


async def test_withheld_money_goes_to_the_insurer(full: World) -> None:
    case = await full.open()
    await _delivered(case, damage(30))
    await case.say("confirm_receipt", ConfirmReceipt())
    recovered = await _recovery(case)
    assert (recovered.state, recovered.recovered) == ("collected", cny(36_000))
    assert await _balance(full, P.RECOVERIES_OWED) == 0


async def test_two_cycles_pay_a_merchant_once_each_for_what_is_new(full: World) -> None:
    """Two units at 200.00 less 5 % and premium, one returned: the rest is paid; the next cycle has nothing left."""
    case = await full.open(Plan(tier=0, lines=(("L1", 2, 40_000),), back=(("L1", 1),)))
    await _delivered(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.end()
    merchant = case.request.merchant_id
    for cut, merchants in (("c1", 1), ("c2", 0)):
        handle = await full.env.client.start_workflow(
            WorkflowType.SETTLEMENT_CYCLE.value,
            CycleRequest(cut=cut),
            id=f"settlement-cycle:{cut}",
            task_queue=QUEUE,
            result_type=CycleOutcome,
        )
        assert (await handle.result()).merchants == merchants
        if os.environ.get("BACKHAUL_RECORD") and merchants:
            await record("settlement_cycle", handle)
            await record("settlement", full.env.client.get_workflow_handle(settlement_id(merchant, cut)))
    key = f"{merchant}:settlement:c1"
    paid = await full.outside.payouts(merchant)
    assert [row.amount for row in paid] == [cny(40_000 - 2_000 - 36 - 20_000 + 1_000)]
    assert paid[0].key.startswith(key)
    assert await _balance(full, P.MERCHANT_PAYABLE) == 0
