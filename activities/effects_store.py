"""What a provider's no undoes in the store, where a yes was prepared for."""

from __future__ import annotations

from sqlalchemy import delete, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from store import pickups, settlement
from store.tables import BatchRow, LegRow, PickupMemberRow


async def release_advance(session: AsyncSession, claim_ref: str) -> None:
    """An advance that will never be paid: its leg leaves the advance's batch, so that the normal settlement takes it.
    Only while the batch is formed; a repeat does nothing."""
    name = settlement.advance_batch(claim_ref)
    row = await session.get(BatchRow, name, with_for_update=True)
    if row is None or row.state != "formed":
        return
    await session.exec(update(LegRow).where(col(LegRow.batch) == name).values(batch=None))
    await session.exec(delete(BatchRow).where(col(BatchRow.batch) == name))


async def step_back(session: AsyncSession, pickup_id: str, case_key: str, *, collected: bool) -> None:
    """The courier took neither booking nor items of this case: it was never on this pickup, which nobody can join any
    more, so that the case's visit becomes another pickup under another key. A repeat does nothing."""
    pickup = await pickups.need(session, pickup_id)
    if pickup.state in pickups.OPEN:
        pickup.state = "collected" if collected else "over"
        session.add(pickup)
    member = await session.get(PickupMemberRow, (pickup_id, case_key))
    if member is not None and not member.added:
        await session.delete(member)
