"""Two refunds of one closed case come back at the same time: each has a correction of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backhaul.messages import CorrectionStatus, ProvideAccount
from backhaul.names import WorkflowType
from tests.simulation.tied import Tied
from tests.simulation.world import Plan, Simulation, simulation
from tests.workflows.world import COAT


@pytest.fixture(name="world")
def a_world() -> Iterator[Simulation]:
    with simulation(11) as sim:
        yield sim


def test_one_is_paid_another_way_while_the_other_still_waits(world: Simulation) -> None:
    """The first correction ends, though the case owes what the second one waits with; the last leaves nothing owed."""
    tied = Tied(world, Plan(tier=0, payments=(70_000, 50_000)), {})
    tied.finish("consumer")
    psp = world.parties["psp"]
    for row in psp.book.all("SELECT id FROM transfers WHERE kind = 'refund'"):
        psp._bounce(row["id"], {})
    world.reconcile("c1")
    first, second = [run for run in world.server.runs.values() if run.kind == WorkflowType.CORRECTION.value]
    tied.say("provide_account", ProvideAccount(account_ref="acc-1"), to=first.id)
    assert first.closed and not second.closed
    status: CorrectionStatus = world.server.query(second.id, "status", CorrectionStatus)
    assert status.waiting is not None and status.waiting.code == "account"
    tied.finish("nobody")
    books = tied.books()
    assert (books["J60"], books["J61"] + books["J62"]) == (COAT, COAT)
