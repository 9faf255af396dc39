"""Settlement's own steps: fix a cut, page through merchants, net their legs. Domain 6, netting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities import declarations as declared
from activities.contract import Batch, Batches, Cut, FormBatch, MerchantPage, OpenCut, PageMerchants, Patience
from activities.errors import step
from activities.steps.desk import Desk, utc_now
from backhaul.money import Money
from backhaul.policy.library import Library
from backhaul.policy.terms import terms_of
from store import settlement
from store.engine import Store
from store.tables import BatchRow


class SettlementSteps:
    """The steps of SettlementCycle and Settlement. `book` names the policy book in force; None takes the dated one."""

    def __init__(
        self, store: Store, library: Library, book: str | None = None, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._store = store
        self._desk = Desk(store, library, book, clock)
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
            merchants = await settlement.count_merchants(session, row)
            terms = terms_of(self._desk.book_for(argument.at))
            patience = Patience(delays_s=terms.lookup_delays_s)
            return Cut(cut=row.cut, sequence=row.sequence, merchants=merchants, patience=patience)

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
            rows = await settlement.form_batches(session, argument.merchant_id, argument.cut, self._clock())
            return Batches(batches=tuple(_batch(row) for row in rows))

        return await self._store.run(transaction)


def _batch(row: BatchRow) -> Batch:
    return Batch(
        batch=row.batch,
        merchant_id=row.merchant_id,
        payout_key=row.payout_key,
        net=Money(minor=row.payout_minor if row.payout_minor else row.net_minor, currency=row.currency),
        legs=row.legs,
        payable=row.payout_minor > 0,
    )
