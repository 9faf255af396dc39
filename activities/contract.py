"""What workflows and activities say to each other: one frozen model an argument and a result.

These models live in histories for months: new fields are optional, none is removed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from backhaul.corrections import CorrectionEvent, CorrectionKind
from backhaul.disputes import ItemCompared, Question
from backhaul.facts import (
    BookRef,
    Frozen,
    Inspection,
    Liable,
    LineFinding,
    Method,
    Party,
    Risk,
    Text,
    Verdict,
    not_said,
)
from backhaul.ids import recovery_ref
from backhaul.ledger import CaseRef
from backhaul.messages import (
    CaseStatus,
    DoorstepFinding,
    Evidence,
    EvidenceRef,
    OpenReturn,
    PickupReport,
    ProvideWaybill,
    TrackingReport,
)
from backhaul.money import Money
from backhaul.policy.terms import Terms
from backhaul.reconciliation import ReconciliationReport, ResolveFinding

# ---- the case's own steps: one transaction in our database each ----------------------------------------------------


class JudgeCase(Frozen):
    """Read the facts once and judge. Keyed by case: a repeat returns the stored judgement."""

    request: OpenReturn
    request_hash: str
    workflow_id: str
    requested_at: datetime


class Judgement(Frozen):
    """What orchestration needs of the first decisions; the verdicts themselves are in the store."""

    case: CaseRef
    outcome: str = Field(description="authorized, merchant_review, info_requested, referred or declined")
    reasons: tuple[str, ...]
    text: Text
    paid: Money
    refundable: Money
    rfi: bool
    rdv: bool
    may_decline: bool = Field(description="false: a no-reason return inside the window (statute)")
    risk: Risk = Field(default=Risk.ALLOW, description="outcome of the risk rules (4.6); deny refuses cover")
    book: BookRef
    terms: Terms
    verdicts: tuple[Verdict, ...] = ()
    offer: Money | None = Field(default=None, description="X30: for keeping the goods")
    platform: bool = Field(default=False, description="X29: a merchant's refusal goes to the platform by itself")


class RecordPickup(Frozen):
    """The scan: store the doorstep check, share the freight, try the lightning gate (domain 4.2, 4.4)."""

    case: CaseRef
    report: PickupReport
    pickup_id: str | None = None
    self_ship: ProvideWaybill | None = None
    cancelled: bool = Field(default=False, description="the consumer cancelled before the scan: no lightning")


class RecordWaybill(Frozen):
    """A self-shipped parcel: from now on events of this waybill belong to the case. Rejected(`effect_conflict`) when
    the waybill belongs to another case."""

    case: CaseRef
    waybill: ProvideWaybill


class RefundPart(Frozen):
    """One refund to one original payment under one key."""

    payment_key: str
    payment_id: str
    amount: Money
    payee: str


class GrantRefund(Frozen):
    """Money without goods coming back. `what`: `offer` (J82 of `amount`, X30) or `refund_only` (J23 of all, X29)."""

    case: CaseRef
    what: str
    amount: Money
    at: datetime


class Granted(Frozen):
    """What was posted, and what leaves now."""

    amount: Money
    refunds: tuple[RefundPart, ...] = ()


class FreightClaim(Frozen):
    """Freight claimed under RFI: J10, J11, then J12 (courier paid) or J13 (consumer paid, self-ship)."""

    claim_ref: str
    coverage_id: str
    amount: Money
    payee: str
    waybill: str
    payment_key: str


class IndemnityPlan(Frozen):
    """A loss claimed under RDV and advanced to the merchant: J30, J31, J34, J32."""

    claim_ref: str
    coverage_id: str
    amount: Money
    payee: str
    advance_key: str
    funding_key: str
    approval_needed: bool = False


class RecoveryPlan(Frozen):
    """Getting an indemnity back: from the carrier (demand), from what was withheld from the consumer (remit), or from
    the consumer who was refunded already (collect). Without a cover the consumer owes the platform (J50).

    `n`: which recovery of the claim; another ruling may make another party liable for what is not recovered."""

    claim_ref: str
    n: int = Field(default=1, exclude_if=lambda n: n == 1)
    liable: Liable
    amount: Money
    waybill: str | None
    coverage_id: str
    withheld: bool = False
    in_hand: Money | None = Field(default=None, description="of the amount, withheld already: the rest is demanded")

    @property
    def ref(self) -> str:
        """The recovery's own name: in its keys, its id, and before the carrier."""
        return recovery_ref(self.claim_ref, self.n)


