"""resettle: what was settled turns out otherwise. The difference is posted, as reversals and new entries. Domain 2.10.

A late parcel, or another reviewer's ruling. Never a second refund of the same money: what left before stands, and only
what was never paid leaves now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from activities.contract import IndemnityPlan, MoneyBack, Resettle, Resettled
from activities.steps.amounts import (
    CLAWBACK,
    Amounts,
    Piece,
    Standing,
    count_lines,
    new_recoveries,
    pieces,
    release_credit,
    standing,
)
from activities.steps.desk import SETTLED, Desk, Work, id_of
from activities.steps.loss import PAID_FOR, Liability, Loss, loss_claims, loss_of, plan_indemnity, read_ruling
from activities.steps.overturn import Overturned, overturn
from activities.steps.parcel import SCAN, Scan, scan_facts
from activities.steps.parcel import STEP as SCANNED
from activities.steps.parts import refund_parts
from activities.steps.undisputed import UndisputedPart, before_it, undisputed_part
from backhaul.errors import Rejected, Transient
from backhaul.facts import CaseFacts, Liable
from backhaul.ids import claim_ref, payment_key
from backhaul.ledger import (
    JournalEntry,
    consumer_owes_indemnity,
    consumer_uncollectable,
    consumer_written_off,
    goods_accepted,
    left_uncharged,
    recovery_uncollectable,
    refund_due,
    reversal,
    withheld_from_refund,
)
from backhaul.money import Money
from backhaul.policy.consequences import Consequences
from backhaul.policy.refunds import LineRefund, RefundValue
from backhaul.policy.settling import AmountsBroken, fix_again
from store import cases, claims, ledger
from store.recoveries import setting_off
from store.tables import ClaimRow, RecoveryRow

STEP = "resettle"
STANDS = "refund_stands"
"""A note: the consumer keeps what left, and the merchant bears it."""


async def resettle(desk: Desk, argument: Resettle) -> Resettled:
    """Settle anew, once per `tag` and awaited claim."""
    step = ":".join(part for part in (STEP, argument.tag, argument.claimed) if part is not None)

    async def work(now: Work) -> Resettled:
        return await _resettle(desk, now, argument)

    return await desk.once(argument.case, step, argument, Resettled, work, argument.at)


@dataclass(frozen=True)
class Before:
    """What was fixed so far: each version of the amounts, and the scan they rest on."""

    versions: tuple[Amounts, ...]
    scan: Scan
    undisputed: UndisputedPart | None

    @property
    def last(self) -> Amounts:
        return self.versions[-1]

    @property
    def n(self) -> int:
        """The number of the next version."""
        return len(self.versions) + 1

    @property
    def charged(self) -> tuple[LineRefund, ...]:
        """What was charged by line, all in all; after lightning the last version has replaced the others."""
        if self.scan.granted:
            return self.last.charge.lines
        first = () if self.undisputed is None else self.undisputed.lines
        return (*first, *(line for one in self.versions for line in one.charge.lines))


async def _before(work: Work) -> Before:
    scan = await cases.recorded(work.session, work.key, SCAN, Scan)
    versions: list[Amounts] = []
    while True:
        name = SETTLED if not versions else f"{SETTLED}.{len(versions) + 1}"
        one = await cases.recorded(work.session, work.key, name, Amounts)
        if one is None:
            break
        versions.append(one)
    if scan is None or not versions:
        raise Rejected("not_found", f"{work.key} was never settled")
    return Before(tuple(versions), scan, await undisputed_part(work))


async def _resettle(desk: Desk, work: Work, argument: Resettle) -> Resettled:
    before = await _before(work)
    facts = await _facts(work, before)
    found = await _found(work, argument, before)
    earlier = await loss_claims(work)
    stands = standing(earlier, work.book.currency)
    loss = loss_of(desk, work, facts, found, stands.done)
    if found.findings or found.lost:
        work.verdicts.append(loss.verdict)
    due = loss.payable if found.liable in PAID_FOR else loss.total - loss.total
    due = stands.payable(due)
    to_claim = max(due - stands.done, loss.total - loss.total)
    await cases.store_facts(work.session, work.key, f"{STEP}:{argument.tag}", facts)
    plan = None
    if to_claim and loss.cover is not None:
        plan = await plan_indemnity(desk, work, facts, loss.cover, to_claim, earlier)
        if found.liable is Liable.CONSUMER:
            return Resettled(
                liable=found.liable, changed=True, indemnity=plan, claim_first=True, verdicts=tuple(work.verdicts)
            )
    return await _post(work, argument, before, facts, found, loss, due, stands, plan)


async def _facts(work: Work, before: Before) -> CaseFacts:
    """The facts as if this case had refunded nothing yet."""
    facts = await scan_facts(work)
    if before.scan.granted:
        at_grant = await cases.facts_of(work.session, work.key, SCANNED, CaseFacts)
        return facts if at_grant is None else facts.model_copy(update={"lines": at_grant.lines})
    zero = Money.zero(work.book.currency)
    return before_it(facts, UndisputedPart(lines=_by_line(before.charged, zero), freight=zero))


def _by_line(parts: Sequence[LineRefund], zero: Money) -> tuple[LineRefund, ...]:
    sums: dict[str, LineRefund] = {}
    for part in parts:
        known = sums.get(part.line_id, LineRefund(line_id=part.line_id, amount=zero, commission=zero))
        sums[part.line_id] = LineRefund(
            line_id=part.line_id, amount=known.amount + part.amount, commission=known.commission + part.commission
        )
    return tuple(sums.values())


async def _found(work: Work, argument: Resettle, before: Before) -> Liability:
    old = before.last.found or Liability(liable=before.last.result.liable)
    if argument.ruling_id is None:
        return Liability(liable=argument.liable or Liable.NOBODY)
    liable, ruling = await read_ruling(work, argument.ruling_id)
    findings = old.findings if ruling.findings is None else ruling.findings
    lost = old.lost and ruling.findings is None and liable in (Liable.CARRIER, Liable.INSURER)
    return Liability(liable=liable, findings=findings, lost=lost, ruled=True)


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
) -> Resettled:
    """The difference between what was and what is now, entry by entry."""
    zero = Money.zero(work.book.currency)
    result, charge = _amounts(work, before, facts, found, loss, due)
    overturned = max(stands.done - due, zero)
    taken = await overturn(work, stands.live, overturned)
    rows = await loss_claims(work)
    live = tuple(row for row in rows if claims.stands(row))
    now = pieces(result, live)
    back = list(await _undone(work, before, result, rows, {one.claim_ref: one for one in now}))
    back += [_remit(work, before, one) for one in taken if one.funded]
    if before.scan.granted:
        await _recharge(work, argument, before, result, charge)
    else:
        work.post(refund_due(work.case, charge.total, charge.commission, part=argument.tag))
        await count_lines(work, charge.lines, ())
    parts = await refund_parts(work, result.refund_now, zero, f"refund.{argument.tag}")
    recoveries = await new_recoveries(work, before.scan, result, now, live)
    amounts = Amounts(
        result=result,
        charge=charge,
        overturned=overturned,
        to_claim=zero if plan is None else plan.amount,
        found=found,
        claim_ref=None if plan is None else plan.claim_ref,
        pieces=now,
    )
    await cases.record(work.session, work.key, f"{SETTLED}.{before.n}", argument, amounts, work.at)
    await cases.add_money(work.session, work.key, withheld=(result.withhold - before.last.result.withhold).minor)
    stayed = STANDS if result.merchant_charge > result.refund - _relief(found, loss, due) else None
    return Resettled(
        liable=found.liable,
        changed=_changed(before.last, amounts),
        refunds=parts,
        indemnity=plan,
        closed_claims=tuple(one.claim_ref for one in taken if one.closed),
        unpaid_claims=tuple(one.claim_ref for one in taken if one.unpaid),
        back=tuple(sorted(back, key=lambda one: one.to == "insurer")),
        recoveries=recoveries,
        notes=() if stayed is None else (stayed,),
        verdicts=tuple(work.verdicts),
    )


def _relief(found: Liability, loss: Loss, due: Money) -> Money:
    zero = Money.zero(loss.total.currency)
    if found.liable is not Liable.CONSUMER or due:
        return zero
    return Money.sum((one.relief for one in loss.lines), zero.currency)


def _changed(old: Amounts, new: Amounts) -> bool:
    same = (old.result.liable, old.result.indemnify, old.result.merchant_charge, old.result.withhold)
    return same != (new.result.liable, new.result.indemnify, new.result.merchant_charge, new.result.withhold)


def _amounts(
    work: Work, before: Before, facts: CaseFacts, found: Liability, loss: Loss, due: Money
) -> tuple[Consequences, RefundValue]:
    """The consequences of the new liability over the whole case, and what is charged now: after lightning all of it,
    else what was not charged before. What was withheld is decided anew, what has left is not."""
    granted, withheld = bool(before.scan.granted), before.last.result.withhold
    try:
        return fix_again(facts, found, loss, due, granted, before.charged, withheld, work.book)
    except AmountsBroken as broken:
        raise Rejected(broken.code, str(broken)) from None


# ---- what was recovered, and is not owed any more -------------------------------------------------------------------


async def _undone(
    work: Work, before: Before, result: Consequences, rows: Sequence[ClaimRow], now: dict[str, Piece]
) -> tuple[MoneyBack, ...]:
    """Recoveries that the new liability does not bear out: what came is given back, what did not is let go."""
    zero = Money.zero(work.book.currency)
    old = {one.claim_ref: one for one in before.last.pieces}
    back = []
    for row in rows:
        recovery = await claims.recovery_of(work.session, row.claim_ref)
        piece = now.get(row.claim_ref)
        if recovery is not None and recovery.liable == Liable.CARRIER.value:
            demand = claims.stands(row) if result.liable is Liable.CARRIER else 0
            back += await _carrier_back(work, before, recovery, demand)
        if row.claim_ref in old:
            back += await _consumer_back(work, before, old[row.claim_ref], piece, recovery)
        elif piece is not None:
            work.post(
                withheld_from_refund(work.case, piece.withheld, claim_ref=row.claim_ref),
                consumer_owes_indemnity(work.case, piece.receivable, claim_ref=row.claim_ref),
            )
    return tuple(one for one in back if one.amount != zero)


async def _carrier_back(work: Work, before: Before, row: RecoveryRow, demand: int) -> list[MoneyBack]:
    """Above what is still demanded: what came goes back (J45, J15), what was accepted and did not is let go (J43)."""
    money = [row.collected_minor, max(row.accepted_minor, row.collected_minor)]
    collected, accepted = (Money(minor=max(0, one - demand), currency=row.currency) for one in money)
    work.post(recovery_uncollectable(work.case, accepted - collected, claim_ref=row.claim_ref, part=f"v{before.n}"))
    if await setting_off(work.session, row.claim_ref):
        raise Transient("pending", f"a set-off of {row.claim_ref} is under way")
    if row.remitted_minor < row.collected_minor:
        raise Transient("pending", f"what was collected for {row.claim_ref} is on its way to the insurer")
    courier = await claims.courier_of(work.session, before.scan.waybill)
    await claims.cut_recovery(work.session, row.claim_ref, demand, work.at)
    if collected and courier is None:
        raise Rejected("not_found", f"nobody is known to have carried {before.scan.waybill}")
    return [_give_back(work, before, row.claim_ref, collected, "carrier", courier)] if collected else []


async def _consumer_back(
    work: Work, before: Before, old: Piece, now: Piece | None, recovery: RecoveryRow | None
) -> list[MoneyBack]:
    zero = Money.zero(old.withheld.currency)
    withheld, receivable = (zero, zero) if now is None else (now.withheld, now.receivable)
    back, ref = [], old.claim_ref
    remitted = 0 if recovery is None else recovery.remitted_minor
    if withheld != old.withheld and remitted:
        back.append(_give_back(work, before, ref, old.withheld - withheld, "consumer", None))
    elif withheld != old.withheld:
        work.post(*[reversal(one) for one in await _posted(work, "J54", ref)])
        work.post(withheld_from_refund(work.case, withheld, claim_ref=ref, part=f"v{before.n}"))
    less = old.receivable - receivable
    if less:
        came = Money(minor=0 if recovery is None else recovery.collected_minor, currency=zero.currency)
        let_go = less.at_most(old.receivable - came)
        whole = not came and let_go == old.receivable
        entries = [reversal(one) for one in await _posted(work, "J53", ref)] if whole else []
        work.post(*entries)
        if not whole:
            work.post(consumer_uncollectable(work.case, let_go, claim_ref=ref, part=f"v{before.n}"))
        back.append(_give_back(work, before, ref, less - let_go, "consumer", None))
    if recovery is not None and (less or withheld != old.withheld):
        await claims.cut_recovery(work.session, ref, (withheld + receivable).minor, work.at)
    return [one for one in back if one.amount]


def _give_back(work: Work, before: Before, ref: str, amount: Money, to: str, courier: str | None) -> MoneyBack:
    key = payment_key(id_of(work.case), f"return.{ref}.v{before.n}")
    return MoneyBack.model_validate(
        {"claim_ref": ref, "amount": amount, "key": key, "to": to, "courier": courier, "waybill": before.scan.waybill}
    )


def _remit(work: Work, before: Before, one: Overturned) -> MoneyBack:
    key = payment_key(id_of(work.case), f"overturn.{one.claim_ref}.v{before.n}")
    return MoneyBack(claim_ref=one.claim_ref, amount=one.amount, key=key, to="insurer")


async def _posted(work: Work, template: str, ref: str | None = None) -> list[JournalEntry]:
    """The case's entries of a template that stand: neither reversals nor reversed."""
    entries = [posted.entry for posted in await ledger.entries_of(work.session, work.key)]
    reversed_ = {entry.reverses for entry in entries if entry.reverses}
    return [
        entry
        for entry in entries
        if entry.template == template
        and (ref is None or entry.claim_ref == ref)
        and not entry.reverses
        and entry.key not in reversed_
    ]


