"""How far each reader has read a provider's statement."""

from __future__ import annotations

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from store.sql import upsert
from store.tables import SweepCursorRow


async def at(session: AsyncSession, provider: str, reader: str) -> int:
    """The last row that this reader has dealt with; 0 at the start."""
    found = select(SweepCursorRow.seq).where(SweepCursorRow.provider == provider, SweepCursorRow.reader == reader)
    return (await session.exec(found)).first() or 0


async def move(session: AsyncSession, provider: str, reader: str, seq: int) -> None:
    """All up to `seq` is dealt with. It never moves back."""
    if seq > await at(session, provider, reader):
        row = SweepCursorRow(provider=provider, reader=reader, seq=seq)
        await upsert(session, row, ["provider", "reader"], ["seq"])
