"""Another reviewer says otherwise, after the close: whoever is liable now pays, whoever was has theirs back. X15."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from backhaul.facts import Party
from backhaul.ids import correction_id
from backhaul.ledger import I, P
from backhaul.messages import ApplyRuling, CorrectionStatus, ReportReceiptIssue
from store import ledger
from tests.simulation.tied import Tied
from tests.simulation.world import Plan, Simulation, simulation
from tests.workflows.world import at_receipt

HOUR = 3_600_000
"""In milliseconds, as the courier's scripts count."""
COURIER: dict[str, Any] = {
    "visits": [{"outcome": "picked_up", "after_ms": HOUR}],
    "tracking": [{"status": status, "after_ms": HOUR} for status in ("in_transit", "delivered")],
    "demand": {"answer": "accept", "after_ms": 0, "pay_after_ms": 0},
}
PLANS = {
    "lightning": Plan(),
    "ordinary": Plan(tier=0),
    "lightning, no cover": Plan(rdv=False),
    "ordinary, no cover": Plan(tier=0, rdv=False),
}
RULINGS = list(permutations(("consumer", "carrier", "merchant", "insurer"), 2))
SETTLED = (P.LIGHTNING_ADVANCES, P.RECOVERIES_OWED, P.CONSUMER_RECEIVABLE, P.REFUND_PAYABLE, I.SUBROGATION)
"""What is zero once everybody has paid and been paid. The courier, the consumer and the insurer all can."""


@pytest.fixture(name="world")
def a_world() -> Iterator[Simulation]:
    with simulation(7) as sim:
        yield sim


def balance(sim: Simulation, account: P | I) -> int:
    """An account in minor units, debits less credits."""

    async def read() -> int:
        async with sim.store.read() as session:
            return (await ledger.balance(session, account, "CNY")).minor

    found: int = sim.server.do(read())
    return found


def ruled(world: Simulation, plan: Plan, first: str) -> tuple[Tied, str]:
    """Objected to after 50 hours and ruled; the case, and the ruling."""
    tied = Tied(world, plan, COURIER)
    tied.until(tied.waits("receipt").since + timedelta(hours=50))
    tied.say("report_receipt_issue", ReportReceiptIssue(findings=(at_receipt(),)))
    tied.waits("ruling_needed")
    ruling = world.ruling(tied.case, "liability", first)
    tied.say("apply_ruling", ApplyRuling(ruling_id=ruling))
    return tied, ruling


def ruled_again(tied: Tied, ruling: str, last: str) -> None:
    """Appealed, and overruled by another reviewer."""
    sim = tied.sim
    assert sim.appeals(tied.case, ruling, Party.MERCHANT) == "correction"
    correcting = correction_id(tied.id, 1)
    while True:
        status: CorrectionStatus = sim.server.query(correcting, "status", CorrectionStatus)
        if status.attention is not None:
            break
        assert sim.jump(), "nobody is ever asked"
    assert status.attention.reason == "ruling_needed"
    again = sim.ruling(tied.case, "liability", last, by="reviewer-2", overrules=ruling)
    tied.say("apply_ruling", ApplyRuling(ruling_id=again), to=correcting)


@pytest.mark.parametrize("days", [0, 6], ids=["at once", "after six days"])
@pytest.mark.parametrize(("first", "last"), RULINGS, ids=lambda liable: str(liable))
@pytest.mark.parametrize("plan", PLANS.values(), ids=list(PLANS))
def test_what_is_ruled_again_is_paid_by_who_is_liable_now(
    plan: Plan, first: str, last: str, days: int, world: Simulation
) -> None:
    """However far the first recovery has come: nobody owes anything in the end, and the books agree with all."""
    tied, ruling = ruled(world, plan, first)
    while not tied.run.closed:
        assert world.jump()
    tied.until(tied.now + timedelta(days=days))
    ruled_again(tied, ruling, last)
    tied.finish(last)
    assert {account: balance(world, account) for account in SETTLED} == dict.fromkeys(SETTLED, 0)


def test_an_earlier_ruling_is_not_appealed_while_another_question_is_heard(world: Simulation) -> None:
    """Ruled at the door, then lost: the second question is in dispute, and its ruling is what can be appealed."""
    found = {"L1": {"finding": "mismatch", "consumer": "disputes"}}
    visit = {**COURIER["visits"][0], "inspection": found}
    tied = Tied(world, Plan(tier=0, rdv=False), {**COURIER, "visits": [visit], "tracking": []})
    tied.until(tied.now + timedelta(hours=200))
    first = world.ruling(tied.case, "liability", "consumer")
    tied.say("apply_ruling", ApplyRuling(ruling_id=first))
    assert tied.region["dispute"] == "evidence"
    assert world.appeals(tied.case, first, Party.CONSUMER) == "not_appealable"
    tied.finish("merchant")
