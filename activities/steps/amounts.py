"""The amounts of a settled case: what the rules say, what was done at the door already, and the entries. Domain 4.5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from activities.contract import RecoveryPlan
from activities.steps.desk import Work, id_of
from activities.steps.loss import PAID_FOR, Liability, Loss, in_force
from activities.steps.overturn import Overturned
from activities.steps.parcel import STEP as SCANNED
from activities.steps.parcel import Scan
from activities.steps.undisputed import UndisputedPart, before_it, undisputed_part
from backhaul.errors import Rejected, Transient
from backhaul.facts import CaseFacts, Frozen, Liable
from backhaul.ids import claim_ref, recovery_id
from backhaul.ledger import (
    consumer_owes_indemnity,
    consumer_written_off,
    freight_withheld,
    goods_accepted,
    left_uncharged,
    refund_due,
    withheld_from_refund,
)
from backhaul.money import Money
from backhaul.policy.consequences import Consequences
from backhaul.policy.refunds import LineRefund, RefundValue
from backhaul.policy.settling import AmountsBroken, fix
from store import cases, claims, credit, refunds
from store.tables import ClaimRow

DENIED = "indemnity_denied"
CLAWBACK = "clawback"
"""What the consumer owes the platform and no insurer (J50): collected under a number of its own."""


class Piece(Frozen):
    """One claim's part of what the consumer gives back: withheld from the refund (J54), or owed (J53)."""

    claim_ref: str
    coverage_id: str
    withheld: Money
    receivable: Money


class Amounts(Frozen):
    """Everything that is fixed. `overturned`: indemnity that the ruling takes back (J75, J75b); `to_claim`: what
    is claimed only now; `claim_ref`: the claim that is planned for it, or the first one that stands."""

    result: Consequences
    charge: RefundValue = Field(description="what is charged now: all of it, less the undisputed part before")
    overturned: Money
    to_claim: Money
    claim_ref: str | None = None
    coverage_id: str | None = None
    pieces: tuple[Piece, ...] = ()
    found: Liability | None = None
    notes: tuple[str, ...] = ()
    delivered_at: datetime | None = Field(default=None, description="from which the receipt's windows count")
    remaining: Money | None = Field(default=None, description="of the cover, what claims of this case hold apart")
    re_ruled: str | None = Field(default=None, description="the ruling that took the place of the one at the door")
    advanced: bool = Field(default=False, description="what was refunded counts as an advance: the goods went back")
    returned: bool = Field(default=False, description="the consumer has the goods again")


@dataclass(frozen=True)
class Standing:
    """What the case's claims came to before this settlement: those that stand, in order, whether one was denied, and
    what the insurer did not approve of the others. What it has decided once is not claimed again."""

    live: tuple[ClaimRow, ...]
    denied: bool
    done: Money
    refused: Money

    def payable(self, due: Money) -> Money:
        """What of an indemnity that the rules make due stands, or can still be claimed."""
        if due <= self.done:
            return due
        return self.done if self.denied else max(self.done, due - self.refused)


def standing(rows: Sequence[ClaimRow], currency: str) -> Standing:
    """Raises Transient(`pending`) while the insurer has not decided on a claim."""
    live = in_force(rows)
    open_ = next((row for row in live if row.state in ("planned", "reserved")), None)
    if open_ is not None:
        raise Transient("pending", f"the insurer has not decided on {open_.claim_ref}")
    appealed = {row.appeal_of for row in rows}
    denied = any(row.state == "denied" and row.claim_ref not in appealed for row in rows)
    refused = sum(row.reserved_minor - row.approved_minor for row in live)
    return Standing(
        live,
        denied,
        Money(minor=sum(claims.stands(row) for row in live), currency=currency),
        Money(minor=max(0, refused), currency=currency),
    )


async def own_place(work: Work, facts: CaseFacts, scan: Scan) -> CaseFacts:
    """The facts as if this case had refunded nothing yet: its lines at the lightning grant, or less what of them was
    undisputed. Only so are a line's loss and the commission of its charge those of the case's own place in line."""
    if scan.granted:
        at_grant = await cases.facts_of(work.session, work.key, SCANNED, CaseFacts)
        return facts if at_grant is None else facts.model_copy(update={"lines": at_grant.lines})
    part = await undisputed_part(work)
    return facts if part is None else before_it(facts, part)


async def amounts_of(
    work: Work, facts: CaseFacts, scan: Scan, found: Liability, loss: Loss, stands: Standing
) -> Amounts:
    """Fix the amounts, of facts that `own_place` made. Raises Rejected(`invariant_broken`) where they do not add up."""
    zero, done = Money.zero(loss.total.currency), stands.done
    wanted = loss.payable if found.liable in PAID_FOR else zero
    due = stands.payable(wanted)
    notes = [DENIED] if due < wanted else []
    to_claim, overturned = max(due - done, zero), max(done - due, zero)
    part = await undisputed_part(work)
    result, charge = _fixed(work, facts, scan, found, loss, due, part)
    first = stands.live[0] if stands.live else None
    return Amounts(
        result=result,
        charge=charge,
        overturned=overturned,
        to_claim=to_claim,
        claim_ref=first.claim_ref if first else None,
        coverage_id=first.coverage_id if first else None,
        pieces=pieces(result, stands.live) if not to_claim and not overturned else (),
        found=found,
        notes=tuple(notes),
        remaining=None if loss.cover is None else loss.cover.remaining,
    )


