"""resettle: what was settled turns out otherwise. The difference is posted, as reversals and new entries. Domain 2.10.

A late parcel, or another reviewer's ruling. Never a second refund of the same money: what left before stands, and only
what was never paid leaves now.
"""

from __future__ import annotations

from collections.abc import Sequence

from activities.contract import IndemnityPlan, MoneyBack, Resettle, Resettled
from activities.steps.amounts import (
    Amounts,
    Standing,
    count_lines,
    new_recoveries,
    pieces,
    standing,
    waiting_recoveries,
)
from activities.steps.before import Before, before_of, by_line, posted
from activities.steps.desk import SETTLED, Desk, Work, id_of
from activities.steps.ending import on_the_line
from activities.steps.loss import PAID_FOR, Liability, Loss, loss_claims, loss_of, plan_indemnity, read_ruling, ruled
from activities.steps.overturn import Overturned, overturn
from activities.steps.parcel import STEP as SCANNED
from activities.steps.parcel import scan_facts
from activities.steps.parts import refund_parts
from activities.steps.settling import RULED, judge, keep_receipt, loss_at
from activities.steps.undisputed import UndisputedPart, before_it
from activities.steps.undoing import recharge, undo
from backhaul.errors import Rejected, Transient
from backhaul.facts import CaseFacts, Liable
from backhaul.ids import payment_key
from backhaul.ledger import Side, refund_due
from backhaul.messages import Ruling
from backhaul.money import Money
from backhaul.policy.consequences import Consequences
from backhaul.policy.refunds import RefundValue
from backhaul.policy.remedy import remedy
from backhaul.policy.settling import (
    RETURNED,
    AmountsBroken,
    Judged,
    fix_again,
    given_back,
    indemnity_decided,
    uncovered,
)
from store import cases, claims, credit, ledger
from store.recoveries import ENDED
from store.tables import ClaimRow

STEP = "resettle"
STANDS = "refund_stands"
"""A note: the consumer keeps what left, and the merchant bears it."""


async def resettle(desk: Desk, argument: Resettle) -> Resettled:
    """Settle anew, once per `tag`, ruling on what arrived, and awaited claim."""
    ruled = None if argument.arrived is None else argument.arrived.ruling_id
    step = ":".join(part for part in (STEP, argument.tag, ruled, argument.claimed) if part is not None)

    async def work(now: Work) -> Resettled:
        return await _resettle(desk, now, argument, step)

    return await desk.once(argument.case, step, argument, Resettled, work, argument.at)


async def _resettle(desk: Desk, work: Work, argument: Resettle, step: str) -> Resettled:
    before = await before_of(work)
    facts = await _facts(work, before)
    earlier = await loss_claims(work)
    held = Money(minor=sum(claims.stands(row) for row in earlier), currency=work.book.currency)
    judged, loss = await _judged(desk, work, argument, before, facts, held)
    found = judged.found
    await work.say(*judged.verdicts)
    await cases.store_facts(work.session, work.key, step, facts)
    if found.liable is Liable.UNDETERMINED:
        return Resettled(liable=found.liable, changed=False, verdicts=tuple(work.verdicts))
    stands = standing(earlier, work.book.currency)
    due = loss.payable if found.liable in PAID_FOR else loss.total - loss.total
    due = stands.payable(due)
    await work.say(indemnity_decided(found, loss, due) or loss.verdict)
    to_claim = max(due - stands.done, loss.total - loss.total)
    plan: IndemnityPlan | None = None
    freed: tuple[MoneyBack, ...] = ()
    if to_claim and loss.cover is not None:
        freed = await _free_cover(work, before, earlier)
        plan = await plan_indemnity(desk, work, facts, loss.cover, to_claim, earlier)
        if found.liable is Liable.CONSUMER or found.shares:
            verdicts = tuple(work.verdicts)
            return Resettled(
                liable=found.liable, changed=True, indemnity=plan, claim_first=True, back=freed, verdicts=verdicts
            )
    return await _post(work, argument, before, facts, found, loss, due, stands, plan, freed)


