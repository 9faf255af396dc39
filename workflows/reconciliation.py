"""Reconciliation: every statement against our journal, and the 17 invariants over our books. Domain 6.

A run that finds something parks with its list, and looks again by itself, until each finding is explained or gone.
"""

from __future__ import annotations

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

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
from activities.declarations import compare_books, explain_finding, fetch_statement, open_reconciliation
from backhaul.markdown import table
from backhaul.messages import Ack, RetryStep
from backhaul.names import REPORT_QUERY, RESOLVE_FINDING, Update, WorkflowType
from backhaul.reconciliation import ReconcileRequest, ReconciliationReport, ResolveFinding
from workflows import details
from workflows.desk import Desk, reject

LISTED = 20
HEADS = ("finding", "code", "subject", "expected", "found")
"""Findings in the details; the report has more."""


class ReconciliationDesk(Desk):
    """What a reconciliation shows: the table of what does not agree, and how one goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.report: ReconciliationReport | None = None
        self.cut = ""

    def stage_name(self) -> str:
        return "reconciliation"

    def describe(self) -> str:
        if self.report is None or not self.report.open:
            return details.headline(self)
        listed = self.report.findings[:LISTED]
        more = self.report.open - len(listed)
        rows = [(one.finding_id, one.code, one.subject, one.expected, one.found) for one in listed]
        return (
            f"{details.headline(self)}\n\n{table(HEADS, rows)}"
            + (f"\n\nand {more} more" if more > 0 else "")
            + f"\n\nLook again: `{Update.RETRY_STEP.value} {{}}`. "
            f'One is no trouble: `{RESOLVE_FINDING} {{"finding_id": "<id>", "note": "<why>"}}`.'
        )


@workflow.defn(name=WorkflowType.RECONCILIATION.value, failure_exception_types=[ValidationError])
class Reconciliation:
    """Fetch, compare, say what is wrong, until nothing is."""

    @workflow.init
    def __init__(self, request: ReconcileRequest | None = None) -> None:
        if not isinstance(request, ReconcileRequest | None):
            reject("invalid_input", "the start needs a ReconcileRequest")
        self.desk, self.request = ReconciliationDesk(), request or ReconcileRequest()
        self.desk.cut = self.request.cut or workflow.info().start_time.strftime("%Y%m%dT%H%M%SZ")

    @workflow.run
    async def run(self, request: ReconcileRequest | None = None) -> ReconciliationReport:
        """The report of the last look. Everything in it is explained, unless the run was told not to hold."""
        desk, request = self.desk, self.request
        info = workflow.info()
        begin = OpenReconciliation(cut=desk.cut, workflow_id=info.workflow_id, at=workflow.now())
        opened = await desk.step(open_reconciliation, begin)
        desk.park_s = opened.park_s
        while True:
            await self._fetch(opened)
            report = await self._compare(request)
            if not report.open or not request.hold:
                break
            if await self._explained():
                break
            self.request = request = request.model_copy(update={"providers": None})
        await workflow.wait_condition(workflow.all_handlers_finished)
        desk.publish()
        return self._report()

    def _report(self) -> ReconciliationReport:
        if self.desk.report is None:
            reject("not_found", "nothing was compared yet")
        return self.desk.report

    async def _fetch(self, opened: Reconciling) -> None:
        """Provider after provider, page after page. A long history goes on as a new run with the same cut."""
        left = list(opened.providers if self.request.providers is None else self.request.providers)
        while left:
            got = await self.desk.effect(fetch_statement, FetchStatement(provider=left[0]))
            if not isinstance(got, Fetched) or not got.more:
                left.pop(0)
            if left and workflow.info().is_continue_as_new_suggested():
                rest = {"cut": self.desk.cut, "providers": tuple(left), "fetched": self.request.fetched + 1}
                workflow.continue_as_new(self.request.model_copy(update=rest))

    async def _compare(self, request: ReconcileRequest) -> ReconciliationReport:
        asked = CompareBooks(cut=self.desk.cut, lag_s=request.lag_s, whole=request.whole)
        compared = await self.desk.effect(compare_books, asked)
        if not isinstance(compared, BooksCompared):
            reject("invariant_broken", "the books were not compared")
        self.desk.report = compared.report
        for one in compared.corrections:
            await self._correct(one)
        return compared.report

    async def _correct(self, correction: CorrectionStart) -> None:
        """Start what the store has opened; it runs on without us, and runs already where a webhook was faster."""
        try:
            await workflow.start_child_workflow(
                WorkflowType.CORRECTION.value,
                correction.start,
                id=correction.workflow_id,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"Correction of return `{correction.start.case.rma_id}`: {correction.start.kind.value}",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("corrected already", extra={"workflow_id": correction.workflow_id})

    async def _explained(self) -> bool:
        """Parked with the list: True once every finding is explained, False when it is time to look again."""
        await self.desk.park(
            "reconciliation_difference",
            f"{self._report().open} differences at {self.desk.cut}",
            step="compare_books",
            effect=True,
            skippable=False,
            freed=lambda: not self._report().open,
            looks_again=True,
        )
        return not self._report().open

    @workflow.query(name=REPORT_QUERY, description="What the last look found: every invariant, totals, open findings.")
    def report(self) -> ReconciliationReport | None:
        return self.desk.report

    @workflow.update(name=RESOLVE_FINDING, description="Operator: a finding is no trouble, with a note that says why.")
    async def resolve_finding(self, said: ResolveFinding) -> Ack:
        explained = await self.desk.once(
            explain_finding, ExplainFinding(said=said, cut=self.desk.cut, at=workflow.now())
        )
        self.desk.report = explained.report
        self.desk.publish()
        return Ack(stage=self.desk.stage_name(), note=f"{explained.report.open} open")

    @resolve_finding.validator
    def _resolve_finding_ok(self, said: ResolveFinding) -> None:
        self._need_parked()

    @workflow.update(name=Update.RETRY_STEP.value, description="Operator: look again now.")
    def retry_step(self, said: RetryStep) -> Ack:
        self.desk.parked[0].command = "retry"
        return Ack(stage=self.desk.stage_name())

    @retry_step.validator
    def _retry_step_ok(self, said: RetryStep) -> None:
        self._need_parked()

    def _need_parked(self) -> None:
        if not self.desk.parked:
            reject("not_parked")
