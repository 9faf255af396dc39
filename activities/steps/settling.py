"""settle_case: fix every amount of a case, once, and post it. Domain 4.5 and its fixed readings."""

from __future__ import annotations

from activities.contract import IndemnityPlan, Remedy, SettleCase
from activities.steps.amounts import (
    Amounts,
    Standing,
    amounts_of,
    own_place,
    pieces,
    post_amounts,
    recoveries_of,
    standing,
)
from activities.steps.desk import SETTLED, Desk, Work
from activities.steps.finding import AT_DOOR
from activities.steps.loss import Liability, Loss, loss_claims, loss_of, plan_indemnity, read_ruling, ruled
from activities.steps.overturn import overturn
from activities.steps.parcel import SCAN, Scan, scan_facts
from activities.steps.parts import with_freight
from backhaul.case import Stage
from backhaul.errors import Rejected
from backhaul.facts import CaseFacts, Inspection, Liable, Party
from backhaul.money import Money
from backhaul.policy.remedy import remedy
from backhaul.policy.settling import RETURNED, Heard, Judged, given_back, indemnity_decided, uncovered, who_is_liable
from store import cases, claims, evidence

STEP = "settle_case"
REMEDY = "remedy"
RULED = "ruled"


async def settle(desk: Desk, argument: SettleCase) -> Remedy:
    """Settle once per event and ruling; once amounts are fixed, nothing fixes others.

    A case that is carried on after a crash of its history may ask with another event: it hears what was fixed."""
    step = ":".join(part for part in (STEP, argument.event, argument.ruling_id, argument.claimed) if part is not None)

    async def work(now: Work) -> Remedy:
        fixed = await cases.recorded(now.session, now.key, REMEDY, Remedy)
        return fixed or await _settle(desk, now, argument, step)

    return await desk.once(argument.case, step, argument, Remedy, work, argument.at)


async def _settle(desk: Desk, work: Work, argument: SettleCase, step: str) -> Remedy:
    facts = await scan_facts(work)
    scan = await cases.recorded(work.session, work.key, SCAN, Scan)
    if scan is None:
        raise Rejected("not_found", f"the goods of {work.key} were not collected")
    await keep_receipt(work, argument)
    judged = await judge(work, argument, facts)
    facts = await own_place(work, facts, scan)
    earlier = await loss_claims(work)
    held = Money(minor=sum(claims.stands(row) for row in earlier), currency=work.book.currency)
    loss = loss_at(desk, work, facts, judged.found, argument.event, held)
    judged = uncovered(judged, loss, claimed=argument.claimed is not None)
    await work.say(*judged.verdicts)
    await cases.store_facts(work.session, work.key, step, facts)
    if judged.found.liable is Liable.UNDETERMINED:
        await _show(work, Stage.DISPUTE, Party.OPERATOR)
        return _open_remedy(work, judged, loss)
    stands = standing(earlier, work.book.currency)
    amounts = await amounts_of(work, facts, scan, judged.found, loss, stands)
    await work.say(indemnity_decided(judged.found, loss, amounts.result.indemnify))
    if not amounts.to_claim or loss.cover is None:
        return await _carry_out(work, argument, facts, scan, judged, loss, amounts, stands)
    plan = await plan_indemnity(desk, work, facts, loss.cover, amounts.to_claim, earlier)
    if judged.found.liable is Liable.CONSUMER or judged.found.shares:
        # What is withheld or owed, and by whom, follows from what the insurer decides: nothing is posted before.
        await _show(work, Stage.CLOSING, Party.INSURER)
        return _open_remedy(work, judged, loss).model_copy(update={"indemnity": plan, "claim_first": True})
    amounts = amounts.model_copy(update={"claim_ref": plan.claim_ref, "coverage_id": plan.coverage_id})
    return await _carry_out(work, argument, facts, scan, judged, loss, amounts, stands, plan)


def _open_remedy(work: Work, judged: Judged, loss: Loss) -> Remedy:
    """Nothing is fixed yet: a human rules first, or the insurer decides."""
    return Remedy(
        liable=judged.found.liable,
        loss=loss.total,
        withheld=Money.zero(loss.total.currency),
        reasons=judged.reasons,
        verdicts=tuple(work.verdicts),
    )


