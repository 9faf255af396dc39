"""Approvals by two people at once, as tests need them; the product takes one step for each person."""

from __future__ import annotations

from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal
from backhaul.messages import Approval, PrepareApproval
from store import authority


class CreateApproval(PrepareApproval):
    """An approval whose two people are both known."""

    prepared_by: str


async def create_approval(
    session: AsyncSession, approval_id: str, request: CreateApproval, approved_by: str, at: datetime
) -> Approval:
    """Prepared by one and approved by another person. The same again is the same approval.

    Raises Refusal(`same_person`), Refusal(`approval_mismatch`) where the id stands for another one."""
    prepared = await authority.prepare_approval(session, approval_id, request, request.prepared_by, at)
    if prepared.approved_by not in (None, approved_by):
        raise Refusal("approval_mismatch", "this id stands for another approval", field="approval_id")
    return await authority.approve(session, approval_id, approved_by)
