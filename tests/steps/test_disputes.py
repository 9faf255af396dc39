"""What a human rules on, what follows from the ruling, and what lightning makes of a consumer's fault."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from activities.contract import EndDispute, FindApproval, FindRuling, OpenDispute, RecordEvidence, Remedy
from backhaul.disputes import Question
from backhaul.facts import Inspection, Liable, Party
from backhaul.ledger import CaseRef
from store import authority, cases, credit, holds
from tests.approvals import CreateApproval, create_approval
from tests.steps.support import (
    AT,
    BENCH,
    DELIVERED,
    World,
    a_line,
    a_request,
    an_order,
    at_receipt,
    claim_of,
    found,
    refused,
    yuan,
)

LATE = at_receipt(found(severity=50), after=timedelta(hours=48, seconds=1))


async def lightning(world: World, **order: object) -> CaseRef:
    await world.order(an_order(**order))  # type: ignore[arg-type]
    case = (await world.judge()).case
    scanned = await world.collect(case)
    assert scanned.lightning
    await world.refund(case, scanned.refunds)
    return case


async def held(world: World) -> tuple[str, int, int]:
    """The case's hold: its state, what it takes of the line, what the line has in use."""
    async with world.store.read() as session:
        row = await credit.hold(session, "m1/r1")
        from store.orders import get

        bundle = await get(session, "o1")
    assert row is not None
    assert bundle is not None
    return row.state, row.amount_minor, bundle.consumer.used_minor


@pytest.mark.parametrize(
    ("receipt", "order", "reason"),
    [(LATE, {}, "late_objection"), (at_receipt(found(severity=50)), {"rdv": None}, "no_cover")],
)
async def test_a_dispute_without_an_advance(
    world: World, receipt: Inspection, order: dict[str, object], reason: str
) -> None:
    case = await lightning(world, **order)
    remedy = await world.settle(case, "receipt_issue", receipt)
    assert (remedy.liable, remedy.indemnity, remedy.refunds) == (Liable.UNDETERMINED, None, ())
    assert reason in remedy.reasons
    assert await world.templates() == ["J20", "J21"]
    assert await held(world) == ("held", 120_000, 120_000)
    assert await refused(world.settle(case, "receipt_issue", receipt, ruling="none")) == "ruling_unknown"


async def test_an_objection_within_48_hours_is_in_time(world: World) -> None:
    case = await lightning(world)
    remedy = await world.settle(case, "receipt_issue", at_receipt(found(severity=50), after=timedelta(hours=48)))
    assert remedy.liable is Liable.CARRIER


async def test_an_objection_without_evidence_is_a_dispute_that_says_why(world: World) -> None:
    case = await lightning(world)
    remedy = await world.settle(case, "receipt_issue", at_receipt(found(severity=50)), evidence=())
    assert (remedy.liable, remedy.indemnity, remedy.reasons) == (Liable.UNDETERMINED, None, ("no_evidence",))
    verdict = next(one for one in remedy.verdicts if one.decision == "objection")
    assert (verdict.outcome, verdict.reasons) == ("dispute", ("objected_without_evidence",))
    assert verdict.rules == ("4.5.objection",)
    assert ("without evidence" in verdict.text.en, "未提供凭证" in verdict.text.zh) == (True, True)
    assert await world.templates() == ["J20", "J21"]


async def test_late_and_without_evidence_says_both(world: World) -> None:
    case = await lightning(world)
    remedy = await world.settle(case, "receipt_issue", LATE, evidence=())
    verdict = next(one for one in remedy.verdicts if one.decision == "objection")
    assert remedy.reasons == ("late_objection", "no_evidence")
    assert verdict.reasons == ("objected_late", "objected_without_evidence")


@pytest.mark.parametrize(
    ("by", "at", "liable"),
    [
        (Party.MERCHANT, DELIVERED, Liable.CARRIER),
        (Party.MERCHANT, DELIVERED + timedelta(hours=1), Liable.CARRIER),
        (Party.MERCHANT, DELIVERED - timedelta(seconds=1), Liable.UNDETERMINED),
        (Party.MERCHANT, DELIVERED + timedelta(hours=1, seconds=1), Liable.UNDETERMINED),
        (Party.CONSUMER, DELIVERED, Liable.UNDETERMINED),
    ],
)
async def test_what_the_merchant_gave_between_the_delivery_and_the_objection_counts(
    world: World, by: Party, at: datetime, liable: Liable
) -> None:
    case = await lightning(world)
    piece = BENCH.model_copy(update={"by": by})
    await world.run(world.steps.record_evidence, RecordEvidence(case=case, evidence=(piece,), at=at))
    remedy = await world.settle(case, "receipt_issue", at_receipt(found(severity=50)), evidence=())
    assert remedy.liable is liable


