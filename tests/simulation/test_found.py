"""A parcel that was lost turns up: that alone moves no money, before the close and after it. X9, X10, X11.

Every fen of the coat of 1200.00, by our books and by the parties' own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.facts import Party
from backhaul.messages import (
    ApplyRuling,
    ConfirmReceipt,
    CorrectionOutcome,
    EvidenceRef,
    ReportReceiptIssue,
)
from store import cases, claims, ledger
from store.tables import EvidenceRow
from tests.simulation.test_ties import HOUR, LOST, TAKEN
from tests.simulation.tied import Tied
from tests.simulation.world import Plan, Simulation, simulation
from tests.workflows.world import COAT, at_receipt

AT_ONCE = {"answer": "accept", "after_ms": 0, "pay_after_ms": 0}
ORDINARY, LIGHTNING = Plan(tier=0), Plan()
HALF = COAT // 2
PHOTO = EvidenceRef(ref="photo-1", sha256="0" * 64, by=Party.MERCHANT)
OBJECTED = ReportReceiptIssue(findings=(at_receipt(severity=50),), evidence=(PHOTO,))
BOTH = pytest.mark.parametrize("plan", [ORDINARY, LIGHTNING], ids=["ordinary", "lightning"])


@pytest.fixture(name="world")
def a_world() -> Iterator[Simulation]:
    with simulation(13) as sim:
        yield sim


class Lost:
    """A case whose parcel is lost after 80 hours, and what the courier says of it then.

    `ended`: the case is closed before that; else the insurer keeps it open, as it pays nine days later."""

    def __init__(self, world: Simulation, plan: Plan, ended: bool, *way: tuple[str, int]) -> None:
        self.world, self.ended = world, ended
        told = [{"status": name, "after_ms": hours * HOUR} for name, hours in (("lost", 80), *way)]
        self.tied = Tied(world, plan, {"visits": [TAKEN], "tracking": told, "demand": AT_ONCE})
        if not ended:
            claim = f"{self.tied.id.merchant_id}.{self.tied.id.rma_id}.loss."
            world.server.do(world.outside.script("insurer", claim, payment="late", pay_after_ms=216 * HOUR))

    def waits(self, code: str) -> str:
        """On to where whatever follows the parcel waits for this; the workflow's id."""
        if self.ended:
            found = self.tied.correction(code)
            assert self.tied.run.closed
            return found
        self.tied.waits(code)
        return self.tied.case

    def say(self, code: str, update: str, body: Any) -> None:
        self.tied.say(update, body, to=self.waits(code))

    def finish(self, outcome: str = "corrected") -> dict[str, int]:
        """Everybody's books at the end: sound, the same as the parties' own, and every history replayed."""
        self.tied.finish("merchant")
        ran = [run.id for run in self.world.server.runs.values() if run.kind == "Correction"]
        assert bool(ran) is self.ended
        assert [self.world.server.result(one, CorrectionOutcome).outcome for one in ran] == [outcome] * self.ended
        return self.tied.books()

    def net(self, *accounts: str) -> dict[str, int]:
        """Debits less credits of the case's own entries, in fen; what is at rest left out."""

        async def summed(session: AsyncSession) -> dict[str, int]:
            sums: dict[str, int] = {}
            for one in await ledger.entries_of(session, self.tied.id.key):
                for line in one.entry.lines:
                    sign = 1 if line.side == "debit" else -1
                    sums[line.account] = sums.get(line.account, 0) + sign * line.amount.minor
            return {name: minor for name, minor in sums.items() if minor and (not accounts or name in accounts)}

        found: dict[str, int] = self.world.server.do(self.world.store.run(summed))
        return found

    def logistics(self) -> str:
        """Where the goods are, by the last view of all."""

        async def regions(session: AsyncSession) -> str:
            row = await cases.need(session, self.tied.id.key)
            return str((row.status or {})["regions"]["logistics"])

        found: str = self.world.server.do(self.world.store.run(regions))
        return found


WHEN = pytest.mark.parametrize("ended", [True, False], ids=["after the close", "before the close"])
OURS = {"P1000", "P1010", "P2000", "P4000", "P1110", "P1120", "P1130", "P2010", "P2020", "P2040", "I1200", "I2210"}


@BOTH
@WHEN
def test_back_with_the_consumer_it_is_their_debt(plan: Plan, ended: bool, world: Simulation) -> None:
    """They have coat and money, and are charged for it: nobody else gains or loses a fen, but the courier its
    freight."""
    story = Lost(world, plan, ended, ("returned", 64))
    books = story.finish()
    assert story.logistics() == "returned_to_consumer"
    assert (books["J21"], books["J50"], books["J51"], books["J75b"]) == (COAT, COAT, COAT, COAT)
    # 1200.00 of refund left and came back; the advance of the merchant's goes back with the next settlement.
    assert story.net(*OURS) == {"P1010": -COAT, "P2000": COAT}


@WHEN
def test_found_and_lost_again_everything_stays(ended: bool, world: Simulation) -> None:
    """Seven days of silence after it was found: the merchant stays charged and indemnified, the carrier pays."""
    story = Lost(world, ORDINARY, ended, ("found", 64))
    books = story.finish("lost_again")
    assert story.logistics() == "lost"
    assert books == LOST


