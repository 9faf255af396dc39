"""What every step works with: the store, the policy books, the clock, and a transaction that happens once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.facts import BookRef, CaseFacts, CoverKind, Frozen, Risk, Verdict
from backhaul.ids import CaseId
from backhaul.ledger import CaseRef, JournalEntry
from backhaul.policy.book import PolicyBook
from backhaul.policy.library import Library
from store import cases, ledger, orders
from store.engine import Store
from store.orders import OrderBundle
from store.tables import CaseRow

SETTLED = "settled"
"""Under this name the amounts of a case are recorded, once they are fixed."""
R = TypeVar("R", bound=Frozen)
T = TypeVar("T")


def utc_now() -> datetime:
    """The clock of this process."""
    return datetime.now(UTC)


def key_of(case: CaseRef) -> str:
    """`merchant/rma`: the case's key in the store."""
    return id_of(case).key


def id_of(case: CaseRef) -> CaseId:
    """The case by merchant and the merchant's own id."""
    return CaseId(case.merchant_id, case.rma_id)


@dataclass
class Work:
    """One step under way: the session, the locked order, and what is kept at its end.

    Entries are posted last: from there to the commit nobody else posts (store.ledger)."""

    session: AsyncSession
    order: OrderBundle
    case: CaseRef
    key: str
    at: datetime
    book: PolicyBook
    entries: list[JournalEntry] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    risk: Risk = Risk.ALLOW
    """What the risk rules decided at the request (4.6): recorded then, obeyed ever after."""
    _said_before: tuple[Verdict, ...] | None = None
    """The decisions of earlier steps, once somebody asked for them."""

    async def say(self, *verdicts: Verdict | None) -> None:
        """Keep these, but for what the last decision of a kind says already: nothing is decided twice."""
        if self._said_before is None:
            self._said_before = await cases.decisions(self.session, self.key)
        last = {one.decision: one for one in (*self._said_before, *self.verdicts)}
        for one in verdicts:
            if one is None:
                continue
            before = last.get(one.decision)
            if before is None or before.model_copy(update={"facts_hash": one.facts_hash}) != one:
                self.verdicts.append(one)
                last[one.decision] = one

    def post(self, *entries: JournalEntry | None) -> None:
        """Post these at the end; None is an entry of nothing."""
        self.entries += [entry for entry in entries if entry is not None]


@dataclass(frozen=True)
class Desk:
    """The means of all steps. `book` names the policy book of new cases; None takes the dated one in force."""

    store: Store
    library: Library
    book: str | None = None
    clock: Callable[[], datetime] = utc_now

    def book_for(self, at: datetime) -> PolicyBook:
        """The book of a case that is requested now. Raises Rejected(`unknown_book`)."""
        return self.library.by_version(self.book) if self.book is not None else self.library.current(at)

    def book_of_cover(self, facts: CaseFacts, kind: CoverKind, otherwise: PolicyBook) -> PolicyBook:
        """Amounts follow the book at which the cover was bound (invariant 16); without cover the case's own."""
        cover = facts.cover(kind)
        return otherwise if cover is None else self.library.get(cover.book)

    async def once(
        self,
        case: CaseRef,
        step: str,
        argument: Frozen,
        result: type[R],
        work: Callable[[Work], Awaitable[R]],
        at: datetime | None = None,
    ) -> R:
        """Run a step of a case that was judged, in one transaction under the order's lock, once.

        A repeat returns what was answered first and does nothing."""

        async def transaction(session: AsyncSession) -> R:
            bundle = await orders.lock(session, case.order_id)
            key = key_of(case)
            done = await cases.recorded(session, key, step, result)
            if done is not None:
                return done
            row = await cases.need(session, key)
            book = self.library.get(BookRef(version=row.book_version, hash=row.book_hash))
            now = Work(session, bundle, case, key, at or self.clock(), book, risk=risk_of(row))
            answer = await work(now)
            await finish(now, step, argument, answer)
            return answer

        return await self.store.run(transaction)


def risk_of(row: CaseRow) -> Risk:
    """The outcome of the risk rules, as it was recorded with the first judgement."""
    return Risk((row.judgement or {}).get("risk", Risk.ALLOW))


async def finish(work: Work, step: str, argument: Frozen, answer: Frozen) -> None:
    """Keep the verdicts and the answer of a step, and post its entries last."""
    await cases.add_decisions(work.session, work.key, step, work.verdicts, work.at)
    await cases.record(work.session, work.key, step, argument, answer, work.at)
    if work.entries:
        await ledger.post(work.session, work.entries, work.at, work.book.ref)
