"""What corrections do, one module a kind: each takes the desk and gives one word for how it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from backhaul.corrections import CorrectionKind
from workflows.correction_run import CorrectionRun
from workflows.corrections.refund_bounced import refund_bounced
from workflows.corrections.refund_claimed import refund_claimed
from workflows.corrections.resettled import appeal, late_scan, parcel_found

Kind = Callable[[CorrectionRun], Awaitable[str]]

KINDS: Mapping[CorrectionKind, Kind] = {
    CorrectionKind.REFUND_BOUNCED: refund_bounced,
    CorrectionKind.REFUND_CLAIMED: refund_claimed,
    CorrectionKind.PARCEL_FOUND: parcel_found,
    CorrectionKind.LATE_SCAN: late_scan,
    CorrectionKind.APPEAL: appeal,
}
"""The story of each kind that this worker knows."""
