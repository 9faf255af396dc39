"""Correction: a fact that came after the close, carried to its end. Domain 2.10.

The case itself stays closed: a correction posts reversals and new entries beside what was posted, never edits.
"""

from __future__ import annotations

import asyncio

from pydantic import ValidationError
from temporalio import workflow

from activities.contract import EndCorrection, RecordEvidence, StartCorrection
from activities.declarations import end_correction, record_evidence
from backhaul.case import TRAVELLING, Region
from backhaul.corrections import CorrectionKind
from backhaul.facts import Party
from backhaul.messages import (
    Ack,
    ConfirmReceipt,
    CorrectionOutcome,
    CorrectionStatus,
    ProvideAccount,
    ReportReceiptIssue,
    SubmitEvidence,
    TrackingReport,
    TrackingStatus,
)
from backhaul.names import HEARD, UPDATE_DESCRIPTIONS, Query, Update, WorkflowType
from workflows.case_run import ACCOUNT, need_findings_on
from workflows.correction_run import CorrectionRun
from workflows.corrections import KINDS
from workflows.desk import CloseRequested, reject
from workflows.doors import OperatorDoors
from workflows.stages.receive import hear, need_patience
from workflows.stages.ruling import hand_on

CLOSED_BY_OPERATOR = "closed_by_operator"


