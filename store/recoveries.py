"""Recoveries on their way: what was demanded, accepted, collected and written off, never more than is to be recovered.

Invariant 6: recovered <= indemnity, over all recoveries of a claim together. It is checked where each amount is
written. Domain 4.5, X27, X28.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Rejected
from backhaul.ids import CaseId, collect_key
from backhaul.ledger import CaseRef, JournalEntry, P, Side, carrier_accepted, made
from backhaul.money import Money
from store import claims, ledger
from store.claims import need_recovery
from store.tables import EffectRow, JournalHeadRow, RecoveryRow

SET_OFF, CHARGE = "set_off", "charge"
"""Kinds of the effects that set a demand off, and that charge a consumer."""
IN_PARTS = frozenset({SET_OFF, CHARGE})
"""Those that get what they can: the next number takes of the rest. It leaves only once the last one has ended."""
ENDED = frozenset({"collected", "partial", "waived"})
"""States of a recovery that is over."""
_OWED = frozenset({"J50", "J51", "J52"})
"""Entries without a claim on what a consumer owes after lightning. Freight (J14, J56) is not theirs."""


def left(row: RecoveryRow) -> Money:
    """What is still to be recovered: not in hand, not collected, not written off."""
    got = row.in_hand_minor + row.collected_minor + row.written_off_minor
    return Money(minor=max(0, row.amount_minor - got), currency=row.currency)


def collected(row: RecoveryRow) -> Money:
    """What came in: in cash, by set-off, by charges."""
    return Money(minor=row.collected_minor, currency=row.currency)


async def of_case(session: AsyncSession, case_key: str) -> tuple[RecoveryRow, ...]:
    """A case's recoveries in the order opened."""
    statement = select(RecoveryRow).where(RecoveryRow.case_key == case_key)
    order = (col(RecoveryRow.at), col(RecoveryRow.claim_ref), col(RecoveryRow.n))
    return tuple((await session.exec(statement.order_by(*order))).all())


def entry_part(row: RecoveryRow, part: str = "1") -> str:
    """Tells the entries of a claim's recoveries apart: those of the first keep their `part`, later ones add which."""
    if row.n == 1:
        return part
    return f"r{row.n}" if part == "1" else f"r{row.n}.{part}"


async def demanded(session: AsyncSession, ref: str, amount: Money, at: datetime) -> None:
    """The carrier was asked for this much. A repeat is no change."""
    row = await need_recovery(session, ref, lock=True)
    row.demanded_minor = amount.minor
    if row.state == "identified":
        row.state, row.updated_at = "demanded", at
    session.add(row)


async def contested(session: AsyncSession, ref: str, at: datetime) -> None:
    """The carrier says no, or was silent to the end. What is collected stays collected."""
    row = await need_recovery(session, ref, lock=True)
    if row.state in ("identified", "demanded", "accepted"):
        row.state, row.updated_at = "contested", at
        session.add(row)


async def recognise(
    session: AsyncSession, case: CaseRef, row: RecoveryRow, upto: Money, at: datetime
) -> tuple[JournalEntry, ...]:
    """J40 of what is owed by the carrier beyond what was recognised before; the entry is to be posted.

    Raises Rejected(`over_indemnity`) above what is to be recovered."""
    _check(row, upto.minor, "accepted")
    more = Money(minor=max(0, upto.minor - row.accepted_minor), currency=row.currency)
    part = entry_part(row, str(row.accepted_minor) if row.accepted_minor else "1")
    entries = made(carrier_accepted(case, more, claim_ref=row.claim_ref, part=part))
    if more:
        row.accepted_minor = upto.minor
        row.state, row.updated_at = "accepted", at
        session.add(row)
    return entries


