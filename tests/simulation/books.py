"""Reading the books at the end of a sequence: our own, and the providers' against ours."""

from __future__ import annotations

from store.reconcile import check_books
from tests.simulation.world import Simulation, library
from tests.workflows import books


def violations(sim: Simulation) -> list[str]:
    """Every invariant of domain 6 that does not hold in our own books."""
    return [str(finding) for finding in sim.server.do(check_books(sim.store, library()))]


def differences(sim: Simulation) -> list[str]:
    """Every movement on which a provider's statement and our journal differ (invariant 2)."""
    return [str(finding) for finding in sim.server.do(books.differences(sim))]
