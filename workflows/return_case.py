"""ReturnCase: the story of one product return, from the request to settled money. Domain 2 to 5.

This file is the story and the doors: `run` reads top to bottom as the process; updates only put what a party said
into the mailbox, after the rules of `backhaul.case` allowed it. The stages live in workflows/stages, the mechanics
of waiting and parking in workflows/case_run.py.
"""

from __future__ import annotations

import asyncio

from pydantic import ValidationError
from temporalio import workflow

from activities.contract import FindApproval, FindRuling, ProveTerminal, RecordEvidence, RecordWaybill
from activities.declarations import (
    find_approval,
    find_ruling,
    prove_terminal,
    record_evidence,
    record_waybill,
)
from backhaul.case import Region, refusal
from backhaul.disputes import DisputeProgress, LodgeAppeal
from backhaul.facts import Party, digest
from backhaul.messages import (
    Ack,
    AnswerFinding,
    AnswerInfo,
    AnswerOffer,
    ApplyApproval,
    ApplyRuling,
    Authorize,
    CaseOutcome,
    CaseStatus,
    CloseCase,
    ConfirmReceipt,
    Decline,
    Escalate,
    Explanation,
    ExtendDeadline,
    FindingAnswer,
    FirstDecision,
    OfferAnswer,
    OpenReturn,
    PaymentNews,
    PaymentReport,
    PickupReport,
    ProvideAccount,
    ProvideWaybill,
    ReportReceiptIssue,
    RequestInfo,
    RetryStep,
    SkipStep,
    SubmitEvidence,
    TrackingReport,
    TrackingStatus,
    Withdraw,
)
from backhaul.names import (
    DISPUTE_PROGRESS,
    HEARD,
    UPDATE_DESCRIPTIONS,
    Query,
    Update,
    WorkflowType,
)
from workflows.case_run import CaseRun, need_findings_on, need_money_in
from workflows.desk import CloseRequested, reject
from workflows.stages.appealing import lodge, why_not
from workflows.stages.authorize import authorize, judge
from workflows.stages.close import close
from workflows.stages.collect import collect
from workflows.stages.make_whole import make_whole
from workflows.stages.offer import retain
from workflows.stages.receive import hear, need_patience, receive
from workflows.stages.refund_only import refund_alone
from workflows.stages.refunding import bounced
from workflows.stages.ruling import give_time, hand_on, hand_ruling_on, note_progress
from workflows.stages.scanning import Collection, call_off, had_the_goods, implied_scan, scan_of
from workflows.views import status_of