def _fixed(
    work: Work, facts: CaseFacts, scan: Scan, found: Liability, loss: Loss, due: Money, part: UndisputedPart | None
) -> tuple[Consequences, RefundValue]:
    before = None if part is None else part.lines
    freight = scan.consumer_owes if part is None else scan.consumer_owes - part.freight
    try:
        return fix(facts, found, loss, due, bool(scan.granted), freight, before, work.book)
    except AmountsBroken as broken:
        raise Rejected(broken.code, str(broken)) from None


def pieces(result: Consequences, rows: Sequence[ClaimRow]) -> tuple[Piece, ...]:
    """Whose indemnity is withheld and whose is owed: the claims in their order, what is withheld first."""
    withheld, receivable, made = result.withhold, result.consumer_receivable, []
    for row in rows:
        amount = Money(minor=claims.stands(row), currency=row.currency)
        kept = withheld.at_most(amount)
        owed = receivable.at_most(amount - kept)
        withheld, receivable = withheld - kept, receivable - owed
        if kept or owed:
            piece = Piece(claim_ref=row.claim_ref, coverage_id=row.coverage_id, withheld=kept, receivable=owed)
            made.append(piece)
    return tuple(made)


def demanded_of_carrier(result: Consequences, rows: Sequence[ClaimRow], consumer: Sequence[Piece]) -> dict[str, Money]:
    """What the carrier is to pay back, by claim: of what stands, beside what the consumer gives back of it."""
    left, theirs, made = result.from_carrier, {one.claim_ref: one for one in consumer}, dict[str, Money]()
    for row in rows:
        room, piece = Money(minor=claims.stands(row), currency=row.currency), theirs.get(row.claim_ref)
        if piece is not None:
            room = room - piece.withheld - piece.receivable
        made[row.claim_ref] = left.at_most(room)
        left = left - made[row.claim_ref]
    return {ref: amount for ref, amount in made.items() if amount}


async def post_amounts(work: Work, scan: Scan, amounts: Amounts) -> None:
    """The entries, the counters of the lines, and the credit line. Nothing is posted twice: a case settles once."""
    case, result, charge = work.case, amounts.result, amounts.charge
    if scan.granted:
        work.post(
            goods_accepted(case, charge.total, charge.commission),
            left_uncharged(case, result.uncharged),
            consumer_written_off(case, result.uncharged.at_most(result.not_demanded)),
        )
    else:
        work.post(refund_due(case, charge.total, charge.commission))
    for piece in amounts.pieces:
        work.post(
            withheld_from_refund(case, piece.withheld, claim_ref=piece.claim_ref),
            consumer_owes_indemnity(case, piece.receivable, claim_ref=piece.claim_ref),
        )
    work.post(freight_withheld(case, result.freight_withheld))
    await count_lines(work, charge.lines, scan.granted)
    if scan.granted:
        await release_credit(work, result)


async def count_lines(work: Work, charged: Sequence[LineRefund], granted: Sequence[LineRefund]) -> None:
    """Count what is charged on the lines; what a lightning grant counted before is made good."""
    before = {line.line_id: line for line in granted}
    for line in charged:
        amount, commission = line.amount, line.commission
        if line.line_id in before:
            amount, commission = amount - before[line.line_id].amount, commission - before[line.line_id].commission
        if amount or commission:
            await refunds.add_to_line(work.session, work.case.order_id, line.line_id, amount, commission)


async def release_credit(work: Work, result: Consequences) -> None:
    """The line is free again but for what the consumer owes of it; a fault of theirs freezes it (domain 4.4, X26)."""
    owed = result.consumer_receivable + result.uncharged - result.uncharged.at_most(result.not_demanded)
    await credit.release(work.session, work.key, work.at, owed)
    if result.liable is Liable.CONSUMER and owed:
        await credit.freeze(work.session, work.key, work.at)