async def _free_cover(work: Work, before: Before, rows: Sequence[ClaimRow]) -> tuple[MoneyBack, ...]:
    """What was overturned, and waits with us for a recovery to send it, goes back to the insurer before more is
    claimed: until then it is used up of the cover.

    Raises Transient(`pending`) where such a recovery has begun, and the insurer does not have the money yet."""
    withheld = {one.claim_ref: one.withheld.minor for one in before.last.pieces}
    freed = []
    for claim in rows:
        if not claim.overturned_minor:
            continue
        for row in await claims.recoveries_of(work.session, claim.claim_ref, lock=True):
            kept = withheld.get(claim.claim_ref, 0) if row.liable == Liable.CONSUMER.value else 0
            minor = row.in_hand_minor - kept
            if minor > 0 and before.closed and row.state not in ENDED and row.remitted_minor < row.in_hand_minor:
                raise Transient("pending", f"what is in hand for {row.recovery_ref} is on its way to the insurer")
            if minor > 0 and not before.closed:
                await claims.take_in_hand(work.session, row, minor, work.at)
                amount = Money(minor=minor, currency=row.currency)
                key = payment_key(id_of(work.case), f"freed.{row.recovery_ref}.v{before.n}")
                freed.append(MoneyBack(claim_ref=claim.claim_ref, amount=amount, key=key, to="insurer"))
    return tuple(freed)


async def _facts(work: Work, before: Before) -> CaseFacts:
    """The facts as if this case had refunded nothing yet."""
    facts = await scan_facts(work)
    if before.scan.granted:
        at_grant = await cases.facts_of(work.session, work.key, SCANNED, CaseFacts)
        return facts if at_grant is None else facts.model_copy(update={"lines": at_grant.lines})
    zero = Money.zero(work.book.currency)
    return before_it(facts, UndisputedPart(lines=by_line(before.charged, zero), freight=zero))


async def _judged(
    desk: Desk, work: Work, argument: Resettle, before: Before, facts: CaseFacts, held: Money
) -> tuple[Judged, Loss]:
    """Who is liable now, and for what: as at the end of any parcel's way, or by the ruling on an appeal."""
    if argument.arrived is not None:
        arrived = argument.arrived.model_copy(update={"re_ruled": before.versions[0].re_ruled})
        await keep_receipt(work, arrived)
        judged = await judge(work, arrived, facts)
        loss = loss_at(desk, work, facts, judged.found, arrived.event, held)
        return uncovered(judged, loss, claimed=argument.claimed is not None), loss
    if argument.ruling_id is None:
        raise Rejected("invalid_input", f"{argument.tag}: nothing to settle anew")
    old = before.last.found or Liability(liable=before.last.result.liable)
    liable, ruling = await read_ruling(work, argument.ruling_id)
    if before.last.returned and await _leaves(work, ruling):
        found = Liability(liable=Liable.CONSUMER, lost=True, ruled=True)
        return Judged(found=found, reasons=(RULED,)), given_back(loss_of(desk, work, facts, found, held))
    lost = old.lost and ruling.findings is None and liable in (Liable.CARRIER, Liable.INSURER)
    found = ruled(liable, ruling, old.everything, lost=lost)
    return Judged(found=found, reasons=(RULED,)), loss_of(desk, work, facts, found, held)


async def _leaves(work: Work, ruling: Ruling) -> bool:
    """Does it leave goods that went back to the consumer as they were settled? So does one that finds them at fault for
    any part, since they have the goods; and one that finds what the ruling appealed against had found before that."""
    said = ruled(Liable(ruling.outcome), ruling, ())
    if said.liable is Liable.CONSUMER:
        return True
    if ruling.overrules is None:
        return False
    _, first = await read_ruling(work, ruling.overrules)
    if ruling.findings is None:
        return ruling.outcome == first.outcome and not first.shares
    return first.findings is not None and said == ruled(Liable(first.outcome), first, ())


