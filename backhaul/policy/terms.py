"""Terms: the durations and thresholds that orchestration needs, flat and small enough for a history."""

from __future__ import annotations

from datetime import timedelta

from backhaul.facts import BookRef, Frozen
from backhaul.policy.book import PolicyBook


class Terms(Frozen):
    """What a workflow waits for and counts to. `_s` is seconds, `_minor` minor units of `currency`."""

    book: BookRef
    currency: str
    utc_offset_minutes: int
    merchant_silence_s: float
    merchant_reminder_s: float
    info_answer_s: float
    max_reopens: int
    offer_answer_s: float
    self_ship_s: float
    slot_lead_s: float
    slot_length_s: float
    slot_grace_s: float
    max_misses: int
    max_no_shows: int
    no_show_total_s: float
    couriers: tuple[str, ...]
    cancel_answer_s: float
    finding_answer_s: float
    denial_evidence_s: float
    ruling_s: float
    trace_s: float
    lost_s: float
    receipt_finding_s: float
    receipt_silence_s: float
    escalation_s: float
    dispute_evidence_s: float
    appeal_s: float
    insurer_decision_s: float
    insurer_complex_s: float
    insurer_payment_s: float
    authority_s: float
    authority_limit_minor: int
    lookup_delays_s: tuple[float, ...]
    account_answer_s: float
    unclaimed_s: float
    unclaimed_reminders: int
    payer_alarms_s: tuple[float, ...]
    payer_closed_s: float
    clawback_notice_s: float
    refund_only_s: float
    receivable_s: float
    demand_answer_s: float
    consumer_collect_s: float
    waiver_minor: int
    undeclared_cap_freights: int
    park_s: float
    set_off_on_silence: bool = True


def _s(span: timedelta) -> float:
    return span.total_seconds()


def terms_of(book: PolicyBook) -> Terms:
    """The terms of a book: the one at the request, since timers and procedure follow it (invariant 16)."""
    timers, pickup, recovery = book.timers, book.pickup, book.recovery
    return Terms(
        book=book.ref,
        currency=book.currency,
        utc_offset_minutes=book.eligibility.utc_offset_minutes,
        merchant_silence_s=_s(timers.merchant_silence),
        merchant_reminder_s=_s(timers.merchant_reminder),
        info_answer_s=_s(timers.info_answer),
        max_reopens=book.authorization.max_reopens,
        offer_answer_s=_s(timers.offer_answer),
        self_ship_s=_s(timers.self_ship),
        slot_lead_s=_s(pickup.slot_lead),
        slot_length_s=_s(pickup.slot_length),
        slot_grace_s=_s(pickup.slot_grace),
        max_misses=pickup.max_misses,
        max_no_shows=pickup.max_no_shows,
        no_show_total_s=_s(pickup.no_show_total),
        couriers=pickup.couriers,
        cancel_answer_s=_s(timers.cancel_answer),
        finding_answer_s=_s(timers.finding_answer),
        denial_evidence_s=_s(timers.denial_evidence),
        ruling_s=_s(timers.ruling),
        trace_s=_s(timers.trace),
        lost_s=_s(timers.lost),
        receipt_finding_s=_s(timers.receipt_finding),
        receipt_silence_s=_s(timers.receipt_silence),
        escalation_s=_s(timers.escalation),
        dispute_evidence_s=_s(timers.dispute_evidence),
        appeal_s=_s(timers.appeal),
        insurer_decision_s=_s(timers.insurer_decision),
        insurer_complex_s=_s(timers.insurer_complex),
        insurer_payment_s=_s(timers.insurer_payment),
        authority_s=_s(timers.authority),
        authority_limit_minor=book.rdv.authority_limit.minor,
        lookup_delays_s=tuple(_s(delay) for delay in timers.lookup_delays),
        account_answer_s=_s(timers.account_answer),
        unclaimed_s=_s(timers.unclaimed),
        unclaimed_reminders=timers.unclaimed_reminders,
        payer_alarms_s=tuple(_s(alarm) for alarm in timers.payer_alarms),
        payer_closed_s=_s(timers.payer_closed),
        clawback_notice_s=_s(timers.clawback_notice),
        refund_only_s=_s(timers.refund_only_decision),
        receivable_s=_s(book.settlement.receivable),
        demand_answer_s=_s(recovery.demand_answer),
        consumer_collect_s=_s(recovery.consumer_collect),
        waiver_minor=recovery.waiver_below.minor,
        undeclared_cap_freights=recovery.undeclared_cap_freights,
        park_s=_s(timers.park),
        set_off_on_silence=recovery.set_off_on_silence is not False,
    )