async def test_ruled_for_the_carrier(world: World) -> None:
    case = await lightning(world)
    await world.settle(case, "receipt_issue", LATE)
    ruling = await world.rule(case, "carrier")
    remedy = await world.settle(case, "receipt_issue", LATE, ruling)
    assert (remedy.liable, remedy.loss, remedy.reasons) == (Liable.CARRIER, yuan("600.00"), ("ruled",))
    assert remedy.indemnity is not None
    assert await held(world) == ("released", 0, 0)
    await _finish(world, case, remedy)


async def test_ruled_against_the_consumer_after_lightning_with_rdv(world: World) -> None:
    """J53: the merchant is charged and indemnified, the consumer owes; the line stays taken and is frozen (X26)."""
    case = await lightning(world)
    await world.settle(case, "receipt_issue", LATE)
    ruling = await world.rule(case, "consumer")
    remedy = await world.settle(case, "receipt_issue", LATE, ruling)
    plan = remedy.indemnity
    assert plan is not None
    assert (remedy.claim_first, await world.templates()) == (True, ["J20", "J21"])  # the insurer decides first
    await world.indemnify(case, plan)
    remedy = await world.settle(case, "receipt_issue", LATE, ruling, plan.claim_ref)
    assert remedy.recovery is not None
    assert (remedy.recovery.withheld, remedy.recovery.amount) == (False, yuan("600.00"))
    await _finish(world, case, remedy)
    books = await world.balances()
    assert (books["P1110"], books["P1130"], books["P2040"]) == (60_000, 0, -60_000)
    assert await held(world) == ("frozen", 60_000, 60_000)


async def test_ruled_against_the_consumer_after_lightning_without_rdv(world: World) -> None:
    """J50 of L and J22 of R - L."""
    case = await lightning(world, rdv=None)
    receipt = at_receipt(found(severity=50))
    await world.settle(case, "receipt_issue", receipt)
    remedy = await world.settle(case, "receipt_issue", receipt, await world.rule(case, "consumer"))
    await _finish(world, case, remedy)
    assert await world.templates() == ["J20", "J21", "J22", "J50"]
    books = await world.balances()
    assert (books["P1110"], books["P1130"]) == (60_000, 0)
    assert (books["P2000"], books["P4000"]) == (36 - 57_000, -3_000)


