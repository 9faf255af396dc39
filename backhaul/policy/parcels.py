"""What a courier's report leads to: a refusal at the door (X6), and where a parcel is by all that was told (X9)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from backhaul.messages import CourierRefusal, PickupReport, TrackingReport, TrackingStatus

_WORDS = {
    "packaging": CourierRefusal.UNPACKED,
    "not_packed": CourierRefusal.UNPACKED,
    "dangerous": CourierRefusal.UNSAFE,
    "forbidden": CourierRefusal.PROHIBITED,
}


class AfterRefusal(StrEnum):
    """What a refusal leads to."""

    REBOOK_WITH_PACKAGING = "rebook_with_packaging"
    SELF_SHIP = "self_ship"
    HUMAN = "human"


def refusal_word(reason: str | None) -> CourierRefusal:
    """A courier's own word as one of ours; `other` for every word that we do not know."""
    if reason in set(CourierRefusal):
        return CourierRefusal(reason)
    return _WORDS.get(reason or "", CourierRefusal.OTHER)


def refused_for(report: PickupReport) -> CourierRefusal:
    """Why the courier refused: as the report says, or by its free word."""
    return report.refusal or refusal_word(report.reason)


def after_refusal(refusal: CourierRefusal, *, packaging_brought: bool) -> AfterRefusal:
    """X6: unpacked goods get packaging with the next visit, once; unsafe ones the consumer sends; a human decides on
    prohibited ones, and on everything that the rules do not know."""
    match refusal:
        case CourierRefusal.UNPACKED:
            return AfterRefusal.HUMAN if packaging_brought else AfterRefusal.REBOOK_WITH_PACKAGING
        case CourierRefusal.UNSAFE:
            return AfterRefusal.SELF_SHIP
        case _:
            return AfterRefusal.HUMAN


def fate(told: Iterable[TrackingReport]) -> TrackingReport | None:
    """X9: the report that ends a parcel's way, by the times at which things happened: delivered, lost, or returned to
    the consumer. None while it is under way. What moves or is found after a loss is not lost; nothing undoes a
    delivery or a return."""
    end: TrackingReport | None = None
    for report in sorted(told, key=lambda item: item.occurred_at):
        match report.status:
            case TrackingStatus.DELIVERED | TrackingStatus.RETURNED:
                return report
            case TrackingStatus.LOST:
                end = end or report
            case _:
                end = None
    return end
