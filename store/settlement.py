"""Settlement: cuts, and the batches that net a merchant's legs into one payout. Domain 6, netting.

A leg is in no batch or in one for ever (`settlement_legs.batch`). A batch takes every unheld leg up to its cut that
is in none yet, so that held, late and reversed legs are never lost. J70, J71, J76 and J34 close a batch to zero.
What holds legs back is in store.holds, what becomes of a shortfall in store.shortfalls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, union, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal, Rejected
from backhaul.ids import batch_key, next_key
from backhaul.ledger import JournalEntry, P, made, reversal, shortfall_netted, shortfall_opened
from backhaul.money import Money
from store import ledger, shortfalls
from store.holds import unheld
from store.orders import need_merchant
from store.sql import insert_once
from store.tables import BatchRow, CutRow, EffectRow, LegRow

SETTLEMENT, ADVANCE = "settlement", "advance"


@dataclass(frozen=True)
class MerchantPage:
    """Merchants in order, and where to go on."""

    merchants: tuple[str, ...]
    next: str | None


async def open_cut(session: AsyncSession, cut: str, at: datetime) -> CutRow:
    """Fix the last sequence of a cycle: everything up to it is committed. A repeat answers the stored one."""
    known = (await session.exec(select(CutRow).where(CutRow.cut == cut))).first()
    if known is not None:
        return known
    head = await ledger.head(session)
    row = CutRow(cut=cut, sequence=head, at=at, merchants=await _count_merchants(session, head))
    await insert_once(session, row)
    return await need_cut(session, cut)


async def need_cut(session: AsyncSession, cut: str) -> CutRow:
    """A cut that must be there. Raises Refusal(`not_found`)."""
    row = (await session.exec(select(CutRow).where(CutRow.cut == cut))).first()
    if row is None:
        raise Refusal("not_found", f"there is no cut {cut}")
    return row


async def _count_merchants(session: AsyncSession, sequence: int) -> int:
    statement = select(func.count(func.distinct(LegRow.merchant_id))).where(*_open(sequence))
    return (await session.exec(statement)).one()


def _open(sequence: int) -> tuple[ColumnElement[bool], ...]:
    return (col(LegRow.batch).is_(None), col(LegRow.sequence) <= sequence, unheld())


async def page_merchants(session: AsyncSession, cut: str, after: str = "", limit: int = 200) -> MerchantPage:
    """Merchants with open legs at the cut, with a batch of it that is not paid yet, or with an open shortfall, after
    one of them. What it reads grows with the page, not with the merchants."""
    sequence = (await need_cut(session, cut)).sequence
    sources = (
        (LegRow, _open(sequence)),
        (BatchRow, (col(BatchRow.cut) == cut, col(BatchRow.state) == "formed")),
        (BatchRow, (shortfalls.OPEN,)),
    )
    firsts = []
    for table, conditions in sources:
        merchant = col(table.merchant_id)
        some = select(merchant).where(*conditions, merchant > after).distinct().order_by(merchant).limit(limit + 1)
        firsts.append(select(some.subquery().c.merchant_id))
    every = union(*firsts).subquery()
    found = (await session.exec(select(every.c.merchant_id).order_by(every.c.merchant_id).limit(limit + 1))).all()
    page = tuple(found[:limit])
    return MerchantPage(page, page[-1] if len(found) > limit else None)


async def form_batches(
    session: AsyncSession, merchant_id: str, cut: str, at: datetime, patience: shortfalls.Patience | None = None
) -> tuple[BatchRow, ...]:
    """Net the merchant's open legs at the cut, a batch per currency, once: a repeat answers the stored ones.

    X22, in its order: a negative net becomes J71; a positive one first pays an open shortfall (J76), the deposit pays
    what that left open (J72), what is open for longer than `patience` says is written off (J74) or overdue. While
    something is overdue no other currency is paid out: its legs wait, and so does what they cover. Nothing is written
    off by rule that legs on hold could pay."""
    row = await need_cut(session, cut)
    await need_merchant(session, merchant_id, lock=True)
    known = await _batches(session, merchant_id, cut)
    if known:
        return known
    legs = await _open_legs(session, merchant_id, row.sequence)
    earlier = await shortfalls.owed(session, merchant_id)
    paid_out = {one for one in legs if _sum(legs[one]) > shortfalls.total(earlier, one)}
    entries: list[JournalEntry] = []
    for currency in sorted(legs.keys() - paid_out):
        entries += await _form(session, row, merchant_id, legs[currency], earlier, at)
    uncovered = [one for one in earlier if one.currency not in paid_out]
    entries += await shortfalls.draw_deposit(session, merchant_id, uncovered, at)
    if patience is not None:
        held = await _held(session, merchant_id)
        ending = [one for one in uncovered if one.currency not in held]
        entries += await shortfalls.end_overdue(session, ending, row, patience, at)
    if not any(one.state == shortfalls.OVERDUE for one in uncovered if one.open_minor):
        for currency in sorted(paid_out):
            entries += await _form(session, row, merchant_id, legs[currency], earlier, at)
    session.add_all(earlier)
    await session.flush()
    await ledger.post(session, entries, at)
    return await _batches(session, merchant_id, cut)


async def found_overdue(session: AsyncSession, merchant_id: str, cut: str) -> tuple[BatchRow, ...]:
    """Shortfalls that this cut found overdue and above the authority: a second person is asked once for each."""
    mine = select(BatchRow).where(BatchRow.merchant_id == merchant_id, BatchRow.overdue_cut == cut)
    return tuple((await session.exec(mine.order_by(col(BatchRow.batch)))).all())


async def _open_legs(session: AsyncSession, merchant_id: str, sequence: int) -> dict[str, list[LegRow]]:
    mine = select(LegRow).where(*_open(sequence), LegRow.merchant_id == merchant_id)
    legs: dict[str, list[LegRow]] = defaultdict(list)
    for leg in await session.exec(mine.with_for_update()):
        legs[leg.currency].append(leg)
    return legs


async def _held(session: AsyncSession, merchant_id: str) -> set[str]:
    """Currencies in which legs of the merchant that somebody holds come to more than nothing."""
    mine = select(LegRow.currency).where(col(LegRow.batch).is_(None), LegRow.merchant_id == merchant_id, ~unheld())
    more = mine.group_by(col(LegRow.currency)).having(func.sum(LegRow.minor) > 0)
    return set((await session.exec(more)).all())


def _sum(legs: Sequence[LegRow]) -> Money:
    return Money(minor=sum(leg.minor for leg in legs), currency=legs[0].currency)


async def _form(
    session: AsyncSession,
    cut: CutRow,
    merchant_id: str,
    legs: Sequence[LegRow],
    earlier: Sequence[BatchRow],
    at: datetime,
) -> tuple[JournalEntry, ...]:
    """One batch of one currency; J71 or J76, where it needs one."""
    net = _sum(legs)
    nothing = Money.zero(net.currency)
    netted = max(shortfalls.total(earlier, net.currency).at_most(net), nothing)
    payout, short = max(net - netted, nothing), max(-net, nothing)
    shortfalls.cure(earlier, netted, at)
    # A currency of its own is a payout of its own; the cut's name is a part of ids, so is this.
    name = f"{cut.cut}.{net.currency}"
    row = BatchRow(
        batch=f"{merchant_id}:{name}",
        kind=SETTLEMENT,
        merchant_id=merchant_id,
        cut=cut.cut,
        payout_key=batch_key(merchant_id, name),
        legs=len(legs),
        net_minor=net.minor,
        netted_minor=netted.minor,
        payout_minor=payout.minor,
        open_minor=short.minor,
        currency=net.currency,
        state="formed" if payout else shortfalls.SHORTFALL if short else "empty",
        formed_at=at,
        closed_at=None if payout or short else at,
    )
    session.add(row)
    await session.flush()
    for leg in legs:
        leg.batch = row.batch
        session.add(leg)
    return made(
        shortfall_opened(merchant_id, short, batch=row.batch), shortfall_netted(merchant_id, netted, batch=row.batch)
    )


async def _batches(session: AsyncSession, merchant_id: str, cut: str) -> tuple[BatchRow, ...]:
    statement = select(BatchRow).where(BatchRow.merchant_id == merchant_id, BatchRow.cut == cut)
    return tuple((await session.exec(statement.order_by(col(BatchRow.currency)))).all())


async def next_payout(session: AsyncSession, batch: str, asked_key: str) -> BatchRow:
    """The batch, under the key of its next attempt where `asked_key` is a later one and the channel itself ended the
    present one: `n` rises only on proof, by one, whatever is asked."""
    row = await need_batch(session, batch, lock=True)
    if row.state == "formed" and _attempt(asked_key) > _attempt(row.payout_key):
        ended = await session.get(EffectRow, row.payout_key)
        if ended is not None and ended.state == "failed":
            row.payout_key = next_key(row.payout_key)
            session.add(row)
    return row


def _attempt(key: str) -> int:
    n = key.rpartition(":")[2]
    return int(n) if n.isdigit() else 0


async def dissolve_batch(session: AsyncSession, batch: str, at: datetime) -> tuple[JournalEntry, ...]:
    """The batch will never be paid, proved by the channel or approved: its legs go into the next settlement, and what
    it paid of a shortfall (J76) is taken back; the entries for that. A repeat is no change.

    Raises Rejected(`already_decided`) once it is paid."""
    await need_merchant(session, (await need_batch(session, batch)).merchant_id, lock=True)
    row = await need_batch(session, batch, lock=True)
    if row.state == "paid":
        raise Rejected("already_decided", f"{batch} is paid")
    if row.state != "formed":
        return ()
    netted = shortfall_netted(row.merchant_id, Money(minor=row.netted_minor, currency=row.currency), batch=batch)
    mine = select(BatchRow).where(BatchRow.merchant_id == row.merchant_id, BatchRow.net_minor < 0)
    rows = (await session.exec(mine.order_by(col(BatchRow.formed_at), col(BatchRow.batch)))).all()
    shortfalls.reopen(rows, Money(minor=row.netted_minor, currency=row.currency))
    session.add_all(rows)
    await _dissolve(session, row, at)
    # It keeps the batch, so that it closes the batch's own J76 and is no candidate for another one.
    return made(None if netted is None else reversal(netted).model_copy(update={"batch": batch}))


async def _dissolve(session: AsyncSession, row: BatchRow, at: datetime) -> None:
    await session.exec(update(LegRow).where(col(LegRow.batch) == row.batch).values(batch=None))
    row.state, row.closed_at = "dissolved", at
    row.legs = row.net_minor = row.netted_minor = row.payout_minor = 0
    session.add(row)


async def under_way(session: AsyncSession, before: datetime, limit: int = 1_000) -> tuple[tuple[str, str], ...]:
    """Merchant and cut of every settlement that a workflow must be looking after: a payout is to be made, the merchant
    is to be told of a shortfall, or an overdue one waits for a second person."""
    old = and_(col(BatchRow.kind) == SETTLEMENT, col(BatchRow.formed_at) < before)
    due = and_(old, col(BatchRow.state) == "formed")
    untold = and_(old, shortfalls.OPEN, col(BatchRow.state) == shortfalls.SHORTFALL, col(BatchRow.told_at).is_(None))
    waits = or_(due, untold, and_(shortfalls.OPEN, col(BatchRow.state) == shortfalls.OVERDUE))
    rows = (await session.exec(select(BatchRow).where(waits).limit(limit))).all()
    cuts = {(row.merchant_id, row.overdue_cut if row.state == shortfalls.OVERDUE else row.cut) for row in rows}
    return tuple(sorted((merchant, cut) for merchant, cut in cuts if cut is not None))


async def close_batch(session: AsyncSession, batch: str, at: datetime) -> BatchRow:
    """The payout succeeded: J70 or J34 is posted in the same transaction. A repeat is no change."""
    row = await need_batch(session, batch)
    if row.state == "formed":
        row.state, row.closed_at = "paid", at
        session.add(row)
    return row


async def need_batch(session: AsyncSession, batch: str, *, lock: bool = False) -> BatchRow:
    """A batch that must be there. Raises Refusal(`not_found`)."""
    statement = select(BatchRow).where(BatchRow.batch == batch)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    row = (await session.exec(statement)).first()
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
    settlement. A repeat is no change, nor is one that was never formed. Raises Rejected(`already_decided`) once it is
    paid."""
    row = await session.get(BatchRow, advance_batch(claim_ref), with_for_update=True)
    if row is None:
        return
    if row.state == "paid":
        raise Rejected("already_decided", f"the advance of {claim_ref} is paid")
    await _dissolve(session, row, at)