async def _post(
    work: Work,
    argument: Resettle,
    before: Before,
    facts: CaseFacts,
    found: Liability,
    loss: Loss,
    due: Money,
    stands: Standing,
    plan: IndemnityPlan | None,
    freed: Sequence[MoneyBack],
) -> Resettled:
    """The difference between what was and what is now, entry by entry."""
    zero = Money.zero(work.book.currency)
    went_back = argument.arrived is not None and argument.arrived.event == RETURNED and not before.granted
    left = await _advanced(work, before, went_back=went_back)
    result, charge = _amounts(work, before, facts, found, loss, due, left)
    await work.say(remedy(facts, result, before.granted or went_back, work.book))
    overturned = max(stands.done - due, zero)
    taken = await overturn(work, stands.live, overturned)
    rows = await loss_claims(work)
    live = tuple(row for row in rows if claims.stands(row))
    now = pieces(result, live)
    done = await undo(work, before, result, rows, {one.claim_ref: one for one in now})
    back = [*done.back, *freed, *(_remit(work, before, one) for one in taken if one.funded)]
    if before.granted or went_back:
        await recharge(work, argument.tag, before, result, charge, done, went_back=went_back, advanced=left)
    else:
        work.post(refund_due(work.case, charge.total, charge.commission, part=argument.tag))
        await count_lines(work, charge.lines, ())
    parts = await refund_parts(work, result.refund_now, f"refund.{argument.tag}")
    waiting = () if before.closed else await waiting_recoveries(work, before.scan, rows)
    recoveries = (*waiting, *await new_recoveries(work, before.scan, result, now, live, done.demanded))
    amounts = Amounts(
        result=result,
        charge=charge,
        overturned=overturned,
        to_claim=zero if plan is None else plan.amount,
        found=found,
        claim_ref=None if plan is None else plan.claim_ref,
        pieces=now,
        remaining=None if loss.cover is None else loss.cover.remaining,
        re_ruled=before.last.re_ruled,
        advanced=before.last.advanced or went_back,
        returned=before.last.returned if argument.arrived is None else went_back,
    )
    await cases.record(work.session, work.key, f"{SETTLED}.{before.n}", argument, amounts, work.at)
    await cases.add_money(work.session, work.key, withheld=(result.withhold - before.last.result.withhold).minor)
    changed = _changed(before.last, amounts)
    if before.scan.granted and changed:
        owed, at_fault = await _owed(work), found.liable is Liable.CONSUMER
        await credit.correct(work.session, work.key, owed, work.at, at_fault=at_fault)
    stayed = STANDS if result.merchant_charge > result.refund - _relief(found, loss, due) else None
    return Resettled(
        liable=found.liable,
        changed=changed,
        refunds=parts,
        indemnity=plan,
        closed_claims=tuple(one.claim_ref for one in taken if one.closed),
        unpaid_claims=tuple(one.claim_ref for one in taken if one.unpaid),
        back=tuple(sorted(back, key=lambda one: one.to == "insurer")),
        repayments=tuple(done.repayments),
        recoveries=recoveries,
        notes=() if stayed is None else (stayed,),
        verdicts=tuple(work.verdicts),
    )


def _remit(work: Work, before: Before, one: Overturned) -> MoneyBack:
    key = payment_key(id_of(work.case), f"overturn.{one.claim_ref}.v{before.n}")
    return MoneyBack(claim_ref=one.claim_ref, amount=one.amount, key=key, to="insurer")


async def _owed(work: Work) -> Money:
    """What the consumer owes of this case with what is posted now. Freight is not of the credit line."""
    before = [one.entry for one in await ledger.entries_of(work.session, work.key)]
    return Money(minor=max(0, on_the_line((*before, *work.entries))), currency=work.book.currency)


def _relief(found: Liability, loss: Loss, due: Money) -> Money:
    first = loss.first(found.liable, due)
    if found.liable is not Liable.CONSUMER or first.insured:
        return Money.zero(loss.total.currency)
    return Money.sum((one.relief for one in first.lines), loss.total.currency)


def _changed(old: Amounts, new: Amounts) -> bool:
    def told(one: Consequences) -> tuple[object, ...]:
        return one.liable, one.indemnify, one.merchant_charge, one.withhold, one.from_carrier

    return told(old.result) != told(new.result)


async def _advanced(work: Work, before: Before, *, went_back: bool) -> Money | None:
    """What counts as advanced of a refund that lightning did not grant: for goods that went back all that was charged.
    It may be a part of the refund only. None: lightning advanced all of it, or nothing is advanced."""
    zero = Money.zero(work.book.currency)
    if went_back:
        return Money.sum((one.amount for one in before.charged), zero.currency)
    if before.scan.granted or not before.last.advanced:
        return None
    entries = await posted(work, "J20")
    return Money.sum((line.amount for one in entries for line in one.lines if line.side is Side.DEBIT), zero.currency)


def _amounts(
    work: Work, before: Before, facts: CaseFacts, found: Liability, loss: Loss, due: Money, advanced: Money | None
) -> tuple[Consequences, RefundValue]:
    """The consequences of the new liability over the whole case, and what is charged now: of an advance all of it,
    else what was not charged before. What was withheld is decided anew, what has left is not.

    `advanced`, of goods that went back: what is not charged of it is owed, what is charged beyond it leaves now, and
    so does what had been withheld."""
    granted, withheld = before.granted or advanced is not None, before.last.result.withhold
    try:
        result, charge = fix_again(facts, found, loss, due, granted, before.charged, withheld, work.book)
    except AmountsBroken as broken:
        raise Rejected(broken.code, str(broken)) from None
    if advanced is None:
        return result, charge
    owed = advanced - charge.total.at_most(advanced)
    little = owed if owed < work.book.recovery.waiver_below else owed - owed
    leaves = withheld + charge.total - charge.total.at_most(advanced)
    return result.model_copy(update={"refund_now": leaves, "uncharged": owed, "not_demanded": little}), charge
