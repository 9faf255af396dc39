"""What a provider's no undoes in the store, where a yes was prepared for."""

from __future__ import annotations

from sqlmodel.ext.asyncio.session import AsyncSession

from store import pickups
from store.tables import PickupMemberRow


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
