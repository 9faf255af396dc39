"""The consumer's credit line: reservations under a key, never above the limit. Domain 4.4, X26, invariant 7.

A hold stands for the money from the reservation to its end: reserved, then advanced (P1130), then, where the consumer
turns out to owe it, receivable (P1110): `release(keep=...)` keeps that part on the line until it is collected or
written off. Whatever changes the line leaves one event with the line as it was after it.

Frozen is a state of the whole line. A rule freezes it when a consumer is at fault for money that lightning paid; what
is then collected in full unfreezes it, unless a person froze it or another hold is owed. A write-off unfreezes nothing:
only a person does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal, Rejected
from backhaul.money import Money
from store.sql import insert_all, insert_once
from store.tables import ConsumerRow, CreditEventRow, CreditHoldRow

RULE = "rule"
"""Who did it, where no person did."""
LIGHTNING, ACCEPTED, ABUSE = "lightning refund", "merchant accepted", "consumer at fault"
COLLECTED, WRITTEN_OFF = "collected from the consumer", "written off"
CORRECTED = "corrected after the close"
OWED = ("frozen", "written_off")
"""States of a hold that keep the line frozen."""


async def reserve(session: AsyncSession, reservation_key: str, consumer_ref: str, amount: Money, at: datetime) -> bool:
    """Take an amount of the line, once per key: was there room? A repeat answers the same.

    Raises Rejected(`effect_conflict`) for another amount or consumer under the key."""
    known = await hold(session, reservation_key)
    if known is not None:
        if (known.consumer_ref, known.granted_minor) != (consumer_ref, amount.minor):
            raise Rejected("effect_conflict", f"{reservation_key} was reserved for another amount")
        return True
    after = col(ConsumerRow.used_minor) + amount.minor
    taken = await _change(
        session,
        consumer_ref,
        {"used_minor": after},
        col(ConsumerRow.currency) == amount.currency,
        col(ConsumerRow.frozen).is_(False),
        after <= col(ConsumerRow.limit_minor),
    )
    if taken is None:
        return False
    row = CreditHoldRow(
        reservation_key=reservation_key,
        consumer_ref=consumer_ref,
        granted_minor=amount.minor,
        amount_minor=amount.minor,
        currency=amount.currency,
        state="held",
        at=at,
    )
    if await insert_once(session, row):
        await _note(session, taken, "reserved", at, key=reservation_key, minor=amount.minor, reason=LIGHTNING)
    else:
        # Another transaction reserved under this key meanwhile: its hold counts, ours is taken back.
        back = {"used_minor": col(ConsumerRow.used_minor) - amount.minor, "credit_seq": taken.credit_seq - 1}
        await session.exec(update(ConsumerRow).where(col(ConsumerRow.consumer_ref) == consumer_ref).values(**back))
    return True


async def hold(session: AsyncSession, reservation_key: str, *, lock: bool = False) -> CreditHoldRow | None:
    """The hold under a key, whatever became of it."""
    statement = select(CreditHoldRow).where(CreditHoldRow.reservation_key == reservation_key)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return (await session.exec(statement)).first()


async def release(session: AsyncSession, reservation_key: str, at: datetime, keep: Money | None = None) -> None:
    """Give the line back, but for `keep`, which the consumer owes. No hold, or released before: no change."""
    row = await hold(session, reservation_key, lock=True)
    if row is None or row.state in ("released", "written_off"):
        return
    kept = min(keep.minor if keep else 0, row.amount_minor)
    await _shrink(session, row, row.amount_minor - kept, "released", at, ACCEPTED)
    if not kept:
        row.state, row.released_at = "released", at
    session.add(row)


async def freeze(session: AsyncSession, reservation_key: str, at: datetime, reason: str = ABUSE) -> None:
    """Abuse was found: the hold stays and the whole line grants nothing more until it is thawed."""
    row = await hold(session, reservation_key, lock=True)
    if row is None or row.state == "released":
        return
    if row.state != "written_off":
        row.state = "frozen"
        session.add(row)
    await _set_frozen(session, row.consumer_ref, True, at, RULE, reason, reservation_key)


async def collected(session: AsyncSession, reservation_key: str, amount: Money, at: datetime) -> bool:
    """A part of what is owed was collected (X26): it leaves the line. The last part unfreezes the line, where no
    person froze it and nothing else is owed. Says whether the line is free now. No hold: no change."""
    row = await hold(session, reservation_key, lock=True)
    if row is None or row.state not in ("held", "frozen"):
        return False
    await _shrink(session, row, min(amount.minor, row.amount_minor), "collected", at, COLLECTED)
    if row.amount_minor:
        return False
    return await _thaw(session, row, at, COLLECTED)


async def _thaw(session: AsyncSession, row: CreditHoldRow, at: datetime, reason: str) -> bool:
    """Nothing is owed under the hold any more: the line is free, unless something else keeps it frozen."""
    row.state, row.released_at = "released", at
    session.add(row)
    await session.flush()
    owed = select(func.count()).where(
        col(CreditHoldRow.consumer_ref) == row.consumer_ref, col(CreditHoldRow.state).in_(OWED)
    )
    if (await session.exec(owed)).one():
        return False
    line = await _line(session, row.consumer_ref)
    if line.frozen and line.frozen_by is None:
        await _set_frozen(session, row.consumer_ref, False, at, RULE, reason, row.reservation_key)
    return line.frozen_by is None


async def correct(session: AsyncSession, reservation_key: str, owed: Money, at: datetime, *, at_fault: bool) -> None:
    """A correction says anew what the consumer owes of this money. More is taken of the line, within its limit or not,
    and freezes it; less leaves it; of nothing the line is free, also of what was written off, unless they are still
    `at_fault`. No hold: no change."""
    row = await hold(session, reservation_key, lock=True)
    if row is None:
        return
    more = owed.minor - row.amount_minor
    if more > 0:
        line = await _change(session, row.consumer_ref, {"used_minor": col(ConsumerRow.used_minor) + more})
        if line is not None:
            await _note(session, line, "reserved", at, key=reservation_key, minor=more, reason=CORRECTED)
        row.amount_minor, row.state, row.released_at = owed.minor, "frozen", None
        session.add(row)
        await _set_frozen(session, row.consumer_ref, True, at, RULE, ABUSE, reservation_key)
        return
    await _shrink(session, row, -more, "released", at, CORRECTED)
    if not owed and row.state != "released" and not (row.state == "written_off" and at_fault):
        await _thaw(session, row, at, CORRECTED)


async def write_off(session: AsyncSession, reservation_key: str, at: datetime) -> None:
    """What is owed will not come: it leaves the line, which stays frozen until a person thaws it."""
    row = await hold(session, reservation_key, lock=True)
    if row is None or row.state in ("released", "written_off"):
        return
    await _shrink(session, row, row.amount_minor, "written_off", at, WRITTEN_OFF)
    row.state, row.released_at = "written_off", at
    session.add(row)
    await _set_frozen(session, row.consumer_ref, True, at, RULE, WRITTEN_OFF, reservation_key)


async def set_frozen(
    session: AsyncSession, consumer_ref: str, *, frozen: bool, at: datetime, by: str, reason: str
) -> None:
    """A person freezes a line, or thaws it whatever froze it. A repeat is no change. Raises Refusal(`not_found`)."""
    line = await _line(session, consumer_ref, lock=True)
    if frozen and line.frozen_by is not None:
        return
    if not frozen:
        forgiven = update(CreditHoldRow).where(col(CreditHoldRow.consumer_ref) == consumer_ref)
        await session.exec(forgiven.where(col(CreditHoldRow.state) == "frozen").values(state="held"))
        await session.exec(forgiven.where(col(CreditHoldRow.state) == "written_off").values(state="released"))
    await _set_frozen(session, consumer_ref, frozen, at, by, reason, None)


async def set_limit(session: AsyncSession, consumer_ref: str, limit: Money, at: datetime, by: str) -> None:
    """Another limit of a line that exists. What is used above it stays; nothing more is granted. The same: no event."""
    line = await _change(
        session, consumer_ref, {"limit_minor": limit.minor}, col(ConsumerRow.limit_minor) != limit.minor
    )
    if line is not None:
        await _note(session, line, "limit", at, minor=limit.minor, by=by, reason="import")


async def line_of(session: AsyncSession, consumer_ref: str) -> ConsumerRow:
    """A consumer's line. Raises Refusal(`not_found`)."""
    return await _line(session, consumer_ref)


