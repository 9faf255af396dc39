"""The effect pattern: one thing done outside under one key, whatever happens in between (architecture 3.1).

1. One transaction keeps the intent (and consumes the approval), and notes that it is about to be sent.
2. The call, under the key. Sent before? Then the provider is asked what became of the key first.
3. One transaction keeps the result and posts the journal entries.
A process that dies anywhere leaves a row from which the next run goes on: one success outside, one entry inside.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Rejected, Transient, Unknown
from backhaul.facts import digest
from backhaul.ids import previous_key
from backhaul.ledger import JournalEntry
from backhaul.money import Money
from store import authority
from store.engine import Store
from store.ledger import post
from store.tables import EffectRow

GIVEN_UP = "no_answer"
"""Code of an effect that a second person ended without the provider's word."""


class Outcome(StrEnum):
    """What a provider says of a key. Pending is the default: only an explicit success or failure is terminal."""

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    FAILED = "failed"


class Next(StrEnum):
    """What is to be done about an effect now."""

    DONE = "done"
    LOOK_UP_FIRST = "look_up_first"
    SEND = "send"


@dataclass(frozen=True)
class Intent:
    """What is to be done. The key, kind, provider, amount and payee are for ever; the amount may be nothing."""

    key: str
    kind: str
    provider: str
    amount: Money
    payee: str
    lifetime: timedelta
    case_key: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    numbered: bool = False
    """The key ends with a number that rises only when the provider has ended the attempt before (domain 6, 14)."""
    in_parts: bool = False
    """Of a numbered key: the attempt before may also have succeeded, for it may have got a part only."""


@dataclass(frozen=True)
class ApprovalUse:
    """The approval that a money step consumes with its intent; its amount and payee are the intent's."""

    approval_id: str
    case_key: str
    subject: str


@dataclass(frozen=True)
class Answer:
    """What a provider answered. Amount and payee, where it names them, must be those of the intent."""

    outcome: Outcome
    ref: str | None = None
    code: str | None = None
    amount: Money | None = None
    payee: str | None = None
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """An effect that is terminal."""

    key: str
    ref: str
    amount: Money
    payee: str
    result: Mapping[str, Any]


LookUp = Callable[[], Awaitable[Answer | None]]
Send = Callable[[], Awaitable[Answer]]
Entries = Callable[[EffectRow], Iterable[JournalEntry]]
Also = Callable[[AsyncSession, EffectRow], Awaitable[None]]
Failed = Callable[[AsyncSession, EffectRow], Awaitable[Iterable[JournalEntry]]]
First = Callable[[AsyncSession], Awaitable[None]]
Clock = Callable[[], datetime]


async def get(session: AsyncSession, key: str, *, lock: bool = False) -> EffectRow | None:
    """The effect under a key."""
    statement = select(EffectRow).where(EffectRow.key == key)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return (await session.exec(statement)).first()


async def begin(
    session: AsyncSession, intent: Intent, at: datetime, approval: ApprovalUse | None = None
) -> tuple[EffectRow, Next]:
    """Keep the intent, or find it kept, and say what comes next. Consumes the approval, once.

    Raises Rejected(`effect_conflict`) for another kind, provider, amount, payee or case under the key, Rejected(
    `proof_refused`) for a number whose last attempt may still pay, the stored code of a failure that is terminal, and
    what `authority.consume` raises."""
    row = await get(session, intent.key, lock=True)
    if row is None:
        # Two that begin at once: the later one breaks on the key, and `Store.run` lets it find the other's row.
        if intent.numbered:
            await _need_last_ended(session, intent)
        row = _fresh(intent, at)
        session.add(row)
    _same(row, intent)
    if row.state == Outcome.FAILED:
        raise Rejected(row.code or "provider_rejected", f"{row.key} failed at {row.provider}")
    if row.state == Outcome.SUCCEEDED:
        return row, Next.DONE
    if approval is not None and row.approval_id is None:
        await authority.consume(
            session,
            approval.approval_id,
            case_key=approval.case_key,
            subject=approval.subject,
            amount=intent.amount,
            payee=intent.payee,
            by=intent.key,
            at=at,
        )
        row.approval_id = approval.approval_id
        session.add(row)
    return row, Next.LOOK_UP_FIRST if row.attempts else Next.SEND


