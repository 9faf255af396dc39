"""Messages on the wire: what callers send and what they get. Frozen, unknown fields refused, JSON Schemas published.

Nothing personal travels here: people and addresses are tokens (`consumer_ref`, `address_ref`).
Times are RFC 3339 with an offset; amounts are minor units with a currency.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from backhaul.facts import (
    BookRef,
    CoverKind,
    Finding,
    Frozen,
    LiabilityShare,
    LineFinding,
    Method,
    Party,
    Reason,
    RemedyKind,
    Text,
    Token,
    Verdict,
    not_said,
)
from backhaul.money import Money

Code = Annotated[str, Field(pattern=r"^[a-z0-9_.]{1,100}$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=1, le=10_000)]
ItemRef = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100}){2}$")]

# ---- orders (import) ------------------------------------------------------------------------------------------


class OrderLine(Frozen):
    """One line of an order. `paid` is for the whole line, after discounts; weight and volume are per unit."""

    line_id: Token
    sku: Annotated[str, Field(min_length=1, max_length=100)]
    category: Token
    quantity: Count
    paid: Money
    weight_g: Annotated[int, Field(ge=1, le=10_000_000)]
    volume_cm3: Annotated[int, Field(ge=0, le=100_000_000)] = 0


class OrderPayment(Frozen):
    """One captured payment of the order."""

    payment_id: Token
    amount: Money


class OrderCover(Frozen):
    """One cover bound for the order (domain 4.2, 4.3). The book at binding decides amounts (invariant 16)."""

    coverage_id: Token
    kind: CoverKind
    sum_insured: Money
    premium_merchant: Money
    premium_platform: Money
    declared: Money | None = None
    upper_tier: bool = False
    bound_at: AwareDatetime
    book_version: Token


class ConsumerProfile(Frozen):
    """The consumer as a token, with tier, credit limit and risk at import; later imports update it."""

    consumer_ref: Token
    tier: Annotated[int, Field(ge=0, le=5)] = 0
    credit_limit: Money
    risk: str = "allow"


class MerchantProfile(Frozen):
    """The merchant, its commission in basis points, whether it lets returns be authorized at once, and whether it
    offers a part of the price for keeping the goods (save-the-sale, domain 4.7)."""

    merchant_id: Token
    name: Annotated[str, Field(max_length=200)] = ""
    commission_bps: Annotated[int, Field(ge=0, le=10_000)] = 0
    auto_authorize: bool = True
    offers: bool = False


class ImportOrder(Frozen):
    """An order with its payments and bound cover: imported once, however many returns follow (J01 to J03).

    Neither shipped nor signed: a refund without return leaves at once (X29). A later import brings both times."""

    order_id: Token
    merchant: MerchantProfile
    consumer: ConsumerProfile
    lines: Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=200)]
    payments: Annotated[tuple[OrderPayment, ...], Field(min_length=1, max_length=20)]
    covers: Annotated[tuple[OrderCover, ...], Field(max_length=10)] = ()
    captured_at: AwareDatetime
    signed_at: AwareDatetime | None = None
    shipped_at: AwareDatetime | None = None


class OrderImported(Frozen):
    """What an import did: `created` false means that the same order was there already."""

    order_id: Token
    created: bool
    entries: tuple[str, ...] = ()


# ---- opening a return -------------------------------------------------------------------------------------------


class EvidenceKind(StrEnum):
    PHOTO = "photo"
    VIDEO = "video"
    WEIGHT = "weight"
    DOCUMENT = "document"


class EvidenceRef(Frozen):
    """Evidence by reference: where it is kept, its hash, who gave it, what it is, which line it is about."""

    ref: Annotated[str, Field(min_length=1, max_length=300)]
    sha256: Hash
    by: Party
    shows_arrival_damage: bool = False
    kind: EvidenceKind | None = None
    line_id: Token | None = None


class ReturnLine(Frozen):
    """How many units of which order line come back."""

    line_id: Token
    quantity: Count


class Slot(Frozen):
    """The time window wished for the pickup."""

    start: AwareDatetime
    end: AwareDatetime


class OpenReturn(Frozen):
    """Open one return case. The same body twice is the same case; another body under the same id is refused.

    `remedy`: the goods come back, or the money alone is asked for (X29); then method and address do not matter.
    `reopens`: the expired case that this one goes on from (X2)."""

    merchant_id: Token
    rma_id: Token
    order_id: Token
    reason: Reason
    method: Method = Method.PICKUP
    lines: Annotated[tuple[ReturnLine, ...], Field(min_length=1, max_length=50)]
    address_ref: Token
    zone: Token = "default"
    slot: Slot | None = None
    evidence: Annotated[tuple[EvidenceRef, ...], Field(max_length=20)] = ()
    remedy: Annotated[RemedyKind, Field(exclude_if=lambda kind: kind.is_return)] = RemedyKind.RETURN
    reopens: Annotated[Token | None, Field(exclude_if=not_said)] = None


class FirstDecision(Frozen):
    """The answer to OpenReturn: may the goods come back, and what happens next."""

    merchant_id: Token
    rma_id: Token
    workflow_id: str
    outcome: str = Field(description="authorized, merchant_review, info_requested, referred or declined")
    reasons: tuple[str, ...] = ()
    refundable: Money
    rfi: bool
    rdv: bool
    book_version: str
    text: Text


# ---- updates ----------------------------------------------------------------------------------------------------


class Withdraw(Frozen):
    reason: Annotated[str, Field(max_length=300)] = ""


class OfferAnswer(StrEnum):
    """The consumer's answer to keeping the goods for a part of the price (X30)."""

    ACCEPT = "accept"
    REFUSE = "refuse"