class Repayment(Frozen):
    """What the consumer is owed besides refunds: P2010 has it under `key`, and it leaves now to the account that they
    pay from (J61). Paid of a debt that is none any more (J45), or freight that no payment has room for (J16)."""

    key: str
    amount: Money


class Collected(Frozen):
    """What the scan decided. `lightning` refunds leave now; the freight claim leaves now."""

    lightning: bool
    reasons: tuple[str, ...]
    refunds: tuple[RefundPart, ...] = ()
    repayments: tuple[Repayment, ...] = ()
    freight: FreightClaim | None = None
    freight_share: Money
    verdicts: tuple[Verdict, ...] = ()


class AssessFinding(Frozen):
    """The doorstep finding stands (accepted, not answered, or ruled): who is liable, what is indemnified now."""

    case: CaseRef
    findings: tuple[DoorstepFinding, ...]
    ruling_id: str | None = None


class Assessment(Frozen):
    """Liability for the finding at the door, and the indemnity that leaves at once."""

    liable: Liable
    loss: Money
    indemnity: IndemnityPlan | None
    reasons: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


class RefundUndisputed(Frozen):
    """The consumer denies a finding: what nobody disputes is refunded at once (domain 4.5). Once a case."""

    case: CaseRef
    findings: tuple[LineFinding, ...]


class Undisputed(Frozen):
    """J23 of `charged` is posted; `refunds` leave now. `disputed` is the rest: another J23 after the ruling."""

    charged: Money
    disputed: Money
    refunds: tuple[RefundPart, ...] = ()


class SettleCase(Frozen):
    """The goods are accepted, objected to, lost, or the timer accepted them: fix every amount and post it.

    `event`: received_ok, receipt_issue, receipt_silence, lost, returned (to the consumer), ruling.
    """

    case: CaseRef
    event: str
    receipt: Inspection | None = None
    lost: bool = False
    ruling_id: str | None = None
    delivered_at: datetime | None = None
    claimed: str | None = Field(default=None, description="the claim that was awaited: the insurer decided on it")
    at: datetime
    evidence: tuple[EvidenceRef, ...] = ()
    re_ruled: str | None = Field(default=None, description="the ruling on an appeal: it takes the door's place")


class Remedy(Frozen):
    """What leaves now: refunds, an indemnity (if not claimed at the door), a recovery. Entries J22, J23, J50, J53, J54,
    J56 are posted already. `liable` undetermined: nothing was posted, a human rules first. `claim_first`: nothing was
    posted either, what is withheld follows from the insurer's decision on the indemnity; then settle again with
    `claimed`."""

    liable: Liable
    loss: Money
    refunds: tuple[RefundPart, ...] = ()
    repayments: tuple[Repayment, ...] = ()
    withheld: Money
    indemnity: IndemnityPlan | None = None
    recovery: RecoveryPlan | None = None
    more_recoveries: tuple[RecoveryPlan, ...] = ()
    claim_first: bool = False
    closed_claims: tuple[str, ...] = Field(default=(), description="nothing of them is owed any more: closed there")
    unpaid_claims: tuple[str, ...] = Field(default=(), description="overturned before their advance was paid")
    reasons: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def recoveries(self) -> tuple[RecoveryPlan, ...]:
        """Every recovery that is handed over, one a claim."""
        return (*(() if self.recovery is None else (self.recovery,)), *self.more_recoveries)


