"""Every path runs on the time-skipping server; with BACKHAUL_RECORD set, its history is recorded for replay."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from activities.reconciliation_steps import ReconciliationSteps, told
from backhaul.policy.library import load_library
from store.reconcile import Finding, check_books
from store.reconcile.statements import compare_statements, keep
from tests.replay.recorded import record
from tests.workflows.scenarios import SCENARIOS
from tests.workflows.world import World


async def differences(world: World) -> list[Finding]:
    """What the three providers' statements and the journal do not agree on, money under way left out."""
    steps = ReconciliationSteps(world.store, world.outside.gateways, load_library())
    for provider, party in steps.parties.items():
        if provider == "courier.sandbox-b":
            continue  # another name of the same server: its statement would be told twice
        async with world.store.transaction() as session:
            page = await steps.provider(provider).statement(0, 1_000)
            await keep(session, provider, party, [told(row) for row in page.rows], datetime.now(UTC))
    async with world.store.transaction() as session:
        return list((await compare_statements(session, datetime.now(UTC), whole=True)).findings)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario(skipping: World, name: str) -> None:
    case = await SCENARIOS[name].run(skipping)
    balance = await skipping.trial_balance()
    for book, accounts in balance.items():
        for currency in {currency for each in accounts.values() for currency in each}:
            assert sum(each.get(currency, 0) for each in accounts.values()) == 0, (book, currency)
    assert await check_books(skipping.store, load_library()) == ()
    assert await differences(skipping) == []
    if os.environ.get("BACKHAUL_RECORD"):
        await record(name, case.handle)
