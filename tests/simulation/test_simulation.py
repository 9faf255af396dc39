"""At least 2,000 random sequences a run (`make test`), as many as wanted with `make soak`. A seed reproduces a run."""

from __future__ import annotations

import logging
import os

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import get_state_machine_test

from tests.simulation.machine import TALLY, Returns

PARTS = 16
"""So that test processes share the work."""
pytestmark = [pytest.mark.divided(PARTS), pytest.mark.timeout(900)]
SEQUENCES = int(os.environ.get("BACKHAUL_SEQUENCES", "2000"))
SEED = int(os.environ.get("BACKHAUL_SEED", "20250501"))
SETTINGS = settings(
    max_examples=-(-SEQUENCES // PARTS),
    stateful_step_count=10,
    deadline=None,
    database=None,
    derandomize=False,
    print_blob=True,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of parked steps say so."""
    caplog.set_level(logging.ERROR, "temporalio")


@pytest.mark.parametrize("part", range(PARTS))
def test_any_sequence_ends_with_everybody_paid_what_is_theirs(part: int) -> None:
    """All invariants of domain 6 over random events, answers, silences and faults."""
    before = TALLY["sequences"]
    run = get_state_machine_test(Returns, settings=SETTINGS)
    seed(SEED + part)(run)()
    assert TALLY["sequences"] - before >= SETTINGS.max_examples