class Resettle(Frozen):
    """What was settled turns out otherwise: a lost parcel has `arrived`, or there is another ruling (`ruling_id`).
    `tag` names the correction, and is in the keys of what it posts."""

    case: CaseRef
    tag: str
    arrived: SettleCase | None = Field(default=None, description="how the parcel ended up after all, and what was seen")
    ruling_id: str | None = None
    claimed: str | None = Field(default=None, description="the claim that was awaited: the insurer decided on it")
    at: datetime


class MoneyBack(Frozen):
    """Money that an overturn sends back: from the insurer to the carrier or the consumer (J45), or to the insurer what
    it had funded (J42)."""

    claim_ref: str
    amount: Money
    key: str
    to: Literal["insurer", "carrier", "consumer"]
    courier: str | None = None
    waybill: str | None = None


class ReturnMoney(Frozen):
    case: CaseRef
    back: MoneyBack
    patience: Patience


class Resettled(Frozen):
    """The difference between what was settled and what is right: posted are J20, J22, J23, J43, J50, J53 to J55, J75,
    J75b and reversals; this is what leaves now. `back` in this order, before the refunds and what is repaid to the
    consumer. `liable` undetermined and `claim_first` as in Remedy."""

    liable: Liable
    changed: bool
    refunds: tuple[RefundPart, ...] = ()
    indemnity: IndemnityPlan | None = None
    claim_first: bool = False
    closed_claims: tuple[str, ...] = ()
    unpaid_claims: tuple[str, ...] = ()
    back: tuple[MoneyBack, ...] = ()
    repayments: tuple[Repayment, ...] = ()
    recoveries: tuple[RecoveryPlan, ...] = ()
    notes: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


class EndCase(Frozen):
    """Close the case in the store: release holds, check the invariants of a closed case, keep the last view. `found`:
    what was settled as lost turned up meanwhile, which opens a correction with the close."""

    case: CaseRef
    outcome: str
    status: CaseStatus
    at: datetime
    found: CorrectionEvent | None = None


class Patience(Frozen):
    """When to look again while an answer is unknown or pending, in seconds after each attempt (X18)."""

    delays_s: tuple[float, ...] = (60.0, 300.0, 600.0, 1200.0, 1800.0)


class SendNotice(Frozen):
    """Tell a party something that a deadline of theirs starts with. Sent once under `{case}:notice.{about}:{n}`;
    `about` is a word of backhaul.notices, `due` when their silence will act, `within` the workflow beside the case,
    `amount` what it is about, where it is about money."""

    case: CaseRef
    to: Party
    about: str
    n: int = 1
    due: datetime | None = None
    patience: Patience
    within: str = ""
    amount: Money | None = None


class Noticed(Frozen):
    """The notice left at `at`: deadlines that act on silence count from here."""

    key: str
    at: datetime


class FindRuling(Frozen):
    """Read a ruling of this case. `appealed`: the ruling that it must overrule, made by another reviewer."""

    case: CaseRef
    ruling_id: str
    appealed: str | None = None


class FindApproval(Frozen):
    case: CaseRef
    approval_id: str
    subject: str


class Found(Frozen):
    """A ruling or approval exists and fits: what it says."""

    id: str
    outcome: str
    findings: tuple[LineFinding, ...] | None = None


# ---- disputes and evidence ------------------------------------------------------------------------------------------


class RecordEvidence(Frozen):
    """Keep what a party gave, once each."""

    case: CaseRef
    evidence: tuple[EvidenceRef, ...]
    at: datetime


class EvidenceKept(Frozen):
    """How many pieces were new."""

    new: int


class StartDispute(Frozen):
    """Argument of Dispute. `evidence_s`: how long each side is heard, 0 where nobody is. `appealed`: the ruling that is
    appealed against."""

    case: CaseRef
    n: int
    question: Question
    headline: str
    terms: Terms
    evidence_s: float
    appealed: str | None = None


class OpenCorrection(Frozen):
    """The case is closed, and something is left to be put right: open the correction, once an event."""

    case: CaseRef
    kind: CorrectionKind
    event: CorrectionEvent
    at: datetime


