"""The parts of a policy book. Every number of the rules is a field here, with the rule it belongs to."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from backhaul.facts import Reason
from backhaul.policy.values import Amount, Duration, Section

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Days = Annotated[int, Field(ge=0, le=3_650)]
Points = Annotated[int, Field(ge=0, le=1_000_000)]
Basis = Annotated[int, Field(ge=0, le=10_000, description="basis points: 10000 is all of it")]


class Eligibility(Section):
    """Rule 4.1: windows in calendar days at the market's offset, from the day after signing."""

    no_reason_days: Days
    quality_days: Days
    utc_offset_minutes: Annotated[int, Field(ge=-840, le=840)]
    excluded_categories: tuple[str, ...] = Field(description="categories without a no-reason return")
    merchant_reasons: tuple[Reason, ...] = Field(
        description="reasons that are the merchant's: quality window, merchant bears freight"
    )


class Authorization(Section):
    """Rule 4.1: which requests the merchant looks at, when they authorise the rest automatically."""

    review_reasons: tuple[Reason, ...] = Field(description="reasons that go to the merchant above the amount")
    review_above: Amount
    max_reopens: Count = Field(description="X2: how often an expired case may be opened again")
    evidence_reasons: tuple[Reason, ...] = Field(
        default=(),
        exclude_if=lambda reasons: not reasons,
        description="X2: reasons for which evidence is asked for where the request brings none",
    )


class Zone(Section):
    """One row of the freight table."""

    first: Amount
    additional: Amount


class Freight(Section):
    """Rule 4.2: weight, tariff and the return-freight cover."""

    volume_cm3_per_kg: Count
    first_g: Count
    step_g: Count
    zones: dict[str, Zone]
    default_zone: str = Field(description="the row for every zone that has none")
    self_ship_flat: Amount = Field(description="most that a self-shipping consumer gets")
    rfi_default_sum: Amount
    rfi_bulky_sum: Amount

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.default_zone not in self.zones:
            raise ValueError(f"default_zone {self.default_zone!r} is not in the zone table")
        if self.rfi_default_sum > self.rfi_bulky_sum:
            raise ValueError("rfi_default_sum is above rfi_bulky_sum")
        return self


class Rdv(Section):
    """Rule 4.3: loss and indemnity under the reverse declared value."""

    severities: tuple[int, ...] = Field(min_length=1, description="percent of value, ascending")
    free_below: Amount = Field(description="a line whose unit price is below is in the free tier")
    free_at_boundary: bool = Field(description="is a unit price of exactly free_below still free?")
    deductible: Amount
    authority_limit: Amount = Field(description="above it, per case and payee, a second person approves")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if (
            list(self.severities) != sorted(set(self.severities))
            or not 0 < self.severities[0] <= self.severities[-1] <= 100
        ):
            raise ValueError("severities must ascend within 1 to 100")
        return self


class Lightning(Section):
    """Rule 4.4: the gate of the refund before the goods arrive."""

    min_tier: Annotated[int, Field(ge=0, le=5)]
    categories: tuple[str, ...] = Field(min_length=1, description='"*" is every category')
    excluded_categories: tuple[str, ...]
    max_amount: Amount
    self_ship_allowed: bool


class Offer(Section):
    """Rule 4.7: save-the-sale."""

    reasons: tuple[Reason, ...]
    min_value: Amount
    paid_bps: Basis = Field(description="share of the paid amount that is offered")
    freight_cap_percent: Annotated[
        int, Field(ge=0, le=1_000, description="the offer is at most this percent of the freight")
    ]


class RefundOnly(Section):
    """X29: refund without return, the dated rule."""

    platform_may_force: bool = Field(description="may the platform grant it against the merchant's will?")


