"""An appeal after the close makes another party liable for what was indemnified: both recoveries to their ends. X15."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.corrections import CorrectionEvent, CorrectionKind, appeal_event
from backhaul.messages import ApplyRuling, CorrectionOutcome, CorrectionStatus, ProvideAccount, RetryStep
from backhaul.recoveries import RecoveryStatus
from store import cases
from tests.simulation.test_ties import HOUR, LOSS, TAKEN, WAY, objected
from tests.simulation.tied import Tied
from tests.simulation.world import Plan, Simulation, simulation
from tests.workflows.world import COAT

AT_ONCE = {"answer": "accept", "after_ms": 0, "pay_after_ms": 0}
LATER = {"answer": "accept", "after_ms": HOUR, "pay_after_ms": 200 * HOUR}
"""Accepted before the second ruling, paid long after it."""
ORDINARY, LIGHTNING, UNCOVERED = Plan(tier=0), Plan(), Plan(rdv=False)
ASKED = "account"


@pytest.fixture(name="world")
def a_world() -> Iterator[Simulation]:
    with simulation(11) as sim:
        yield sim


class Appealed:
    """A case that was ruled on and closed, and the correction that another reviewer's ruling brings."""

    def __init__(
        self,
        world: Simulation,
        plan: Plan,
        liable: str,
        demand: dict[str, Any],
        visit: dict[str, Any] = TAKEN,
        way: list[dict[str, Any]] = WAY,
    ) -> None:
        self.world = world
        self.tied = Tied(world, plan, {"visits": [visit], "tracking": way, "demand": demand})
        if way is WAY:
            objected(self.tied)
        self.tied.waits("ruling_needed")
        self.ruling = world.ruling(self.tied.case, "liability", liable)
        self.tied.say("apply_ruling", ApplyRuling(ruling_id=self.ruling))
        while not self.tied.run.closed:
            assert world.jump()

    def rest(self) -> None:
        """Whatever is under way comes to its end."""
        while self.world.jump():
            pass

    def appeal(self, liable: str) -> None:
        """Another reviewer says this."""
        self.lodge()
        self.rule(liable)

    def lodge(self) -> None:
        """As the API does: an appeal after the close opens a correction, which hears both sides."""
        world = self.world
        event = CorrectionEvent(
            event_id=appeal_event(self.ruling), occurred_at=world.server.now, ruling_id=self.ruling, reason="not so"
        )
        self.correction = world.start_correction(self.tied.id, CorrectionKind.APPEAL, event)
        self.until("ruling_needed")

    def rule(self, liable: str) -> None:
        """The other reviewer says this; an operator applies it."""
        again = self.world.ruling(self.tied.case, "liability", liable, by="reviewer-2", overrules=self.ruling)
        self.tied.say("apply_ruling", ApplyRuling(ruling_id=again), to=self.correction)

    def until(self, code: str) -> None:
        """On to where the correction is parked for this, or waits for it."""
        while True:
            self.world.work()
            status: CorrectionStatus = self.world.server.query(self.correction, "status", CorrectionStatus)
            waiting, attention = status.waiting, status.attention
            if code in {waiting and waiting.code, attention and attention.reason}:
                return
            assert self.world.jump(), status.model_dump_json(indent=1)

    def recoveries(self) -> list[tuple[str, str, str, int]]:
        """Of each: the end of its name, from whom, how it ended, what came in."""
        found = []
        for run in self.world.server.runs.values():
            if run.kind == "Recovery":
                status: RecoveryStatus = self.world.server.query(run.id, "status", RecoveryStatus)
                assert run.id == status.workflow_id == f"recovery:{status.recovery_ref}"
                suffix = status.recovery_ref.removeprefix(status.claim_ref)
                found.append((suffix, status.liable.value, status.state, status.collected.minor))
        return found

    def finish(self) -> dict[str, int]:
        """Everything at its end: the books sound, the statements the same, every history replayed."""
        self.tied.finish("nobody")
        outcome: CorrectionOutcome = self.world.server.result(self.correction, CorrectionOutcome)
        assert outcome.outcome == "corrected"
        return self.tied.books()