class AnswerOffer(Frozen):
    answer: OfferAnswer


class FindingAnswer(StrEnum):
    """The consumer's answer to a doorstep finding (X7)."""

    ACCEPT = "accept"
    DISPUTE = "dispute"
    WITHDRAW = "withdraw"


class AnswerFinding(Frozen):
    answer: FindingAnswer


class ProvideWaybill(Frozen):
    """Waybill of a parcel the consumer sent; `proven_freight` with a receipt (domain 4.2)."""

    waybill: Token
    courier: Token = "sandbox"
    proven_freight: Money | None = None


class ProvideAccount(Frozen):
    account_ref: Token


class Escalate(Frozen):
    reason: Annotated[str, Field(max_length=300)] = ""


class AnswerInfo(Frozen):
    """What was asked (X2): evidence by reference, a note without anything personal."""

    evidence: Annotated[tuple[EvidenceRef, ...], Field(max_length=20)] = ()
    note: Annotated[str, Field(max_length=300)] = ""


class RequestInfo(Frozen):
    """What the merchant must know first (X2), as a code: `photos`, `serial_number`, `fault`."""

    question: Code


class Authorize(Frozen):
    note: Annotated[str, Field(max_length=300)] = ""


class Decline(Frozen):
    reason: Code


class ConfirmReceipt(Frozen):
    """The goods came back in order, or as the doorstep check had found them. `contradicts_doorstep`: they are clean
    although the door had found something, which a human then rules on (domain 6, readings)."""

    contradicts_doorstep: bool = False
    note: Annotated[str, Field(max_length=300)] = ""


class ReportReceiptIssue(Frozen):
    """What the merchant found; at least one finding, evidence by reference. Without evidence there is no advance: a
    person rules first (X10)."""

    findings: Annotated[tuple[LineFinding, ...], Field(min_length=1, max_length=100)]
    evidence: Annotated[tuple[EvidenceRef, ...], Field(max_length=20)] = ()


class SubmitEvidence(Frozen):
    """Evidence of one party. `nothing_more`: in a dispute this side has said all it wants to say; evidence alone says
    so too. `by` is needed where there is no evidence; the API takes it from the token."""

    evidence: Annotated[tuple[EvidenceRef, ...], Field(max_length=20)] = ()
    nothing_more: bool = False
    by: Party | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.evidence and not (self.nothing_more and self.by):
            raise ValueError("give evidence, or say that there is nothing more, and who says so")
        if any(one.by is not self.side for one in self.evidence):
            raise ValueError("all of it is one party's")
        return self

    @property
    def side(self) -> Party:
        """Whose it is."""
        return self.by if self.by is not None else self.evidence[0].by


class Evidence(Frozen):
    """A piece of evidence as it is kept. `sha256` is missing where a courier's report named only a reference."""

    evidence_id: str
    ref: str
    sha256: Hash | None = None
    by: Party
    given_by: str | None = Field(default=None, description="identity of the token, if it came over the API")
    kind: EvidenceKind | None = None
    line_id: str | None = None
    source: str = Field(description="request, door, receipt or party")
    received_at: AwareDatetime


class EvidenceList(Frozen):
    """All evidence of a return, in the order received."""

    evidence: tuple[Evidence, ...]


class CreateAppeal(Frozen):
    """Ask for another reviewer: within 7 days of the notice of the ruling, once (X15)."""

    ruling_id: Token
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class Appeal(Frozen):
    """An appeal that was taken. `how`: `dispute` (heard now, the case is open), `kept` (money left already: corrected
    after the close), `correction` (the case is closed)."""

    appeal_id: Token
    ruling_id: Token
    by: Party
    at: AwareDatetime
    how: str = ""


class PickupOutcome(StrEnum):
    PICKED_UP = "picked_up"
    MISSED = "missed"
    NO_SHOW = "no_show"
    REJECTED = "rejected"


