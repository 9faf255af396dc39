"""What a recovery reads and closes in our own books: what is owed, and what is written off. Domain 4.5, X26 to X28."""

from __future__ import annotations

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import EndRecovery, FollowRuling, Receivable, RecoveryOutcome, ReviewReceivable, RulingFollowed
from activities.steps.authority import tell_ruling
from activities.steps.desk import Desk, key_of
from backhaul.errors import Rejected
from backhaul.facts import Liable
from backhaul.ledger import (
    CaseRef,
    JournalEntry,
    consumer_uncollectable,
    consumer_written_off,
    made,
    recovery_uncollectable,
)
from backhaul.money import Money
from backhaul.policy.rulings import About
from store import authority, claims, credit, ledger, recoveries
from store.tables import RecoveryRow

UNCOLLECTABLE = "uncollectable"
"""The ruling under which money is written off."""


async def review(desk: Desk, argument: ReviewReceivable) -> Receivable:
    """What the consumer owes of this recovery now. Only reads."""
    ref, key = argument.plan.ref, key_of(argument.case)
    async with desk.store.read() as session:
        amount, insured = await recoveries.owed(session, ref, key)
        held = await credit.hold(session, key)
    return Receivable(amount=amount, clawback=held is not None, insured=insured)


async def follow(desk: Desk, argument: FollowRuling) -> RulingFollowed:
    """A person ruled what is owed, or that it cannot be collected: a decision of the case, once."""

    async def work(session: AsyncSession) -> RulingFollowed:
        row = await claims.need_recovery(session, argument.plan.ref)
        told = await tell_ruling(
            session,
            key_of(argument.case),
            argument.ruling_id,
            argument.at,
            About(
                recovery=row.recovery_ref,
                liable=row.liable,
                collected=row.collected_minor,
                left=row.amount_minor - row.in_hand_minor - row.collected_minor,
            ),
        )
        return RulingFollowed(verdicts=told)

    return await desk.store.run(work)


async def end(desk: Desk, argument: EndRecovery) -> RecoveryOutcome:
    """Close once. What is booked and did not come is taken out of the books, under a ruling or the waiver."""

    async def work(session: AsyncSession) -> RecoveryOutcome:
        return await _end(session, argument, desk)

    return await desk.store.run(work)


async def _end(session: AsyncSession, argument: EndRecovery, desk: Desk) -> RecoveryOutcome:
    case, ref, at = argument.case, argument.plan.ref, desk.clock()
    row = await claims.need_recovery(session, ref, lock=True)
    consumer = argument.plan.liable is Liable.CONSUMER and not argument.plan.withheld
    if consumer:
        open_, insured = await recoveries.owed(session, ref, key_of(case))
    else:
        open_, insured = Money(minor=max(0, row.accepted_minor - row.collected_minor), currency=row.currency), True
        open_ = open_ - Money(minor=min(open_.minor, row.written_off_minor), currency=row.currency)
    if open_:
        waived = await _waived(session, argument, open_)
        if consumer and waived:
            await credit.collected(session, key_of(case), open_, at)
        elif consumer:
            await credit.write_off(session, key_of(case), at)
        row.written_off_minor += open_.minor
    got = row.in_hand_minor + row.collected_minor
    row.state = "waived" if not got else "collected" if got == row.amount_minor else "partial"
    row.updated_at = at
    session.add(row)
    await ledger.post(session, _taken_out(case, open_, row, consumer=consumer, insured=insured), at)
    return RecoveryOutcome(
        claim_ref=row.claim_ref,
        state=row.state,
        recovered=Money(minor=got, currency=row.currency),
        written_off=Money(minor=row.written_off_minor, currency=row.currency),
    )


def _taken_out(
    case: CaseRef, open_: Money, row: RecoveryRow, *, consumer: bool, insured: bool
) -> tuple[JournalEntry, ...]:
    """J43 of what the carrier accepted, J55 of the insurer's receivable, J52 of ours."""
    claim, part = row.claim_ref, recoveries.entry_part(row)
    if not consumer:
        return made(recovery_uncollectable(case, open_, claim_ref=claim, part=part))
    if insured:
        return made(consumer_uncollectable(case, open_, claim_ref=claim, part=part))
    return made(consumer_written_off(case, open_, part=row.recovery_ref, claim_ref=claim))


async def _waived(session: AsyncSession, argument: EndRecovery, open_: Money) -> bool:
    """Is it below the book's waiver (X28)? Then it is let go as if it had come; anything else is written off under a
    ruling of an authenticated person. Raises Rejected(`ruling_unknown`, `ruling_mismatch`)."""
    if open_.minor < argument.waiver_minor and argument.plan.liable is Liable.CONSUMER:
        return True
    ruling = await authority.find_ruling(session, argument.ruling_id or "", key_of(argument.case))
    if ruling.outcome != UNCOLLECTABLE:
        raise Rejected("ruling_mismatch", f"ruling {ruling.ruling_id} writes nothing off", field="ruling_id")
    return False