async def holds_of(session: AsyncSession, consumer_ref: str) -> tuple[CreditHoldRow, ...]:
    """The holds on a line that still take of it or keep it frozen, oldest first."""
    statement = (
        select(CreditHoldRow)
        .where(CreditHoldRow.consumer_ref == consumer_ref, CreditHoldRow.state != "released")
        .order_by(col(CreditHoldRow.at), col(CreditHoldRow.reservation_key))
    )
    return tuple((await session.exec(statement)).all())


async def history(session: AsyncSession, consumer_ref: str, limit: int = 200) -> tuple[CreditEventRow, ...]:
    """The last events of a line, oldest first."""
    statement = (
        select(CreditEventRow)
        .where(CreditEventRow.consumer_ref == consumer_ref)
        .order_by(col(CreditEventRow.seq).desc())
        .limit(limit)
    )
    return tuple(reversed((await session.exec(statement)).all()))


# ---- one change of the line, one event -----------------------------------------------------------------------------


async def _line(session: AsyncSession, consumer_ref: str, *, lock: bool = False) -> ConsumerRow:
    statement = select(ConsumerRow).where(ConsumerRow.consumer_ref == consumer_ref)
    if lock:
        statement = statement.with_for_update()
    row = (await session.exec(statement.execution_options(populate_existing=True))).first()
    if row is None:
        raise Refusal("not_found", f"there is no consumer {consumer_ref}", field="consumer_ref")
    return row


