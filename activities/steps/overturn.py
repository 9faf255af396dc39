"""Indemnity that is taken back: before the insurer funded it (J75), or after (J75b). Domain 6."""

from __future__ import annotations

from collections.abc import Sequence

from activities.steps.desk import Work
from backhaul.errors import Rejected, Transient
from backhaul.facts import Frozen
from backhaul.ledger import funded_indemnity_overturned, indemnity_overturned
from backhaul.money import Money
from store import claims, effects, settlement
from store.effects import Outcome
from store.tables import ClaimRow


class Overturned(Frozen):
    """What was taken back of one claim. `funded`: the insurer had paid it, so that it goes back to the insurer (J42).
    `closed`: nothing of the claim is owed any more, and the insurer is told. `unpaid`: its advance had not left, and
    will not; what stands of it goes the way of every leg, into the next settlement."""

    claim_ref: str
    coverage_id: str
    amount: Money
    funded: bool
    closed: bool = False
    unpaid: bool = False


async def overturn(work: Work, rows: Sequence[ClaimRow], amount: Money) -> tuple[Overturned, ...]:
    """Take an amount of the case's indemnity back from the merchant, the newest claim first, and post it.

    Raises Transient(`pending`) while the insurer's payment of a claim is under way: what it ends as decides the entry;
    Rejected(`over_indemnity`) for more than stands."""
    left, done = amount, []
    for row in reversed(rows):
        part = left.at_most(Money(minor=claims.stands(row), currency=row.currency))
        if part:
            done.append(await _one(work, row, part))
            left = left - part
    if left:
        raise Rejected("over_indemnity", f"{left} more would be taken back than was indemnified")
    return tuple(done)


async def _one(work: Work, row: ClaimRow, part: Money) -> Overturned:
    row = await claims.need(work.session, row.claim_ref, lock=True)  # before its batch, as whoever pays the advance
    if row.state not in ("approved", "paid"):
        raise Transient("pending", f"the insurer has not decided on {row.claim_ref}")
    funded = row.state == "paid" or await _being_funded(work, row)
    n = "1" if not row.overturned_minor else f"overturn.{row.overturned_minor}"
    template = funded_indemnity_overturned if funded else indemnity_overturned
    work.post(template(work.case, part, claim_ref=row.claim_ref, part=n))
    unpaid = await _keep_advance(work, row)
    after = await claims.overturn(work.session, row.claim_ref, part, work.at)
    return Overturned(
        claim_ref=row.claim_ref,
        coverage_id=row.coverage_id,
        amount=part,
        funded=funded,
        closed=not funded and not claims.stands(after),
        unpaid=unpaid,
    )


async def _being_funded(work: Work, row: ClaimRow) -> bool:
    """The insurer has begun to pay and has not refused: its money comes, and goes back to it."""
    if row.funding_key is None:
        return False
    effect = await effects.get(work.session, row.funding_key)
    return effect is None or effect.state != Outcome.FAILED


async def _keep_advance(work: Work, row: ClaimRow) -> bool:
    """An advance that has not left does not leave. Raises Transient(`pending`) while one is under way."""
    batch = await settlement.need_batch(work.session, settlement.advance_batch(row.claim_ref), lock=True)
    if batch.state != "formed":
        return False
    begun = await effects.get(work.session, batch.payout_key, lock=True)
    if begun is not None and begun.state != Outcome.FAILED:
        raise Transient("pending", f"the advance of {row.claim_ref} is under way")
    await settlement.dissolve_advance(work.session, row.claim_ref, work.at)
    return True