async def test_clean_at_the_receipt_after_a_finding_at_the_door(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    await world.collect(case, found())
    plan = (await world.assess(case, found())).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    remedy = await world.settle(case, "received_ok", at_receipt())
    assert (remedy.liable, remedy.reasons) == (Liable.UNDETERMINED, ("clean_after_finding",))
    remedy = await world.settle(case, "received_ok", at_receipt(), await world.rule(case, "nobody"))
    assert [part.amount for part in remedy.refunds] == [yuan("1200.00")]
    assert remedy.recovery is not None
    assert remedy.recovery.amount == yuan("360.00")
    assert "J75b" in await world.templates()
    await _finish(world, case, remedy)
    books = await world.balances()
    # The advance left through the bank; the merchant owes it back at the next settlement.
    assert books["P2000"] == 36 + 36_000
    assert (books["P2040"], books["I1200"], books["P1120"]) == (0, 0, 0)


async def test_a_denial_after_the_ruling_withholds_nothing(world: World) -> None:
    """J53 is not posted before the insurer decides: denied after lightning, the rest is as without RDV (J50, J22)."""
    case = await lightning(world)
    await world.settle(case, "receipt_issue", LATE)
    ruling = await world.rule(case, "consumer")
    plan = (await world.settle(case, "receipt_issue", LATE, ruling)).indemnity
    assert plan is not None
    await world.deny(case, plan)
    remedy = await world.settle(case, "receipt_issue", LATE, ruling, plan.claim_ref)
    assert (remedy.indemnity, remedy.withheld, remedy.refunds) == (None, yuan("0.00"), ())
    assert "indemnity_denied" in remedy.reasons
    await _finish(world, case, remedy)
    assert await world.templates() == ["J20", "J21", "J30", "J33", "J22", "J50"]
    books = await world.balances()
    assert (books["P1110"], books["P1130"], books.get("P2040", 0), books["I5000"]) == (60_000, 0, 0, 0)


async def test_an_overturn_before_the_insurer_paid(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    await world.collect(case, found())
    plan = (await world.assess(case, found())).indemnity
    assert plan is not None
    assert await refused(world.settle(case)) == "pending"  # the claim is not even decided
    await world.indemnify(case, plan, fund=False)
    ruling = await world.rule(case, "merchant")
    remedy = await world.settle(case, "received_ok", at_receipt(), ruling)
    assert (remedy.recovery, remedy.closed_claims) == (None, (plan.claim_ref,))
    await _finish(world, case, remedy)
    assert "J75" in await world.templates()
    books = await world.balances()
    assert (books["P1120"], books["I2210"], books["I5000"], books.get("P2040", 0)) == (0, 0, 0, 0)


async def test_the_ruling_at_the_door_holds_at_the_settlement(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    await world.collect(case, found())
    assessed = await world.assess(case, found(), ruling=await world.rule(case, "consumer", found(severity=10)))
    assert assessed.loss == yuan("120.00")
    assert assessed.indemnity is not None
    await world.indemnify(case, assessed.indemnity)
    remedy = await world.settle(case, "receipt_silence")
    assert [part.amount for part in remedy.refunds] == [yuan("1080.00")]
    await _finish(world, case, remedy)


async def test_lost_after_a_finding(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    await world.collect(case, found())
    plan = (await world.assess(case, found())).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    assert (await world.settle(case, "lost")).liable is Liable.UNDETERMINED
    remedy = await world.settle(case, "lost", None, await world.rule(case, "consumer"))
    assert [part.amount for part in remedy.refunds] == [yuan("840.00")]
    await _finish(world, case, remedy)


async def test_other_findings_at_the_receipt_than_at_the_door(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    await world.collect(case, found())
    plan = (await world.assess(case, found())).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    receipt = at_receipt(found(severity=50))
    remedy = await world.settle(case, "receipt_issue", receipt)
    assert (remedy.liable, remedy.reasons) == (Liable.UNDETERMINED, ("findings_differ",))
    ruling = await world.rule(case, "consumer", found(severity=50))
    remedy = await world.settle(case, "receipt_issue", receipt, ruling)
    second = remedy.indemnity
    assert second is not None  # the higher ruling is a second claim, for the difference
    assert (remedy.claim_first, second.amount, second.claim_ref) == (True, yuan("240.00"), claim_of("r1", "loss", 2))
    await world.indemnify(case, second)
    remedy = await world.settle(case, "receipt_issue", receipt, ruling, second.claim_ref)
    assert [part.amount for part in remedy.refunds] == [yuan("600.00")]
    assert [(one.claim_ref, one.amount) for one in remedy.recoveries] == [
        (plan.claim_ref, yuan("360.00")),
        (second.claim_ref, yuan("240.00")),
    ]
    await _finish(world, case, remedy)
    books = await world.balances()
    assert (books["P2040"], books["I1200"], books["I5000"] + books["I5100"]) == (0, 0, 0)


async def test_rulings_are_read_for_their_case_only(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    ruling = await world.rule(case, "carrier", found())
    read = await world.run(world.steps.find_ruling, FindRuling(case=case, ruling_id=ruling))
    assert (read.outcome, read.findings) == ("carrier", (found(),))
    other = case.model_copy(update={"rma_id": "r9"})
    assert await refused(world.run(world.steps.find_ruling, FindRuling(case=other, ruling_id=ruling))) == (
        "ruling_mismatch"
    )
    assert await refused(world.run(world.steps.find_ruling, FindRuling(case=case, ruling_id="x"))) == "ruling_unknown"


async def test_a_ruling_on_the_request_says_nothing_of_liability(world: World) -> None:
    case = await lightning(world)
    ruling = await world.rule(case, "authorize", decides="authorization")
    assert await refused(world.settle(case, "receipt_issue", LATE, ruling)) == "ruling_mismatch"


async def test_approvals_are_read_for_their_step_only(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    request = CreateApproval(
        merchant_id="m1", rma_id="r1", subject="k1", amount=yuan("5000.00"), payee="m1", prepared_by="ann"
    )
    async with world.store.transaction() as session:
        await create_approval(session, "a1", request, "bob", AT)

    async def find(approval_id: str, subject: str) -> object:
        argument = FindApproval(case=case, approval_id=approval_id, subject=subject)
        return await world.run(world.steps.find_approval, argument)

    await find("a1", "k1")
    assert await refused(find("a2", "k1")) == "approval_unknown"
    assert await refused(find("a1", "k2")) == "approval_mismatch"
    async with world.store.transaction() as session:
        await authority.consume(
            session, "a1", case_key="m1/r1", subject="k1", amount=yuan("5000.00"), payee="m1", by="x", at=AT
        )
    assert await refused(find("a1", "k1")) == "approval_used"


async def _finish(world: World, case: CaseRef, remedy: Remedy) -> None:
    if remedy.indemnity is not None:
        await world.indemnify(case, remedy.indemnity)
    await world.refund(case, remedy.refunds)
    for one in remedy.recoveries:
        if one.withheld:
            await world.remit(case, one.claim_ref, one.amount)
    await world.end(case)


async def test_a_dispute_keeps_its_case_out_of_settlement(world: World) -> None:
    """Held from its opening, also what is posted later; let go at its end, or at the close of the case."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case

    async def reasons() -> list[str]:
        async with world.store.read() as session:
            return [row.reason for row in await holds.holds_of(session, "m1")]

    for n in (1, 2):
        opened = OpenDispute(case=case, n=n, question=Question.LIABILITY, headline="h", at=AT)
        await world.run(world.steps.open_dispute, opened)
    assert await reasons() == ["dispute:1", "dispute:2"]
    for _ in range(2):
        await world.run(world.steps.end_dispute, EndDispute(case=case, n=1, at=AT))
    assert await reasons() == ["dispute:2"]
    await world.collect(case)
    remedy = await world.settle(case)
    await world.refund(case, remedy.refunds)
    await world.end(case)
    assert await reasons() == []


async def test_a_ruling_that_was_followed_is_a_decision_of_the_case_once(world: World) -> None:
    """With the facts and the book that it was made on; the liability that it takes the place of is not told beside it,
    nor an indemnity that nobody gets."""
    await world.order(an_order(tier=0))
    case = (await world.judge()).case
    await world.collect(case, found(severity=50))
    ruling = await world.rule(case, "merchant")
    ended = EndDispute(case=case, n=1, at=AT, ruling_id=ruling)
    told = [await world.run(world.steps.end_dispute, ended) for _ in range(2)]
    assert told[0] == told[1]
    assert (await world.assess(case, found(severity=50), ruling=ruling)).indemnity is None
    remedy = await world.settle(case, "received_ok")
    assert remedy.liable is Liable.MERCHANT
    async with world.store.read() as session:
        kept = await cases.decisions(session, "m1/r1")
        row = await authority.find_ruling(session, ruling)
    (said,) = [one for one in kept if one.decision == "ruling"]
    assert told[0].verdicts == (said,)
    assert (said.outcome, said.reasons, said.numbers["ruling"]) == ("merchant", ("ruled_merchant",), ruling)
    assert (said.book, said.facts_hash) == (row.book, row.facts_hash)
    assert [one.outcome for one in kept if one.decision == "liability"] == []
    (indemnity,) = [one for one in kept if one.decision == "indemnity"]
    assert (indemnity.outcome, indemnity.reasons, indemnity.numbers["indemnity"]) == ("none", ("own_fault",), 0)
    assert kept[-1].decision == "remedy"
    assert (kept[-1].outcome, kept[-1].numbers["liable"], kept[-1].numbers["to_consumer"]) == (
        "refunded",
        "merchant",
        120_000,
    )


async def test_an_overturn_gives_the_cover_its_limit_back(world: World) -> None:
    """Two coats under one cover of 500.00: the first claim takes all of it and is overturned; the second has it."""
    await world.order(an_order(a_line(paid="2400.00", quantity=2), rdv="500.00"))
    first = (await world.judge(a_request("r1"))).case
    await world.collect(first, found(severity=80))
    plan = (await world.assess(first, found(severity=80))).indemnity
    assert plan is not None
    assert plan.amount == yuan("500.00")
    await world.indemnify(first, plan)
    remedy = await world.settle(first, "received_ok", at_receipt(), await world.rule(first, "merchant"))
    assert [(one.amount, one.withheld) for one in remedy.recoveries] == [(yuan("500.00"), True)]
    second = (await world.judge(a_request("r2"))).case
    await world.collect(second, found(severity=80))
    again = (await world.assess(second, found(severity=80))).indemnity
    assert again is not None
    assert again.amount == yuan("500.00")