@dataclass(frozen=True)
class Changed:
    """The line after a change that is not noted yet."""

    consumer_ref: str
    credit_seq: int
    used_minor: int
    limit_minor: int
    currency: str
    frozen: bool


async def _change(session: AsyncSession, consumer_ref: str, values: dict[str, Any], *conditions: Any) -> Changed | None:
    """Change the line where all conditions hold; None where they do not."""
    statement = (
        update(ConsumerRow)
        .where(col(ConsumerRow.consumer_ref) == consumer_ref, *conditions)
        .values(**values, credit_seq=col(ConsumerRow.credit_seq) + 1)
        .returning(
            col(ConsumerRow.credit_seq),
            col(ConsumerRow.used_minor),
            col(ConsumerRow.limit_minor),
            col(ConsumerRow.currency),
            col(ConsumerRow.frozen),
        )
    )
    await session.flush()
    line = (await session.exec(statement, execution_options={"synchronize_session": False})).first()
    return None if line is None else Changed(consumer_ref, *line)


async def _note(
    session: AsyncSession,
    line: Changed,
    kind: str,
    at: datetime,
    *,
    key: str | None = None,
    minor: int = 0,
    by: str = RULE,
    reason: str,
) -> None:
    event = {
        "consumer_ref": line.consumer_ref,
        "seq": line.credit_seq,
        "kind": kind,
        "reservation_key": key,
        "minor": minor,
        "used_minor": line.used_minor,
        "limit_minor": line.limit_minor,
        "currency": line.currency,
        "frozen": line.frozen,
        "by": by,
        "reason": reason,
        "at": at,
    }
    await insert_all(session, CreditEventRow, [event])


async def _shrink(session: AsyncSession, row: CreditHoldRow, minor: int, kind: str, at: datetime, reason: str) -> None:
    """A part of a hold leaves the line."""
    if not minor:
        return
    line = await _change(session, row.consumer_ref, {"used_minor": col(ConsumerRow.used_minor) - minor})
    if line is None or line.used_minor < 0:
        raise Rejected("invariant_broken", f"7: the line of {row.consumer_ref} would have less than nothing in use")
    row.amount_minor -= minor
    session.add(row)
    await _note(session, line, kind, at, key=row.reservation_key, minor=minor, reason=reason)


async def _set_frozen(
    session: AsyncSession, consumer_ref: str, frozen: bool, at: datetime, by: str, reason: str, key: str | None
) -> None:
    """Freeze or thaw. A rule that finds the line as it wants it changes nothing; a person's word is always noted."""
    values: dict[str, Any] = {"frozen": frozen}
    conditions = [] if by != RULE else [col(ConsumerRow.frozen).is_(not frozen)]
    if by != RULE:
        values["frozen_by"] = by if frozen else None
    line = await _change(session, consumer_ref, values, *conditions)
    if line is not None:
        await _note(session, line, "frozen" if frozen else "unfrozen", at, key=key, by=by, reason=reason)
