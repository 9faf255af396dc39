"""May a consumer's money leave by another way? Once nothing that was begun for it can pay any more. Domain 6, 14."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Rejected
from backhaul.ids import next_key
from backhaul.ledger import P
from backhaul.money import Money
from store import cases, effects, unclaimed
from store.effects import Outcome
from store.tables import EffectRow, EntryLineRow, EntryRow

REFUND, ALTERNATE, CLAIMED = "refund", "alternate", "claimed"
BOUNCED, GIVEN_BACK = "J60", "J45"
OWED = "owed"


async def payouts_of(session: AsyncSession, case_key: str, of: str) -> Sequence[EffectRow]:
    """Every payout that was begun for the refund, or the unclaimed money, of this key."""
    mine = select(EffectRow).where(EffectRow.case_key == case_key, col(EffectRow.kind).in_((ALTERNATE, CLAIMED)))
    rows = (await session.exec(mine.order_by(col(EffectRow.created_at)))).all()
    return [row for row in rows if row.request["about"]["of"] == of]


async def given_back(session: AsyncSession, case_key: str, of: str) -> Money | None:
    """What a correction owes the consumer under this key, who had paid it (J45). None: it owes nothing under it."""
    line = (
        select(EntryLineRow.minor, EntryLineRow.currency)
        .join(EntryRow, col(EntryRow.sequence) == col(EntryLineRow.sequence))
        .where(EntryRow.entry_key == f"{GIVEN_BACK}:{case_key}:{of}", EntryLineRow.account == P.REFUND_PAYABLE.value)
    )
    found = (await session.exec(line)).first()
    return None if found is None else Money(minor=found[0], currency=found[1])


async def owe(session: AsyncSession, case_key: str, key: str, amount: Money, at: datetime) -> None:
    """What a case owes the consumer under this key besides its refunds: an entry has it on P2010, no payment takes it
    back. Once."""
    await cases.record(session, case_key, f"{OWED}:{key}", amount, amount, at)


async def owed_besides(session: AsyncSession, case_key: str, of: str) -> Money | None:
    """What is owed under this key that is no refund. None: nothing is."""
    owed = await cases.recorded(session, case_key, f"{OWED}:{of}", Money)
    return owed or await given_back(session, case_key, of)


async def need_refund_over(session: AsyncSession, case_key: str, of: str, amount: Money) -> EffectRow | None:
    """The refund that ended without reaching the consumer: failed for good at the provider, or come back. None for what
    is owed besides, which was no refund.

    Raises Rejected(`proof_refused`) while it, or a payout in its place, may still pay; Rejected(`effect_conflict`)
    for another amount or case."""
    owed = await owed_besides(session, case_key, of)
    if owed is not None:
        if owed != amount:
            raise Rejected("effect_conflict", f"{owed} is owed under {of}, not {amount}")
        await need_payouts_over(session, case_key, of)
        return None
    row = await effects.get(session, of)
    if row is None or row.kind != REFUND:
        raise Rejected("proof_refused", f"there is no refund {of}")
    if (row.case_key, row.amount_minor, row.currency) != (case_key, amount.minor, amount.currency):
        raise Rejected("effect_conflict", f"{of} is not a refund of {amount} of {case_key}")
    if row.state != Outcome.FAILED and not await came_back(session, of):
        raise Rejected("proof_refused", f"{of} is {row.state}: it may still pay")
    if await effects.get(session, next_key(of)) is not None:
        raise Rejected("proof_refused", f"{of} was tried again under the next key")
    await need_payouts_over(session, case_key, of)
    return row


async def need_payouts_over(session: AsyncSession, case_key: str, of: str) -> None:
    """Raises Rejected(`proof_refused`) while a payout in place of `of` is begun and has not failed for good."""
    for row in await payouts_of(session, case_key, of):
        if row.state != Outcome.FAILED:
            raise Rejected("proof_refused", f"{row.key} is {row.state}: it may still pay, or has paid")


async def came_back(session: AsyncSession, of: str) -> bool:
    """Was the refund posted as bounced (J60)?"""
    found = select(EntryRow.sequence).where(EntryRow.payment_key == of, EntryRow.template == BOUNCED)
    return (await session.exec(found)).first() is not None


async def need_payable(session: AsyncSession, case_key: str, of: str, amount: Money, *, claimed: bool) -> None:
    """Before a payout leaves the first time: the money is owed, and nothing else can still pay it.

    Raises as `need_refund_over`; Rejected(`invariant_broken`) for money that became unclaimed, or that nobody
    claims."""
    kept = await unclaimed.get(session, of)
    if not claimed:
        await need_refund_over(session, case_key, of, amount)
        if kept is not None:
            raise Rejected("invariant_broken", f"{of} became unclaimed money: it is paid when claimed")
        return
    if kept is None or kept.case_key != case_key or kept.state != unclaimed.CLAIMING:
        raise Rejected("invariant_broken", f"{of} is no unclaimed money of {case_key} that is being claimed")
    if (kept.amount_minor, kept.currency) != (amount.minor, amount.currency):
        raise Rejected("effect_conflict", f"{of} is not {amount}")
    await need_payouts_over(session, case_key, of)
