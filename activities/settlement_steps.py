"""Settlement's own steps: fix a cut, page through merchants, net their legs. Domain 6, netting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities import declarations as declared
from activities.contract import (
    Batch,
    Batches,
    Cut,
    Earned,
    EarnPremiums,
    FormBatch,
    MerchantPage,
    NoteTold,
    OpenCut,
    Overdue,
    PageMerchants,
    Patience,
    ShortfallState,
    Untold,
    WriteOff,
)
from activities.errors import step
from activities.steps.desk import Desk, utc_now
from backhaul.money import Money
from backhaul.policy.library import Library
from backhaul.policy.terms import terms_of
from backhaul.policy.windows import signed_before
from store import premiums, settlement, shortfalls
from store.engine import Store
from store.orders import need_merchant
from store.tables import BatchRow


class SettlementSteps:
    """The steps of SettlementCycle and Settlement. `book` names the policy book in force; None takes the dated one."""

    def __init__(
        self, store: Store, library: Library, book: str | None = None, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._store = store
        self._desk = Desk(store, library, book, clock)
        self._library = library
        self._clock = clock

    @activity.defn(name=declared.open_cut.name)
    @step
    async def open_cut(self, argument: OpenCut) -> Cut:
        """Fix the last journal sequence of a cycle, and say how long to look for unknown payouts (the book in force).

        Idempotency: by cut; a repeat answers the stored sequence.
        Retries: `store_busy` is tried again.
        Raises: Transient(`store_busy`)."""

        async def transaction(session: AsyncSession) -> Cut:
            row = await settlement.open_cut(session, argument.cut, argument.at)
            terms = terms_of(self._desk.book_for(argument.at))
            patience = Patience(delays_s=terms.lookup_delays_s)
            return Cut(
                cut=row.cut,
                sequence=row.sequence,
                merchants=row.merchants,
                patience=patience,
                park_s=terms.park_s,
            )

        return await self._store.run(transaction)

    @activity.defn(name=declared.page_merchants.name)
    @step
    async def page_merchants(self, argument: PageMerchants) -> MerchantPage:
        """Merchants with something open at the cut, in order, after a cursor.

        Idempotency: reads only.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`) for an unknown cut."""
        async with self._store.read() as session:
            page = await settlement.page_merchants(session, argument.cut, argument.after, argument.limit)
        return MerchantPage(merchants=page.merchants, next=page.next)

    @activity.defn(name=declared.form_batch.name)
    @step
    async def form_batch(self, argument: FormBatch) -> Batches:
        """Net the merchant's open legs at the cut, one batch a currency. Posts J71 for a shortfall, J76 for an old one.

        Idempotency: by merchant and cut; a repeat answers the stored batches.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`) for an unknown cut."""

        async def transaction(session: AsyncSession) -> Batches:
            merchant, cut = argument.merchant_id, argument.cut
            terms = terms_of(self._desk.book_for((await settlement.need_cut(session, cut)).at))
            patience = shortfalls.Patience(
                timedelta(seconds=terms.receivable_s), Money(minor=terms.authority_limit_minor, currency=terms.currency)
            )
            rows = await settlement.form_batches(session, merchant, cut, self._clock(), patience)
            late = await settlement.found_overdue(session, merchant, cut)
            return Batches(
                batches=tuple(_batch(row) for row in rows),
                overdue=tuple(_overdue(row) for row in late if row.state == shortfalls.OVERDUE),
                untold=tuple(_untold(row, terms.receivable_s) for row in rows if shortfalls.is_untold(row)),
            )

        return await self._store.run(transaction)

    @activity.defn(name=declared.note_told.name)
    @step
    async def note_told(self, argument: NoteTold) -> ShortfallState:
        """Record when the merchant was told of a shortfall: the receivable's time counts from then.

        Idempotency: by batch; the first time stays.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`)."""

        async def transaction(session: AsyncSession) -> ShortfallState:
            row = await settlement.need_batch(session, argument.batch, lock=True)
            shortfalls.told(row, argument.at)
            session.add(row)
            return _state(row)

        return await self._store.run(transaction)

    @activity.defn(name=declared.write_off.name)
    @step
    async def write_off(self, argument: WriteOff) -> ShortfallState:
        """Write an overdue shortfall off (J74) under a second person's approval; without one, say where it is.

        Idempotency: by batch; the approval is used once.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`, `not_waiting`, `approval_unknown`, `approval_mismatch`, `approval_used`)."""

        async def transaction(session: AsyncSession) -> ShortfallState:
            batch = await settlement.need_batch(session, argument.batch)
            await need_merchant(session, batch.merchant_id, lock=True)
            row = await settlement.need_batch(session, argument.batch, lock=True)
            if argument.approval_id is not None:
                by = f"write off {row.batch}"
                await shortfalls.write_off(session, row, argument.approval_id, by, self._clock())
            return _state(row)

        return await self._store.run(transaction)

    @activity.defn(name=declared.earn_premiums.name)
    @step
    async def earn_premiums(self, argument: EarnPremiums) -> Earned:
        """Post J04 for a page of the covers that ended before the cut (store.premiums says when a cover ends).

        Idempotency: by cover; a repeat goes on with the next ones.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`) for an unknown cut."""

        async def transaction(session: AsyncSession) -> Earned:
            cut = await settlement.need_cut(session, argument.cut)
            ended = {book.ref: signed_before(book, cut.at) for book in self._library.books}
            count = await premiums.earn(session, ended, argument.limit, self._clock())
            return Earned(covers=count, more=count == argument.limit)

        return await self._store.run(transaction)


def _state(row: BatchRow) -> ShortfallState:
    return ShortfallState(batch=row.batch, state=row.state, open=Money(minor=row.open_minor, currency=row.currency))


def _untold(row: BatchRow, receivable_s: float) -> Untold:
    return Untold(batch=row.batch, open=Money(minor=row.open_minor, currency=row.currency), receivable_s=receivable_s)


def _overdue(row: BatchRow) -> Overdue:
    amount = Money(minor=row.open_minor, currency=row.currency)
    return Overdue(batch=row.batch, open=amount, subject=shortfalls.write_off_subject(row.batch))


def _batch(row: BatchRow) -> Batch:
    return Batch(
        batch=row.batch,
        merchant_id=row.merchant_id,
        payout_key=row.payout_key,
        net=Money(minor=row.payout_minor if row.payout_minor else row.net_minor, currency=row.currency),
        legs=row.legs,
        payable=row.state in {"formed", "paid"},
    )