@workflow.defn(name=WorkflowType.CORRECTION.value, failure_exception_types=[ValidationError])
class Correction(OperatorDoors):
    """One correction of a closed case, by its kind. Bad input fails the start; nothing wedges it."""

    @workflow.init
    def __init__(self, request: StartCorrection | None = None) -> None:
        if not isinstance(request, StartCorrection) or request.kind not in KINDS:
            reject("invalid_input", "the start needs a StartCorrection of a kind that this worker knows")
        self.desk: CorrectionRun = CorrectionRun(request, workflow.info().start_time)
        self.lock = asyncio.Lock()

    @workflow.run
    async def run(self, request: StartCorrection | None = None) -> CorrectionOutcome:
        """Do what the kind says, then close in the books. Cancelling parks: money under way is never dropped."""
        story = asyncio.create_task(self._story())
        while True:
            try:
                return await asyncio.shield(story)
            except asyncio.CancelledError:
                if story.done():
                    raise
                self.desk.cancel_wanted = True

    async def _story(self) -> CorrectionOutcome:
        desk = self.desk
        outcome = CLOSED_BY_OPERATOR
        try:
            outcome = await KINDS[desk.request.kind](desk)
        except CloseRequested:
            desk.close_reason = None
        await desk.wind_up()
        await self._end(outcome)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return CorrectionOutcome(
            merchant_id=desk.id.merchant_id,
            rma_id=desk.id.rma_id,
            n=desk.request.n,
            kind=desk.request.kind.value,
            outcome=outcome,
            regions=desk.regions.plain(),
        )

    async def _end(self, outcome: str) -> None:
        """Nothing is closed over broken books: the step parks until they hold."""
        desk, request = self.desk, self.desk.request
        while True:
            end = EndCorrection(
                case=request.case, n=request.n, outcome=outcome, regions=desk.regions.plain(), at=workflow.now()
            )
            try:
                await desk.step(end_correction, end)
                break
            except CloseRequested:
                desk.close_reason = None
        await desk.take_down()
        desk.close(outcome)
        desk.publish()

    @workflow.query(name=Query.STATUS.value, description="Where the correction is, what it waits for, how it ended.")
    def status(self) -> CorrectionStatus:
        return self.desk.status()

    @workflow.update(name=Update.PROVIDE_ACCOUNT.value, description=UPDATE_DESCRIPTIONS[Update.PROVIDE_ACCOUNT])
    def provide_account(self, said: ProvideAccount) -> Ack:
        self.desk.count(Update.PROVIDE_ACCOUNT, Party.CONSUMER)
        self.desk.mail.account = said
        return self._took("names another account", Party.CONSUMER)

    @provide_account.validator
    def _provide_account_ok(self, said: ProvideAccount) -> None:
        if not self.desk.waits_for(ACCOUNT):
            reject("not_waiting")
        if self.desk.mail.account is not None:
            reject("already_decided")
        self.desk.need_room(Update.PROVIDE_ACCOUNT, Party.CONSUMER)

    @workflow.update(name=Update.SUBMIT_EVIDENCE.value, description=UPDATE_DESCRIPTIONS[Update.SUBMIT_EVIDENCE])
    async def submit_evidence(self, said: SubmitEvidence) -> Ack:
        self.desk.count(Update.SUBMIT_EVIDENCE, said.side)
        if said.evidence:
            kept = RecordEvidence(case=self.desk.request.case, evidence=said.evidence, at=workflow.now())
            await self.desk.ask_for_update(record_evidence, kept)
        await hand_on(self.desk, HEARD, said)
        return self._took(f"{len(said.evidence)} pieces of evidence", said.side)

    @submit_evidence.validator
    def _submit_evidence_ok(self, said: SubmitEvidence) -> None:
        if self.desk.hearing is None:
            reject("not_waiting")
        self.desk.need_room(Update.SUBMIT_EVIDENCE, said.side)

    # ---- a parcel that was found: what the courier and the merchant say of it -------------------------------------

    @workflow.update(name=Update.REPORT_TRACKING.value, description=UPDATE_DESCRIPTIONS[Update.REPORT_TRACKING])
    def report_tracking(self, said: TrackingReport) -> Ack:
        self.desk.count_report()
        new = self.desk.receive_tracking(said)
        return self._took(said.status.value if new else "told again", Party.COURIER)

    @report_tracking.validator
    def _report_tracking_ok(self, said: TrackingReport) -> None:
        self._follows_a_parcel()
        self.desk.need_room_for_report(moves_only=said.status is TrackingStatus.IN_TRANSIT)

    @workflow.update(name=Update.CONFIRM_RECEIPT.value, description=UPDATE_DESCRIPTIONS[Update.CONFIRM_RECEIPT])
    async def confirm_receipt(self, said: ConfirmReceipt) -> Ack:
        return await self._heard(Update.CONFIRM_RECEIPT, said, "confirms the receipt")

    @confirm_receipt.validator
    def _confirm_receipt_ok(self, said: ConfirmReceipt) -> None:
        self._receipt_open(Update.CONFIRM_RECEIPT)

    @workflow.update(
        name=Update.REPORT_RECEIPT_ISSUE.value, description=UPDATE_DESCRIPTIONS[Update.REPORT_RECEIPT_ISSUE]
    )
    async def report_receipt_issue(self, said: ReportReceiptIssue) -> Ack:
        return await self._heard(Update.REPORT_RECEIPT_ISSUE, said, "objects to what was received")

    @report_receipt_issue.validator
    def _report_receipt_issue_ok(self, said: ReportReceiptIssue) -> None:
        self._receipt_open(Update.REPORT_RECEIPT_ISSUE)
        need_findings_on(self.desk.request.lines, self.desk.judged.terms.currency, said.findings)

    def _follows_a_parcel(self) -> None:
        if self.desk.request.kind is not CorrectionKind.PARCEL_FOUND:
            reject("not_waiting")

    async def _heard(self, update: Update, said: ConfirmReceipt | ReportReceiptIssue, what: str) -> Ack:
        note = await hear(self.desk, update, said)
        return self._took(what, Party.MERCHANT).model_copy(update={"note": note})

    def _receipt_open(self, update: Update) -> None:
        """The merchant says once what they received. Of goods on their way too: the courier's news may be lost."""
        self._follows_a_parcel()
        logistics = self.desk.regions[Region.LOGISTICS]
        if self.desk.mail.heard_at is not None:
            reject("already_decided")
        if not (self.desk.waits_for("receipt") or logistics in TRAVELLING):
            decided = logistics in {"delivered", "receipt_confirmed", "returned_to_consumer"}
            reject("already_decided" if decided else "not_delivered")
        need_patience(self.desk, update)