@pytest.mark.parametrize("plan", [ORDINARY, LIGHTNING], ids=["withheld", "owed"])
@pytest.mark.parametrize("first", ["before", "after"])
def test_the_consumer_s_then_the_carrier_s(plan: Plan, first: str, world: Simulation) -> None:
    """The consumer has everything back that was withheld or charged; the carrier pays the insurer instead."""
    story = Appealed(world, plan, "consumer", AT_ONCE)
    if first == "after":
        story.rest()
    story.appeal("carrier")
    books = story.finish()
    old, new = story.recoveries()
    assert new == (".r2", "carrier", "collected", LOSS)
    assert (books["J40"], books["J44"]) == (LOSS, LOSS)
    if plan is ORDINARY:
        assert old == ("", "consumer", "collected", LOSS)
        assert (books["J54"], books["J45"], books["J42"], books["J21"]) == (LOSS, LOSS, 2 * LOSS, COAT)
    elif first == "before":
        assert old == ("", "consumer", "waived", 0)
        assert "J51" not in books and books["J53"] == 2 * LOSS  # and its reversal
    else:
        assert old == ("", "consumer", "collected", LOSS)
        assert (books["J51"], books["J45"], books["J61"], books["J42"]) == (LOSS, LOSS, LOSS, 2 * LOSS)


def test_a_ruling_in_the_middle_of_a_charge_waits_for_its_end(world: Simulation) -> None:
    """The provider has not decided on the charge: nothing is taken back of it before, then all of it is repaid."""
    story = Appealed(world, LIGHTNING, "consumer", AT_ONCE)
    slow = {"state": "pending", "then": "succeeded", "after_ms": 20 * HOUR}
    world.server.do(world.outside.script("psp", "collect.", **slow))
    story.lodge()
    recovery = next(run.id for run in world.server.runs.values() if run.kind == "Recovery")
    while True:
        status: RecoveryStatus = world.server.query(recovery, "status", RecoveryStatus)
        if status.attention is not None and status.attention.reason == "pending":
            break
        assert world.jump()
    before = story.tied.books()
    story.rule("carrier")
    story.until("pending")
    assert story.tied.books() == before and "J51" not in before
    world.sleep(timedelta(hours=20))
    for parked in (recovery, story.correction):
        story.tied.say("retry_step", RetryStep(), to=parked)
    books = story.finish()
    old, new = story.recoveries()
    assert (old, new) == (("", "consumer", "collected", LOSS), (".r2", "carrier", "collected", LOSS))
    assert (books["J51"], books["J45"], books["J61"], books["J42"]) == (LOSS, LOSS, LOSS, 2 * LOSS)


@pytest.mark.parametrize("plan", [ORDINARY, LIGHTNING], ids=["ordinary", "lightning"])
@pytest.mark.parametrize("demand", [AT_ONCE, LATER], ids=["paid before", "paid for nothing"])
def test_the_carrier_s_then_the_consumer_s(plan: Plan, demand: dict[str, Any], world: Simulation) -> None:
    """The carrier has back what it paid, before it knew or after; the consumer is told, and charged in their time."""
    story = Appealed(world, plan, "carrier", demand)
    story.appeal("consumer")
    books = story.finish()
    old, new = story.recoveries()
    assert new == (".r2", "consumer", "collected", LOSS)
    assert old[:3] == ("", "carrier", "collected" if demand is AT_ONCE else "waived")
    assert (books["J44"], books["J45"], books["J15"]) == (LOSS, LOSS, LOSS)
    assert (books["J53"], books["J51"]) == (LOSS, LOSS)
    assert books["J42"] == (2 * LOSS if demand is AT_ONCE else LOSS)


