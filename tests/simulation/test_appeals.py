"""Another reviewer says otherwise, after the close: whoever is liable now pays, whoever was has theirs back. X15."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations

import pytest

from backhaul.facts import Party
from backhaul.ids import correction_id, dispute_id
from backhaul.ledger import I, P
from backhaul.messages import ApplyRuling, ExtendDeadline
from store import ledger
from tests.simulation.test_rerulings import AT_ONCE, Appealed
from tests.simulation.test_ties import TAKEN, courier, objected
from tests.simulation.tied import Tied
from tests.simulation.world import Plan, Simulation, simulation

PLANS = {
    "lightning": Plan(),
    "ordinary": Plan(tier=0),
    "lightning, no cover": Plan(rdv=False),
    "ordinary, no cover": Plan(tier=0, rdv=False),
}
DAY = timedelta(days=1)
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


@pytest.mark.parametrize("days", [0, 6], ids=["at once", "after six days"])
@pytest.mark.parametrize(("first", "last"), RULINGS, ids=lambda liable: str(liable))
@pytest.mark.parametrize("plan", PLANS.values(), ids=list(PLANS))
def test_what_is_ruled_again_is_paid_by_who_is_liable_now(
    plan: Plan, first: str, last: str, days: int, world: Simulation
) -> None:
    """However far the first recovery has come: nobody owes anything in the end, and the books agree with all."""
    story = Appealed(world, plan, first, AT_ONCE)
    story.tied.until(story.tied.now + timedelta(days=days))
    assert world.appeals(story.tied.case, story.ruling, Party.MERCHANT) == "correction"
    story.correction = correction_id(story.tied.id, 1)
    story.until("ruling_needed")
    story.rule(last)
    story.tied.finish(last)
    assert {account: balance(world, account) for account in SETTLED} == dict.fromkeys(SETTLED, 0)


def test_an_earlier_ruling_is_not_appealed_while_another_question_is_heard(world: Simulation) -> None:
    """Ruled at the door, then lost: the second question is in dispute, and its ruling is what can be appealed."""
    found = {"L1": {"finding": "mismatch", "consumer": "disputes"}}
    tied = Tied(world, Plan(tier=0, rdv=False), courier({**TAKEN, "inspection": found}, way=()))
    tied.until(tied.now + timedelta(hours=200))
    first = world.ruling(tied.case, "liability", "consumer")
    tied.say("apply_ruling", ApplyRuling(ruling_id=first))
    assert tied.region["dispute"] == "evidence"
    assert world.appeals(tied.case, first, Party.CONSUMER) == "not_appealable"
    tied.finish("merchant")


def ruled_at_the_door(world: Simulation) -> tuple[Tied, str]:
    """A denied finding at the door, ruled against the consumer, whose parcel travels; and the ruling."""
    found = {"L1": {"finding": "mismatch", "consumer": "disputes"}}
    tied = Tied(world, Plan(tier=0, rdv=False), courier({**TAKEN, "inspection": found}))
    tied.waits("ruling_needed")
    door = world.ruling(tied.case, "liability", "consumer")
    tied.say("apply_ruling", ApplyRuling(ruling_id=door))
    return tied, door


def test_a_ruling_whose_place_another_took_is_not_appealed_after_the_close(world: Simulation) -> None:
    """Ruled at the door and again at the receipt: the second is what the case went by, and is appealed once."""
    tied, door = ruled_at_the_door(world)
    objected(tied)
    tied.waits("ruling_needed")
    receipt = world.ruling(tied.case, "liability", "merchant")
    tied.say("apply_ruling", ApplyRuling(ruling_id=receipt))
    while not tied.run.closed:
        assert world.jump()
    assert world.appeals(tied.case, door, Party.CONSUMER) == "not_appealable"
    assert world.appeals(tied.case, receipt, Party.MERCHANT) == "correction"


def test_more_time_is_for_the_wait_that_is_shown(world: Simulation) -> None:
    """An appeal is heard beside the parcel: more time for the merchant's receipt is not the dispute's."""
    tied, door = ruled_at_the_door(world)
    assert world.appeals(tied.case, door, Party.CONSUMER) == "lodged"
    shown = tied.waits("receipt")
    heard = world.server.query(dispute_id(tied.id, 2), "status", str)
    assert "heard until" in heard
    tied.say("extend_deadline", ExtendDeadline(seconds=86_400))
    assert tied.waits("receipt").due == shown.due + DAY
    assert world.server.query(dispute_id(tied.id, 2), "status", str) == heard
    tied.until(shown.due + DAY - timedelta(seconds=1))
    assert "accepted by silence" not in tied.told
    tied.until(shown.due + DAY)
    assert "accepted by silence" in tied.told
    # The settlement waits for the appeal, and the case shows that now: more time is the dispute's.
    asked = tied.waits("ruling_needed")
    tied.say("extend_deadline", ExtendDeadline(seconds=86_400))
    assert tied.waits("ruling_needed").due == asked.due + DAY
