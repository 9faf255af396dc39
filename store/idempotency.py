"""Answers of the API kept under the callers' own keys, so that a repeated call gets the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal
from store.sql import insert_once
from store.tables import IdempotencyRow


@dataclass(frozen=True)
class KeptAnswer:
    """What was answered before: HTTP status and body."""

    status: int
    answer: Mapping[str, Any]


async def recall(session: AsyncSession, scope: str, key: str, body_hash: str) -> KeptAnswer | None:
    """The answer kept under a caller's key. Raises Refusal(`idempotency_mismatch`) where the body was another."""
    found = select(IdempotencyRow).where(IdempotencyRow.scope == scope, IdempotencyRow.key == key)
    row = (await session.exec(found)).first()
    if row is None:
        return None
    if row.body_hash != body_hash:
        raise Refusal("idempotency_mismatch")
    return KeptAnswer(row.status, row.answer)


async def remember(
    session: AsyncSession,
    scope: str,
    key: str,
    body_hash: str,
    status: int,
    answer: Mapping[str, Any],
    at: datetime,
) -> KeptAnswer:
    """Keep an answer; the first one under a key stays, and is what this returns. Raises as `recall` does."""
    row = IdempotencyRow(scope=scope, key=key, body_hash=body_hash, status=status, answer=dict(answer), at=at)
    await insert_once(session, row)
    kept = await recall(session, scope, key, body_hash)
    return KeptAnswer(status, answer) if kept is None else kept