async def _need_last_ended(session: AsyncSession, intent: Intent) -> None:
    """A new number needs the end of the one before it, said by the provider itself and not by a second person: a
    failure; of what is done in parts, also a success.

    Raises Rejected(`proof_refused`)."""
    before = previous_key(intent.key)
    if before is None:
        return
    row = await get(session, before)
    failed = row is not None and row.state == Outcome.FAILED and row.code != GIVEN_UP
    got_a_part = row is not None and row.state == Outcome.SUCCEEDED and intent.in_parts
    if not failed and not got_a_part:
        raise Rejected("proof_refused", f"{intent.key} cannot leave: {before} has not ended at the provider")


def _fresh(intent: Intent, at: datetime) -> EffectRow:
    body = dict(intent.body)
    return EffectRow(
        key=intent.key,
        kind=intent.kind,
        case_key=intent.case_key,
        provider=intent.provider,
        amount_minor=intent.amount.minor,
        currency=intent.amount.currency,
        payee=intent.payee,
        request=body,
        request_hash=digest(body),
        state="intent",
        created_at=at,
    )


def _same(row: EffectRow, intent: Intent) -> None:
    kept = (row.kind, row.provider, row.amount_minor, row.currency, row.payee, row.case_key)
    asked = (
        intent.kind,
        intent.provider,
        intent.amount.minor,
        intent.amount.currency,
        intent.payee,
        intent.case_key,
    )
    if kept != asked:
        raise Rejected("effect_conflict", f"{intent.key} was used before for something else")


def mark_sent(session: AsyncSession, row: EffectRow, at: datetime) -> None:
    """From here on it may have happened: the next run looks it up before anything else."""
    row.state = "sent"
    row.attempts += 1
    row.first_sent_at = row.first_sent_at or at
    row.last_sent_at = at
    session.add(row)


async def finish(
    session: AsyncSession,
    row: EffectRow,
    answer: Answer,
    at: datetime,
    *,
    entries: Entries | None = None,
    also: Also | None = None,
    failed: Failed | None = None,
) -> None:
    """Keep a terminal answer and what follows from it; posting comes last. A kept success stays. A failure of what a
    second person had given up is noted as the provider's; what follows from it was posted then.

    Raises Rejected(`effect_conflict`) where the provider names another amount or payee."""
    if row.state == Outcome.SUCCEEDED or row.state == answer.outcome:
        if row.state == Outcome.FAILED and row.code == GIVEN_UP:
            row.code, row.provider_ref = answer.code, answer.ref
            session.add(row)
        return
    if answer.amount is not None and (answer.amount.minor, answer.amount.currency) != (
        row.amount_minor,
        row.currency,
    ):
        raise Rejected("effect_conflict", f"{row.provider} did {answer.amount} under {row.key}")
    if answer.payee is not None and answer.payee != row.payee:
        raise Rejected("effect_conflict", f"{row.provider} paid another payee under {row.key}")
    row.state = answer.outcome.value
    row.provider_ref = answer.ref
    row.code = answer.code
    row.result = dict(answer.result)
    row.finished_at = at
    session.add(row)
    if answer.outcome is Outcome.FAILED:
        await post(session, [] if failed is None else await failed(session, row), at)
        return
    if also is not None:
        await also(session, row)
    await post(session, [] if entries is None else entries(row), at)


