"""May an expired case be opened again as a new one? Domain 2.10, X2: a chain of linked cases, bounded by the book."""

from __future__ import annotations

from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal
from backhaul.ids import CaseId
from backhaul.messages import OpenReturn
from store import cases

EXPIRED = "expired"


async def reopened(session: AsyncSession, request: OpenReturn, max_reopens: int) -> str | None:
    """The key of the case that this request goes on from; None where it names none. Under the order's lock, so that of
    two at once one comes second.

    Raises Refusal(`reopen_unknown`, `reopen_mismatch`, `reopen_not_expired`, `reopen_limit`)."""
    if request.reopens is None:
        return None
    key = CaseId(request.merchant_id, request.reopens).key
    before = await cases.get(session, key)
    if before is None:
        raise Refusal("reopen_unknown", field="reopens")
    lines = await cases.lines_of(session, key)
    wanted: dict[str, int] = {}
    for line in request.lines:
        wanted[line.line_id] = wanted.get(line.line_id, 0) + line.quantity
    if before.order_id != request.order_id or any(count > lines.get(line, 0) for line, count in wanted.items()):
        raise Refusal("reopen_mismatch", field="reopens")
    if before.closed_at is None or before.outcome != EXPIRED or await cases.reopened_by(session, key) is not None:
        raise Refusal("reopen_not_expired", field="reopens")
    if await _times(session, key) >= max_reopens:
        raise Refusal("reopen_limit", f"opened again {max_reopens} times", field="reopens")
    return key


async def _times(session: AsyncSession, key: str) -> int:
    """How often the chain that ends in this case was opened again."""
    times, row = 0, await cases.get(session, key)
    while row is not None and row.reopens is not None:
        times, row = times + 1, await cases.get(session, row.reopens)
    return times