async def recoveries_of(
    work: Work, scan: Scan, amounts: Amounts, live: Sequence[ClaimRow], back: Sequence[Overturned]
) -> tuple[RecoveryPlan, ...]:
    """What goes back to the insurer, a plan for each claim and party: demanded from the carrier; withheld from the
    consumer, or taken back from the merchant, and to be remitted; demanded from the consumer. And what the consumer
    owes the platform. What was taken back goes with the plan of the party named first."""
    result = amounts.result
    zero = Money.zero(result.refund.currency)
    covers, in_hand = dict[str, str](), dict[str, Money]()
    demanded: dict[str, dict[Liable, Money]] = {}
    for one in back:
        if one.funded:
            covers[one.claim_ref], in_hand[one.claim_ref] = one.coverage_id, one.amount
            demanded[one.claim_ref] = {result.liable: zero}
    for piece in amounts.pieces:
        covers[piece.claim_ref] = piece.coverage_id
        in_hand[piece.claim_ref] = in_hand.get(piece.claim_ref, zero) + piece.withheld
        demanded[piece.claim_ref] = {result.liable: piece.receivable}
    covers |= {row.claim_ref: row.coverage_id for row in live}
    for ref, amount in demanded_of_carrier(result, live, amounts.pieces).items():
        demanded.setdefault(ref, {})[Liable.CARRIER] = amount
    plans = [
        _plan(ref, covers[ref], liable, in_hand.get(ref, zero) if n == 1 else zero, amount, scan.waybill, n)
        for ref, parties in demanded.items()
        for n, (liable, amount) in enumerate(parties.items(), start=1)
    ]
    if result.uncharged and not result.not_demanded:
        ref = claim_ref(id_of(work.case), CLAWBACK)
        plans.append(_plan(ref, "", Liable.CONSUMER, zero, result.uncharged, scan.waybill))
    return await open_recoveries(work, plans)


async def new_recoveries(
    work: Work,
    scan: Scan,
    result: Consequences,
    now: Sequence[Piece],
    live: Sequence[ClaimRow],
    clawback: Money | None,
) -> tuple[RecoveryPlan, ...]:
    """What a correction demands: of each claim what none of its recoveries is of, those of others who are not liable
    any more having been cut before; and the `clawback`, what the consumer owes the platform beyond them."""
    zero, plans = Money.zero(result.refund.currency), list[RecoveryPlan]()
    of_carrier = demanded_of_carrier(result, live, now)
    for row in live:
        known = await claims.recoveries_of(work.session, row.claim_ref)
        wanted = [(Liable.CONSUMER, one.withheld, one.receivable) for one in now if one.claim_ref == row.claim_ref]
        if row.claim_ref in of_carrier:
            wanted.append((Liable.CARRIER, zero, of_carrier[row.claim_ref]))
        n = len(known)
        for liable, in_hand, demanded in wanted:
            same = [one for one in known if one.liable == liable.value]
            held = Money(minor=sum(one.in_hand_minor for one in same), currency=row.currency)
            stands = Money(minor=sum(one.amount_minor for one in same), currency=row.currency)
            more, rest = max(in_hand - held, zero), max(demanded - (stands - held), zero)
            if more or rest:
                n += 1
                plans.append(_plan(row.claim_ref, row.coverage_id, liable, more, rest, scan.waybill, n))
    if clawback is not None:
        ref = claim_ref(id_of(work.case), CLAWBACK)
        n = len(await claims.recoveries_of(work.session, ref)) + 1
        plans.append(_plan(ref, "", Liable.CONSUMER, zero, clawback, scan.waybill, n))
    return await open_recoveries(work, plans)


async def waiting_recoveries(work: Work, scan: Scan, rows: Sequence[ClaimRow]) -> tuple[RecoveryPlan, ...]:
    """Of a case that is still open: what is to be recovered of its claims, and has not begun, as it stands now."""
    covers = {row.claim_ref: row.coverage_id for row in rows} | {claim_ref(id_of(work.case), CLAWBACK): ""}
    plans = []
    for ref, cover in covers.items():
        for row in await claims.recoveries_of(work.session, ref, lock=True):
            if not row.amount_minor:
                continue
            held = Money(minor=row.in_hand_minor, currency=row.currency)
            demanded = Money(minor=row.amount_minor, currency=row.currency) - held
            plan = _plan(ref, cover, Liable(row.liable), held, demanded, scan.waybill, row.n)
            await claims.plan_recovery(work.session, row, plan.model_dump(mode="json"), work.at)
            plans.append(plan)
    return tuple(plans)


async def open_recoveries(work: Work, planned: Sequence[RecoveryPlan]) -> tuple[RecoveryPlan, ...]:
    """Keep the recoveries that are of something."""
    plans = [plan for plan in planned if plan.amount]
    for plan in plans:
        await claims.open_recovery(
            work.session,
            plan.claim_ref,
            work.key,
            plan.liable.value,
            plan.amount,
            recovery_id(plan.ref),
            plan.model_dump(mode="json"),
            work.at,
            n=plan.n,
        )
    return tuple(plans)


def _plan(
    ref: str, coverage_id: str, liable: Liable, in_hand: Money, demanded: Money, waybill: str | None, n: int = 1
) -> RecoveryPlan:
    return RecoveryPlan(
        claim_ref=ref,
        n=n,
        liable=liable,
        amount=in_hand + demanded,
        waybill=waybill,
        coverage_id=coverage_id,
        withheld=not demanded,
        in_hand=in_hand if in_hand and demanded else None,
    )