async def check_batches(session: AsyncSession) -> tuple[str, ...]:
    """Batches that break invariant 12: what their legs add up to is not their net, or, where they are over, their
    closing entries do not bring them to zero; and merchants whose shortfalls are not what P1100 says. Nothing is the
    right answer."""
    sums = select(LegRow.batch, func.sum(LegRow.minor)).where(col(LegRow.batch).is_not(None))
    legs = dict((await session.exec(sums.group_by(col(LegRow.batch)))).all())
    wrong = []
    owed: dict[tuple[str, str], int] = defaultdict(int)
    for row in await session.exec(select(BatchRow).order_by(col(BatchRow.batch))):
        if row.kind == SETTLEMENT:
            owed[row.merchant_id, row.currency] += row.open_minor
        closing = await ledger.balance(session, P.MERCHANT_PAYABLE, row.currency, batch=row.batch)
        open_rest = row.payout_minor if row.state == "formed" else 0
        if int(legs.get(row.batch) or 0) != row.net_minor or row.net_minor - closing.minor != open_rest:
            wrong.append(row.batch)
    for (merchant, currency), minor in sorted(owed.items()):
        if (await ledger.balance(session, P.MERCHANT_RECEIVABLE, currency, party=merchant)).minor != minor:
            wrong.append(f"{merchant} owes {currency}")
    return tuple(wrong)
