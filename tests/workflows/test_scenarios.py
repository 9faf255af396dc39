"""Every path runs on the time-skipping server; with BACKHAUL_RECORD set, its history is recorded for replay."""

from __future__ import annotations

import os

import pytest

from backhaul.policy.library import load_library
from store.reconcile import check_books
from tests.workflows import paths
from tests.workflows.books import differences
from tests.workflows.explained import contradictions
from tests.workflows.recording import record_story
from tests.workflows.retrial import NOT_COMPARABLE, differences_of
from tests.workflows.scenarios import SCENARIOS
from tests.workflows.world import World

pytestmark = pytest.mark.divided(10)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario(skipping: World, name: str) -> None:
    case = await SCENARIOS[name].run(skipping)
    balance = await skipping.trial_balance()
    for book, accounts in balance.items():
        for currency in {currency for each in accounts.values() for currency in each}:
            assert sum(each.get(currency, 0) for each in accounts.values()) == 0, (book, currency)
    assert await check_books(skipping.store, load_library()) == ()
    assert await differences(skipping) == []
    assert await contradictions(skipping) == []
    again = await differences_of(skipping)
    assert bool(again) == (name in NOT_COMPARABLE), again
    journal = paths.templates(await case.entries())
    if os.environ.get("BACKHAUL_RECORD"):
        await record_story(name, case)
        paths.keep(name, journal)
    else:
        says = paths.steady(paths.written()[name])
        assert says == paths.steady(journal), "docs/reference/paths.md says something else: run make histories"