class CourierRefusal(StrEnum):
    """Why a courier refuses the goods at the door (X6). A courier's own words become one of these."""

    PROHIBITED = "prohibited"
    UNPACKED = "unpacked"
    UNSAFE = "unsafe"
    OTHER = "other"


class ConsumerAtDoor(StrEnum):
    """What the consumer said at the door to a finding."""

    AGREES = "agrees"
    DISPUTES = "disputes"
    WITHDRAWS = "withdraws"
    SILENT = "silent"


class DoorstepFinding(Frozen):
    """One line's doorstep finding with its photos."""

    line_id: Token
    finding: Finding
    quantity: Annotated[int, Field(ge=0, le=10_000)]
    severity: int | None = None
    photos: Annotated[tuple[str, ...], Field(max_length=20)] = ()
    consumer: ConsumerAtDoor = ConsumerAtDoor.SILENT


class PickupReport(Frozen):
    """A courier's visit. `collected` names the lines that went with the courier (picked_up only), `taken` everything
    that went under the waybill, of all its cases, as `merchant/rma/line`. `refusal` says why it was rejected."""

    event_id: Token
    outcome: PickupOutcome
    waybill: Token
    occurred_at: AwareDatetime
    reason: Code | None = None
    collected: Annotated[tuple[Token, ...], Field(max_length=50)] = ()
    inspected: bool = True
    findings: Annotated[tuple[DoorstepFinding, ...], Field(max_length=50)] = ()
    taken: Annotated[tuple[ItemRef, ...], Field(max_length=500)] = ()
    refusal: CourierRefusal | None = None


class TrackingStatus(StrEnum):
    IN_TRANSIT = "in_transit"
    DELIVERED = "delivered"
    LOST = "lost"
    FOUND = "found"
    RETURNED = "returned"


class TrackingReport(Frozen):
    """One movement of the parcel."""

    event_id: Token
    status: TrackingStatus
    waybill: Token
    occurred_at: AwareDatetime


class PaymentNews(StrEnum):
    """What a payment provider tells of a refund."""

    SETTLED = "settled"
    BOUNCED = "bounced"


class PaymentReport(Frozen):
    """News of the refund under a payment key. It moves no money by itself: the provider's books are asked."""

    event_id: Annotated[str, Field(min_length=1, max_length=400)]
    payment_key: Annotated[str, Field(min_length=1, max_length=400)]
    news: PaymentNews
    occurred_at: AwareDatetime


class RetryStep(Frozen):
    """Try a parked step again under the same key. Without `step`: the one that is parked longest."""

    step: Annotated[str, Field(max_length=300)] | None = None
    note: Annotated[str, Field(max_length=300)] = ""


class SkipStep(Frozen):
    """Go on without the parked step. A money step needs `provider_proof` (checked in its books) or an approval."""

    step: Annotated[str, Field(max_length=300)] | None = None
    provider_proof: bool = False
    approval_id: Token | None = None
    note: Annotated[str, Field(max_length=300)] = ""


class ExtendDeadline(Frozen):
    """More time for the present wait, in seconds from its present deadline."""

    seconds: Annotated[int, Field(ge=1, le=90 * 86_400)]
    note: Annotated[str, Field(max_length=300)] = ""


class ApplyRuling(Frozen):
    ruling_id: Token


class ApplyApproval(Frozen):
    approval_id: Token


class CloseCase(Frozen):
    reason: Annotated[str, Field(min_length=1, max_length=300)]


class Ack(Frozen):
    """Answer to an update: recorded (or a repeat of one recorded before), and where the case is now."""

    recorded: bool = True
    duplicate: bool = False
    stage: str
    note: str = ""


# ---- views ------------------------------------------------------------------------------------------------------


class WaitView(Frozen):
    """On whom the case waits, for what, since when and until when. `told`: when they were told, from which the deadline
    counts; until then `due` is what it would be had they been told at once."""

    on: Party
    code: str
    since: AwareDatetime
    due: AwareDatetime
    told: AwareDatetime | None = None


class AttentionView(Frozen):
    """Why the case is parked and the one thing to press."""

    reason: str
    headline: str
    step: str
    since: AwareDatetime
    due: AwareDatetime
    send: str
    runbook: str


class MoneyView(Frozen):
    """How much money is where, for this case."""

    paid: Money
    refundable: Money
    refunded: Money
    refund_under_way: Money
    withheld: Money
    indemnified: Money
    freight: Money
    remaining: Money


class ActionView(Frozen):
    """One update: possible now, or why not."""

    update: str
    role: str
    allowed: bool
    code: str | None = None
    why: str | None = None


class EventView(Frozen):
    """One thing that happened, for people."""

    at: AwareDatetime
    what: str
    by: Party


