"""The activities of a case's own steps: thin, one transaction each. What they do is in the modules beside this one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from temporalio import activity

from activities import declarations as declared
from activities.contract import (
    AppealClaim,
    Appealed,
    AssessFinding,
    Assessment,
    Collected,
    DisputeEnded,
    DisputeOpened,
    EndCase,
    EndCorrection,
    EndDispute,
    EndRecovery,
    EvidenceKept,
    FindApproval,
    FindRuling,
    FollowRuling,
    Found,
    Granted,
    GrantRefund,
    JudgeCase,
    Judgement,
    KeepUnclaimed,
    LateFacts,
    LeaveUnclaimed,
    NoteRulingTold,
    OpenCorrection,
    OpenDispute,
    Opened,
    Receipt,
    Receivable,
    RecordEvidence,
    RecordPickup,
    RecordWaybill,
    RecoveryOutcome,
    RefundUndisputed,
    Remedy,
    Resettle,
    Resettled,
    ReviewReceivable,
    RulingFollowed,
    RulingTold,
    SettleCase,
    StartCorrection,
    TakeUnclaimed,
    UnclaimedMoney,
    Undisputed,
)
from activities.errors import step
from activities.steps import (
    appealing,
    authority,
    correcting,
    disputes,
    ending,
    finding,
    granting,
    opening,
    parcel,
    recovering,
    resettling,
    settling,
    unclaimed,
    undisputed,
)
from activities.steps.desk import Desk, utc_now
from backhaul.policy.library import Library
from store.engine import Store


class CaseSteps:
    """Every step of a case. `book` names the policy book of new cases; without it the dated one in force is taken."""

    def __init__(
        self, store: Store, library: Library, book: str | None = None, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        if book is not None:
            library.by_version(book)
        self._desk = Desk(store, library, book, clock)

    @activity.defn(name=declared.judge_case.name)
    @step
    async def judge_case(self, argument: JudgeCase) -> Judgement:
        """Read the facts once under the order's lock, judge, keep facts, verdicts and units.

        Idempotency: by case; the same request gets the stored judgement.
        Retries: `store_busy` is tried again; nothing is written before all of it is.
        Raises: Rejected(`order_unknown`, `line_unknown`, `return_conflict`, `currency_mismatch`, `unknown_book`,
        `reopen_unknown`, `reopen_mismatch`, `reopen_not_expired`, `reopen_limit`)."""
        return await opening.judge(self._desk, argument)

    @activity.defn(name=declared.record_waybill.name)
    @step
    async def record_waybill(self, argument: RecordWaybill) -> Receipt:
        """Bind a self-shipped parcel to the case.

        Idempotency: by case and waybill.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`effect_conflict`) where the waybill is another case's."""
        return await parcel.record_waybill(self._desk, argument)

    @activity.defn(name=declared.record_pickup.name)
    @step
    async def record_pickup(self, argument: RecordPickup) -> Collected:
        """Keep the doorstep check, share the waybill's freight, try the lightning gate. Posts J14, J15, J16, J20.

        Idempotency: by case: one scan a case; the freight of a waybill is shared once.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`, `over_refund`, `exceeds_capture`, `unknown_book`)."""
        return await parcel.record_pickup(self._desk, argument)

    @activity.defn(name=declared.assess_finding.name)
    @step
    async def assess_finding(self, argument: AssessFinding) -> Assessment:
        """Who is liable for the finding at the door, and what of it is indemnified at once. Posts nothing.

        Idempotency: by case: one assessment at the door.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`ruling_unknown`, `ruling_mismatch`, `over_indemnity`, `unknown_book`)."""
        return await finding.assess(self._desk, argument)

    @activity.defn(name=declared.resettle.name)
    @step
    async def resettle(self, argument: Resettle) -> Resettled:
        """Settle anew what turned out otherwise, and post the difference: J22, J23, J43, J50, J53 to J55, J75, J75b.

        Idempotency: by case, tag and awaited claim; each version of the amounts is kept beside the ones before.
        Retries: Transient(`pending`) while a claim is undecided or an advance under way; `store_busy` is tried again.
        Raises: Rejected(`not_found`, `ruling_unknown`, `ruling_mismatch`, `over_refund`, `exceeds_capture`,
        `over_indemnity`, `invariant_broken`, `unknown_book`), Transient(`pending`)."""
        return await resettling.resettle(self._desk, argument)

    @activity.defn(name=declared.appeal_claim.name)
    @step
    async def appeal_claim(self, argument: AppealClaim) -> Appealed:
        """Plan the claim with which a denial is appealed: the same amount, once.

        Idempotency: by the denied claim.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`already_decided`) for a claim that was not denied, that cannot be appealed, or was,
        Rejected(`over_indemnity`, `not_found`, `unknown_book`)."""
        return await appealing.appeal(self._desk, argument)

    @activity.defn(name=declared.refund_undisputed.name)
    @step
    async def refund_undisputed(self, argument: RefundUndisputed) -> Undisputed:
        """Charge and refund what nobody disputes of a denied finding: J23, J56. Nothing after lightning.

        Idempotency: by case: one undisputed part.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`, `already_decided`, `over_refund`, `exceeds_capture`, `unknown_book`)."""
        return await undisputed.refund(self._desk, argument)

    @activity.defn(name=declared.settle_case.name)
    @step
    async def settle_case(self, argument: SettleCase) -> Remedy:
        """Fix every amount of the case and post J22 or J23, J50, J52, J53, J54, J56.

        Idempotency: by case, event and ruling; amounts are fixed once, whatever comes later.
        Retries: Transient(`pending`) while a claim made at the door is undecided; `store_busy` is tried again.
        Raises: Rejected(`already_decided`, `ruling_unknown`, `ruling_mismatch`, `over_refund`, `exceeds_capture`,
        `over_indemnity`, `invariant_broken`, `unknown_book`), Transient(`pending`)."""
        return await settling.settle(self._desk, argument)

    @activity.defn(name=declared.grant_refund.name)
    @step
    async def grant_refund(self, argument: GrantRefund) -> Granted:
        """Post a refund without return: J82 for an accepted offer, J23 for the money alone.

        Idempotency: by case and kind; a repeat answers the same and posts nothing.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`, `over_refund`, `exceeds_capture`, `unknown_book`)."""
        return await granting.grant(self._desk, argument)

    @activity.defn(name=declared.end_case.name)
    @step
    async def end_case(self, argument: EndCase) -> Receipt:
        """Release what the case holds, check the invariants of a closed case, keep the last view.

        Idempotency: by case; the first close stays.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`invariant_broken`) naming which; nothing is written then."""
        return await ending.end(self._desk, argument)

    @activity.defn(name=declared.keep_unclaimed.name)
    @step
    async def keep_unclaimed(self, argument: KeepUnclaimed) -> Receipt:
        """Keep a refund that could not be paid as unclaimed money (J62).

        Idempotency: by the refund's key.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`proof_refused`) while the refund or a payout in its place may still pay, Rejected(
        `effect_conflict`)."""
        return await unclaimed.keep(self._desk, argument)

    @activity.defn(name=declared.take_unclaimed.name)
    @step
    async def take_unclaimed(self, argument: TakeUnclaimed) -> UnclaimedMoney:
        """The case's unclaimed money, for the correction that pays it out.

        Idempotency: by case and correction; the same correction takes the same money.
        Retries: `store_busy` is tried again.
        Raises: nothing of its own."""
        return await unclaimed.take(self._desk, argument)

    @activity.defn(name=declared.leave_unclaimed.name)
    @step
    async def leave_unclaimed(self, argument: LeaveUnclaimed) -> Receipt:
        """Money that could not be paid out waits again, to be claimed anew.

        Idempotency: by case, correction and key.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`proof_refused`) while a payout for it may still pay."""
        return await unclaimed.leave(self._desk, argument)

    @activity.defn(name=declared.end_correction.name)
    @step
    async def end_correction(self, argument: EndCorrection) -> Receipt:
        """Check that the case owes nothing again, close the correction, show its regions in the case's last view.

        Idempotency: by case and number; the first close stays.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`invariant_broken`) naming which, Rejected(`not_found`); nothing is written then."""
        return await correcting.end(self._desk, argument)

    @activity.defn(name=declared.review_receivable.name)
    @step
    async def review_receivable(self, argument: ReviewReceivable) -> Receivable:
        """What the consumer owes of a recovery, by the journal.

        Idempotency: reads only.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`)."""
        return await recovering.review(self._desk, argument)

    @activity.defn(name=declared.follow_ruling.name)
    @step
    async def follow_ruling(self, argument: FollowRuling) -> RulingFollowed:
        """Keep a ruling on a recovery as a decision of its case, with what was collected by then and what was left.

        Idempotency: by recovery and ruling: as it was told first.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`ruling_unknown`, `ruling_mismatch`, `not_found`)."""
        return await recovering.follow(self._desk, argument)

    @activity.defn(name=declared.end_recovery.name)
    @step
    async def end_recovery(self, argument: EndRecovery) -> RecoveryOutcome:
        """Close a recovery; post J43, J52 or J55 of what is booked and did not come. A written-off line stays frozen.

        Idempotency: by recovery: what was written off is not open any more.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`ruling_unknown`, `ruling_mismatch`) where that needs a ruling, Rejected(`not_found`)."""
        return await recovering.end(self._desk, argument)

    @activity.defn(name=declared.find_ruling.name)
    @step
    async def find_ruling(self, argument: FindRuling) -> Found:
        """Read a ruling that an authenticated person made for this case; on an appeal, another person's.

        Idempotency: reads only.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`ruling_unknown`, `ruling_mismatch`, `same_reviewer`)."""
        return await authority.ruling(self._desk, argument)

    @activity.defn(name=declared.record_evidence.name)
    @step
    async def record_evidence(self, argument: RecordEvidence) -> EvidenceKept:
        """Keep what a party gave, by reference.

        Idempotency: by case, party, reference and hash; the first time received stays.
        Retries: `store_busy` is tried again.
        Raises: Transient(`store_busy`)."""
        return await disputes.record(self._desk, argument)

    @activity.defn(name=declared.open_correction.name)
    @step
    async def open_correction(self, argument: OpenCorrection) -> StartCorrection:
        """Open a correction of a closed case, and say how its workflow starts.

        Idempotency: by event.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`, `return_open`, `event_conflict`)."""
        return await correcting.open_one(self._desk, argument)

    @activity.defn(name=declared.correct_late.name)
    @step
    async def correct_late(self, argument: LateFacts) -> Opened:
        """Open what the courier's late facts about a closed case ask for, as if they had come after the close.

        Idempotency: by event: one parcel of a case starts one correction, whoever opens it.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`, `return_open`, `event_conflict`)."""
        return await correcting.open_late(self._desk, argument)

    @activity.defn(name=declared.open_dispute.name)
    @step
    async def open_dispute(self, argument: OpenDispute) -> DisputeOpened:
        """Compare what was seen at the door and at the receipt, item by item, and list the evidence. Posts nothing;
        what the case owes and is owed is held back from settlement.

        Idempotency: by case and number of the dispute.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`not_found`, `unknown_book`)."""
        return await disputes.open_dispute(self._desk, argument)

    @activity.defn(name=declared.end_dispute.name)
    @step
    async def end_dispute(self, argument: EndDispute) -> DisputeEnded:
        """Let what a dispute held back go into the next settlement.

        Idempotency: by case and number of the dispute.
        Retries: `store_busy` is tried again.
        Raises: nothing of its own."""
        return await disputes.end_dispute(self._desk, argument)

    @activity.defn(name=declared.note_ruling_told.name)
    @step
    async def note_ruling_told(self, argument: NoteRulingTold) -> RulingTold:
        """Record when both sides were told of a ruling: the time to appeal counts from then.

        Idempotency: by ruling; the first time stays.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`ruling_unknown`, `ruling_mismatch`)."""
        return await authority.ruling_told(self._desk, argument)

    @activity.defn(name=declared.find_approval.name)
    @step
    async def find_approval(self, argument: FindApproval) -> Found:
        """Read an approval of this step of this case that was not used yet.

        Idempotency: reads only; the payout consumes it.
        Retries: `store_busy` is tried again.
        Raises: Rejected(`approval_unknown`, `approval_mismatch`, `approval_used`)."""
        return await authority.approval(self._desk, argument)
