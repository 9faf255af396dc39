"""What an operator reads in the Temporal UI: the current details in markdown (architecture 3.2). No personal data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backhaul.attention import REASONS
from backhaul.markdown import table
from backhaul.money import Money

if TYPE_CHECKING:
    from workflows.case_run import CaseRun
    from workflows.desk import Desk, Parked, Wait

RUNBOOKS = "docs/runbooks"


def runbook(reason: str) -> str:
    """Where the page for this attention reason is, in the product's own documentation."""
    return f"{RUNBOOKS}/{reason}.md"


def what_to_send(parked: Parked) -> str:
    """The exact update that frees this step."""
    return REASONS[parked.reason].send


def money_rows(run: CaseRun) -> list[tuple[str, Money]]:
    """The case's money, line by line."""
    sums = run.sums
    refundable = run.judged.refundable
    return [
        ("refundable", refundable),
        ("refunded", run.money(sums.refunded)),
        ("refund under way", run.money(sums.under_way)),
        ("withheld for the loss", run.money(sums.withheld)),
        ("indemnified to the merchant", run.money(sums.indemnified)),
        ("freight of this return", run.money(sums.freight)),
    ]


def render(run: CaseRun) -> str:
    """Headline, money table, why, the exact update to send, runbook link."""
    if run.judgement is None:
        return "Reading the facts of the order."
    parts = [headline(run)]
    if run.hearing is not None:
        parts.append(f"In dispute: `{run.hearing.workflow_id}`, {run.hearing.phase.value}.")
    parts.append(table(("money", "amount"), money_rows(run), numbers=frozenset({"amount"})))
    parts.append(" · ".join(f"{name} *{state}*" for name, state in run.regions.plain().items() if state != "none"))
    recent = "\n".join(f"- {event.at:%m-%d %H:%M:%S} {event.by.value}: {event.what}" for event in run.events[-6:])
    if recent:
        parts.append(recent)
    return "\n\n".join(parts)


def headline(desk: Desk) -> str:
    """What it waits for; when parked: why, what to send, and where to read more."""
    attention, wait = desk.attention(), desk.shown_wait
    if attention is not None:
        since, again = f"{attention.since:%Y-%m-%d %H:%M:%S}", f"{attention.due:%Y-%m-%d %H:%M:%S}"
        lines = (
            f"## Parked: {REASONS[attention.reason].meaning}",
            attention.headline,
            f"**Why** `{attention.reason}` at `{attention.step}`, since {since} UTC; alarm again at {again} UTC.",
            f"**Send** `{attention.send}`",
            f"**Runbook** `{attention.runbook}`",
        )
        return "\n\n".join(lines if desk.stuck else (*lines, _goes_on(desk, wait)))
    return _goes_on(desk, wait)


def _goes_on(desk: Desk, wait: Wait | None) -> str:
    """What the story waits for by itself."""
    if wait is None:
        return f"## {desk.stage_name()}"
    until = f"{wait.due:%Y-%m-%d %H:%M:%S} UTC"
    return f"## Waits on {wait.on.value}: {wait.code.replace('_', ' ')} until {until}"
