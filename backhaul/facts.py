"""Facts: what a decision is allowed to know. Frozen, complete, stored with the decision by hash.

Weights are grams, volumes cubic centimetres, dates RFC 3339 in UTC, amounts minor units.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from backhaul.money import Money


class Frozen(BaseModel):
    """Base of every message and fact: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
"""An id or reference: safe in workflow ids, payment keys and logs."""


def not_said(value: object) -> bool:
    """A later field that nobody set is left out, so that what was said before keeps its digest."""
    return value is None


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a model or plain data: the identity of facts, books and requests."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Party(StrEnum):
    """The six parties, and the operator who acts for the platform."""

    CONSUMER = "consumer"
    MERCHANT = "merchant"
    COURIER = "courier"
    INSURER = "insurer"
    PLATFORM = "platform"
    PSP = "psp"
    OPERATOR = "operator"


class Method(StrEnum):
    """How the goods travel back."""

    PICKUP = "pickup"
    SELF_SHIP = "self_ship"


class RemedyKind(StrEnum):
    """What the consumer asks for: the money for the goods (退货退款), or the money alone (仅退款, X29)."""

    RETURN = "return"
    REFUND_ONLY = "refund_only"

    @property
    def is_return(self) -> bool:
        """Do goods come back?"""
        return self is RemedyKind.RETURN


class Reason(StrEnum):
    """Why the consumer returns. Quality, wrong item and arrival damage are the merchant's reasons (domain 4.1)."""

    NO_REASON = "no_reason"
    DONT_LIKE = "dont_like"
    WRONG_SIZE = "wrong_size"
    QUALITY = "quality"
    WRONG_ITEM = "wrong_item"
    ARRIVED_DAMAGED = "arrived_damaged"


class CoverKind(StrEnum):
    """Kinds of cover (domain 1)."""

    RFI = "RFI"
    RDV = "RDV"


class Risk(StrEnum):
    """Outcome of the risk rules (domain 4.6)."""

    ALLOW = "allow"
    STEP_UP = "step_up"
    REFER = "refer"
    DENY = "deny"


class Finding(StrEnum):
    """What an inspection found (domain 1)."""

    OK = "ok"
    DAMAGE = "damage"
    MISMATCH = "mismatch"
    MISSING = "missing"
    COUNTERFEIT = "counterfeit"
    UNVERIFIABLE = "unverifiable"


class Liable(StrEnum):
    """Who is liable for a loss (domain 4.5)."""

    MERCHANT = "merchant"
    CONSUMER = "consumer"
    CARRIER = "carrier"
    INSURER = "insurer"
    UNDETERMINED = "undetermined"
    NOBODY = "nobody"


class BookRef(Frozen):
    """A policy book by version and hash: the only way a book is named."""

    version: str
    hash: str


class LineFacts(Frozen):
    """One returned line of the order."""

    line_id: Token
    sku: str
    category: str
    ordered: int
    quantity: int = Field(description="units returned in this case")
    already_returned: int = Field(default=0, description="units of this line in other cases that are not withdrawn")
    paid: Money = Field(description="paid for the whole line after discounts")
    weight_g: int
    volume_cm3: int
    commission_bps: int = 0
    refunded_before: Money | None = Field(default=None, description="refunded on this line by other cases")
    commission_reversed_before: Money | None = None
    declared: Money | None = Field(
        default=None, description="RDV: declared value of the whole line, where lines declare one of their own"
    )


class CoverFacts(Frozen):
    """One cover in force for the order."""

    coverage_id: Token
    kind: CoverKind
    sum_insured: Money
    remaining: Money
    declared: Money | None = Field(
        default=None, description="RDV: declared value of the whole order's goods, None = full value"
    )
    insured_value: Money | None = Field(
        default=None, description="RDV: value of the order's goods that `declared` stands against, if recorded"
    )
    upper_tier: bool = Field(default=False, description="RDV: the upper tier was bought")
    bound_at: datetime
    book: BookRef