async def _carry_out(
    work: Work,
    argument: SettleCase,
    facts: CaseFacts,
    scan: Scan,
    judged: Judged,
    loss: Loss,
    amounts: Amounts,
    stands: Standing,
    plan: IndemnityPlan | None = None,
) -> Remedy:
    """Post what is fixed, plan what leaves."""
    await work.say(remedy(facts, amounts.result, bool(scan.granted), work.book))
    back = await overturn(work, stands.live, amounts.overturned)
    live = tuple(row for row in await loss_claims(work) if claims.stands(row))
    if back:
        amounts = amounts.model_copy(update={"pieces": pieces(amounts.result, live)})
    await post_amounts(work, scan, amounts)
    parts, besides = await with_freight(work, amounts.result.refund_now, scan.reimburse)
    recoveries = await recoveries_of(work, scan, amounts, live, back)
    amounts = amounts.model_copy(
        update={
            "delivered_at": argument.delivered_at,
            "re_ruled": argument.re_ruled,
            "returned": argument.event == RETURNED,
        }
    )
    await cases.record(work.session, work.key, SETTLED, argument, amounts, work.at)
    await cases.add_money(work.session, work.key, withheld=amounts.result.withhold.minor)
    await _show(work, *((Stage.REFUNDING, Party.PSP) if parts else (Stage.CLOSING, Party.PLATFORM)))
    answer = Remedy(
        liable=judged.found.liable,
        loss=loss.total,
        refunds=parts,
        repayments=besides,
        withheld=amounts.result.withhold,
        indemnity=plan,
        recovery=recoveries[0] if recoveries else None,
        more_recoveries=recoveries[1:],
        closed_claims=tuple(one.claim_ref for one in back if one.closed),
        unpaid_claims=tuple(one.claim_ref for one in back if one.unpaid),
        reasons=(*judged.reasons, *amounts.notes),
        verdicts=tuple(work.verdicts),
    )
    await cases.record(work.session, work.key, REMEDY, argument, answer, work.at)
    return answer


async def _show(work: Work, stage: Stage, waiting_on: Party) -> None:
    await cases.set_stage(work.session, work.key, stage.value, work.at, waiting_on=waiting_on.value)


# ---- what was seen, and who is liable --------------------------------------------------------------------------


async def keep_receipt(work: Work, argument: SettleCase) -> None:
    """What the merchant found, with its evidence."""
    if argument.receipt is not None:
        await cases.save_inspection(work.session, work.key, "receipt", argument.receipt)
    await evidence.keep(work.session, work.key, argument.evidence, evidence.RECEIPT, work.at)


def loss_at(desk: Desk, work: Work, facts: CaseFacts, found: Liability, event: str, held: Money) -> Loss:
    """The loss at the end of a parcel's way: of goods that went back to the consumer no cover pays anything."""
    loss = loss_of(desk, work, facts, found, held)
    return given_back(loss) if event == RETURNED else loss


async def judge(work: Work, argument: SettleCase, facts: CaseFacts) -> Judged:
    """By ruling, by the ruling at the door where nothing new came up, else by the rules."""
    door = await cases.inspection(work.session, work.key, "doorstep")
    at_door = await cases.recorded(work.session, work.key, AT_DOOR, Liability)
    if argument.re_ruled is not None:
        at_door = await _re_ruled(work, argument.re_ruled, at_door)
    proven = await _evidence(work, argument, door)
    heard = Heard(argument.event, door, argument.receipt, argument.delivered_at, at_door, proven)
    if argument.ruling_id is not None:
        liable, ruling = await read_ruling(work, argument.ruling_id)
        # Without findings of its own a ruling against the carrier after a loss is about the whole parcel.
        whole = argument.lost and ruling.findings is None and liable in (Liable.CARRIER, Liable.INSURER)
        return Judged(found=ruled(liable, ruling, heard.findings, lost=whole), reasons=(RULED,))
    return who_is_liable(heard, facts, work.risk, work.book)


async def _evidence(work: Work, argument: SettleCase, door: Inspection | None) -> bool:
    """Did evidence come with the merchant's objection, or from them alone between the delivery and it? An objection
    that the courier's word of the delivery only followed had the goods before: there any since the pickup counts."""
    if argument.evidence or argument.receipt is None or argument.delivered_at is None:
        return bool(argument.evidence)
    since, until = argument.delivered_at, argument.receipt.at
    if until <= since and door is not None:
        since = door.at
    kept = await evidence.of_case(work.session, work.key)
    return any(since <= one.received_at <= until for one in kept if one.by is Party.MERCHANT)


async def _re_ruled(work: Work, ruling_id: str, before: Liability | None) -> Liability:
    """What another reviewer says of the finding at the door, in place of the first."""
    liable, ruling = await read_ruling(work, ruling_id)
    return ruled(liable, ruling, () if before is None else before.everything)
