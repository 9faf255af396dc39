"""Disputes on the full server: what the time-skipping one does not tell a parent, and what visibility shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from backhaul.cli.cases import stuck
from backhaul.errors import BackhaulError
from backhaul.facts import Party
from backhaul.ids import CaseId, correction_id, dispute_id, parse_dispute_id
from backhaul.messages import ApplyRuling, ConfirmReceipt, CorrectionOutcome, RetryStep, SubmitEvidence
from tests.servers.temporal import start_dev_server
from tests.waiting import eventually
from tests.workflows.world import World, cny, damage, world


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[World]:
    """The product on a full server."""
    async with start_dev_server(tmp_path) as environment, world(environment, tmp_path) as running:
        yield running


async def test_a_terminated_dispute_is_opened_again_and_only_the_dispute_raises_the_alarm(full: World) -> None:
    case = await full.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30, says="disputes")])
    await case.asked("evidence")
    await case.dispute().terminate("by mistake")
    await case.parks("step_failed")
    await case.say("retry_step", RetryStep())
    await case.parks("ruling_needed")
    assert "Dispute 2 of" in await case.dispute_shows(2)

    ours = CaseId(case.request.merchant_id, case.request.rma_id)
    (only,) = await eventually(  # visibility is a moment late
        lambda: stuck(full.env.client, 10), lambda found: [one.reason for one in found] == ["ruling_needed"]
    )
    assert (only.workflow_id, parse_dispute_id(only.workflow_id)) == (dispute_id(ours, 2), (ours, 2))
    assert only.send.startswith("apply_ruling")
    assert only.due is not None

    ruling = await full.rule(case, "liability", "merchant")
    await case.say("apply_ruling", ApplyRuling(ruling_id=ruling))
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.refunded, outcome.regions["dispute"]) == (cny(120_000), "final")


async def test_an_appeal_that_was_kept_is_heard_after_the_close(full: World) -> None:
    """Ruled consumer, 360.00 withheld and indemnified; another reviewer: merchant. The consumer gets the 360.00."""
    case = await full.open()
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30, says="disputes")])
    await case.parks("ruling_needed")
    first = await full.rule(case, "liability", "consumer")
    await case.say("apply_ruling", ApplyRuling(ruling_id=first))
    await case.until(lambda s: s.regions["indemnity"] == "paid", "the advance")
    assert (await full.appeal(case, first, "consumer")).note == "kept"
    await case.track("delivered")
    await case.waits_for("receipt")
    await case.say("confirm_receipt", ConfirmReceipt())
    outcome = await case.end()
    assert (outcome.refunded, outcome.withheld) == (cny(84_000), cny(36_000))

    ours = CaseId(case.request.merchant_id, case.request.rma_id)
    handle = full.env.client.get_workflow_handle(correction_id(ours, 1), result_type=CorrectionOutcome)
    for side in ("consumer", "merchant"):
        said = SubmitEvidence(nothing_more=True, by=Party(side))
        await full.asked(
            partial(full.backhaul.report_correction, ours, 1, "submit_evidence", said), lambda ack: ack.recorded, side
        )
    await full.asked(
        partial(full.backhaul.correction, ours, 1),
        lambda status: status.attention is not None and status.attention.reason == "ruling_needed",
        "asked for a ruling",
    )
    mine = await full.rule(case, "liability", "merchant")
    with pytest.raises(BackhaulError) as own:
        await full.backhaul.report_correction(ours, 1, "apply_ruling", ApplyRuling(ruling_id=mine))
    assert own.value.code == "same_reviewer"
    last = await full.rule(case, "liability", "merchant", by="reviewer-2", overrules=first)
    await full.backhaul.report_correction(ours, 1, "apply_ruling", ApplyRuling(ruling_id=last))
    corrected = await handle.result()
    assert (corrected.outcome, corrected.regions["dispute"]) == ("corrected", "final")
    totals: dict[str, int] = {}
    for template, minor in await case.entries():
        totals[template] = totals.get(template, 0) + minor
    assert totals["J21"] == 120_000