class CorrectionStatus(Frozen):
    """One correction of a closed case: what came up, what it waits for, how it ended."""

    merchant_id: Token
    rma_id: Token
    n: int
    kind: str
    state: str = Field(description="open or closed")
    outcome: str | None = None
    workflow_id: str
    event_id: str
    opened_at: AwareDatetime
    closed_at: AwareDatetime | None = None
    waiting: WaitView | None = None
    attention: AttentionView | None = None
    events: tuple[EventView, ...] = ()


class CaseStatus(Frozen):
    """The one typed view of a case."""

    merchant_id: Token
    rma_id: Token
    order_id: Token
    stage: str
    outcome: str | None = None
    regions: dict[str, str]
    waiting: WaitView | None = None
    attention: AttentionView | None = None
    money: MoneyView
    actions: tuple[ActionView, ...] = ()
    events: tuple[EventView, ...] = ()
    waybill: str | None = None
    offer: Money | None = Field(default=None, description="X30: open offer for keeping the goods")
    reopens: Token | None = Field(default=None, description="X2: the expired case that this one goes on from")
    closed: bool = False
    ruling_id: Token | None = Field(
        default=None, description="the ruling on liability that it goes by: the one that can be appealed against"
    )
    corrections: tuple[CorrectionStatus, ...] = Field(default=(), description="what came up after the close")


class Explanation(Frozen):
    """Every decision of a case, in the order made."""

    merchant_id: Token
    rma_id: Token
    decisions: tuple[Verdict, ...]


class CaseOutcome(Frozen):
    """How a case ended: the workflow's result."""

    merchant_id: Token
    rma_id: Token
    outcome: str = Field(description="refunded, declined, withdrawn, expired, retained or closed_by_operator")
    regions: dict[str, str]
    refunded: Money
    withheld: Money
    indemnified: Money
    freight: Money
    recovery: str | None = Field(default=None, description="workflow id of the recovery handed over, if any")


class ClaimRefund(Frozen):
    """Claim the unclaimed money of a closed return: pay it to this account."""

    account_ref: Token


class CorrectionOutcome(Frozen):
    """How a correction ended: the workflow's result."""

    merchant_id: Token
    rma_id: Token
    n: int
    kind: str
    outcome: str
    regions: dict[str, str]


# ---- authority --------------------------------------------------------------------------------------------------


class PrepareApproval(Frozen):
    """One money step put before a second person, bound to claim, amount and payee by hash (invariant 13). Who prepares
    it is whom the token names; another person approves it."""

    merchant_id: Token
    rma_id: Token | None = Field(default=None, description="none: it concerns the merchant (or `platform`), no case")
    subject: str = Field(description="the payment key or step that it approves")
    amount: Money
    payee: str
    note: Annotated[str, Field(max_length=300)] = ""


class Approval(Frozen):
    approval_id: Token
    merchant_id: Token
    rma_id: Token | None = None
    subject: str
    amount: Money
    payee: str
    prepared_by: str
    approved_by: str | None = Field(default=None, description="none: it waits for the second person")
    binding: Hash
    used: bool = False


class CreateRuling(Frozen):
    """A human decision on a question of the case: liability for a finding, a refusal, or a recovery."""

    merchant_id: Token
    rma_id: Token
    decides: str = Field(description="liability, authorization or recovery")
    outcome: str = Field(description="merchant, consumer, carrier, insurer; authorize, uphold; owed, uncollectable")
    findings: tuple[LineFinding, ...] | None = Field(default=None, description="replaces the findings, if given")
    shares: tuple[LiabilityShare, ...] = Field(
        default=(), max_length=3, description="what other parties are liable for besides: needs findings of its own"
    )
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    overrules: Token | None = Field(default=None, description="the ruling that was appealed against, on an appeal")

    @model_validator(mode="after")
    def _shares_fit(self) -> CreateRuling:
        if not self.shares:
            return self
        parties = [self.outcome, *(one.liable.value for one in self.shares)]
        if self.decides != "liability" or not self.findings:
            raise ValueError("shares: only of a ruling on liability that names findings of its own")
        if len(set(parties)) < len(parties) or {"nobody", "undetermined"} & set(parties):
            raise ValueError("shares: each party once, and only parties that can be liable")
        return self


class Ruling(Frozen):
    ruling_id: Token
    merchant_id: Token
    rma_id: Token
    decides: str
    outcome: str
    findings: tuple[LineFinding, ...] | None = None
    shares: tuple[LiabilityShare, ...] = ()
    reason: str
    ruled_by: str
    overrules: str | None = None
    facts_hash: str | None = Field(default=None, description="of the facts that the case was last decided on")
    book: BookRef | None = Field(default=None, description="the policy book of the case")
    at: AwareDatetime | None = None
    told_at: AwareDatetime | None = Field(
        default=None, description="when both sides had been told of it: the time to appeal begins here"
    )
