"""What a courier's report leads to: X6 by reason, X9 by what happened last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from backhaul.messages import CourierRefusal, PickupOutcome, PickupReport, TrackingReport, TrackingStatus
from backhaul.policy.parcels import AfterRefusal, after_refusal, fate, refusal_word, refused_for

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
