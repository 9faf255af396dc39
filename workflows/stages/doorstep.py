"""A finding at the door. Domain 4.5, X7, X8: the consumer accepts it, disputes it, or takes the goods back."""

from __future__ import annotations

from activities.contract import AssessFinding, Proof, RefundUndisputed, ReturnGoods
from activities.declarations import assess_finding, refund_undisputed, return_goods
from backhaul.case import Region
from backhaul.facts import Liable, LineFinding, Party
from backhaul.messages import ConsumerAtDoor, DoorstepFinding, FindingAnswer
from workflows.case_run import CaseRun
from workflows.stages.indemnifying import begin
from workflows.stages.notices import ask
from workflows.stages.refunding import refund
from workflows.stages.ruling import ruling

CANNOT = frozenset({"not_returnable"})
"""With this nobody brings the goods back, however often they are asked."""


async def finding(run: CaseRun, found: tuple[DoorstepFinding, ...]) -> bool:
    """Settle a finding at the door. False: the consumer takes the goods back and the case ends withdrawn."""
    answer = _said_at_door(found) or await _ask(run, "finding_found")
    run.tell(f"finding: {answer.value}", Party.CONSUMER)
    if answer is FindingAnswer.WITHDRAW:
        if await brought_back(run):
            return False
        run.mail.finding = None
        answer = await _ask(run, "finding_travels")
        run.tell(f"finding: {answer.value}", Party.CONSUMER)
    ruling_id = None
    if answer is FindingAnswer.DISPUTE:
        await _refund_undisputed(run, found)
        ruling_id = await ruling(
            run, "the consumer disputes the finding at the door", evidence_s=run.judged.terms.denial_evidence_s
        )
    assessed = await run.step(assess_finding, AssessFinding(case=run.judged.case, findings=found, ruling_id=ruling_id))
    run.verdicts += assessed.verdicts
    run.tell(f"liable for {assessed.loss}: {assessed.liable.value}", Party.PLATFORM)
    if assessed.indemnity is not None and assessed.liable is not Liable.UNDETERMINED:
        begin(run, assessed.indemnity)
    return True


def _said_at_door(found: tuple[DoorstepFinding, ...]) -> FindingAnswer | None:
    """What the consumer told the courier: one objection to any line outweighs agreement to the others."""
    said = {item.consumer for item in found}
    if ConsumerAtDoor.WITHDRAWS in said:
        return FindingAnswer.WITHDRAW
    if ConsumerAtDoor.DISPUTES in said:
        return FindingAnswer.DISPUTE
    return FindingAnswer.ACCEPT if said == {ConsumerAtDoor.AGREES} else None


async def _ask(run: CaseRun, about: str) -> FindingAnswer:
    """Nothing was said at the door, or the goods cannot be taken back: ask. Silence, from the notice on, lets the
    finding stand (X7)."""
    span = run.judged.terms.finding_answer_s
    await ask(run, Party.CONSUMER, about, "finding_answer", span, lambda: run.mail.finding is not None)
    return run.mail.finding.answer if run.mail.finding is not None else FindingAnswer.ACCEPT


async def _refund_undisputed(run: CaseRun, found: tuple[DoorstepFinding, ...]) -> None:
    """What nobody disputes leaves at once; the rest waits for the ruling (domain 4.5)."""
    findings = tuple(
        LineFinding(line_id=one.line_id, finding=one.finding, quantity=one.quantity, severity=one.severity)
        for one in found
    )
    undisputed = await run.step(refund_undisputed, RefundUndisputed(case=run.judged.case, findings=findings))
    run.undisputed = bool(undisputed.charged)
    if undisputed.refunds:
        run.tell(f"{undisputed.charged} is not disputed and leaves now", Party.PLATFORM)
        run.regions.to(Region.REFUND, "due")
        run.spawn(refund(run, undisputed.refunds))


async def brought_back(run: CaseRun) -> bool:
    """The goods go back to the consumer, who withdrew, and the case ends withdrawn. False: the return goes on, since
    nobody can bring them (the courier's final word, an operator's skip, a parcel that the consumer sent)."""
    if run.travels_on:
        return False
    if run.pickup_id is None:
        return _goes_on(run, Party.CONSUMER)
    asked = ReturnGoods(case=run.judged.case, pickup_id=run.pickup_id, patience=run.patience)
    answer = await run.effect(return_goods, asked, hand_back=CANNOT)
    if isinstance(answer, Proof):
        return _goes_on(run, Party.COURIER if answer.state in CANNOT else Party.OPERATOR)
    run.regions.to(Region.LOGISTICS, "returned_to_consumer")
    run.regions.to(Region.AUTHORIZATION, "withdrawn")
    return True


def _goes_on(run: CaseRun, by: Party) -> bool:
    run.travels_on = True
    run.tell("not brought back: the return goes on", by)
    return False