class LateFacts(Frozen):
    """The case is closed, and the courier told more while it was being closed, which nobody has read: what of it asks
    for a correction is to be opened. `logistics`: how that region was closed."""

    case: CaseRef
    logistics: str
    pickups: tuple[PickupReport, ...] = ()
    trackings: tuple[TrackingReport, ...] = ()
    at: datetime


class EndDispute(Frozen):
    """The dispute has ended, ruled or called off: what it held back goes into the next settlement, and the ruling joins
    the decisions of the case."""

    case: CaseRef
    n: int
    at: datetime
    ruling_id: str | None = Field(default=None, exclude_if=not_said)


class NoteRulingTold(Frozen):
    """Both sides were told of a ruling at `at`: the time to appeal counts from then (X15)."""

    case: CaseRef
    ruling_id: str
    at: datetime


class RulingTold(Frozen):
    """From when the time to appeal counts: as it was noted first."""

    at: datetime


class DisputeEnded(Frozen):
    n: int
    verdicts: tuple[Verdict, ...] = ()


class OpenDispute(Frozen):
    """What a human will see: compare the inspections, list the evidence."""

    case: CaseRef
    n: int
    question: Question
    headline: str
    at: datetime


class DisputeOpened(Frozen):
    """The lines one by one at the door and at the receipt, and what evidence there is."""

    items: tuple[ItemCompared, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


class DisputeOutcome(Frozen):
    """How a dispute ended. Without a ruling: it was called off."""

    workflow_id: str
    ruling: Found | None = None
    verdicts: tuple[Verdict, ...] = ()


# ---- effects: the world outside ------------------------------------------------------------------------------------


class BookPickup(Frozen):
    """Join or make the pickup of this order, address and slot (combined pickup). `n` counts visits of this case.

    `earliest`: no slot was wished for, so that a visit of this order and address that is booked already will do, where
    it begins after this time. `packaging`: the courier brings some (X6)."""

    case: CaseRef
    address_ref: str
    zone: str
    slot_start: datetime
    slot_end: datetime
    courier: str
    n: int
    patience: Patience
    earliest: datetime | None = None
    packaging: bool = False


class Booked(Frozen):
    pickup_id: str
    courier: str
    waybill: str
    slot_start: datetime
    slot_end: datetime


class LeavePickup(Frozen):
    """Take the case off its pickup; the last one out voids it."""

    case: CaseRef
    pickup_id: str
    patience: Patience


class Left(Frozen):
    """`voided` false: the courier had the goods at `collected_at`."""

    voided: bool
    collected_at: datetime | None = None


class ReturnGoods(Frozen):
    """Send collected goods back to the consumer."""

    case: CaseRef
    pickup_id: str
    patience: Patience


class FetchEvents(Frozen):
    """Ask the courier what happened to the waybill: makes up for lost webhooks. `courier`: who it is known to be with,
    else whoever carries it."""

    case: CaseRef
    courier: str | None
    waybill: str


class CourierEvents(Frozen):
    """What the courier's own log says about this case, oldest first."""

    pickups: tuple[PickupReport, ...] = ()
    trackings: tuple[TrackingReport, ...] = ()


class SendRefund(Frozen):
    """Refund one part to its original payment: J21 on success."""

    case: CaseRef
    part: RefundPart
    patience: Patience


class ClaimFreight(Frozen):
    case: CaseRef
    claim: FreightClaim
    method: Method
    patience: Patience


class ClaimIndemnity(Frozen):
    """Reserve (J30) and get approved (J31)."""

    case: CaseRef
    plan: IndemnityPlan
    patience: Patience


class ClaimDecision(Frozen):
    """What the insurer says to a claim. `amount` is what it approved, which may differ from what was claimed; `denial`
    is a word of backhaul.policy.denials. Pending: look again later (X16)."""

    key: str
    ref: str = ""
    amount: Money
    state: str = Field(default="approved", description="approved, denied or pending")
    denial: str | None = None
    appealable: bool = False
    complex: bool = False
    verdicts: tuple[Verdict, ...] = ()


class AppealClaim(Frozen):
    """Ask the insurer once more, with more evidence: another claim for what was denied."""

    case: CaseRef
    claim_ref: str


class Appealed(Frozen):
    """The claim that takes the denied one's place."""

    plan: IndemnityPlan
    verdicts: tuple[Verdict, ...] = ()


class CloseClaim(Frozen):
    """Tell the insurer that nothing of a claim is owed any more."""

    case: CaseRef
    claim_ref: str
    patience: Patience


class PayAdvance(Frozen):
    """Pay the indemnity to the merchant at once under its own key (J34); consumes the approval where one is needed."""

    case: CaseRef
    plan: IndemnityPlan
    approval_id: str | None = None
    patience: Patience


class FundIndemnity(Frozen):
    """The insurer pays the platform back for the advance (J32)."""

    case: CaseRef
    plan: IndemnityPlan
    patience: Patience


class Funding(Frozen):
    """Has the insurer paid the platform? Pending: it took it on and has not paid yet (X16); refused: it will not under
    this key."""

    key: str
    ref: str = ""
    amount: Money
    state: str = Field(default="paid", description="paid, pending or refused")


class Receipt(Frozen):
    """An effect that succeeded: the provider's reference."""

    key: str
    ref: str
    amount: Money


class ProveTerminal(Frozen):
    """Ask the provider's books whether an effect is terminal, before a step is skipped. Succeeded: the entry is posted.
    Failed: its alternative entry is posted. Neither: Rejected(`proof_refused`)."""

    case: CaseRef
    key: str
    approval_id: str | None = None


class Proof(Frozen):
    key: str
    state: str = Field(description="succeeded, failed or approved")
    ref: str | None = None


class DemandRecovery(Frozen):
    """Demand an indemnity from the carrier (X27): of an undeclared waybill `cap_freights` times its freight at most."""

    case: CaseRef
    plan: RecoveryPlan
    patience: Patience
    cap_freights: int | None = None


class CheckDemand(Frozen):
    """What the carrier answered: J40 at acceptance, J44 when it paid in cash. `upto`: what a ruling says it owes."""

    case: CaseRef
    plan: RecoveryPlan


class DemandState(Frozen):
    """`state`: received, accepted, contested, paid. `collected`: in cash and set off, all in all. `withdrawn`: a
    correction took the demand back; `returned` is what the carrier paid for nothing, and has back."""

    state: str
    accepted: Money | None = None
    collected: Money | None = None
    withdrawn: bool = False
    returned: Money | None = None


class SetOffDemand(Frozen):
    """Set an accepted, unanswered or ruled demand off against what we owe the carrier (J41), at most up to `upto` of
    it all in all. `n` rises with each set-off that was made, or that the carrier refused."""

    case: CaseRef
    plan: RecoveryPlan
    upto: Money
    n: int
    patience: Patience


class SetOff(Frozen):
    """What was set off now (nothing, where we owe the carrier nothing), and what is collected all in all."""

    amount: Money
    collected: Money


class ReviewReceivable(Frozen):
    """Read what the consumer owes now, before they are told and before they are charged."""

    case: CaseRef
    plan: RecoveryPlan


class Receivable(Frozen):
    """`clawback`: lightning paid it (X26). `insured`: what is collected goes to the insurer (J53), not to us (J50)."""

    amount: Money
    clawback: bool = False
    insured: bool = False


class ChargeReceivable(Frozen):
    """Collect what the consumer owes (J51), under the nth key: each is one attempt that the channel ends."""

    case: CaseRef
    plan: RecoveryPlan
    n: int
    patience: Patience


class Charged(Frozen):
    """What was collected now, and what is left."""

    amount: Money
    left: Money


class FollowRuling(Frozen):
    """A person ruled on a recovery, which goes by that: the ruling joins the decisions of the case."""

    case: CaseRef
    plan: RecoveryPlan
    ruling_id: str
    at: datetime


class RulingFollowed(Frozen):
    """The ruling as a decision; none where it had been told before."""

    verdicts: tuple[Verdict, ...] = ()


class EndRecovery(Frozen):
    """Close a recovery: what is booked and not collected is written off under a ruling (J43, J52, J55); under the
    waiver no ruling is needed."""

    case: CaseRef
    plan: RecoveryPlan
    ruling_id: str | None = None
    waiver_minor: int = 0


class RemitRecovery(Frozen):
    """Give recovered money to the insurer (J42)."""

    case: CaseRef
    plan: RecoveryPlan
    amount: Money
    patience: Patience
    n: int = 1


class StartRecovery(Frozen):
    """Argument of the Recovery workflow."""

    case: CaseRef
    plan: RecoveryPlan
    terms: Terms


class RecoveryOutcome(Frozen):
    claim_ref: str
    state: str
    recovered: Money
    written_off: Money | None = None


# ---- the consumer's money by other ways ----------------------------------------------------------------------------


class PayConsumer(Frozen):
    """Pay a consumer to their own account, or one that they named: what a refund could not bring or a correction gives
    back (J61), or unclaimed money (J63). `of` is the key of that refund, of that J45, or of the unclaimed money."""

    case: CaseRef
    of: str
    key: str
    amount: Money
    account_ref: str
    unclaimed: bool = False
    patience: Patience


class ConfirmBounce(Frozen):
    """Ask the provider's books whether a refund came back after it had succeeded: J60."""

    case: CaseRef
    payment_key: str
    patience: Patience


class Bounced(Frozen):
    """The refund that came back."""

    part: RefundPart


class KeepUnclaimed(Frozen):
    """The consumer's money waits to be claimed (J62): nothing that was begun for it can pay any more."""

    case: CaseRef
    of: str
    amount: Money
    at: datetime


class TakeUnclaimed(Frozen):
    """The case's unclaimed money, for the correction `n` that pays it out."""

    case: CaseRef
    n: int
    at: datetime


class UnclaimedItem(Frozen):
    key: str
    amount: Money


class UnclaimedMoney(Frozen):
    items: tuple[UnclaimedItem, ...]


class LeaveUnclaimed(Frozen):
    """Money that a correction could not pay out waits again, to be claimed anew."""

    case: CaseRef
    n: int
    key: str
    at: datetime


# ---- corrections of closed cases -----------------------------------------------------------------------------------


class StartCorrection(Frozen):
    """Argument of the Correction workflow: what came up after the close. `regions`: how the case was closed; `lines`:
    what it returned."""

    case: CaseRef
    n: int
    kind: CorrectionKind
    event: CorrectionEvent
    terms: Terms
    regions: dict[str, str] = Field(default_factory=dict)
    lines: tuple[str, ...] = ()


class Opened(Frozen):
    """Corrections that are open now, each once."""

    starts: tuple[StartCorrection, ...] = ()


class EndCorrection(Frozen):
    """Close a correction in the store, once the books of the case hold again."""

    case: CaseRef
    n: int
    outcome: str
    regions: dict[str, str]
    at: datetime


# ---- reconciliation ------------------------------------------------------------------------------------------------


class OpenReconciliation(Frozen):
    """Begin a run under its cut. A repeat is the same run."""

    cut: str
    workflow_id: str
    at: datetime


class Reconciling(Frozen):
    """Whose statements are fetched, and how long a parked run waits before it looks again by itself."""

    cut: str
    providers: tuple[str, ...]
    park_s: float


class FetchStatement(Frozen):
    """Fetch what is new on a provider's statement, some pages at a time."""

    provider: str


class Fetched(Frozen):
    """`more`: there is more to be fetched."""

    provider: str
    rows: int
    more: bool = False


class CompareBooks(Frozen):
    """Compare the statements with the journal and run the 17 lines. Findings are kept, corrections opened."""

    cut: str
    lag_s: float
    whole: bool = False


class CorrectionStart(Frozen):
    """A correction that the store has opened and nobody may have started."""

    workflow_id: str
    start: StartCorrection


class BooksCompared(Frozen):
    report: ReconciliationReport
    corrections: tuple[CorrectionStart, ...] = ()


class ExplainFinding(Frozen):
    """Keep why a finding is no trouble."""

    said: ResolveFinding
    cut: str
    at: datetime


# ---- settlement ----------------------------------------------------------------------------------------------------


class OpenCut(Frozen):
    """Store the cut: the last journal sequence that this cycle settles. A repeat returns the stored one."""

    cut: str
    at: datetime


class Cut(Frozen):
    cut: str
    sequence: int
    merchants: int
    patience: Patience = Patience()
    park_s: float = 86_400.0


class PageMerchants(Frozen):
    """Merchants that have open legs at the cut, after a cursor, in order."""

    cut: str
    after: str = ""
    limit: int = 200


class MerchantPage(Frozen):
    merchants: tuple[str, ...]
    next: str | None = None


class FormBatch(Frozen):
    """Put the merchant's open legs of each currency into one batch, once. A shortfall posts J71."""

    merchant_id: str
    cut: str


class Batch(Frozen):
    """One batch: legs and what is to be paid (zero or less: nothing leaves)."""

    batch: str
    merchant_id: str
    payout_key: str
    net: Money
    legs: int
    payable: bool


class Overdue(Frozen):
    """A shortfall that is open for longer than the book's time, above what is written off by rule (X22)."""

    batch: str
    open: Money
    subject: str
    """What the approval of its write-off is for."""


class Untold(Frozen):
    """A shortfall that the merchant was not told of yet, and how long it is a receivable from then on (X22)."""

    batch: str
    open: Money
    receivable_s: float


class Batches(Frozen):
    batches: tuple[Batch, ...]
    overdue: tuple[Overdue, ...] = ()
    untold: tuple[Untold, ...] = ()


class TellShortfall(Frozen):
    """Tell a merchant that a settlement is short. Sent once under `{batch}:notice.shortfall:{n}`."""

    merchant_id: str
    batch: str
    amount: Money
    due: datetime
    n: int = 1
    patience: Patience


class NoteTold(Frozen):
    """The merchant knows of the shortfall since then: its time as a receivable has begun."""

    batch: str
    at: datetime


class PayBatch(Frozen):
    """Pay one batch: J70 closes it to zero. A later payout key than the batch's is leave to go on to the next one, if
    the channel itself ended the present attempt."""

    batch: Batch
    patience: Patience


class ProveBatch(Frozen):
    """Ask the provider's books whether a batch's payout is terminal. One that is not paid is dissolved: its legs go
    into the next settlement."""

    batch: str
    key: str
    approval_id: str | None = None


class WriteOff(Frozen):
    """Write an overdue shortfall off under an approval (J74); without one, only look whether it is open still."""

    batch: str
    approval_id: str | None = None


class ShortfallState(Frozen):
    batch: str
    state: str
    open: Money


class EarnPremiums(Frozen):
    """Post J04 for covers that ended before the cut, at most so many at a time."""

    cut: str
    limit: int = 200


class Earned(Frozen):
    covers: int
    more: bool


class CycleRequest(Frozen):
    """Argument of SettlementCycle. A schedule leaves `cut` empty: the start time names it."""

    cut: str = ""
    after: str = ""
    settled: int = 0
    left: int = 0
    page: int = Field(default=200, ge=1, le=1000)


class SettlementRequest(Frozen):
    """Argument of Settlement. Without `patience` it reads what its cut says (it is carried on)."""

    merchant_id: str
    cut: str
    patience: Patience | None = None
    park_s: float = 86_400.0


class SettlementOutcome(Frozen):
    merchant_id: str
    cut: str
    paid: tuple[Money, ...] = ()
    shortfall: tuple[Money, ...] = ()


class CycleOutcome(Frozen):
    """`merchants` had something open; `left` of them go on by themselves: parked, or their payout is looked up."""

    cut: str
    merchants: int
    left: int = 0
    earned: int = 0
