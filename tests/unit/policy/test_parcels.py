"""What a courier's report leads to: X6 by reason, X9 by what happened last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from backhaul.ids import CaseId
from backhaul.messages import CourierRefusal, PickupOutcome, PickupReport, TrackingReport, TrackingStatus
from backhaul.policy.parcels import (
    AfterRefusal,
    after_refusal,
    correction_of,
    fate,
    refusal_word,
    refused_for,
    turned_up,
)

AT = datetime(2025, 6, 3, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("refusal", "brought", "leads_to"),
    [
        (CourierRefusal.UNPACKED, False, AfterRefusal.REBOOK_WITH_PACKAGING),
        (CourierRefusal.UNPACKED, True, AfterRefusal.HUMAN),
        (CourierRefusal.UNSAFE, False, AfterRefusal.SELF_SHIP),
        (CourierRefusal.PROHIBITED, False, AfterRefusal.HUMAN),
        (CourierRefusal.OTHER, False, AfterRefusal.HUMAN),
    ],
)
def test_every_refusal_leads_somewhere(refusal: CourierRefusal, brought: bool, leads_to: AfterRefusal) -> None:
    assert after_refusal(refusal, packaging_brought=brought) is leads_to


@pytest.mark.parametrize(
    ("word", "refusal"),
    [
        ("prohibited", CourierRefusal.PROHIBITED),
        ("packaging", CourierRefusal.UNPACKED),
        ("unsafe", CourierRefusal.UNSAFE),
        ("raining", CourierRefusal.OTHER),
        (None, CourierRefusal.OTHER),
    ],
)
def test_a_courier_s_word_is_one_of_ours(word: str | None, refusal: CourierRefusal) -> None:
    assert refusal_word(word) is refusal
    report = PickupReport(
        event_id="e", outcome=PickupOutcome.REJECTED, waybill="w", occurred_at=AT, reason=word, refusal=None
    )
    assert refused_for(report) is refusal
    assert refused_for(report.model_copy(update={"refusal": CourierRefusal.UNSAFE})) is CourierRefusal.UNSAFE


@pytest.mark.parametrize(
    ("story", "ends"),
    [
        ("", None),
        ("in_transit", None),
        ("in_transit delivered", "delivered"),
        ("lost", "lost"),
        ("lost lost", "lost"),
        ("lost found", None),
        ("lost found lost", "lost"),
        ("lost in_transit", None),
        ("lost delivered", "delivered"),
        ("delivered lost", "delivered"),
        ("lost found returned", "returned"),
        ("delivered returned", "delivered"),
        ("returned delivered", "returned"),
    ],
)
def test_the_times_decide_and_not_the_order_of_arrival(story: str, ends: str | None) -> None:
    told = [
        TrackingReport(event_id=f"e{n}", status=TrackingStatus(word), waybill="w", occurred_at=AT + timedelta(hours=n))
        for n, word in enumerate(story.split())
    ]
    for arrived in permutations(told):
        end = fate(arrived)
        assert (None if end is None else end.status.value) == ends


CASE = CaseId("m1", "r1")


def moved(status: str) -> TrackingReport:
    return TrackingReport(event_id="e", status=TrackingStatus(status), waybill="w", occurred_at=AT)


def visited(outcome: PickupOutcome, *collected: str) -> PickupReport:
    return PickupReport(event_id="e", outcome=outcome, waybill="w", occurred_at=AT, collected=collected)


@pytest.mark.parametrize(
    ("logistics", "report", "kind"),
    [
        ("lost", moved("delivered"), "parcel_found"),
        ("lost", moved("found"), "parcel_found"),
        ("lost", moved("returned"), "parcel_found"),
        ("lost", moved("in_transit"), None),
        ("lost", moved("lost"), None),
        ("lost", visited(PickupOutcome.PICKED_UP, "l1"), None),
        ("not_required", visited(PickupOutcome.PICKED_UP, "l1"), "late_scan"),
        ("not_required", visited(PickupOutcome.PICKED_UP), None),
        ("not_required", visited(PickupOutcome.MISSED), None),
        ("not_required", moved("in_transit"), "late_scan"),
        ("receipt_confirmed", moved("delivered"), None),
        ("returned_to_consumer", moved("returned"), None),
        ("", moved("delivered"), None),
    ],
)
def test_what_is_corrected_after_the_close(
    logistics: str, report: PickupReport | TrackingReport, kind: str | None
) -> None:
    found = correction_of(CASE, logistics, report)
    assert (None if found is None else found[0].value) == kind
    if found is not None:
        assert found[1].event_id == f"{kind}:m1/r1:w"


def test_a_movement_that_was_told_late_is_no_sign_of_life() -> None:
    assert turned_up([moved("in_transit"), moved("lost")]) is None
    assert turned_up([moved("in_transit"), moved("found")]) == moved("found")


def test_a_shared_parcel_that_moves_says_nothing_of_a_case_that_left_it() -> None:
    assert correction_of(CASE, "not_required", moved("delivered"), alone=False) is None
    assert correction_of(CASE, "not_required", moved("delivered"), alone=True) is not None
    assert correction_of(CASE, "lost", moved("found"), alone=False) is not None
