"""Movements at the bank outside any case: deposits (J77), top-ups (J73), the balance at the provider (J05, J06).

The payment provider's port has neither a balance nor a sweep, so people do these at the bank and book them here, each
under an approval bound to reference, amount and whose it is.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal
from backhaul.ledger import JournalEntry, deposit_received, psp_swept, psp_topped_up, shortfall_topped_up
from backhaul.treasury import OF_MERCHANTS, PostTreasury, TreasuryKind, TreasuryPosted
from store import authority, ledger, shortfalls
from store.orders import need_merchant
from store.tables import EntryRow


async def post(session: AsyncSession, asked: PostTreasury, at: datetime) -> TreasuryPosted:
    """Book one movement, once a reference.

    Raises Refusal(`not_found`, `exceeds_owed`), what `authority.consume` raises, and Rejected(`entry_conflict`) for
    another amount under a known reference."""
    if asked.kind in OF_MERCHANTS:
        await need_merchant(session, asked.merchant_id, lock=True)
    await authority.consume(
        session,
        asked.approval_id,
        case_key=authority.merchant_key(asked.merchant_id),
        subject=asked.subject,
        amount=asked.amount,
        payee=asked.merchant_id,
        by=f"{asked.merchant_id}:{asked.subject}",
        at=at,
    )
    entry = _entry(asked)
    known = (await session.exec(select(EntryRow.sequence).where(EntryRow.entry_key == entry.key))).first()
    if known is None and asked.kind is TreasuryKind.SHORTFALL_TOPPED_UP:
        rows = await shortfalls.owed(session, asked.merchant_id, asked.amount.currency)
        if asked.amount > shortfalls.total(rows, asked.amount.currency):
            owed = shortfalls.total(rows, asked.amount.currency)
            raise Refusal("exceeds_owed", f"{asked.merchant_id} owes {owed}", field="amount")
        shortfalls.cure(rows, asked.amount, at)
        session.add_all(rows)
    await session.flush()
    await ledger.post(session, [entry], at)
    return TreasuryPosted(entry=entry.key, template=entry.template, created=known is None)


def _entry(asked: PostTreasury) -> JournalEntry:
    key = f"{asked.merchant_id}:{asked.subject}"
    made = {
        TreasuryKind.DEPOSIT_RECEIVED: lambda: deposit_received(asked.merchant_id, asked.amount, key=key),
        TreasuryKind.SHORTFALL_TOPPED_UP: lambda: shortfall_topped_up(asked.merchant_id, asked.amount, key=key),
        TreasuryKind.PSP_SWEPT: lambda: psp_swept(asked.amount, reference=asked.reference),
        TreasuryKind.PSP_TOPPED_UP: lambda: psp_topped_up(asked.amount, reference=asked.reference),
    }[asked.kind]()
    if made is None:
        raise Refusal("invalid_input", "nothing moved", field="amount")
    return made
