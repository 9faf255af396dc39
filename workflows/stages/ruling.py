"""A human rules: the case waits for the ruling, visibly. Domain 4.5, X8, X13."""

from __future__ import annotations

from backhaul.case import Region
from backhaul.facts import Party
from workflows.case_run import CaseRun


async def ruling(run: CaseRun, headline: str) -> str | None:
    """A human rules: wait for the ruling, visibly. None: an operator let the case go on without one."""
    run.regions.to(Region.DISPUTE, "open")
    run.mail.forget_decisions()
    await run.park(
        "ruling_needed",
        headline,
        step="liability",
        freed=lambda: run.mail.ruling is not None,
        within_s=run.judged.terms.ruling_s,
    )
    found, run.mail.ruling = run.mail.ruling, None
    run.regions.to(Region.DISPUTE, "ruled")
    run.regions.to(Region.DISPUTE, "final")
    if found is not None:
        run.tell(f"ruled: {found.outcome}", Party.OPERATOR)
    return found.id if found is not None else None
