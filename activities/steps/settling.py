"""settle_case: fix every amount of a case, once, and post it. Domain 4.5 and its fixed readings."""

from __future__ import annotations

from activities.contract import Remedy, SettleCase
from activities.steps.amounts import Amounts, amounts_of, post_amounts, recovery_of
from activities.steps.desk import Desk, Work
from activities.steps.finding import AT_DOOR
from activities.steps.loss import Liability, Loss, loss_claims, loss_of, plan_indemnity, read_ruling
from activities.steps.parcel import SCAN, Scan, scan_facts
from activities.steps.parts import refund_parts
from backhaul.case import Stage
from backhaul.errors import Rejected
from backhaul.facts import CaseFacts, Frozen, Inspection, Liable, Party
from backhaul.money import Money
from backhaul.policy.liability import has_finding, liability
from store import cases

STEP = "settle_case"
SETTLED = "settled"
LATE, NO_COVER, RULED = "late_objection", "no_cover", "ruled"


class Judged(Frozen):
    """Who is liable, why, and whether the merchant's own objection alone says so."""

    found: Liability
    reasons: tuple[str, ...]
    objection: bool = False


async def settle(desk: Desk, argument: SettleCase) -> Remedy:
    """Settle once per event and ruling; once amounts are fixed, nothing fixes others."""
    step = f"{STEP}:{argument.event}"
    if argument.ruling_id is not None:
        step += f":{argument.ruling_id}"

    async def work(now: Work) -> Remedy:
        if await cases.recorded(now.session, now.key, SETTLED, Amounts) is not None:
            raise Rejected("already_decided", f"{now.key} is settled")
        return await _settle(desk, now, argument, step)

    return await desk.once(argument.case, step, argument, Remedy, work, argument.at)


async def _settle(desk: Desk, work: Work, argument: SettleCase, step: str) -> Remedy:
    facts = await scan_facts(work)
    scan = await cases.recorded(work.session, work.key, SCAN, Scan)
    if scan is None:
        raise Rejected("not_found", f"the goods of {work.key} were not collected")
    if argument.receipt is not None:
        await cases.save_inspection(work.session, work.key, "receipt", argument.receipt)
    judged = await _judge(work, argument, facts)
    earlier = await loss_claims(work)
    held = sum(row.reserved_minor for row in earlier if row.state != "denied")
    loss = loss_of(desk, work, facts, judged.found, Money(minor=held, currency=work.book.currency))
    if judged.objection and loss.total and not loss.payable:
        judged = Judged(found=_open(judged.found), reasons=(NO_COVER, *loss.verdict.reasons))
    if judged.found.lost or judged.found.findings:
        work.verdicts.append(loss.verdict)
    await cases.store_facts(work.session, work.key, step, facts)
    if judged.found.liable is Liable.UNDETERMINED:
        await _show(work, Stage.DISPUTE, Party.OPERATOR)
        return Remedy(
            liable=Liable.UNDETERMINED,
            loss=loss.total,
            withheld=Money.zero(loss.total.currency),
            reasons=judged.reasons,
            verdicts=tuple(work.verdicts),
        )
    amounts = await amounts_of(work, facts, scan, judged.found, loss, earlier)
    return await _carry_out(desk, work, argument, facts, scan, judged, loss, amounts)


async def _carry_out(
    desk: Desk,
    work: Work,
    argument: SettleCase,
    facts: CaseFacts,
    scan: Scan,
    judged: Judged,
    loss: Loss,
    amounts: Amounts,
) -> Remedy:
    """Post what is fixed, plan what leaves."""
    plan = None
    if amounts.to_claim and loss.cover is not None:
        plan = await plan_indemnity(desk, work, facts, loss.cover, amounts.to_claim, await loss_claims(work))
        amounts = amounts.model_copy(update={"claim_ref": plan.claim_ref, "coverage_id": plan.coverage_id})
    await post_amounts(work, scan, amounts)
    parts = await refund_parts(work, amounts.result.refund_now, scan.reimburse)
    recovery = await recovery_of(work, scan, amounts)
    await cases.record(work.session, work.key, SETTLED, argument, amounts, work.at)
    await cases.add_money(work.session, work.key, withheld=amounts.result.withhold.minor)
    await _show(work, *((Stage.REFUNDING, Party.PSP) if parts else (Stage.CLOSING, Party.PLATFORM)))
    return Remedy(
        liable=judged.found.liable,
        loss=loss.total,
        refunds=parts,
        withheld=amounts.result.withhold,
        indemnity=plan,
        recovery=recovery,
        reasons=(*judged.reasons, *amounts.notes),
        verdicts=tuple(work.verdicts),
    )


async def _show(work: Work, stage: Stage, waiting_on: Party) -> None:
    await cases.set_stage(work.session, work.key, stage.value, work.at, waiting_on=waiting_on.value)


# ---- who is liable ---------------------------------------------------------------------------------------------


async def _judge(work: Work, argument: SettleCase, facts: CaseFacts) -> Judged:
    """By ruling, by the ruling at the door where nothing new came up, else by the rules."""
    door = await cases.inspection(work.session, work.key, "doorstep")
    at_door = await cases.recorded(work.session, work.key, AT_DOOR, Liability)
    receipt = argument.receipt
    flagged = door is not None and has_finding(door)
    objection = receipt is not None and has_finding(receipt) and not flagged and not argument.lost
    source = receipt if objection else door
    findings = source.findings if source is not None else ()
    if at_door is not None and not objection:
        findings = at_door.findings
    if argument.ruling_id is not None:
        liable, ruling = await read_ruling(work, argument.ruling_id)
        # Without findings of its own a ruling against the carrier after a loss is about the whole parcel.
        whole = argument.lost and ruling.findings is None and liable in (Liable.CARRIER, Liable.INSURER)
        stands = findings if ruling.findings is None else ruling.findings
        return Judged(found=Liability(liable=liable, findings=stands, lost=whole, ruled=True), reasons=(RULED,))
    verdict = liability(facts, door, receipt, argument.lost, work.book)
    work.verdicts.append(verdict)
    found = Liability(liable=Liable(verdict.outcome), findings=findings, lost=argument.lost)
    if at_door is not None and at_door.ruled and found.liable in (Liable.CONSUMER, Liable.MERCHANT):
        return Judged(found=at_door, reasons=(RULED,))
    if objection and receipt is not None and _late(work, argument, receipt):
        return Judged(found=_open(found), reasons=(LATE,))
    return Judged(found=found, reasons=verdict.reasons, objection=objection)


def _late(work: Work, argument: SettleCase, receipt: Inspection) -> bool:
    """X10: an objection with an advance comes within 48 h of the delivery."""
    if argument.delivered_at is None:
        return False
    return receipt.at > argument.delivered_at + work.book.timers.receipt_finding


def _open(found: Liability) -> Liability:
    return found.model_copy(update={"liable": Liable.UNDETERMINED})
