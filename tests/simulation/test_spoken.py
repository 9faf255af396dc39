"""A merchant speaks of goods of whose delivery the case has not heard: the courier's news is lost, late, or never was.
X9 to X12, before the close and after it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from backhaul.messages import ConfirmReceipt, ReportReceiptIssue
from store import evidence
from tests.simulation.machine import BENCH
from tests.simulation.test_found import ORDINARY, Lost
from tests.simulation.test_ties import (
    FREIGHT,
    HOUR,
    LOSS,
    LOST,
    OBJECTED,
    REFUND,
    TAKEN,
    courier,
    found,
    from_carrier,
    indemnity,
)
from tests.simulation.tied import Tied
from tests.simulation.world import Plan, Simulation, simulation
from tests.workflows.world import COAT

LONG_WAY = [{"status": "in_transit", "after_ms": HOUR}, {"status": "delivered", "after_ms": 50 * HOUR}]
KEPT = "has spoken of the goods; the courier does not answer now"


@pytest.fixture(name="world")
def a_world() -> Iterator[Simulation]:
    with simulation(17) as sim:
        yield sim


def silent(world: Simulation, tied: Tied, hours: int = 12) -> None:
    """From now on no news of the courier's arrives; so much time passes."""
    world.post_loses = 100
    world.sleep(timedelta(hours=hours))


def kept(world: Simulation, tied: Tied, said: ReportReceiptIssue = OBJECTED) -> None:
    """The merchant objects while the courier does not answer."""
    world.weather.percent = 100
    told = tied.say("report_receipt_issue", said)
    world.sleep(timedelta(minutes=1))
    world.weather.percent = 0
    assert (told.accepted, told.refusal) == (True, None)
    assert KEPT in tied.told
    tied.say("confirm_receipt", ConfirmReceipt(), refused="already_decided")


def asked(tied: Tied) -> int:
    """How often the courier's log was asked for."""
    return sum(b"fetch_events" in command for _, commands in tied.run.log for command in commands)


def test_an_objection_after_lightning_without_cover_opens_the_dispute_at_once(world: Simulation) -> None:
    tied = Tied(world, Plan(rdv=False), courier(TAKEN))
    tied.waits("delivery")
    silent(world, tied)
    said = tied.now
    tied.say("report_receipt_issue", OBJECTED)
    assert tied.waits("evidence").since == said
    assert "J22" not in tied.books()
    tied.finish("merchant")
    assert tied.books()["J22"] == COAT


def test_what_was_kept_counts_from_when_it_was_said(world: Simulation) -> None:
    """Said in its 48 hours, known three days after the delivery: advanced, and no dispute."""
    tied = Tied(world, ORDINARY, courier(TAKEN))
    tied.waits("delivery")
    silent(world, tied)
    kept(world, tied)
    tied.finish("nobody rules")
    assert tied.books() == REFUND | FREIGHT | indemnity(LOSS) | from_carrier(LOSS)


def test_what_was_said_before_the_delivery_is_heard_after_it(world: Simulation) -> None:
    """Kept while the goods were still on their way, and delivered two days later: in time, with its evidence."""
    tied = Tied(world, ORDINARY, courier(TAKEN, way=LONG_WAY))
    tied.waits("delivery")
    kept(world, tied)
    tied.finish("nobody rules")
    assert tied.books() == REFUND | FREIGHT | indemnity(LOSS) | from_carrier(LOSS)


@pytest.mark.parametrize("when", ["before the pickup", "after it"])
def test_evidence_before_a_kept_objection_counts_from_the_pickup_on(when: str, world: Simulation) -> None:
    """Photographs, then an objection without any, and the courier tells of the delivery only two days later: paid in
    advance. What came before the pickup was no evidence of what arrived: a dispute."""
    tied = Tied(world, ORDINARY, courier(TAKEN, way=LONG_WAY))

    def photographs() -> None:
        world.server.do(
            world.store.run(lambda s: evidence.keep(s, tied.id.key, (BENCH,), evidence.RECEIPT, world.server.now))
        )

    if when == "before the pickup":
        tied.waits("pickup")
        photographs()
    tied.waits("delivery")
    if when == "after it":
        photographs()
    kept(world, tied, OBJECTED.model_copy(update={"evidence": ()}))
    tied.finish("merchant")
    advanced = indemnity(LOSS) | from_carrier(LOSS) if when == "after it" else {}
    assert tied.books() == REFUND | FREIGHT | advanced


def test_what_the_merchant_has_spoken_of_is_not_lost_by_time(world: Simulation) -> None:
    """The courier's log never tells of it again: after seven days the merchant's word counts, since when it was
    given."""
    tied = Tied(world, ORDINARY, courier(TAKEN, way=()))
    tied.waits("delivery")
    kept(world, tied)
    tied.finish("nobody rules")
    assert tied.books() == REFUND | FREIGHT | indemnity(LOSS) | from_carrier(LOSS)


def test_the_courier_s_word_of_a_loss_stands(world: Simulation) -> None:
    """Kept, and then the courier says that it lost the parcel."""
    tied = Tied(world, ORDINARY, courier(TAKEN, way=[{"status": "lost", "after_ms": 10 * HOUR}]))
    tied.waits("delivery")
    kept(world, tied)
    tied.finish("nobody rules")
    assert tied.books() == LOST


def test_what_turns_up_after_a_loss_is_spoken_of_anew(world: Simulation) -> None:
    """Kept, lost by the courier's word, found before the close, delivered: the merchant says what they found then."""
    story = Lost(world, ORDINARY, False, ("found", 64), ("delivered", 80))
    story.tied.waits("delivery")
    kept(world, story.tied)
    story.waits("insurer_payment")
    story.say("receipt", "confirm_receipt", ConfirmReceipt())
    books = story.finish()
    assert (books["J34"], books["J75b"]) == (COAT, COAT)


def test_the_merchant_is_heard_while_the_consumer_is_asked(world: Simulation) -> None:
    """A finding at the door waits for the consumer's answer; meanwhile the parcel is delivered, and confirmed."""
    tied = Tied(world, ORDINARY, courier(found(30, "silent")))
    tied.waits("finding_answer")
    tied.say("confirm_receipt", ConfirmReceipt(), refused="not_delivered")
    world.sleep(timedelta(hours=12))
    tied.waits("finding_answer")
    tied.say("confirm_receipt", ConfirmReceipt())
    assert asked(tied) == 1, "the delivery was told: nobody has to be asked for it"
    tied.finish("nobody rules")
    assert "receipt confirmed" in tied.told


def test_a_correction_asks_the_courier_too(world: Simulation) -> None:
    """Found after the close; the news of its delivery is lost, and the merchant objects within the 48 hours. Without
    the question it would be known 88 hours after the delivery."""
    story = Lost(world, ORDINARY, True, ("found", 64), ("delivered", 80))
    correction = story.waits("delivery")
    world.post_loses = 100
    story.tied.say("report_receipt_issue", OBJECTED, to=correction, refused="not_delivered")
    world.sleep(timedelta(hours=100))
    story.tied.say("report_receipt_issue", OBJECTED, to=correction)
    books = story.finish()
    assert (books["J21"], books["J34"]) == (COAT, COAT)
    assert books["J75b"] == COAT - LOSS
