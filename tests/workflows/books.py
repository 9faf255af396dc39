"""The providers' statements against our journal, at the end of a story."""

from __future__ import annotations

from datetime import UTC, datetime

from activities.reconciliation_steps import ReconciliationSteps, told
from backhaul.policy.library import load_library
from store.reconcile import Finding
from store.reconcile.statements import compare_statements, keep
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
