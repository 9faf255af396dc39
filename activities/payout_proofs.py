"""The proof that a settlement's payout is terminal, and what becomes of a batch that cannot be paid. Domain 6, 14."""

from __future__ import annotations

from collections.abc import Iterable

from sqlmodel.ext.asyncio.session import AsyncSession

from activities import payment_plans
from activities.contract import Batch, Proof, ProveBatch
from activities.effects_support import World
from activities.proofs import Subject, prove_subject
from backhaul.errors import Rejected
from backhaul.ledger import JournalEntry
from backhaul.money import Money
from store import authority, effects, settlement


async def prove_payout(world: World, asked: ProveBatch) -> Proof:
    """The proof for a batch's present payout key. Raises Rejected(`proof_refused`) where nothing was begun."""
    async with world.store.read() as session:
        row = await settlement.need_batch(session, asked.batch)
        begun = await effects.get(session, row.payout_key)
    if begun is None:
        raise Rejected("proof_refused", f"nothing was begun under {row.payout_key}")
    net = Money(minor=begun.amount_minor, currency=begun.currency)
    batch = Batch(
        batch=row.batch,
        merchant_id=row.merchant_id,
        payout_key=row.payout_key,
        net=net,
        legs=row.legs,
        payable=True,
    )

    async def alternative(session: AsyncSession, proved: bool) -> Iterable[JournalEntry]:
        return await settlement.dissolve_batch(session, row.batch, world.clock())

    subject = Subject(row.payout_key, net, row.merchant_id, (payment_plans.payout(world, batch),), alternative)
    return await prove_subject(world, subject, authority.merchant_key(row.merchant_id), asked.approval_id)