@pytest.mark.parametrize("account", ["takes it", "named", "none"])
def test_what_the_consumer_paid_of_a_clawback_is_repaid(account: str, world: Simulation) -> None:
    """Charged for what lightning had paid, then the merchant's own fault: the consumer has it back from us, to the
    account they pay from; one that takes no money is followed by one that they name, or it waits for them."""
    story = Appealed(world, UNCOVERED, "consumer", AT_ONCE)
    story.rest()
    assert story.tied.books()["J51"] == LOSS
    if account != "takes it":
        payee = f"c-{story.tied.order.order_id}"
        world.server.do(world.outside.control("psp", "accounts", {"payee": payee, "state": "abnormal"}))
    story.appeal("merchant")
    if account == "named":
        story.until(ASKED)
        story.tied.say("provide_account", ProvideAccount(account_ref="acc-1"), to=story.correction)
    books = story.finish()
    assert story.recoveries() == [("", "consumer", "collected", LOSS)]
    assert (books["J45"], books.get("J61", 0), books.get("J62", 0)) == (
        (LOSS, 0, LOSS) if account == "none" else (LOSS, LOSS, 0)
    )
    assert books["J22"] == 2 * (COAT - LOSS) + COAT  # and its reversal

    async def refunded(session: AsyncSession) -> int:
        return (await cases.need(session, story.tied.id.key)).refunded_minor

    assert world.server.do(world.store.run(refunded)) == COAT  # what is repaid is no refund


def test_the_same_ruling_again_changes_nothing(world: Simulation) -> None:
    """The ruling on the appeal finds nothing else: what was charged stays, nothing is opened or repaid."""
    story = Appealed(world, UNCOVERED, "consumer", AT_ONCE)
    story.rest()
    before = story.tied.books()
    story.appeal("consumer")
    story.tied.finish("nobody")
    assert story.tied.books() == before
    assert story.recoveries() == [("", "consumer", "collected", LOSS)]


@pytest.mark.parametrize("plan", [ORDINARY, Plan(tier=0, rfi=False)], ids=["withheld", "without a cover"])
def test_a_lost_parcel_goes_back_while_its_refund_is_under_way(plan: Plan, world: Simulation) -> None:
    """Ruled the consumer's at the door, lost, and back with them before the refund has left: what was withheld of it
    follows the first, and all of it is demanded."""
    damaged = {**TAKEN, "inspection": {"L1": {"finding": "damage", "severity": 30, "consumer": "silent"}}}
    late = [{"status": "in_transit", "after_ms": 80 * HOUR}, {"status": "returned", "after_ms": 200 * HOUR}]
    tied = Tied(world, plan, {"visits": [damaged], "tracking": late, "demand": AT_ONCE})
    slow = {"state": "pending", "then": "succeeded", "after_ms": 120_000}
    world.server.do(world.outside.script("psp", "refund.", **slow))
    tied.finish("consumer")
    books = tied.books()
    paid = COAT if plan.rfi else COAT - LOSS
    assert books["J21"] + books.get("J56", 0) == books["J20"] == books["J50"] == books["J51"] == paid


@pytest.mark.parametrize("again", ["carrier", "insurer", "consumer"])
def test_a_cover_that_was_used_up_and_overturned_is_there_again(again: str, world: Simulation) -> None:
    """The whole value was paid out for a finding at the door, overturned by the ruling, and is owed after the appeal:
    what went back to the insurer is in the cover again."""
    gone = {**TAKEN, "inspection": {"L1": {"finding": "missing", "consumer": "silent"}}}
    lost = [{"status": "in_transit", "after_ms": HOUR}, {"status": "lost", "after_ms": 80 * HOUR}]
    story = Appealed(world, ORDINARY, "merchant", AT_ONCE, visit=gone, way=lost)
    before = story.tied.books()
    assert (before["J34"], before["J75b"], before["J42"]) == (COAT, COAT, COAT)
    story.appeal(again)
    assert story.finish()["J34"] == 2 * COAT