# ---- after lightning ------------------------------------------------------------------------------------------------


async def _recharge(work: Work, argument: Resettle, before: Before, result: Consequences, charge: RefundValue) -> None:
    """J22 and J50 taken back and posted anew, where the merchant's part has changed.

    Raises Rejected(`invariant_broken`) where the consumer has paid for what was not charged: a human pays that back."""
    old = before.last
    if (old.result.merchant_charge, old.result.uncharged) == (result.merchant_charge, result.uncharged):
        return
    collected = await _posted(work, "J51", None)
    if old.result.uncharged and collected:
        raise Rejected("invariant_broken", "the consumer has paid for what was not charged to the merchant")
    for template in ("J22", "J50", "J52"):
        work.post(*[reversal(one) for one in await _posted(work, template)])
    tag = argument.tag
    work.post(
        goods_accepted(work.case, charge.total, charge.commission, part=tag),
        left_uncharged(work.case, result.uncharged, part=tag),
        consumer_written_off(work.case, result.uncharged.at_most(result.not_demanded), part=tag),
    )
    await count_lines(work, charge.lines, old.charge.lines)
    await release_credit(work, result)
    if old.result.uncharged:
        await claims.cut_recovery(work.session, claim_ref(id_of(work.case), CLAWBACK), result.uncharged.minor, work.at)
