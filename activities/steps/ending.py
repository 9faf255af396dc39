"""end_case: nothing held, nothing open, the books checked, the last view kept. Domain 2.9, 6."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import col, select

from activities.contract import EndCase, Granted, Judgement, Receipt
from activities.steps.amounts import Amounts
from activities.steps.before import versions_of
from activities.steps.desk import Desk, Work
from activities.steps.granting import REFUND_ONLY, step_of
from activities.steps.loss import LOSS
from activities.steps.opening import STEP as JUDGED
from activities.steps.parcel import SCAN, Scan
from backhaul.corrections import CorrectionKind
from backhaul.errors import Rejected
from backhaul.ledger import Account, I, JournalEntry, P, Side
from backhaul.money import Money
from store import cases, claims, corrections, credit, effects, holds, ledger, pickups
from store.tables import ClaimRow, PickupMemberRow

STEP = "end_case"
GAVE_UP = frozenset({"declined", "withdrawn", "expired"})
"""Outcomes in which the units stay with the consumer."""
NEVER_CLAIMED = "never_claimed"
_FREIGHT = frozenset({"J14", "J56"})
"""Entries on what the consumer owes that have nothing to do with the credit line."""


async def end(desk: Desk, argument: EndCase) -> Receipt:
    """Close the case once. Raises Rejected(`invariant_broken`) naming what does not hold; nothing is written then."""

    async def work(now: Work) -> Receipt:
        return await _end(now, argument)

    return await desk.once(argument.case, STEP, argument, Receipt, work, argument.at)


async def _end(work: Work, argument: EndCase) -> Receipt:
    entries = [posted.entry for posted in await ledger.entries_of(work.session, work.key)]
    amounts = next(reversed(await versions_of(work.session, work.key)), None)
    await _release(work, argument.outcome, amounts, entries)
    broken = [*_money(work, entries, amounts), *_lines(work), *await _paid(work, entries), *await reserves(work)]
    if broken:
        raise Rejected("invariant_broken", "; ".join(broken))
    await cases.save_status(work.session, argument.status, argument.at)
    await cases.close(work.session, work.key, argument.outcome, argument.at)
    if argument.found is not None:
        await corrections.open_for(work.session, work.key, CorrectionKind.PARCEL_FOUND, argument.found, argument.at)
    refunded = Money(minor=-_sum(entries, P.PSP_CLEARING, "J21", "J60"), currency=work.order.order.currency)
    return Receipt(key=work.key, ref=argument.outcome, amount=refunded)


# ---- releasing -------------------------------------------------------------------------------------------------


async def _release(work: Work, outcome: str, amounts: Amounts | None, entries: Sequence[JournalEntry]) -> None:
    """Units, credit, claims that never left, and the place on a visit. What the consumer owes stays on the line."""
    scan = await cases.recorded(work.session, work.key, SCAN, Scan)
    charged = amounts is not None or (scan is not None and bool(scan.granted))
    if scan is None:
        charged = charged or await cases.recorded(work.session, work.key, step_of(REFUND_ONLY), Granted) is not None
    if outcome in GAVE_UP or not charged:
        await cases.release_units(work.session, work.key)
    keep = Money(minor=max(0, on_the_line(entries)), currency=work.order.order.currency)
    await credit.release(work.session, work.key, work.at, keep)
    for claim in await claims.of_case(work.session, work.key):
        if claim.state == "planned":
            await claims.deny(work.session, claim.claim_ref, NEVER_CLAIMED, work.at)
    waiting = select(PickupMemberRow).where(
        PickupMemberRow.case_key == work.key, col(PickupMemberRow.state) == "joined"
    )
    for member in (await work.session.exec(waiting)).all():
        await pickups.leave(work.session, member.pickup_id, work.key)
    await holds.release_disputed(work.session, work.key, work.at)


def on_the_line(entries: Sequence[JournalEntry]) -> int:
    """What the consumer owes of a case, minor units. Freight is not of the credit line."""
    return sum(_net(entry, P.CONSUMER_RECEIVABLE) for entry in entries if entry.template not in _FREIGHT)


# ---- invariants of a closed case (domain 6) --------------------------------------------------------------------


def _money(work: Work, entries: Sequence[JournalEntry], amounts: Amounts | None) -> list[str]:
    """4 and 5: the merchant gets no more than the loss. 7 and 9: advances and refunds owed are at zero."""
    broken = owed(entries)
    indemnified = -_sum(entries, P.MERCHANT_PAYABLE, "J31", "J75", "J75b")
    # A case that ended without settling lost nothing.
    loss = amounts.result.loss.minor if amounts is not None else 0
    relieved = amounts.result.relieved.minor if amounts is not None else 0
    if indemnified > loss:
        broken.append(f"4: {indemnified} indemnified for a loss of {loss}")
    if relieved + indemnified > loss:
        broken.append(f"5: {relieved} uncharged and {indemnified} indemnified for a loss of {loss}")
    return broken


def owed(entries: Sequence[JournalEntry]) -> list[str]:
    """7 and 9: what the case has advanced and what it owes the consumer is at zero."""
    broken = []
    if advances := sum(_net(entry, P.LIGHTNING_ADVANCES) for entry in entries):
        broken.append(f"7: P1130 of the case is {advances}")
    if payable := sum(_net(entry, P.REFUND_PAYABLE) for entry in entries):
        broken.append(f"9: P2010 of the case is {-payable}")
    return broken


def _lines(work: Work) -> list[str]:
    """3 and 4: of no line more units or money than there is, of no cover more than its sum."""
    broken = []
    for line in work.order.lines:
        if line.refunded_minor > line.paid_minor:
            broken.append(f"3: {line.refunded_minor} refunded on line {line.line_id}, paid {line.paid_minor}")
        units = work.order.returned.get(line.line_id, 0)
        if units > line.quantity:
            broken.append(f"3: {units} units of line {line.line_id} returned, ordered {line.quantity}")
    covers = [row for row in work.order.coverages if not 0 <= row.remaining_minor <= row.sum_insured_minor]
    return broken + [f"4: cover {row.coverage_id} has {row.remaining_minor} left" for row in covers]


async def _paid(work: Work, entries: Sequence[JournalEntry]) -> list[str]:
    """3: refunds of the case stay within what was paid for its lines, and the freight owed with them."""
    judged = await cases.recorded(work.session, work.key, JUDGED, Judgement)
    refunded = -_sum(entries, P.PSP_CLEARING, "J21", "J60") - _sum(entries, P.BANK, "J61")
    freight = -_sum(entries, P.REFUND_PAYABLE, "J16")
    paid = judged.paid.minor if judged is not None else 0
    return [f"3: {refunded} refunded, {paid} paid"] if refunded > paid + freight else []


async def reserves(work: Work) -> list[str]:
    """8 and 15: no claim of the case is open, no reserve is left; no credit is held but what the consumer owes."""
    broken = []
    for claim in await claims.of_case(work.session, work.key):
        reserve = await ledger.balance(work.session, I.CASE_RESERVE, claim.currency, claim_ref=claim.claim_ref)
        if reserve:
            broken.append(f"8: I2200 of {claim.claim_ref} is {-reserve.minor}")
        if claim.state in ("planned", "reserved"):
            broken.append(f"15: claim {claim.claim_ref} is {claim.state}")
        if claim.kind == LOSS and claim.state in ("approved", "paid"):
            broken += await _advance(work, claim)
    return broken


async def _advance(work: Work, claim: ClaimRow) -> list[str]:
    """8 and 13: what left as an advance was approved by the insurer and, above the authority, by a second person."""
    entries = [posted.entry for posted in await ledger.entries_of(work.session, work.key)]
    mine = [entry for entry in entries if entry.claim_ref == claim.claim_ref]
    approved, paid = -_sum(mine, P.MERCHANT_PAYABLE, "J31"), _sum(mine, P.MERCHANT_PAYABLE, "J34")
    broken = []
    if approved > claim.approved_minor or paid > approved:
        broken.append(f"8: {paid} of {claim.claim_ref} paid out, {approved} approved")
    if claim.second_person and paid:
        keys = [entry.payment_key for entry in mine if entry.template == "J34" and entry.payment_key]
        effect = await effects.get(work.session, keys[-1]) if keys else None
        if effect is None or effect.approval_id is None:
            broken.append(f"13: {claim.claim_ref} was paid without a second person")
    return broken


def _net(entry: JournalEntry, account: Account) -> int:
    return entry.total(account, Side.DEBIT) - entry.total(account, Side.CREDIT)


def _sum(entries: Sequence[JournalEntry], account: Account, *templates: str) -> int:
    """Debits less credits: a reversal has its entry's template and takes it back."""
    return sum(_net(entry, account) for entry in entries if entry.template in templates)
