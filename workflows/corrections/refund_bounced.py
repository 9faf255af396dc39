"""A refund that had succeeded came back after the close: J60, then J61 or J62. Domain 6."""

from __future__ import annotations

from backhaul.errors import CODES
from workflows.correction_run import CorrectionRun
from workflows.stages.refunding import bounced


async def refund_bounced(run: CorrectionRun) -> str:
    """Paid another way, kept as unclaimed, or nothing, where the provider's books do not show it."""
    key = run.request.event.payment_key
    while key is None:
        await run.park("step_failed", CODES["invalid_input"], step="refund_bounced", skippable=False)
    paid = await bounced(run, key)
    if paid is None:
        return "not_confirmed"
    return "paid_otherwise" if paid else "unclaimed"