@workflow.defn(name=WorkflowType.RETURN_CASE.value, failure_exception_types=[ValidationError])
class ReturnCase:
    """One durable return. Bad input fails the start; nothing wedges it."""

    @workflow.init
    def __init__(self, request: OpenReturn | None = None) -> None:
        if not isinstance(request, OpenReturn):
            reject("invalid_input", "the start needs an OpenReturn")
        self.case = CaseRun(request)
        self._lock = asyncio.Lock()

    @workflow.run
    async def run(self, request: OpenReturn | None = None) -> CaseOutcome:
        """Carry one return from request to settled money. Cancelling acts as a withdrawal before the scan, and parks
        the case after it: money under way is never dropped."""
        story = asyncio.create_task(self._story())
        while True:
            try:
                return await asyncio.shield(story)
            except asyncio.CancelledError:
                if story.done():
                    raise
                self._on_cancel()

    async def _story(self) -> CaseOutcome:
        case, story = self.case, self._until_settled
        while True:
            try:
                await story(case)
                break
            except CloseRequested:
                case.closed_by, case.close_reason = case.close_reason, None
                story = self._stop
        outcome = await self._close(case)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return outcome

    async def _close(self, case: CaseRun) -> CaseOutcome:
        """A close that parked and was told to close again tries again: nothing is closed over broken books."""
        while True:
            try:
                return await close(case)
            except CloseRequested:
                case.closed_by, case.close_reason = case.close_reason, None

    async def _until_settled(self, case: CaseRun) -> None:
        """The process itself."""
        await judge(case)
        if not await authorize(case):
            return
        if not case.request.remedy.is_return:
            await refund_alone(case)
        elif not await retain(case):
            await self._onward(case, await collect(case))

    async def _onward(self, case: CaseRun, collection: Collection | None) -> None:
        """What follows the consumer's door."""
        if collection is not Collection.COLLECTED:
            return
        reception = await receive(case)
        await make_whole(case, reception)

    async def _stop(self, case: CaseRun) -> None:
        """An operator closes the case: no courier comes for it any more, and nobody decides on it. Goods that the
        courier has by then are followed to their end instead."""
        scan = await call_off(case)
        told = scan_of(case) or implied_scan(case)
        if scan is None and told is not None:
            scan = told.occurred_at
        if scan is None:
            if case.regions[Region.AUTHORIZATION] in {"requested", "info_requested"}:
                case.regions.to(Region.AUTHORIZATION, "expired")
            case.tell(f"closed by an operator: {case.closed_by}", Party.OPERATOR)
            return
        case.tell(f"not closed: the courier has the goods since {scan}", Party.COURIER)
        case.closed_by = None
        await self._onward(case, await had_the_goods(case, scan))

    def _on_cancel(self) -> None:
        if refusal(Update.WITHDRAW, self.case.situation()) is None:
            self.case.tell("cancelled from outside: taken as a withdrawal", Party.OPERATOR)
            self.case.mail.withdraw = Withdraw(reason="cancelled")
            self.case.mail.withdraw_at = workflow.now()
        else:
            self.case.cancel_wanted = True

    # ---- queries -------------------------------------------------------------------------------------------

    @workflow.query(
        name=Query.STATUS.value, description="Where the case is, what it waits for, money, allowed actions."
    )
    def status(self) -> CaseStatus:
        return status_of(self.case)

    @workflow.query(
        name=Query.EXPLAIN.value, description="Every decision: rules, numbers, reasons, book, in two languages."
    )
    def explain(self) -> Explanation:
        return Explanation(
            merchant_id=self.case.id.merchant_id, rma_id=self.case.id.rma_id, decisions=tuple(self.case.verdicts)
        )

    # ---- the doors: every update, in the order of backhaul.names -----------------------------------------------

    def _allow(self, update: Update) -> None:
        code = refusal(update, self.case.situation())
        if code is not None:
            reject(code)

    def _allow_fact(self, update: Update, *, moves_only: bool = False) -> None:
        self._allow(update)
        self.case.need_room_for_report(moves_only=moves_only)

    def _took(self, what: str, by: Party, *, duplicate: bool = False) -> Ack:
        if what:
            self.case.tell(what, by)
        return Ack(recorded=True, duplicate=duplicate, stage=self.case.stage.value)

    @workflow.update(
        name=Update.FIRST_DECISION.value,
        description=UPDATE_DESCRIPTIONS[Update.FIRST_DECISION],
        unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON,  # a start that fails has no decision to wait for
    )
    async def first_decision(self, request_hash: str) -> FirstDecision:
        self.case.count(Update.FIRST_DECISION, Party.PLATFORM)
        await workflow.wait_condition(lambda: self.case.judgement is not None)
        judged = self.case.judged
        return FirstDecision(
            merchant_id=self.case.id.merchant_id,
            rma_id=self.case.id.rma_id,
            workflow_id=workflow.info().workflow_id,
            outcome=judged.outcome,
            reasons=judged.reasons,
            refundable=judged.refundable,
            rfi=judged.rfi,
            rdv=judged.rdv,
            book_version=judged.book.version,
            text=judged.text,
        )

    @first_decision.validator
    def _first_decision_ok(self, request_hash: str) -> None:
        if request_hash != digest(self.case.request):
            reject("return_conflict")
        self.case.need_room(Update.FIRST_DECISION, Party.PLATFORM)

    @workflow.update(name=Update.WITHDRAW.value, description=UPDATE_DESCRIPTIONS[Update.WITHDRAW])
    def withdraw(self, said: Withdraw) -> Ack:
        self.case.mail.withdraw, self.case.mail.withdraw_at = said, workflow.now()
        return self._took("asks to withdraw", Party.CONSUMER)

    @withdraw.validator
    def _withdraw_ok(self, said: Withdraw) -> None:
        mail = self.case.mail
        declined = mail.decline is not None and self.case.waits_for("merchant_review")
        kept = mail.offer is not None and mail.offer.answer is OfferAnswer.ACCEPT
        self._allow_once(Update.WITHDRAW, declined or kept)

    @workflow.update(name=Update.ANSWER_OFFER.value, description=UPDATE_DESCRIPTIONS[Update.ANSWER_OFFER])
    def answer_offer(self, said: AnswerOffer) -> Ack:
        self.case.mail.offer = said
        return self._took(f"offer: {said.answer.value}", Party.CONSUMER)

    @answer_offer.validator
    def _answer_offer_ok(self, said: AnswerOffer) -> None:
        self._allow_once(Update.ANSWER_OFFER, self.case.mail.offer or self.case.mail.withdraw)

    @workflow.update(name=Update.ANSWER_FINDING.value, description=UPDATE_DESCRIPTIONS[Update.ANSWER_FINDING])
    def answer_finding(self, said: AnswerFinding) -> Ack:
        self.case.mail.finding = said
        return self._took("", Party.CONSUMER)

    @answer_finding.validator
    def _answer_finding_ok(self, said: AnswerFinding) -> None:
        self._allow_once(Update.ANSWER_FINDING, self.case.mail.finding)
        if said.answer is FindingAnswer.WITHDRAW and self.case.travels_on:
            reject("already_picked_up")  # nobody brings the goods back

    @workflow.update(name=Update.PROVIDE_WAYBILL.value, description=UPDATE_DESCRIPTIONS[Update.PROVIDE_WAYBILL])
    async def provide_waybill(self, said: ProvideWaybill) -> Ack:
        self.case.count(Update.PROVIDE_WAYBILL, Party.CONSUMER)
        async with self._lock:
            self._allow(Update.PROVIDE_WAYBILL)  # another one may have come in while this one waited
            self.case.taking_waybill = True
            try:
                await self.case.ask_for_update(record_waybill, RecordWaybill(case=self.case.judged.case, waybill=said))
                self.case.mail.waybill = said
            finally:
                self.case.taking_waybill = False
        return self._took(f"sent by themselves, waybill {said.waybill}", Party.CONSUMER)

    @provide_waybill.validator
    def _provide_waybill_ok(self, said: ProvideWaybill) -> None:
        self._allow_once(Update.PROVIDE_WAYBILL, self.case.mail.withdraw)
        self.case.need_room(Update.PROVIDE_WAYBILL, Party.CONSUMER)
        if said.proven_freight is not None:
            need_money_in(self._currency, said.proven_freight)

    @workflow.update(name=Update.PROVIDE_ACCOUNT.value, description=UPDATE_DESCRIPTIONS[Update.PROVIDE_ACCOUNT])
    def provide_account(self, said: ProvideAccount) -> Ack:
        self.case.count(Update.PROVIDE_ACCOUNT, Party.CONSUMER)
        self.case.mail.account = said
        return self._took("names another account", Party.CONSUMER)

    @provide_account.validator
    def _provide_account_ok(self, said: ProvideAccount) -> None:
        self._allow_once(Update.PROVIDE_ACCOUNT, self.case.mail.account)
        self.case.need_room(Update.PROVIDE_ACCOUNT, Party.CONSUMER)

    @workflow.update(name=Update.ESCALATE.value, description=UPDATE_DESCRIPTIONS[Update.ESCALATE])
    def escalate(self, said: Escalate) -> Ack:
        self.case.mail.escalate = said
        return self._took("escalates the refusal", Party.CONSUMER)

    @escalate.validator
    def _escalate_ok(self, said: Escalate) -> None:
        self._allow_once(Update.ESCALATE, self.case.mail.escalate)

    @workflow.update(name=Update.ANSWER_INFO.value, description=UPDATE_DESCRIPTIONS[Update.ANSWER_INFO])
    def answer_info(self, said: AnswerInfo) -> Ack:
        self.case.mail.information = said
        return self._took(f"answers with {len(said.evidence)} pieces of evidence", Party.CONSUMER)

    @answer_info.validator
    def _answer_info_ok(self, said: AnswerInfo) -> None:
        self._allow_once(Update.ANSWER_INFO, self.case.mail.information or self.case.mail.withdraw)

    @workflow.update(name=Update.REQUEST_INFO.value, description=UPDATE_DESCRIPTIONS[Update.REQUEST_INFO])
    def request_info(self, said: RequestInfo) -> Ack:
        self.case.mail.question, self.case.asking = said, True
        return self._took(f"asks the consumer: {said.question}", Party.MERCHANT)

    @request_info.validator
    def _request_info_ok(self, said: RequestInfo) -> None:
        self._allow_once(Update.REQUEST_INFO, self._reviewed())

    @workflow.update(name=Update.AUTHORIZE.value, description=UPDATE_DESCRIPTIONS[Update.AUTHORIZE])
    def authorize(self, said: Authorize) -> Ack:
        self.case.mail.authorize = said
        return self._took("", Party.MERCHANT)

    @authorize.validator
    def _authorize_ok(self, said: Authorize) -> None:
        self._allow_once(Update.AUTHORIZE, self._reviewed() or self.case.asking)

    @workflow.update(name=Update.DECLINE.value, description=UPDATE_DESCRIPTIONS[Update.DECLINE])
    def decline(self, said: Decline) -> Ack:
        self.case.mail.decline = said
        return self._took("", Party.MERCHANT)

    @decline.validator
    def _decline_ok(self, said: Decline) -> None:
        self._allow_once(Update.DECLINE, self._reviewed() or self.case.asking)

    @workflow.update(name=Update.CONFIRM_RECEIPT.value, description=UPDATE_DESCRIPTIONS[Update.CONFIRM_RECEIPT])
    async def confirm_receipt(self, said: ConfirmReceipt) -> Ack:
        return await self._heard(Update.CONFIRM_RECEIPT, said)

    @confirm_receipt.validator
    def _confirm_receipt_ok(self, said: ConfirmReceipt) -> None:
        self._allow_once(Update.CONFIRM_RECEIPT, self.case.mail.heard_at)
        need_patience(self.case, Update.CONFIRM_RECEIPT)

    @workflow.update(
        name=Update.REPORT_RECEIPT_ISSUE.value, description=UPDATE_DESCRIPTIONS[Update.REPORT_RECEIPT_ISSUE]
    )
    async def report_receipt_issue(self, said: ReportReceiptIssue) -> Ack:
        return await self._heard(Update.REPORT_RECEIPT_ISSUE, said)

    @report_receipt_issue.validator
    def _report_receipt_issue_ok(self, said: ReportReceiptIssue) -> None:
        self._allow_once(Update.REPORT_RECEIPT_ISSUE, self.case.mail.heard_at)
        need_patience(self.case, Update.REPORT_RECEIPT_ISSUE)
        need_findings_on((line.line_id for line in self.case.request.lines), self._currency, said.findings)

    async def _heard(self, update: Update, said: ConfirmReceipt | ReportReceiptIssue) -> Ack:
        note = await hear(self.case, update, said)
        return self._took("", Party.MERCHANT).model_copy(update={"note": note})

    @workflow.update(name=Update.SUBMIT_EVIDENCE.value, description=UPDATE_DESCRIPTIONS[Update.SUBMIT_EVIDENCE])
    async def submit_evidence(self, said: SubmitEvidence) -> Ack:
        self.case.count(Update.SUBMIT_EVIDENCE, said.side)
        if said.evidence:
            kept = RecordEvidence(case=self.case.judged.case, evidence=said.evidence, at=workflow.now())
            await self.case.ask_for_update(record_evidence, kept)
        hearing = self.case.hearing
        if hearing is not None and not hearing.child.done():
            await hand_on(self.case, HEARD, said)
        what = f"{len(said.evidence)} pieces of evidence: {said.evidence[0].ref}" if said.evidence else "nothing more"
        return self._took(what, said.side)

    @submit_evidence.validator
    def _submit_evidence_ok(self, said: SubmitEvidence) -> None:
        self._allow(Update.SUBMIT_EVIDENCE)
        if self.case.judgement is None:
            reject("not_waiting")
        self.case.need_room(Update.SUBMIT_EVIDENCE, said.side)

    @workflow.update(name=Update.REPORT_PICKUP.value, description=UPDATE_DESCRIPTIONS[Update.REPORT_PICKUP])
    def report_pickup(self, said: PickupReport) -> Ack:
        self.case.count_report()
        return self._took("", Party.COURIER, duplicate=not self.case.receive_pickup(said))

    @report_pickup.validator
    def _report_pickup_ok(self, said: PickupReport) -> None:
        self._allow_fact(Update.REPORT_PICKUP)

    @workflow.update(name=Update.REPORT_TRACKING.value, description=UPDATE_DESCRIPTIONS[Update.REPORT_TRACKING])
    def report_tracking(self, said: TrackingReport) -> Ack:
        self.case.count_report()
        new = self.case.receive_tracking(said)
        return self._took(said.status.value if new else "", Party.COURIER, duplicate=not new)

    @report_tracking.validator
    def _report_tracking_ok(self, said: TrackingReport) -> None:
        self._allow_fact(Update.REPORT_TRACKING, moves_only=said.status is TrackingStatus.IN_TRANSIT)

    # ---- the payment provider ------------------------------------------------------------------------------

    @workflow.update(name=Update.REPORT_PAYMENT.value, description=UPDATE_DESCRIPTIONS[Update.REPORT_PAYMENT])
    def report_payment(self, said: PaymentReport) -> Ack:
        case, key = self.case, said.payment_key
        case.count_report()
        if said.news is PaymentNews.SETTLED:
            case.mail.settled.add(key)
        elif key in case.paid_refunds:
            case.paid_refunds.discard(key)
            case.spawn(bounced(case, key))
        return self._took("", Party.PSP, duplicate=not case.first_time(said.event_id))

    @report_payment.validator
    def _report_payment_ok(self, said: PaymentReport) -> None:
        self._allow_fact(Update.REPORT_PAYMENT)
        if said.news is PaymentNews.BOUNCED and said.event_id not in self.case.seen:
            if self.case.closing:
                reject("return_closed")  # what comes back from here on is a correction's
            if said.payment_key not in self.case.paid_refunds:
                reject("not_waiting", "no refund under this key has succeeded yet")

    # ---- operators -----------------------------------------------------------------------------------------

    @workflow.update(name=Update.RETRY_STEP.value, description=UPDATE_DESCRIPTIONS[Update.RETRY_STEP])
    def retry_step(self, said: RetryStep) -> Ack:
        parked = self.case.parked_effect(said.step)
        parked.command = "retry"
        return self._took(parked.pressed(), Party.OPERATOR)

    @retry_step.validator
    def _retry_step_ok(self, said: RetryStep) -> None:
        self._allow(Update.RETRY_STEP)
        self.case.parked_effect(said.step)

    @workflow.update(name=Update.SKIP_STEP.value, description=UPDATE_DESCRIPTIONS[Update.SKIP_STEP])
    async def skip_step(self, said: SkipStep) -> Ack:
        async with self._lock:
            parked = self.case.parked_effect(said.step)
            if parked.key is not None:
                request = ProveTerminal(case=self.case.judged.case, key=parked.key, approval_id=said.approval_id)
                await self.case.prove(parked, prove_terminal, request)
            parked.command = "skip"
        return self._took(f"skips {parked.step}", Party.OPERATOR)

    @skip_step.validator
    def _skip_step_ok(self, said: SkipStep) -> None:
        self._allow(Update.SKIP_STEP)
        parked = self.case.skippable_effect(said.step)
        if parked.key is not None and not (said.provider_proof or said.approval_id):
            reject("proof_required")

    @workflow.update(name=Update.EXTEND_DEADLINE.value, description=UPDATE_DESCRIPTIONS[Update.EXTEND_DEADLINE])
    async def extend_deadline(self, said: ExtendDeadline) -> Ack:
        await give_time(self.case, said)
        return self._took(f"{said.seconds} s more", Party.OPERATOR)

    @extend_deadline.validator
    def _extend_deadline_ok(self, said: ExtendDeadline) -> None:
        self._allow(Update.EXTEND_DEADLINE)

    @workflow.update(name=Update.APPLY_RULING.value, description=UPDATE_DESCRIPTIONS[Update.APPLY_RULING])
    async def apply_ruling(self, said: ApplyRuling) -> Ack:
        async with self._lock:
            self._allow(Update.APPLY_RULING)  # another one may have come in while this one waited
            appealed = self.case.hearing.start.appealed if self.case.hearing is not None else None
            request = FindRuling(case=self.case.judged.case, ruling_id=said.ruling_id, appealed=appealed)
            await hand_ruling_on(self.case, await self.case.ask_for_update(find_ruling, request))
        return self._took(f"ruling {said.ruling_id}", Party.OPERATOR)

    @apply_ruling.validator
    def _apply_ruling_ok(self, said: ApplyRuling) -> None:
        self._allow(Update.APPLY_RULING)

    @workflow.update(name=Update.APPLY_APPROVAL.value, description=UPDATE_DESCRIPTIONS[Update.APPLY_APPROVAL])
    async def apply_approval(self, said: ApplyApproval) -> Ack:
        parked = next(item for item in self.case.parked if item.reason == "approval_required")
        request = FindApproval(case=self.case.judged.case, approval_id=said.approval_id, subject=parked.key or "")
        self.case.mail.approval = await self.case.ask_for_update(find_approval, request)
        return self._took(f"approval {said.approval_id}", Party.OPERATOR)

    @apply_approval.validator
    def _apply_approval_ok(self, said: ApplyApproval) -> None:
        self._allow(Update.APPLY_APPROVAL)

    @workflow.update(name=Update.CLOSE_CASE.value, description=UPDATE_DESCRIPTIONS[Update.CLOSE_CASE])
    def close_case(self, said: CloseCase) -> Ack:
        self.case.close_reason = said.reason
        return self._took("", Party.OPERATOR)

    @close_case.validator
    def _close_case_ok(self, said: CloseCase) -> None:
        self._allow(Update.CLOSE_CASE)

    @workflow.update(name=Update.APPEAL.value, description=UPDATE_DESCRIPTIONS[Update.APPEAL])
    async def appeal(self, said: LodgeAppeal) -> Ack:
        async with self._lock:
            self._appeal_ok(said)  # another one may have come in while this one waited
            how = await lodge(self.case, said)
        return self._took("", said.by).model_copy(update={"note": how})

    @appeal.validator
    def _appeal_ok(self, said: LodgeAppeal) -> None:
        self._allow_appeal()
        code = why_not(self.case, said)
        if code is not None:
            reject(code)

    def _allow_appeal(self) -> None:
        code = refusal(Update.APPEAL, self.case.situation())
        if code is not None:
            reject(code)

    @workflow.signal(name=DISPUTE_PROGRESS)
    def dispute_progress(self, said: DisputeProgress) -> None:
        """The dispute that the case waits for says how far it is."""
        note_progress(self.case, said)

    # ---- shared by the doors ---------------------------------------------------------------------------------

    @property
    def _currency(self) -> str | None:
        """The order's; None before the case was judged."""
        return None if self.case.judgement is None else self.case.judged.refundable.currency

    def _reviewed(self) -> bool:
        """Has somebody ended the merchant's review, though the story has not read it yet?"""
        mail = self.case.mail
        return bool(mail.authorize or mail.decline or mail.withdraw)

    def _allow_once(self, update: Update, answered: object) -> None:
        self._allow(update)
        if answered:
            reject("already_decided")