class ConsumerFacts(Frozen):
    """The consumer's profile and credit line (domain 4.4)."""

    consumer_ref: Token
    tier: int = Field(default=0, ge=0, le=5, description="S0 to S5")
    credit_limit: Money
    credit_used: Money
    frozen: bool = False
    risk: Risk = Risk.ALLOW


class RiskProfile(Frozen):
    """What our own books say of a consumer since a moment (domain 4.6). Counts only."""

    since: datetime
    orders: int = 0
    returns: int = Field(default=0, description="cases whose goods came back or are on the way")
    claims: int = Field(default=0, description="claims for losses that were not denied")
    swaps: int = Field(default=0, description="units found swapped, missing or counterfeit at the door")
    self_ships: int = Field(default=0, description="freight benefits of self-shipped returns")
    shared_address: int = Field(default=0, description="other consumers who returned from the same address")


class MerchantFacts(Frozen):
    """What the merchant agreed to."""

    merchant_id: Token
    auto_authorize: bool = True
    credit_tier: int = 0
    offers: bool = Field(default=False, description="opted in to save-the-sale (domain 4.7)")


class PaymentFacts(Frozen):
    """One original payment of the order: a refund goes back to it, bounded by what is left of it."""

    payment_id: Token
    captured: Money
    refunded: Money


class CaseFacts(Frozen):
    """Everything that the first judgement of a case knows."""

    merchant: MerchantFacts
    consumer: ConsumerFacts
    order_id: Token
    rma_id: Token
    requested_at: datetime
    signed_at: datetime | None
    reason: Reason
    method: Method
    lines: tuple[LineFacts, ...]
    covers: tuple[CoverFacts, ...] = ()
    payments: tuple[PaymentFacts, ...] = ()
    outbound_damage: bool = Field(default=False, description="outbound evidence shows that the goods arrived damaged")
    profile: RiskProfile | None = Field(default=None, description="None: the book has no risk rules of its own")
    remedy: RemedyKind = Field(default=RemedyKind.RETURN, exclude_if=lambda kind: kind.is_return)
    shipped_at: datetime | None = Field(default=None, exclude_if=not_said, description="X29: when the goods left")
    evidence: int = Field(default=0, exclude_if=lambda count: not count, description="X2: pieces with the request")

    def cover(self, kind: CoverKind) -> CoverFacts | None:
        """The cover of this kind in force, if any."""
        return next((cover for cover in self.covers if cover.kind is kind), None)


class LineFinding(Frozen):
    """One finding on one line: several on a line add up, at most the line's value."""

    line_id: Token
    finding: Finding
    quantity: int = Field(ge=0, description="units affected")
    severity: int | None = Field(default=None, description="percent, for damage: one of the book's severities")
    salvage: Money | None = Field(default=None, description="for mismatch, lost and counterfeit")


class LiabilityShare(Frozen):
    """What one party is liable for, where a loss has more than one cause (domain 4.5)."""

    liable: Liable
    findings: tuple[LineFinding, ...] = Field(min_length=1)


class InspectionResult(StrEnum):
    """Result of one inspection as a whole."""

    OK = "ok"
    FINDING = "finding"
    WAIVED = "waived"
    IMPOSSIBLE = "impossible"


class Inspection(Frozen):
    """What was found, at the door or at the receipt."""

    result: InspectionResult
    findings: tuple[LineFinding, ...] = ()
    at: datetime


class Text(Frozen):
    """One sentence in both languages of the product."""

    en: str
    zh: str


class Verdict(Frozen):
    """A decision that can explain itself: outcome, reason codes, the numbers used, the rules applied."""

    decision: str
    outcome: str
    reasons: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    numbers: dict[str, int | str | bool | None] = Field(default_factory=dict)
    text: Text
    book: BookRef
    facts_hash: str

    @property
    def yes(self) -> bool:
        """Does the outcome say that the asked-for thing may happen?"""
        return self.outcome in {"yes", "eligible", "allow", "auto", "open"}