@BOTH
@WHEN
def test_found_moves_nothing_before_the_merchant_s_word(plan: Plan, ended: bool, world: Simulation) -> None:
    """It waits for its arrival and for the merchant; accepted, the indemnity is overturned, and nobody is owed."""
    story = Lost(world, plan, ended, ("found", 64), ("delivered", 80))
    story.waits("delivery")
    before = story.tied.books()
    assert "J75" not in before and "J75b" not in before
    story.waits("receipt")
    assert "J75" not in story.tied.books() and "J75b" not in story.tied.books()
    story.say("receipt", "confirm_receipt", ConfirmReceipt())
    books = story.finish()
    assert (books["J21"], books["J34"], books["J75b"]) == (COAT, COAT, COAT)
    assert story.logistics() == "receipt_confirmed"
    # The sale is undone, the consumer has 1200.00, the merchant gives 1200.00 of the advance back.
    assert story.net("P1110", "P1120", "P1130", "P2010", "P2040", "I1200", "I2210", "I5000") == {"I5000": 1_200}
    assert story.net("P2000")["P2000"] == COAT - 6_000 + COAT


@WHEN
def test_silence_accepts_what_was_found(ended: bool, world: Simulation) -> None:
    """Ten days from the delivery, as of any parcel."""
    story = Lost(world, ORDINARY, ended, ("found", 64), ("delivered", 80))
    story.waits("receipt")
    delivered = story.tied.now
    while "J75b" not in story.tied.books():
        assert world.jump()
    assert timedelta(days=10) <= story.tied.now - delivered < timedelta(days=10, hours=1)
    story.finish()


@BOTH
@WHEN
def test_an_objection_to_what_was_found_is_heard(plan: Plan, ended: bool, world: Simulation) -> None:
    """50 % within 48 hours, with a clean door: half of the indemnity stays and is the carrier's; the photo is kept."""
    story = Lost(world, plan, ended, ("found", 64), ("delivered", 80))
    story.say("receipt", "report_receipt_issue", OBJECTED)
    books = story.finish()
    assert (books["J21"], books["J34"], books["J75b"]) == (COAT, COAT, HALF)
    assert story.net("P1110", "P1120", "P1130", "P2010", "P2020", "P2040", "I1200", "I2210") == {}
    assert story.net("I5000", "I5100") == {"I5000": HALF + 1_200, "I5100": -HALF}

    async def kept(session: AsyncSession) -> list[str]:
        return [row.ref for row in (await session.exec(select(EvidenceRow))).all()]

    assert world.server.do(world.store.run(kept)) == ["photo-1"]


def test_a_late_objection_after_the_close_is_ruled_on(world: Simulation) -> None:
    """After the 48 hours both sides are heard, a human rules, and the correction settles on that."""
    story = Lost(world, ORDINARY, True, ("delivered", 64))
    story.waits("receipt")
    world.sleep(timedelta(hours=50))
    story.say("receipt", "report_receipt_issue", OBJECTED)
    correction = story.waits("ruling_needed")
    assert "J75b" not in story.tied.books()
    ruling = world.ruling(story.tied.case, "liability", "merchant")
    story.tied.say("apply_ruling", ApplyRuling(ruling_id=ruling), to=correction)
    books = story.finish()
    assert (books["J21"], books["J75b"]) == (COAT, COAT)


def test_what_turns_up_after_it_was_lost_again_is_another_correction(world: Simulation) -> None:
    """Found, silent for seven days, then delivered: another correction, which the merchant can speak to."""
    story = Lost(world, ORDINARY, True, ("found", 64), ("delivered", 200))
    story.say("receipt", "confirm_receipt", ConfirmReceipt())
    story.tied.finish("merchant")
    ran = [run.id for run in world.server.runs.values() if run.kind == "Correction"]
    assert [world.server.result(one, CorrectionOutcome).outcome for one in ran] == ["lost_again", "corrected"]
    assert story.tied.books()["J75b"] == COAT


def test_a_correction_takes_the_merchant_s_word_once_and_of_what_is_there(world: Simulation) -> None:
    story = Lost(world, ORDINARY, True, ("found", 64), ("delivered", 80))
    correction = story.waits("delivery")
    story.tied.say("confirm_receipt", ConfirmReceipt(), to=correction, refused="not_delivered")
    assert story.waits("receipt") == correction
    unknown = ReportReceiptIssue(findings=(at_receipt(severity=50, line="L9"),))
    story.tied.say("report_receipt_issue", unknown, to=correction, refused="line_unknown")
    first = story.tied.say("confirm_receipt", ConfirmReceipt(), to=correction, later=True)
    story.tied.say("report_receipt_issue", OBJECTED, to=correction, refused="already_decided")
    assert (first.accepted, first.refusal) == (True, None)
    story.finish()


def test_the_carrier_s_rest_is_demanded_after_a_loss_that_stands(world: Simulation) -> None:
    """Found before the close and lost again: the recovery that waited for it is handed over."""
    story = Lost(world, ORDINARY, False, ("found", 64))
    story.finish("lost_again")

    async def recovered(session: AsyncSession) -> list[tuple[str, int]]:
        (row,) = [one for one in await claims.of_case(session, story.tied.id.key) if one.kind == "loss"]
        return [(one.liable, one.collected_minor) for one in await claims.recoveries_of(session, row.claim_ref)]

    assert world.server.do(world.store.run(recovered)) == [("carrier", COAT)]