async def run_effect(
    store: Store,
    intent: Intent,
    *,
    look_up: LookUp,
    send: Send,
    clock: Clock,
    entries: Entries | None = None,
    also: Also | None = None,
    failed: Failed | None = None,
    approval: ApprovalUse | None = None,
    first: First | None = None,
) -> Done:
    """Do it once, however often this runs and wherever it stopped before. `first` raises where it must not begin.

    Raises Rejected (the provider's no: only an explicit failure is terminal), Transient (nothing happened),
    Unknown(`pending`, `provider_unknown`): run again later, under the same key."""

    async def start(session: AsyncSession) -> tuple[EffectRow, Next]:
        if first is not None and await get(session, intent.key) is None:
            await first(session)
        row, what = await begin(session, intent, clock(), approval)
        if what is Next.SEND:
            mark_sent(session, row, clock())
        return row, what

    row, what = await store.run(start)
    if what is Next.DONE:
        return done(row)
    answer: Answer | None = None
    if what is Next.LOOK_UP_FIRST:
        answer = await _look_up(look_up)
        if answer is None:
            await _again(store, intent, clock)
    if answer is None:
        answer = await _send(store, intent.key, send)
    if answer.outcome is Outcome.PENDING:
        raise Unknown(answer.code or "pending", f"{row.provider} has not decided on {intent.key}")
    return await settle(store, intent.key, answer, clock=clock, entries=entries, also=also, failed=failed)


async def _look_up(look_up: LookUp) -> Answer | None:
    try:
        return await look_up()
    except Transient as error:
        # It was sent before: as long as nobody can say what became of it, it may have happened.
        raise Unknown("provider_unknown", error.message, retry_after_s=error.retry_after_s) from error


async def _again(store: Store, intent: Intent, clock: Clock) -> None:
    """The provider does not know the key: sending again is safe while it would still know it (domain 6, 14)."""

    async def mark(session: AsyncSession) -> None:
        row = await get(session, intent.key, lock=True)
        if row is None:
            raise Rejected("invariant_broken", f"the effect {intent.key} is gone")
        if row.first_sent_at is not None and clock() - row.first_sent_at > intent.lifetime / 2:
            raise Unknown("provider_unknown", f"{intent.key} is too old to be sent again; ask the provider")
        mark_sent(session, row, clock())

    await store.run(mark)


async def _send(store: Store, key: str, send: Send) -> Answer:
    try:
        return await send()
    except Rejected as error:
        # A no to the call is not the end of the key: the row stays sent, the code says why for people.
        code = error.code

        async def note(session: AsyncSession) -> None:
            row = await get(session, key, lock=True)
            if row is not None and row.state == "sent":
                row.code = code
                session.add(row)

        await store.run(note)
        raise


async def settle(
    store: Store,
    key: str,
    answer: Answer,
    *,
    clock: Clock,
    entries: Entries | None = None,
    also: Also | None = None,
    failed: Failed | None = None,
) -> Done:
    """Keep a terminal answer for an effect of which the intent is kept: the end of `run_effect`, and the proof from
    the provider's books. A success always wins, also over a failure kept before; a repeat changes nothing.

    Raises the failure's code as Rejected; Rejected(`proof_refused`) for a pending answer or an unknown key."""

    async def keep(session: AsyncSession) -> EffectRow:
        row = await get(session, key, lock=True)
        if row is None or answer.outcome is Outcome.PENDING:
            raise Rejected("proof_refused", f"{key} is not terminal")
        await finish(session, row, answer, clock(), entries=entries, also=also, failed=failed)
        return row

    row = await store.run(keep)
    if row.state == Outcome.FAILED:
        raise Rejected(row.code or "provider_rejected", f"{key} failed at {row.provider}")
    return done(row)


def done(row: EffectRow) -> Done:
    """What a kept success says."""
    return Done(
        key=row.key,
        ref=row.provider_ref or "",
        amount=Money(minor=row.amount_minor, currency=row.currency),
        payee=row.payee,
        result=row.result or {},
    )