@pytest.mark.parametrize("again", ["merchant", "carrier", "consumer"])
def test_an_appeal_after_a_refund_in_part_was_brought_back(again: str, world: Simulation) -> None:
    """30 % at the door, lost, and ruled the consumer's without a cover: 840.00 are refunded, and owed when the coat is
    brought back. Ruled another's fault, they are not, and the 360.00 that never left is refunded; ruled the consumer's
    once more, everything stays."""
    damaged = {**TAKEN, "inspection": {"L1": {"finding": "damage", "severity": 30, "consumer": "silent"}}}
    back = [("in_transit", 1), ("lost", 80), ("returned", 100)]
    way = [{"status": status, "after_ms": hours * HOUR} for status, hours in back]
    story = Appealed(world, Plan(tier=0, rdv=False), "consumer", AT_ONCE, visit=damaged, way=way)
    while "J20" not in story.tied.books():
        assert world.jump()
    assert (story.tied.books()["J21"], story.tied.books()["J50"]) == (COAT - LOSS, COAT - LOSS)
    story.appeal(again)
    story.tied.finish("nobody")
    books = story.tied.books()
    assert books["J21"] == (COAT - LOSS if again == "consumer" else COAT)
    assert books.get("J22", 0) == (0 if again == "consumer" else COAT)
    assert (books["J50"], books.get("J51", 0)) == (
        (COAT - LOSS, COAT - LOSS) if again == "consumer" else (2 * (COAT - LOSS), 0)  # and its reversal
    )


@pytest.mark.parametrize("again", ["merchant", "consumer"])
def test_an_appeal_changes_nothing_of_goods_that_went_straight_back(again: str, world: Simulation) -> None:
    """840.00 were refunded as undisputed, the merchant was ruled liable for the rest, and the courier brought the coat
    back: the consumer owes 840.00. The same ruling again, or their own fault after all, leaves it so."""
    disputed = {**TAKEN, "inspection": {"L1": {"finding": "damage", "severity": 30, "consumer": "disputes"}}}
    way = [{"status": "in_transit", "after_ms": HOUR}, {"status": "returned", "after_ms": 20 * HOUR}]
    story = Appealed(world, ORDINARY, "merchant", AT_ONCE, visit=disputed, way=way)
    story.rest()
    before = story.tied.books()
    assert (before["J21"], before["J50"], before["J51"]) == (COAT - LOSS, COAT - LOSS, COAT - LOSS)
    story.appeal(again)
    story.tied.finish("nobody")
    assert story.tied.books() == before
    upheld: CorrectionOutcome = world.server.result(story.correction, CorrectionOutcome)
    assert upheld.outcome == "upheld"


def test_a_cover_that_is_used_up_is_freed_before_it_is_claimed_again(world: Simulation) -> None:
    """Its whole value was paid out for another thing at the door; lost, and ruled the merchant's, who gives it back;
    before the insurer has that, the parcel turns up, and what was ruled of the door holds again."""
    other = {**TAKEN, "inspection": {"L1": {"finding": "mismatch", "consumer": "disputes"}}}
    way = [{"status": "in_transit", "after_ms": HOUR}, {"status": "delivered", "after_ms": 200 * HOUR}]
    tied = Tied(world, ORDINARY, {"visits": [other], "tracking": way, "demand": AT_ONCE})
    for liable in ("consumer", "merchant"):
        tied.waits("ruling_needed")
        tied.say("apply_ruling", ApplyRuling(ruling_id=world.ruling(tied.case, "liability", liable)))
    tied.finish("nobody")
    books = tied.books()
    assert (books["J34"], books["J75b"], books["J42"]) == (2 * COAT, COAT, 2 * COAT)
    assert (books["J21"], books["J53"], books["J51"]) == (COAT, COAT, COAT)
