"""The worker dies by SIGKILL in the middle of a payment and is started again: one success outside, one entry inside.

The provider holds the request until the worker is dead, so that the kill comes when the request is out and the answer
is not in: after the effect's row says `sent`, before its result is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import col, select

from activities.contract import CycleOutcome, CycleRequest
from backhaul.client import Backhaul
from backhaul.messages import ConfirmReceipt
from backhaul.names import QUEUE, WorkflowType
from store.engine import Store
from store.tables import EffectRow, EntryRow
from tests.chaos.workers import WorkerProcess
from tests.gateways.outside import outside
from tests.servers.temporal import start_dev_server
from tests.waiting import eventually
from tests.workflows.world import Case, Plan, World, damage

HELD = {"kind": "latency", "probability": 1.0, "ms": 600_000}


@dataclass
class Killable:
    """A world whose worker is a process."""

    world: World
    worker: WorkerProcess

    async def kill_when_sent(self, kind: str) -> str:
        """Kill the worker when a payment of this kind is out and not answered; start another. The payment's key."""

        async def sent() -> EffectRow | None:
            async with self.world.store.read() as session:
                query = select(EffectRow).where(EffectRow.state == "sent", EffectRow.kind == kind)
                return (await session.exec(query)).first()

        row = await eventually(sent, what=f"a {kind} that is out")
        assert row is not None
        await self.worker.kill()
        self.world.outside.servers["psp"].let_go()
        await self.worker.start()
        return row.key

    async def region(self, case: Case, region: str, value: str) -> None:
        """Until a region of the case says so. The server gives a lost workflow task up after ten seconds, and may do
        so twice; until then a query waits, and `Transient` after the client's patience is its honest answer."""
        await self.world.asked(case.status, lambda status: status.regions[region] == value, f"{region} {value}")

    async def proved_once(self, key: str, template: str) -> None:
        """One success in the provider's statement, one entry in the journal."""
        assert len(await self.world.outside.statement("psp", key)) == 1
        async with self.world.store.read() as session:
            query = select(EntryRow).where(col(EntryRow.payment_key) == key, EntryRow.template == template)
            assert len((await session.exec(query)).all()) == 1


@pytest.fixture
async def killable(tmp_path: Path) -> AsyncIterator[Killable]:
    """A worker process on a full server of its own: no other test's cases, no other worker."""
    store = Store(f"sqlite:///{tmp_path}/backhaul.db")
    await store.create_all()
    async with start_dev_server(tmp_path) as dev_server, outside(tmp_path) as parties:
        address = dev_server.client.service_client.config.target_host
        worker = WorkerProcess(address, f"sqlite:///{tmp_path}/backhaul.db", parties, tmp_path / "worker.log")
        await worker.start()
        try:
            backhaul = Backhaul(dev_server.client, patience=timedelta(seconds=60))
            yield Killable(World(dev_server, store, parties, backhaul), worker)
        finally:
            await worker.kill()
            await store.close()


async def _held(killable: Killable, path: str) -> None:
    await killable.world.outside.faults("psp", {"match": f"POST {path}", **HELD})


async def _deliver(case: Case) -> None:
    await case.track("delivered")
    await case.waits_for("receipt")


async def test_killed_in_the_middle_of_the_refund(killable: Killable) -> None:
    await _held(killable, "/v1/refunds")
    case = await killable.world.open()
    await case.waits_for("pickup")
    await case.pickup()
    key = await killable.kill_when_sent("refund")
    await killable.region(case, "refund", "succeeded")
    await killable.proved_once(key, "J21")


async def test_killed_in_the_middle_of_the_advance(killable: Killable) -> None:
    await _held(killable, "/v1/payouts")
    case = await killable.world.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30)])
    key = await killable.kill_when_sent("advance")
    await killable.region(case, "indemnity", "paid")
    await killable.proved_once(key, "J34")


async def test_killed_in_the_middle_of_the_settlement(killable: Killable) -> None:
    plan = Plan(tier=0, lines=(("L1", 2, 20_000),), back=(("L1", 1),))
    case = await killable.world.open(plan)
    await case.waits_for("pickup")
    await case.pickup()
    await _deliver(case)
    await case.say("confirm_receipt", ConfirmReceipt())
    await case.end()
    await _held(killable, "/v1/payouts")
    cycle = await killable.world.env.client.start_workflow(
        WorkflowType.SETTLEMENT_CYCLE.value,
        CycleRequest(cut="kill-1"),
        id="settlement-cycle-kill-1",
        task_queue=QUEUE,
        result_type=CycleOutcome,
    )
    key = await killable.kill_when_sent("settlement")
    assert (await cycle.result()).merchants == 1
    await killable.proved_once(key, "J70")
