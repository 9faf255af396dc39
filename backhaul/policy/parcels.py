"""What a courier's report leads to: a refusal at the door (X6), where a parcel is by all that was told (X9), and what
is corrected after the close (domain 2.10)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from backhaul.corrections import CorrectionEvent, CorrectionKind
from backhaul.facts import Party
from backhaul.ids import CaseId
from backhaul.messages import CourierRefusal, PickupOutcome, PickupReport, TrackingReport, TrackingStatus

_WORDS = {
    "packaging": CourierRefusal.UNPACKED,
    "not_packed": CourierRefusal.UNPACKED,
    "dangerous": CourierRefusal.UNSAFE,
    "forbidden": CourierRefusal.PROHIBITED,
}

THERE = frozenset({TrackingStatus.FOUND, TrackingStatus.DELIVERED, TrackingStatus.RETURNED})
"""What is told of a parcel that is not lost."""


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


def turned_up(told: Iterable[TrackingReport]) -> TrackingReport | None:
    """The first sign, by time, that a parcel which was given up as lost is there. A movement that was only told late is
    none."""
    signs = [report for report in told if report.status in THERE]
    return min(signs, key=lambda item: item.occurred_at, default=None)


def correction_of(
    case: CaseId, logistics: str, report: PickupReport | TrackingReport, *, alone: bool = True
) -> tuple[CorrectionKind, CorrectionEvent] | None:
    """What a courier's report on a closed case starts: a parcel that was lost turned up, or goods that nobody waited
    for any more were scanned. `logistics` is the region's last state. One parcel of a case starts one correction.

    `alone`: no other case shares the waybill. Of a shared parcel only the scan says whose goods are in it."""
    if isinstance(report, PickupReport):
        if report.outcome is not PickupOutcome.PICKED_UP or not report.collected or logistics != "not_required":
            return None
        return CorrectionKind.LATE_SCAN, _event(case, CorrectionKind.LATE_SCAN, report, "scanned")
    if logistics == "not_required" and alone:
        return CorrectionKind.LATE_SCAN, _event(case, CorrectionKind.LATE_SCAN, report, report.status.value)
    if logistics == "lost" and report.status in THERE:
        return CorrectionKind.PARCEL_FOUND, found_event(case, report)
    return None


def found_event(case: CaseId, report: TrackingReport) -> CorrectionEvent:
    """A parcel that the case was settled on as lost turned up."""
    return _event(case, CorrectionKind.PARCEL_FOUND, report, report.status.value)


def sign_of(event: CorrectionEvent) -> TrackingReport | None:
    """The courier's report that made a correction follow a parcel."""
    if event.waybill is None or event.reason not in THERE:
        return None
    return TrackingReport(
        event_id=f"turned_up.{event.waybill}"[:100],
        status=TrackingStatus(event.reason),
        waybill=event.waybill,
        occurred_at=event.occurred_at,
    )


def _event(case: CaseId, kind: CorrectionKind, report: PickupReport | TrackingReport, reason: str) -> CorrectionEvent:
    return CorrectionEvent(
        event_id=f"{kind.value}:{case.key}:{report.waybill}",
        occurred_at=report.occurred_at,
        by=Party.COURIER,
        waybill=report.waybill,
        reason=reason,
    )
