"""Reconciliation's activities: statements fetched page by page, books compared, findings kept. Domain 6, invariants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities import declarations as declared
from activities.contract import (
    BooksCompared,
    CompareBooks,
    CorrectionStart,
    ExplainFinding,
    Fetched,
    FetchStatement,
    OpenReconciliation,
    Reconciling,
)
from activities.errors import effect, step
from activities.steps.correcting import start_of
from activities.steps.desk import Desk, utc_now
from backhaul.corrections import CorrectionEvent, CorrectionKind, bounce_event
from backhaul.errors import Rejected
from backhaul.facts import Party
from backhaul.money import Money
from backhaul.policy.library import Library
from backhaul.policy.terms import terms_of
from backhaul.reconciliation import SHOWN, LineView, ProviderTotal, ReconciliationReport
from gateways.ports import Provider, StatementRow
from gateways.registry import Gateways
from store import cases, corrections
from store.engine import Store
from store.reconcile import COURIER, INSURER, PSP, Line, StatementLine, check_lines, findings, statements
from store.reconcile.statements import Told

PAGE, PAGES = 500, 10
"""Rows of a page, pages of one activity."""


class ReconciliationSteps:
    """What a Reconciliation asks for. `book` names the policy book in force; None takes the dated one."""

    def __init__(
        self,
        store: Store,
        gateways: Gateways,
        library: Library,
        book: str | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store, self._library, self._clock = store, library, clock
        self._desk = Desk(store, library, book, clock)
        self._providers = _providers(gateways)

    @property
    def parties(self) -> Mapping[str, str]:
        """What each provider is to us: psp, insurer or courier."""
        return {name: party for name, (_, party) in self._providers.items()}

    def provider(self, name: str) -> Provider:
        """A provider by its name here."""
        return self._providers[name][0]

    @activity.defn(name=declared.open_reconciliation.name)
    @step
    async def open_reconciliation(self, argument: OpenReconciliation) -> Reconciling:
        """Begin a run, and say whose statements there are.

        Idempotency: by cut.
        Retries: `store_busy` is tried again.
        Raises: Transient(`store_busy`)."""
        await self._store.run(lambda session: findings.begin(session, argument.cut, argument.workflow_id, argument.at))
        terms = terms_of(self._desk.book_for(argument.at))
        return Reconciling(cut=argument.cut, providers=tuple(self._providers), park_s=terms.park_s)

    @activity.defn(name=declared.fetch_statement.name)
    @effect
    async def fetch_statement(self, argument: FetchStatement) -> Fetched:
        """Fetch and keep what is new on a provider's statement.

        Idempotency: rows are kept by their number; a repeat goes on after the last one that is kept.
        Retries: Transient backs off.
        Raises: Rejected(`provider_rejected`), Transient."""
        provider, party = self._providers[argument.provider]
        fetched = 0
        for _ in range(PAGES):
            since = await self._store.run(lambda session: statements.fetched(session, argument.provider, party))
            page = await provider.statement(since, PAGE)
            rows = [told(row) for row in page.rows]

            async def keep(session: AsyncSession, rows: Sequence[Told] = rows) -> None:
                await statements.keep(session, argument.provider, party, rows, self._clock())

            await self._store.run(keep)
            fetched += len(rows)
            if page.next is None or not rows:
                return Fetched(provider=argument.provider, rows=fetched)
        return Fetched(provider=argument.provider, rows=fetched, more=True)

    @activity.defn(name=declared.compare_books.name)
    @effect
    async def compare_books(self, argument: CompareBooks) -> BooksCompared:
        """Compare what is new, run the 17 lines, keep what was found; a bounce that nobody told of opens its
        correction, under the event that a webhook would have had.

        Idempotency: findings are kept once by code and subject, corrections once an event; a repeat looks again.
        Retries: `store_busy` is tried again.
        Raises: Transient(`store_busy`)."""
        lines = await check_lines(self._store, self._library)

        async def look(session: AsyncSession) -> BooksCompared:
            now = self._clock()
            compared = await statements.compare_statements(
                session, now, lag=timedelta(seconds=argument.lag_s), whole=argument.whole
            )
            starts = [await self._bounced(session, *bounce) for bounce in compared.bounced]
            broken = [finding for line in lines for finding in line.findings]
            await findings.keep(session, argument.cut, [*broken, *compared.findings], compared.under_way, now)
            report = await _report(session, argument.cut, lines, len(compared.findings), now)
            await findings.end(session, argument.cut, report.model_dump(mode="json"), now)
            return BooksCompared(report=report, corrections=tuple(one for one in starts if one is not None))

        return await self._store.run(look)

    async def _bounced(
        self, session: AsyncSession, case_key: str, line: StatementLine, at: datetime
    ) -> CorrectionStart | None:
        """The correction of a refund that came back; none for a case that is open still: it hears of it otherwise."""
        event = CorrectionEvent(
            event_id=bounce_event(line.key),
            occurred_at=at,
            by=Party.PSP,
            payment_key=line.key,
            amount=Money(minor=line.minor, currency=line.currency),
            reason="found in the statement",
        )
        try:
            row = await corrections.open_for(session, case_key, CorrectionKind.REFUND_BOUNCED, event, self._clock())
        except Rejected:
            return None
        if row.state != corrections.OPEN:
            return None
        case = await cases.need(session, case_key)
        return CorrectionStart(workflow_id=row.workflow_id, start=start_of(row, case))

    @activity.defn(name=declared.explain_finding.name)
    @step
    async def explain_finding(self, argument: ExplainFinding) -> BooksCompared:
        """Keep a person's explanation of a finding; the report with what is open now.

        Idempotency: by finding; a repeat keeps the same.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`, `already_decided`)."""
        said = argument.said

        async def explain(session: AsyncSession) -> BooksCompared:
            await findings.explain(session, said.finding_id, said.note, said.by, argument.at)
            row = await findings.latest(session, argument.cut)
            if row is None or row.report is None:
                raise Rejected("not_found", f"there is no report of {argument.cut}")
            before = ReconciliationReport.model_validate(row.report)
            report = before.model_copy(update=await _counts(session))
            await findings.end(session, argument.cut, report.model_dump(mode="json"), argument.at)
            return BooksCompared(report=report)

        return await self._store.run(explain)


def _providers(gateways: Gateways) -> Mapping[str, tuple[Provider, str]]:
    """Every provider that moves money, by the name it is configured under, with what it is to us."""
    named: dict[str, tuple[Provider, str]] = {
        gateways.payments.name: (gateways.payments, PSP),
        gateways.insurer.name: (gateways.insurer, INSURER),
    }
    return {**named, **{f"courier.{name}": (each, COURIER) for name, each in gateways.couriers.items()}}


def told(row: StatementRow) -> Told:
    """A gateway's row as the store keeps it."""
    return Told(row.seq, row.kind, row.key, row.amount.minor, row.amount.currency, row.payee or "", row.at)


async def _report(
    session: AsyncSession, cut: str, lines: Sequence[Line], differences: int, at: datetime
) -> ReconciliationReport:
    """The lines, with what the statements found counted to invariant 2."""
    shown = [
        LineView(
            invariant=line.invariant,
            says=line.says,
            looked=line.looked,
            findings=len(line.findings) + (differences if line.invariant == 2 else 0),
        )
        for line in lines
    ]
    totals = [
        ProviderTotal(provider=provider, kind=kind, rows=rows, total=Money(minor=minor, currency=currency))
        for provider, kind, currency, rows, minor in await statements.totals(session)
    ]
    counts = await _counts(session)
    report = ReconciliationReport(
        cut=cut, at=at, lines=tuple(shown), totals=tuple(totals), open=0, in_flight=0, explained=0
    )
    return report.model_copy(update=counts)


async def _counts(session: AsyncSession) -> dict[str, object]:
    counts = await findings.counts(session)
    rows = await findings.some(session, findings.OPEN, limit=SHOWN)
    return {
        "open": counts.get(findings.OPEN, 0),
        "in_flight": counts.get(findings.IN_FLIGHT, 0),
        "explained": counts.get(findings.EXPLAINED, 0),
        "findings": tuple(findings.view_of(row) for row in rows),
    }