async def collect(session: AsyncSession, row: RecoveryRow, amount: Money, at: datetime, *, cash: bool = False) -> None:
    """Money came in. Raises Rejected(`over_indemnity`) above what is to be recovered, or above the indemnity."""
    after = row.collected_minor + amount.minor
    _check(row, after + row.written_off_minor, "collected")
    claim = await claims.get(session, row.claim_ref)
    every = await claims.recoveries_of(session, row.claim_ref)
    others = sum(one.collected_minor + one.in_hand_minor for one in every if one.recovery_ref != row.recovery_ref)
    if claim is not None and claim.approved_minor and others + after + row.in_hand_minor > claim.approved_minor:
        raise Rejected("over_indemnity", f"{row.claim_ref}: more is collected than was indemnified")
    row.collected_minor, row.updated_at = after, at
    row.cash_minor += amount.minor if cash else 0
    session.add(row)


def _check(row: RecoveryRow, minor: int, what: str) -> None:
    if not 0 <= minor <= row.amount_minor - row.in_hand_minor:
        raise Rejected("over_indemnity", f"{row.claim_ref}: {what} {minor} is more than is to be recovered")


async def remitted(session: AsyncSession, ref: str, amount: Money, at: datetime) -> None:
    """What was recovered went to the insurer. Raises Rejected(`over_indemnity`) above what is to be recovered."""
    row = await need_recovery(session, ref, lock=True)
    after = row.remitted_minor + amount.minor
    if after > row.amount_minor:
        raise Rejected("over_indemnity", f"{ref}: {after} remitted is more than is to be recovered")
    row.remitted_minor, row.updated_at = after, at
    if after == row.amount_minor:
        row.state = "collected"
    session.add(row)


# ---- set-off -------------------------------------------------------------------------------------------------------


async def payable(session: AsyncSession, courier: str, currency: str) -> Money:
    """What we owe a carrier (P2020) and have not set off yet. Nobody posts until this transaction ends, so that two
    recoveries never use the same payable."""
    await session.exec(select(JournalHeadRow).where(JournalHeadRow.id == 1).with_for_update())
    owed = -(await ledger.balance(session, P.CARRIER_PAYABLE, currency, party=courier)).minor
    pending = select(func.coalesce(func.sum(EffectRow.amount_minor), 0)).where(
        EffectRow.kind == SET_OFF,
        EffectRow.provider == courier,
        EffectRow.currency == currency,
        col(EffectRow.state).not_in(("succeeded", "failed")),
    )
    return Money(minor=max(0, owed - int((await session.exec(pending)).one())), currency=currency)


async def setting_off(session: AsyncSession, ref: str) -> bool:
    """Was a set-off of this recovery begun whose end is not known?"""
    return await _under_way(session, SET_OFF, f"{ref}:{SET_OFF}")


async def charging(session: AsyncSession, case: CaseId, ref: str) -> bool:
    """Was a charge for this recovery begun whose end is not known?"""
    return await _under_way(session, CHARGE, collect_key(case, ref, 1).removesuffix("1"))


async def _under_way(session: AsyncSession, kind: str, prefix: str) -> bool:
    statement = select(EffectRow.key).where(
        EffectRow.kind == kind,
        col(EffectRow.key).startswith(prefix, autoescape=True),
        col(EffectRow.state).not_in(("succeeded", "failed")),
    )
    return (await session.exec(statement.limit(1))).first() is not None


# ---- what a consumer owes ------------------------------------------------------------------------------------------


async def owed(session: AsyncSession, ref: str, case_key: str, *, lock: bool = False) -> tuple[Money, bool]:
    """What the consumer owes of a recovery on P1110, and whether it is the insurer's (J53) or ours (J50).

    What a correction took back meanwhile is not owed any more. With the `lock` none comes between."""
    row = await need_recovery(session, ref, lock=lock)
    claim_ref = row.claim_ref
    entries = [posted.entry for posted in await ledger.entries_of(session, case_key)]
    insured = any(entry.template == "J53" and entry.claim_ref == claim_ref for entry in entries)
    minor = 0
    for entry in entries:
        ours = entry.claim_ref == claim_ref or (not insured and entry.claim_ref is None and entry.template in _OWED)
        if ours:
            minor += entry.total(P.CONSUMER_RECEIVABLE, Side.DEBIT) - entry.total(P.CONSUMER_RECEIVABLE, Side.CREDIT)
    return Money(minor=max(0, minor), currency=row.currency).at_most(left(row)), insured
