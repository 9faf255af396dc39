"""Settlement: cuts, and the batches that net a merchant's legs into one payout. Domain 6, netting.

A leg is in no batch or in one for ever (`settlement_legs.batch`). A batch takes every unheld leg up to its cut that
is in none yet, so that held, late and reversed legs are never lost. J70, J71, J76 and J34 close a batch to zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal, Rejected
from backhaul.ids import batch_key
from backhaul.ledger import P, made, shortfall_netted, shortfall_opened
from backhaul.money import Money
from store import ledger
from store.sql import insert_once
from store.tables import BatchRow, CutRow, LegRow, MerchantRow

SETTLEMENT, ADVANCE = "settlement", "advance"


@dataclass(frozen=True)
class MerchantPage:
    """Merchants in order, and where to go on."""

    merchants: tuple[str, ...]
    next: str | None


async def open_cut(session: AsyncSession, cut: str, at: datetime) -> CutRow:
    """Fix the last sequence of a cycle: everything up to it is committed. A repeat answers the stored one."""
    await insert_once(session, CutRow(cut=cut, sequence=await ledger.head(session), at=at))
    return await need_cut(session, cut)


async def need_cut(session: AsyncSession, cut: str) -> CutRow:
    """A cut that must be there. Raises Refusal(`not_found`)."""
    row = (await session.exec(select(CutRow).where(CutRow.cut == cut))).first()
    if row is None:
        raise Refusal("not_found", f"there is no cut {cut}")
    return row


async def count_merchants(session: AsyncSession, cut: CutRow) -> int:
    """How many merchants have open legs at the cut."""
    statement = select(func.count(func.distinct(LegRow.merchant_id))).where(*_open(cut.sequence))
    return (await session.exec(statement)).one()


def _open(sequence: int) -> tuple[ColumnElement[bool], ...]:
    return (
        col(LegRow.batch).is_(None),
        col(LegRow.held).is_(False),
        col(LegRow.sequence) <= sequence,
    )


async def page_merchants(session: AsyncSession, cut: str, after: str = "", limit: int = 200) -> MerchantPage:
    """Merchants with open legs at the cut, or with a batch of it that is not paid yet, after one of them."""
    sequence = (await need_cut(session, cut)).sequence
    legs = select(LegRow.merchant_id).where(*_open(sequence), LegRow.merchant_id > after)
    unpaid = select(BatchRow.merchant_id).where(
        BatchRow.cut == cut, BatchRow.state == "formed", BatchRow.merchant_id > after
    )
    both = legs.union(unpaid).subquery()
    found = (await session.exec(select(both.c.merchant_id).order_by(both.c.merchant_id).limit(limit + 1))).all()
    page = tuple(found[:limit])
    return MerchantPage(page, page[-1] if len(found) > limit else None)


async def form_batches(session: AsyncSession, merchant_id: str, cut: str, at: datetime) -> tuple[BatchRow, ...]:
    """Net the merchant's open legs at the cut, a batch per currency, once: a repeat answers the stored ones.

    A negative net becomes J71; a positive one first pays an open shortfall (J76), the rest is to be paid out."""
    sequence = (await need_cut(session, cut)).sequence
    await _lock_merchant(session, merchant_id)
    known = await _batches(session, merchant_id, cut)
    if known:
        return known
    open_legs = select(LegRow).where(*_open(sequence), LegRow.merchant_id == merchant_id)
    legs: dict[str, list[LegRow]] = defaultdict(list)
    for leg in await session.exec(open_legs.with_for_update()):
        legs[leg.currency].append(leg)
    entries = []
    for currency in sorted(legs):
        batch, netted = await _form(session, merchant_id, cut, currency, legs[currency], at)
        if batch.net_minor < 0:
            amount = Money(minor=-batch.net_minor, currency=currency)
            entries.append(shortfall_opened(merchant_id, amount, batch=batch.batch))
        entries.append(shortfall_netted(merchant_id, netted, batch=batch.batch))
    await ledger.post(session, made(*entries), at)
    return await _batches(session, merchant_id, cut)


async def _form(
    session: AsyncSession, merchant_id: str, cut: str, currency: str, legs: Sequence[LegRow], at: datetime
) -> tuple[BatchRow, Money]:
    net = Money(minor=sum(leg.minor for leg in legs), currency=currency)
    netted = Money.zero(currency)
    if net.minor > 0:
        owed = await ledger.balance(session, P.MERCHANT_RECEIVABLE, currency, party=merchant_id)
        netted = max(owed, netted).at_most(net)
    payout = max(net - netted, Money.zero(currency))
    state = "formed" if payout else "shortfall" if net.minor < 0 else "empty"
    # A currency of its own is a payout of its own; the cut's name is a part of ids, so is this.
    name = f"{cut}.{currency}"
    row = BatchRow(
        batch=f"{merchant_id}:{name}",
        kind=SETTLEMENT,
        merchant_id=merchant_id,
        cut=cut,
        payout_key=batch_key(merchant_id, name),
        legs=len(legs),
        net_minor=net.minor,
        netted_minor=netted.minor,
        payout_minor=payout.minor,
        currency=currency,
        state=state,
        formed_at=at,
        closed_at=None if payout else at,
    )
    session.add(row)
    await session.flush()
    for leg in legs:
        leg.batch = row.batch
        session.add(leg)
    await session.flush()
    return row, netted


async def _batches(session: AsyncSession, merchant_id: str, cut: str) -> tuple[BatchRow, ...]:
    statement = select(BatchRow).where(BatchRow.merchant_id == merchant_id, BatchRow.cut == cut)
    return tuple((await session.exec(statement.order_by(col(BatchRow.currency)))).all())


async def _lock_merchant(session: AsyncSession, merchant_id: str) -> None:
    statement = select(MerchantRow.merchant_id).where(MerchantRow.merchant_id == merchant_id)
    await session.exec(statement.with_for_update())


async def close_batch(session: AsyncSession, batch: str, at: datetime) -> BatchRow:
    """The payout succeeded: J70 or J34 is posted in the same transaction. A repeat is no change."""
    row = await need_batch(session, batch)
    if row.state == "formed":
        row.state, row.closed_at = "paid", at
        session.add(row)
    return row


async def need_batch(session: AsyncSession, batch: str) -> BatchRow:
    """A batch that must be there. Raises Refusal(`not_found`)."""
    row = (await session.exec(select(BatchRow).where(BatchRow.batch == batch))).first()
    if row is None:
        raise Refusal("not_found", f"there is no batch {batch}")
    return row


# ---- advances --------------------------------------------------------------------------------------------------------


def advance_batch(claim_ref: str) -> str:
    """The batch of one advance."""
    return f"advance:{claim_ref}"


async def form_advance(session: AsyncSession, claim_ref: str, payout_key: str, at: datetime) -> BatchRow:
    """Take the leg of the claim's J31 into a batch of its own, in the transaction that posted it, so that no
    settlement pays it too. A repeat answers the stored one. Raises Rejected(`invariant_broken`) without an open leg."""
    name = advance_batch(claim_ref)
    known = (await session.exec(select(BatchRow).where(BatchRow.batch == name))).first()
    if known is not None:
        return known
    open_legs = select(LegRow).where(LegRow.claim_ref == claim_ref, col(LegRow.batch).is_(None), col(LegRow.minor) > 0)
    legs = (await session.exec(open_legs.with_for_update())).all()
    if len(legs) != 1:
        raise Rejected("invariant_broken", f"claim {claim_ref} has {len(legs)} open legs, not one")
    leg = legs[0]
    row = BatchRow(
        batch=name,
        kind=ADVANCE,
        merchant_id=leg.merchant_id,
        payout_key=payout_key,
        legs=1,
        net_minor=leg.minor,
        payout_minor=leg.minor,
        currency=leg.currency,
        state="formed",
        formed_at=at,
    )
    session.add(row)
    await session.flush()
    leg.batch = name
    session.add(leg)
    return row


async def dissolve_advance(session: AsyncSession, claim_ref: str, at: datetime) -> None:
    """The advance will never be paid, proved by the channel: its leg goes the way of every other, into the next
    settlement. A repeat is no change. Raises Rejected(`already_decided`) once it is paid."""
    row = await need_batch(session, advance_batch(claim_ref))
    if row.state == "paid":
        raise Rejected("already_decided", f"the advance of {claim_ref} is paid")
    await session.exec(update(LegRow).where(col(LegRow.batch) == row.batch).values(batch=None))
    row.state, row.closed_at = "dissolved", at
    row.legs = row.net_minor = row.payout_minor = 0
    session.add(row)


async def hold_legs(session: AsyncSession, case_key: str, *, held: bool = True) -> None:
    """Keep a case's open legs out of settlement while it is disputed, or let them in again: the next batch takes
    them, however old they are."""
    await session.exec(
        update(LegRow).where(col(LegRow.case_key) == case_key, col(LegRow.batch).is_(None)).values(held=held)
    )


async def check_batches(session: AsyncSession) -> tuple[str, ...]:
    """Batches that break invariant 12: what their legs add up to is not their net, or, where they are over, their
    closing entries do not bring them to zero. Nothing is the right answer."""
    sums = select(LegRow.batch, func.sum(LegRow.minor)).where(col(LegRow.batch).is_not(None))
    legs = dict((await session.exec(sums.group_by(col(LegRow.batch)))).all())
    wrong = []
    for row in await session.exec(select(BatchRow).order_by(col(BatchRow.batch))):
        closing = await ledger.balance(session, P.MERCHANT_PAYABLE, row.currency, batch=row.batch)
        open_rest = row.payout_minor if row.state == "formed" else 0
        if int(legs.get(row.batch) or 0) != row.net_minor or row.net_minor - closing.minor != open_rest:
            wrong.append(row.batch)
    return tuple(wrong)