class Timers(Section):
    """Rule 5: how long each wait lasts."""

    merchant_silence: Duration = Field(description="X1")
    merchant_reminder: Duration = Field(description="X1, X11")
    info_answer: Duration = Field(description="X2")
    self_ship: Duration = Field(description="X3")
    finding_answer: Duration = Field(description="X7: the consumer's answer to a finding")
    denial_evidence: Duration = Field(description="X8: evidence after a denied finding")
    ruling: Duration = Field(description="X8, X13, X14: a human rules")
    trace: Duration = Field(description="X9: no movement, a trace is asked for")
    lost: Duration = Field(description="X9: no movement, the parcel counts as lost")
    receipt_finding: Duration = Field(description="X10: a finding with an advance, from signing")
    receipt_silence: Duration = Field(description="X11: the timer accepts for the merchant")
    escalation: Duration = Field(description="X13")
    dispute_evidence: Duration = Field(description="X14, per side")
    appeal: Duration = Field(description="X15")
    insurer_decision: Duration = Field(description="X16, simple claims")
    insurer_complex: Duration = Field(description="X16, complex claims")
    insurer_payment: Duration = Field(description="X16, from the decision")
    authority: Duration = Field(description="X17: the second person")
    account_answer: Duration = Field(description="X19")
    unclaimed: Duration = Field(description="X20")
    unclaimed_reminders: Count = Field(description="X20, spread over the time")
    payer_alarms: tuple[Duration, ...] = Field(description="X21, ascending")
    payer_closed: Duration = Field(description="X21: the channel closes the refund")
    cancel_answer: Duration = Field(description="X23: the courier confirms the void")
    clawback_notice: Duration = Field(description="X26")
    refund_only_decision: Duration = Field(description="X29")
    offer_answer: Duration = Field(description="X30")
    park: Duration = Field(description="a parked case is looked at again")
    lookup_delays: tuple[Duration, ...] = Field(min_length=1, description="X18: when to look up an unknown result")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        pairs = (
            ("merchant_reminder", self.merchant_reminder, "merchant_silence", self.merchant_silence),
            ("trace", self.trace, "lost", self.lost),
            ("insurer_decision", self.insurer_decision, "insurer_complex", self.insurer_complex),
            ("receipt_finding", self.receipt_finding, "receipt_silence", self.receipt_silence),
        )
        for early, first, late, second in pairs:
            if first >= second:
                raise ValueError(f"{early} must be shorter than {late}")
        if list(self.lookup_delays) != sorted(self.lookup_delays):
            raise ValueError("lookup_delays must not fall")
        if list(self.payer_alarms) != sorted(set(self.payer_alarms)):
            raise ValueError("payer_alarms must ascend")
        if self.payer_alarms and self.payer_alarms[-1] >= self.payer_closed:
            raise ValueError("payer_alarms must be shorter than payer_closed")
        for name, value in self:
            for span in value if isinstance(value, tuple) else (value,):
                if not isinstance(span, int) and not span:
                    raise ValueError(f"{name} must not be zero")
        return self


class Pickup(Section):
    """X4 to X6: slots and attempts of a courier's visit."""

    slot_lead: Duration = Field(description="from booking to the start of the slot")
    slot_length: Duration
    slot_grace: Duration = Field(description="X4: after the slot's end the visit counts as missed")
    max_misses: Count = Field(description="X4: then another courier or self-ship")
    max_no_shows: Count = Field(description="X5: then the case expires")
    no_show_total: Duration = Field(description="X5: all attempts together")
    couriers: tuple[str, ...] = Field(min_length=1, description="in the order in which they are asked")

    @model_validator(mode="after")
    def _visits(self) -> Self:
        if not self.slot_length:
            raise ValueError("slot_length must not be zero")
        if len(set(self.couriers)) != len(self.couriers):
            raise ValueError("a courier is listed twice")
        if self.no_show_total <= self.slot_lead + self.slot_length + self.slot_grace:
            raise ValueError("no_show_total must leave room for one visit")
        return self


class Liability(Section):
    """Rule 4.5: what decides when the evidence does not."""

    outbound_evidence_counts: bool = Field(description="may outbound evidence move a doorstep finding to the merchant?")


class Settlement(Section):
    """X22 and rule 6, netting."""

    cycle: Duration
    receivable: Duration = Field(description="X22: a shortfall stays a receivable, then is written off")
    max_children: Count = Field(description="merchants settled at the same time")

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if not self.cycle or not self.receivable:
            raise ValueError("cycle and receivable must not be zero")
        return self


class Coefficient(Section):
    """Rule 4.6: one input of the score. Up to `free` it scores nothing, then `weight` points a unit, `most` at most."""

    free: Points
    weight: Points
    most: Points


class RiskRules(Section):
    """Rule 4.6: what our own books know of a consumer, and what that leads to."""

    window: Duration = Field(description="how far back is counted")
    min_returns: Count = Field(description="fewer returns say nothing about a return rate")
    refer_swaps: Count = Field(description="swaps found at the door from which a person looks first")
    deny_swaps: Count = Field(description="swaps found at the door from which cover is refused")
    step_up_from: Count = Field(description="score from which the goods are checked before the money leaves")
    refer_from: Count = Field(description="score from which a person looks first")
    return_rate: Coefficient = Field(description="returns in percent of orders")
    claims: Coefficient = Field(description="claims for losses under RDV")
    swaps: Coefficient = Field(description="units found swapped, missing or counterfeit at the door")
    self_ships: Coefficient = Field(description="freight benefits of self-shipped returns")
    shared_address: Coefficient = Field(description="other consumers who return from the same address")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.step_up_from >= self.refer_from or self.refer_swaps > self.deny_swaps:
            raise ValueError("step_up_from must be below refer_from, refer_swaps at most deny_swaps")
        if not self.window:
            raise ValueError("window must not be zero")
        return self


class Recovery(Section):
    """X27, X28: getting an indemnity back."""

    waiver_below: Amount = Field(description="less is not demanded from a consumer")
    demand_answer: Duration = Field(description="X27")
    consumer_collect: Duration = Field(description="X28, from the ruling")
    undeclared_cap_freights: Count = Field(description="X27: an undeclared waybill is liable for this many freights")
    set_off_on_silence: bool | None = Field(
        default=None, description="X27: may a demand that the carrier leaves unanswered be set off? Unsaid: yes"
    )

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if not self.demand_answer or not self.consumer_collect:
            raise ValueError("demand_answer and consumer_collect must not be zero")
        return self
