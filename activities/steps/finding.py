"""assess_finding: the finding at the door stands. Who is liable, what is indemnified at once? Domain 4.5, X7, X8."""

from __future__ import annotations

from activities.contract import AssessFinding, Assessment
from activities.steps.desk import Desk, Work
from activities.steps.loss import PAID_FOR, Liability, loss_claims, loss_of, plan_indemnity, read_ruling, ruled
from activities.steps.parcel import scan_facts
from backhaul.facts import CaseFacts, Finding, Inspection, InspectionResult, Liable, LineFinding
from backhaul.money import Money
from backhaul.policy.liability import liability
from backhaul.policy.settling import indemnity_decided
from store import cases

STEP = "assess_finding"
AT_DOOR = "liability_at_door"


async def assess(desk: Desk, argument: AssessFinding) -> Assessment:
    """Judge the finding, keep who is liable, and plan the indemnity where the cover pays."""

    async def work(now: Work) -> Assessment:
        return await _assess(desk, now, argument)

    return await desk.once(argument.case, STEP, argument, Assessment, work)


async def _assess(desk: Desk, work: Work, argument: AssessFinding) -> Assessment:
    facts = await scan_facts(work)
    found, reasons = await _liable(work, argument, facts)
    loss = loss_of(desk, work, facts, found)
    due = loss.payable if found.liable in PAID_FOR else Money.zero(loss.total.currency)
    said = indemnity_decided(found, loss, due)
    await work.say(said)
    plan = None
    if due and loss.cover is not None:
        plan = await plan_indemnity(desk, work, facts, loss.cover, due, await loss_claims(work))
    await cases.record(work.session, work.key, AT_DOOR, argument, found, work.at)
    await cases.store_facts(work.session, work.key, STEP, facts)
    return Assessment(
        liable=found.liable,
        loss=loss.total,
        indemnity=plan,
        reasons=(*reasons, *(said.reasons if said is not None else ())),
        verdicts=tuple(work.verdicts),
    )


async def _liable(work: Work, argument: AssessFinding, facts: CaseFacts) -> tuple[Liability, tuple[str, ...]]:
    ours = {line.line_id for line in facts.lines}
    findings = tuple(
        LineFinding(line_id=one.line_id, finding=one.finding, quantity=one.quantity, severity=one.severity)
        for one in argument.findings
        if one.line_id in ours and one.finding is not Finding.OK
    )
    if argument.ruling_id is not None:
        liable, ruling = await read_ruling(work, argument.ruling_id)
        return ruled(liable, ruling, findings), ("ruled",)
    door = Inspection(result=InspectionResult.FINDING, findings=findings, at=work.at)
    verdict = liability(facts, door, None, False, work.book)
    await work.say(verdict)
    return Liability(liable=Liable(verdict.outcome), findings=findings), verdict.reasons
