"""What a party can send without end is refused in the end, by itself: it costs nobody else a word. Architecture 3.7."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backhaul import names
from backhaul.facts import Party
from backhaul.messages import (
    CloseCase,
    ConfirmReceipt,
    EvidenceRef,
    PaymentNews,
    PaymentReport,
    ReportReceiptIssue,
    RetryStep,
    SubmitEvidence,
    TrackingReport,
    TrackingStatus,
)
from tests.simulation.test_ties import KEPT_BACK, LOSS, PLAIN, TAKEN, courier
from tests.simulation.tied import Tied
from tests.simulation.world import Simulation, simulation
from tests.workflows.world import at_receipt
from workflows.case_run import MAX_FACTS, MAX_MOVEMENTS, MAX_SAID

FULL = "too_many_messages"


@pytest.fixture(name="world")
def a_world() -> Iterator[Simulation]:
    with simulation(7) as sim:
        yield sim


def flood(tied: Tied, times: int, update: str, *bodies: Any) -> None:
    """So often it is taken; then no more."""
    for n in range(times):
        assert tied.status.attention is None or n == 0
        tied.say(update, bodies[n % len(bodies)])
    tied.say(update, bodies[0], refused=FULL)


def shown(tied: Tied) -> str | None:
    """The door that an operator is shown to be full, by the search attribute too."""
    attention = tied.status.attention
    if attention is None:
        assert names.ATTENTION not in tied.run.attributes
        return None
    assert (attention.reason, tied.run.attributes[names.ATTENTION]) == (FULL, FULL)
    assert attention.send == "retry_step {}"
    return attention.step


def moves(tied: Tied, n: int, status: TrackingStatus = TrackingStatus.IN_TRANSIT) -> TrackingReport:
    """A report with an id of its own."""
    return TrackingReport(
        event_id=f"{status}-{n}", status=status, waybill=tied.status.waybill or "", occurred_at=tied.now
    )


def test_evidence_without_end_takes_nobody_elses_word(world: Simulation) -> None:
    """The consumer gives evidence as often as they may: the merchant's evidence and objection are heard, and what the
    courier and the payment provider say."""
    tied = Tied(world, PLAIN, courier(TAKEN))
    tied.waits("receipt")
    said = SubmitEvidence(evidence=(EvidenceRef(ref="a.jpg", sha256="a" * 64, by=Party.CONSUMER),))
    assert shown(tied) is None
    flood(tied, MAX_SAID, "submit_evidence", said)
    assert shown(tied) == "submit_evidence"
    tied.say("submit_evidence", SubmitEvidence(nothing_more=True, by=Party.MERCHANT))
    tied.say("report_tracking", tied.movement("in_transit"))
    settled = PaymentReport(event_id="e1", payment_key="k", news=PaymentNews.SETTLED, occurred_at=tied.now)
    tied.say("report_payment", settled)
    tied.say("report_receipt_issue", ReportReceiptIssue(findings=(at_receipt(),)))
    tied.finish("carrier")
    assert tied.books()["J31"] == LOSS
    assert shown(tied) is None


def test_a_merchant_who_asks_after_the_goods_without_end(world: Simulation) -> None:
    """Each question is one to the courier, and in the history. What they say of goods that are there is heard."""
    tied = Tied(world, PLAIN, courier(TAKEN, way=()))
    tied.waits("delivery")
    for _ in range(MAX_SAID):
        tied.say("confirm_receipt", ConfirmReceipt(), refused="not_delivered")
    tied.say("confirm_receipt", ConfirmReceipt(), refused=FULL)
    assert shown(tied) == "confirm_receipt"
    tied.say("report_tracking", tied.movement("delivered"))
    tied.say("confirm_receipt", ConfirmReceipt())
    tied.finish("nobody rules")


def test_evidence_that_cannot_be_kept_is_counted_too(world: Simulation) -> None:
    """Each try is in the history, whatever came of it. A dispute counts what comes in at its own door."""
    tied = Tied(world, PLAIN, courier(TAKEN))
    tied.waits("receipt")
    taken = [SubmitEvidence(evidence=(EvidenceRef(ref="a.jpg", sha256=char * 64, by=Party.CONSUMER),)) for char in "ab"]
    flood(tied, MAX_SAID, "submit_evidence", *taken)
    assert shown(tied) == "submit_evidence"
    tied.say("retry_step", RetryStep())
    assert shown(tied) is None
    tied.say("submit_evidence", taken[0], refused=FULL)
    tied.say("report_receipt_issue", ReportReceiptIssue(findings=(at_receipt(),)))
    tied.waits("evidence")
    dispute = next(run for run in world.server.runs.values() if run.kind == "Dispute")
    nothing = SubmitEvidence(nothing_more=True, by=Party.CONSUMER)
    for _ in range(MAX_SAID):
        assert names.ATTENTION not in dispute.attributes
        tied.say("submit_evidence", nothing, to=dispute.id)
    tied.say("submit_evidence", nothing, to=dispute.id, refused=FULL)
    assert dispute.attributes[names.ATTENTION] == FULL
    tied.say("submit_evidence", SubmitEvidence(nothing_more=True, by=Party.MERCHANT))
    assert dispute.attributes[names.ATTENTION] == "ruling_needed"  # what is stuck comes first
    tied.finish("carrier")
    assert names.ATTENTION not in dispute.attributes


def test_movements_without_end_do_not_hide_the_loss(world: Simulation) -> None:
    """From some number on it is not taken any more that the parcel moves; that it is lost is."""
    tied = Tied(world, PLAIN, courier(TAKEN, way=()))
    while tied.region["logistics"] != "picked_up":
        assert world.jump()
    visit = 1
    flood(tied, MAX_MOVEMENTS - visit, "report_tracking", *(moves(tied, n) for n in range(MAX_MOVEMENTS)))
    assert shown(tied) == "movements"
    tied.say("report_tracking", moves(tied, 0, TrackingStatus.LOST))
    assert tied.region["logistics"] == "lost"
    tied.finish("carrier")
    assert shown(tied) is None


def test_reports_without_end_are_refused_at_last(world: Simulation) -> None:
    """Long before Temporal takes no update at all any more; an operator's are taken. They see what is full and on
    whom the case waits meanwhile; nobody closes it for that."""
    tied = Tied(world, PLAIN, courier(KEPT_BACK))
    tied.waits("pickup")
    reports = [
        PaymentReport(event_id=f"e{n}", payment_key="k", news=PaymentNews.SETTLED, occurred_at=tied.now)
        for n in range(MAX_FACTS)
    ]
    for report in reports:
        tied.say("report_payment", report)
    tied.say("report_payment", reports[0], refused=FULL)
    for door in ("movements", "reports"):
        assert shown(tied) == door
        tied.say("close_case", CloseCase(reason="too much"), refused="not_parked")
        assert tied.run.attributes[names.WAITING_ON] == "courier"
        tied.say("retry_step", RetryStep())
    assert shown(tied) is None
    tied.say("report_tracking", moves(tied, 1), refused=FULL)
    assert MAX_FACTS + 7 * MAX_SAID < 2_000
