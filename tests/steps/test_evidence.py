"""What the parties give is kept where it comes in; what a reviewer sees of the goods; who may overrule whom."""

from __future__ import annotations

from typing import Any

from activities.contract import FindRuling, OpenDispute, RecordEvidence, SettleCase
from backhaul.disputes import Interval, Question
from backhaul.facts import Party
from backhaul.ledger import CaseRef
from backhaul.messages import CreateRuling, EvidenceRef
from store import authority, cases, evidence
from tests.steps.support import AT, DELIVERED, World, a_request, at_receipt, doorstep, found, refused


def piece(by: Party, ref: str) -> EvidenceRef:
    return EvidenceRef(ref=ref, sha256="e" * 64, by=by)


async def opened(world: World, case: CaseRef, n: int = 1) -> Any:
    argument = OpenDispute(case=case, n=n, question=Question.LIABILITY, headline="who did it?", at=AT)
    return await world.run(world.steps.open_dispute, argument)


async def test_evidence_is_kept_with_the_request_the_visit_and_the_objection(world: World) -> None:
    await world.order()
    case = (await world.judge(a_request(arrived_damaged=True))).case
    pickup = await world.book()
    scan = world.scan_of(case, pickup, found())
    photographed = tuple(one.model_copy(update={"photos": ("door.jpg",)}) for one in doorstep(found()))
    report = scan.report.model_copy(update={"findings": photographed})
    await world.run(world.steps.record_pickup, scan.model_copy(update={"report": report}))
    given = RecordEvidence(case=case, evidence=(piece(Party.CONSUMER, "box.jpg"),), at=AT)
    assert (await world.run(world.steps.record_evidence, given)).new == 1
    assert (await world.run(world.steps.record_evidence, given)).new == 0
    objection = SettleCase(
        case=case,
        event="receipt_issue",
        receipt=at_receipt(found(severity=50)),
        delivered_at=DELIVERED,
        evidence=(piece(Party.MERCHANT, "bench.jpg"),),
        at=DELIVERED,
    )
    await world.run(world.steps.settle_case, objection)
    async with world.store.read() as session:
        kept = {(one.ref, one.by.value, one.source) for one in await evidence.of_case(session, "m1/r1")}
    assert kept == {
        ("photo", "merchant", "request"),
        ("door.jpg", "courier", "door"),
        ("box.jpg", "consumer", "party"),
        ("bench.jpg", "merchant", "receipt"),
    }
    shown = await opened(world, case)
    assert {one.ref for one in shown.evidence} == {"photo", "door.jpg", "box.jpg", "bench.jpg"}
    (item,) = shown.items
    assert (item.interval, item.code) == (Interval.UNKNOWN, "findings_differ")
    async with world.store.read() as session:
        decisions = [verdict.decision for verdict in await cases.decisions(session, "m1/r1")]
    assert decisions.count("comparison") == 1  # at the settlement; the reviewer sees the same
    assert await opened(world, case) == shown


async def test_before_anything_is_collected_there_is_nothing_to_compare(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    assert (await opened(world, case)).items == ()


async def test_an_appeal_is_ruled_on_by_another_reviewer(world: World) -> None:
    await world.order()
    case = (await world.judge()).case
    first = await world.rule(case, "consumer", ruling_id="u1")

    async def rule(ruling_id: str, by: str, overrules: str | None) -> None:
        request = CreateRuling(
            merchant_id="m1", rma_id="r1", decides="liability", outcome="merchant", reason="seen", overrules=overrules
        )
        async with world.store.transaction() as session:
            await authority.create_ruling(session, ruling_id, request, by, AT)

    async def find(ruling_id: str, appealed: str | None) -> Any:
        return await world.run(world.steps.find_ruling, FindRuling(case=case, ruling_id=ruling_id, appealed=appealed))

    await rule("u2", "judge", None)
    await rule("u3", "other", None)
    await rule("u4", "other", first)
    assert await refused(find("u2", first)) == "same_reviewer"
    assert await refused(find("u3", first)) == "ruling_mismatch"
    assert await refused(find("u4", None)) == "ruling_mismatch"
    assert (await find("u4", first)).outcome == "merchant"


async def test_the_ruling_on_an_appeal_takes_the_doors_place(world: World) -> None:
    """Ruled merchant at the door; re-ruled consumer: the settlement goes by the second."""
    await world.order()
    case = (await world.judge()).case
    await world.collect(case, found())
    first = await world.rule(case, "merchant", ruling_id="u1")
    await world.assess(case, found(), ruling=first)
    await world.rule(case, "consumer", ruling_id="u2")
    settle = SettleCase(case=case, event="received_ok", delivered_at=DELIVERED, re_ruled="u2", at=DELIVERED)
    remedy = await world.run(world.steps.settle_case, settle)
    assert (remedy.liable.value, remedy.claim_first, remedy.reasons) == ("consumer", True, ("ruled",))
