"""The amounts of a settled case: what the rules say, what was done at the door already, and the entries. Domain 4.5."""

from __future__ import annotations

from collections.abc import Sequence

from activities.contract import RecoveryPlan
from activities.steps.desk import Work
from activities.steps.loss import PAID_FOR, Liability, Loss, in_force
from activities.steps.parcel import STEP as SCANNED
from activities.steps.parcel import Scan
from backhaul.errors import Rejected, Transient
from backhaul.facts import CaseFacts, Frozen, Liable
from backhaul.ids import recovery_id
from backhaul.ledger import (
    P,
    consumer_owes_indemnity,
    consumer_written_off,
    freight_withheld,
    funded_indemnity_overturned,
    goods_accepted,
    left_uncharged,
    refund_due,
    withheld_from_refund,
)
from backhaul.money import Money
from backhaul.policy.consequences import Consequences, consequences, line_relief
from backhaul.policy.refunds import LineRefund, RefundValue, refund_value
from store import cases, claims, credit, ledger, refunds
from store.tables import ClaimRow

DENIED, STANDS = "indemnity_denied", "indemnity_stands"


class Amounts(Frozen):
    """Everything that is fixed. `overturned`: indemnity of the door that the ruling takes back (J75b); `to_claim`: what
    is claimed only now; `claim_ref`: the claim that J53, J54 and the recovery are about."""

    result: Consequences
    charge: RefundValue
    overturned: Money
    to_claim: Money
    claim_ref: str | None = None
    coverage_id: str | None = None
    notes: tuple[str, ...] = ()


async def amounts_of(
    work: Work, facts: CaseFacts, scan: Scan, found: Liability, loss: Loss, earlier: Sequence[ClaimRow]
) -> Amounts:
    """Fix the amounts. Raises Transient(`pending`) while a claim made at the door is undecided."""
    zero = Money.zero(loss.total.currency)
    live = in_force(earlier)
    if any(row.state in ("planned", "reserved") for row in live):
        raise Transient("pending", "the claim made at the door is not decided yet")
    done = Money(minor=sum(row.approved_minor for row in live), currency=zero.currency)
    due, notes = (loss.payable if found.liable in PAID_FOR else zero), list[str]()
    total = loss.total
    if earlier and not live and due:
        due, notes = zero, [DENIED]
    if live and found.liable in PAID_FOR and (due > done or found.liable is not Liable.CONSUMER):
        # What was indemnified at the door stands; more or less of it is a correction's work.
        notes += [STANDS] if due != done else []
        due, total = done, max(total, done)
    overturned = max(done - due, zero)
    if overturned:
        await _need_funded(work, live)
    if scan.granted:
        # After lightning the charge has the commission of the grant's place in the line's refunds.
        facts = await _facts_at_grant(work, facts)
    refund = refund_value(facts).total
    result = consequences(facts, refund, total, due, found.liable, bool(scan.granted), scan.consumer_owes, work.book)
    charge = refund_value(facts, line_relief(result, loss.lines))
    if charge.total != result.merchant_charge:
        raise Rejected("invariant_broken", f"lines add up to {charge.total}, the charge is {result.merchant_charge}")
    first = live[0] if live else None
    return Amounts(
        result=result,
        charge=charge,
        overturned=overturned,
        to_claim=zero if live else due,
        claim_ref=first.claim_ref if first else None,
        coverage_id=first.coverage_id if first else None,
        notes=tuple(notes),
    )


async def _facts_at_grant(work: Work, facts: CaseFacts) -> CaseFacts:
    return await cases.facts_of(work.session, work.key, SCANNED, CaseFacts) or facts


async def _need_funded(work: Work, live: Sequence[ClaimRow]) -> None:
    for row in live:
        owed = await ledger.balance(work.session, P.INSURER_RECEIVABLE, row.currency, claim_ref=row.claim_ref)
        if row.state != "paid" or owed:
            raise Transient("pending", f"{row.claim_ref} is overturned once the insurer has funded it")


async def post_amounts(work: Work, scan: Scan, amounts: Amounts) -> None:
    """The entries, the counters of the lines, and the credit line. Nothing is posted twice: a case settles once."""
    case, result, charge, ref = work.case, amounts.result, amounts.charge, amounts.claim_ref or ""
    work.post(funded_indemnity_overturned(case, amounts.overturned, claim_ref=ref))
    if scan.granted:
        work.post(
            goods_accepted(case, charge.total, charge.commission),
            left_uncharged(case, result.uncharged),
            consumer_written_off(case, result.uncharged.at_most(result.not_demanded)),
            consumer_owes_indemnity(case, result.consumer_receivable, claim_ref=ref),
        )
        await _count(work, charge.lines, scan.granted)
        await _release_credit(work, result)
        return
    work.post(
        refund_due(case, charge.total, charge.commission),
        withheld_from_refund(case, result.withhold, claim_ref=ref),
        consumer_owes_indemnity(case, result.consumer_receivable, claim_ref=ref),
        freight_withheld(case, result.freight_withheld),
    )
    await _count(work, charge.lines, ())


async def _count(work: Work, charged: Sequence[LineRefund], granted: Sequence[LineRefund]) -> None:
    """Count what is charged on the lines; what a lightning grant counted before is made good."""
    before = {line.line_id: line for line in granted}
    for line in charged:
        amount, commission = line.amount, line.commission
        if line.line_id in before:
            amount, commission = amount - before[line.line_id].amount, commission - before[line.line_id].commission
        if amount or commission:
            await refunds.add_to_line(work.session, work.case.order_id, line.line_id, amount, commission)


async def _release_credit(work: Work, result: Consequences) -> None:
    """The line is free again but for what the consumer owes of it; a fault of theirs freezes it (domain 4.4, X26)."""
    owed = result.consumer_receivable + result.uncharged - result.uncharged.at_most(result.not_demanded)
    await credit.release(work.session, work.key, work.at, owed)
    if result.liable is Liable.CONSUMER and owed:
        await credit.freeze(work.session, work.key, work.at)


async def recovery_of(work: Work, scan: Scan, amounts: Amounts) -> RecoveryPlan | None:
    """What goes back to the insurer: demanded from the carrier, or withheld (or overturned) and to be remitted."""
    result, ref, coverage_id = amounts.result, amounts.claim_ref, amounts.coverage_id
    withheld = result.withhold + amounts.overturned
    if ref is None or coverage_id is None or not (withheld or result.recover_from == "carrier"):
        return None
    plan = RecoveryPlan(
        claim_ref=ref,
        liable=result.liable,
        amount=withheld if withheld else result.indemnify,
        waybill=scan.waybill,
        coverage_id=coverage_id,
        withheld=bool(withheld),
    )
    await claims.open_recovery(
        work.session,
        ref,
        work.key,
        plan.liable.value,
        plan.amount,
        recovery_id(ref),
        plan.model_dump(mode="json"),
        work.at,
    )
    return plan
