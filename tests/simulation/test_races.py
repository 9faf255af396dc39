"""A lost parcel arrives while the carrier answers its demand: whatever it pays is booked, and goes back. X9, X27."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backhaul.messages import ConfirmReceipt
from backhaul.recoveries import RecoveryStatus
from tests.simulation.tied import Tied
from tests.simulation.world import Plan, Simulation, simulation
from tests.workflows.world import COAT

HOUR = 3_600_000
"""In milliseconds, as the courier's scripts count."""
FOUND = 64
WAY = [
    {"status": status, "after_ms": hours * HOUR}
    for status, hours in (("lost", 80), ("found", FOUND // 2), ("delivered", FOUND // 2))
]
TAKEN = {"outcome": "picked_up", "after_ms": HOUR}


@pytest.fixture(name="world")
def a_world() -> Iterator[Simulation]:
    with simulation(7) as sim:
        yield sim


def lost_and_found(world: Simulation, plan: Plan, answered: int, paid: int, **demand: Any) -> tuple[Tied, list[str]]:
    """The case at its end, and what its recovery told."""
    accept = {"answer": "accept", "after_ms": answered * HOUR, "pay_after_ms": paid * HOUR, **demand}
    tied = Tied(world, plan, {"visits": [TAKEN], "tracking": WAY, "demand": accept})
    correction = tied.correction("receipt")
    tied.say("confirm_receipt", ConfirmReceipt(), to=correction)
    tied.finish("merchant")
    (recovery,) = [run.id for run in world.server.runs.values() if run.kind == "Recovery"]
    status = world.server.query(recovery, "status", RecoveryStatus)
    return tied, [status.state, *(one.what for one in status.events)]


@pytest.mark.parametrize("plan", [Plan(), Plan(tier=0)], ids=["lightning", "ordinary"])
@pytest.mark.parametrize(
    ("answered", "paid"),
    [(50, 0), (30, 20), (FOUND, 0), (FOUND + 1, 0), (20, 100), (200, 0), (260, 150)],
    ids=lambda hours: f"{hours} h",
)
def test_what_comes_for_a_withdrawn_demand_goes_back(plan: Plan, answered: int, paid: int, world: Simulation) -> None:
    """The merchant accepts the parcel 64 hours after it was lost, the demand is looked up every 36: the carrier pays
    between the last look and that, or at any time after it."""
    tied, told = lost_and_found(world, plan, answered, paid)
    books = tied.books()
    assert told[0] == "waived" and any("went back to the carrier" in what for what in told), told
    assert (books["J44"], books["J45"], books["J42"]) == (COAT, COAT, COAT)
    assert "J40" not in books or books["J43"] == books["J40"]
