"""Starting corrections, and news of payments: an open case is told, a closed one is corrected. Domain 2.10, 6.

Webhooks and the provider's statement both end here, so that a bounce starts one correction however it becomes known.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.steps.correcting import start_of
from backhaul.client import Backhaul
from backhaul.corrections import CorrectionEvent, CorrectionKind, bounce_event
from backhaul.errors import Refusal, Transient
from backhaul.ids import CaseId, parse_case_key
from backhaul.messages import ClaimRefund, PaymentNews, PaymentReport, TrackingReport
from backhaul.names import Update
from gateways.ports import Provider
from store import cases, consumer_money, corrections, cursors, effects, unclaimed
from store.engine import Store
from store.tables import CorrectionRow

BOUNCE = "bounce"
"""Kind of a statement's row for money that came back."""
BOUNCES = "bounces"
PAGE = 500

log = structlog.get_logger(__name__)


async def correct(
    store: Store, backhaul: Backhaul, case_key: str, kind: CorrectionKind, event: CorrectionEvent, now: datetime
) -> CorrectionRow:
    """Open the correction that this event asks for, once, and start it. The row is kept first: should nobody start
    the workflow after it, the sweeper does.

    Raises Refusal(`not_found`, `return_open`, `event_conflict`), Transient, Unknown."""
    row = await store.run(lambda session: corrections.open_for(session, case_key, kind, event, now))
    await start(store, backhaul, row)
    return row


async def start(store: Store, backhaul: Backhaul, row: CorrectionRow) -> None:
    """Start the workflow of an open correction; one that runs already is fine."""
    if row.state != corrections.OPEN:
        return
    async with store.read() as session:
        case = await cases.need(session, row.case_key)
    summary = f"Correction of return `{case.rma_id}`: {row.kind}"
    await backhaul.correct(row.workflow_id, start_of(row, case), summary)


async def tell_movement(store: Store, backhaul: Backhaul, case: CaseId, report: TrackingReport) -> bool:
    """Tell the correction that follows a found parcel of this movement. False: none does.

    Raises Refusal(`return_closed`) where it ends just now, Transient, Unknown."""
    async with store.read() as session:
        row = await corrections.following(session, case.key)
    if row is None:
        return False
    await start(store, backhaul, row)  # the one that opened it may not have come so far
    await backhaul.report_correction(case, row.n, Update.REPORT_TRACKING, report, report.event_id)
    return True


async def claim(store: Store, backhaul: Backhaul, case_key: str, said: ClaimRefund, now: datetime) -> CorrectionRow:
    """The consumer claims what waits for them on this case: one correction pays all of it. While one does, that one.

    Raises Refusal(`not_found`, `return_open`, `nothing_unclaimed`), Transient, Unknown."""

    async def take(session: AsyncSession) -> CorrectionRow:
        await cases.need(session, case_key, lock=True)
        rows = await unclaimed.of_case(session, case_key, lock=True)
        under_way = next((row.correction for row in rows if row.state == unclaimed.CLAIMING and row.correction), None)
        if under_way is not None:
            return await corrections.need(session, case_key, under_way)
        if not any(row.state == unclaimed.OPEN for row in rows):
            raise Refusal("nothing_unclaimed")
        n = len(await corrections.of_case(session, case_key)) + 1
        event = CorrectionEvent(event_id=f"claimed:{case_key}:{n}", occurred_at=now, account_ref=said.account_ref)
        row = await corrections.open_for(session, case_key, CorrectionKind.REFUND_CLAIMED, event, now)
        await unclaimed.take(session, case_key, row.n)
        return row

    row = await store.run(take)
    await start(store, backhaul, row)
    return row


async def tell_payment(
    store: Store, backhaul: Backhaul, key: str, news: PaymentNews, occurred_at: datetime, now: datetime
) -> tuple[str | None, str]:
    """Tell the case of a payment key: (case key, what came of it). Keys that are no refund of ours need nothing.

    Raises Transient while the case can take the news neither as open nor as closed: it closes just now, does not know
    yet that the refund succeeded, or has taken more reports than it does."""
    async with store.read() as session:
        effect = await effects.get(session, key)
        case = None if effect is None or effect.case_key is None else await cases.get(session, effect.case_key)
    if effect is None or case is None or effect.kind != consumer_money.REFUND:
        return None, "no refund of ours"
    event_id = bounce_event(key) if news is PaymentNews.BOUNCED else f"settled:{key}"
    if case.closed_at is None:
        report = PaymentReport(event_id=event_id, payment_key=key, news=news, occurred_at=occurred_at)
        try:
            await backhaul.report(*parse_case_key(case.case_key), Update.REPORT_PAYMENT, report, event_id)
        except Refusal as refusal:
            if refusal.code not in {"return_closed", "not_waiting", "not_found", "too_many_messages"}:
                raise
            raise Transient("pending", f"{case.case_key}: {refusal.code}") from refusal
        return case.case_key, "told"
    if news is not PaymentNews.BOUNCED:
        return case.case_key, "closed"
    event = CorrectionEvent(event_id=event_id, occurred_at=occurred_at, payment_key=key)
    row = await correct(store, backhaul, case.case_key, CorrectionKind.REFUND_BOUNCED, event, now)
    return case.case_key, row.workflow_id


async def sweep_bounces(store: Store, backhaul: Backhaul, psp: Provider, now: datetime) -> int:
    """Read the provider's statement on from where it was read last, and tell of every refund that came back: it makes
    up for lost webhooks. How many there were. What cannot be told now is read again the next time."""
    found = 0
    async with store.read() as session:
        since: int | None = await cursors.at(session, psp.name, BOUNCES)
    while since is not None:
        page = await psp.statement(since, PAGE)
        for row in page.rows:
            if row.kind != BOUNCE:
                continue
            try:
                await tell_payment(store, backhaul, row.key, PaymentNews.BOUNCED, row.at, now)
            except Transient as error:
                log.info("bounce not told yet", key=row.key, code=error.code)
                return found
            found += 1
            await _read_to(store, psp.name, row.seq)
        if page.rows:
            await _read_to(store, psp.name, page.rows[-1].seq)
        since = page.next
    return found


async def _read_to(store: Store, provider: str, seq: int) -> None:
    await store.run(lambda session: cursors.move(session, provider, BOUNCES, seq))
