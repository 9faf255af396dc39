"""How cases look in a terminal. Money in major units with its currency."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text as Line

from backhaul.cli.cases import Stuck
from backhaul.messages import CaseStatus, CorrectionStatus, Explanation, MoneyView

LAST_EVENTS = 12


def moment(at: datetime | None) -> str:
    """A time as people read it, in its own offset."""
    return "" if at is None else at.isoformat(sep=" ", timespec="seconds")


def show_case(console: Console, status: CaseStatus) -> None:
    """One case: headline, what it waits for, money, regions, what may be done, what happened."""
    ended = f", {status.outcome}" if status.outcome else ""
    title = f"{status.merchant_id}/{status.rma_id}  order {status.order_id}  [bold]{status.stage}[/bold]{ended}"
    parts: list[RenderableType] = []
    if status.attention is not None:
        parts.append(Line(f"PARKED {status.attention.reason}: {status.attention.headline}", style="bold red"))
        parts.append(Line(f"since {moment(status.attention.since)}, due {moment(status.attention.due)}"))
        parts.append(Line(f"send: {status.attention.send}   runbook: {status.attention.runbook}"))
    if status.waiting is not None:
        waiting = status.waiting
        span = f"since {moment(waiting.told or waiting.since)}, until {moment(waiting.due)}"
        parts.append(Line(f"waits on {waiting.on.value} for {waiting.code}, {span}"))
    if status.offer is not None:
        parts.append(Line(f"offered {status.offer} for keeping the goods"))
    if status.reopens:
        parts.append(Line(f"opened again after {status.reopens} expired"))
    if status.waybill:
        parts.append(Line(f"waybill {status.waybill}"))
    parts.append(_money(status.money))
    if status.regions:
        parts.append(Line("  ".join(f"{name} {state}" for name, state in status.regions.items()), style="dim"))
    allowed = [f"{action.update} ({action.role})" for action in status.actions if action.allowed]
    if allowed:
        parts.append(Line(f"possible now: {', '.join(allowed)}"))
    parts.extend(Line(f"{moment(event.at)}  {event.by.value}: {event.what}") for event in status.events[-LAST_EVENTS:])
    parts.extend(_correction(one) for one in status.corrections)
    console.print(Panel(Group(*parts), title=title, title_align="left"))


def _correction(one: CorrectionStatus) -> Line:
    """One line: number, what came up, how it ended or what it waits for."""
    said = f"correction {one.n}, {one.kind} since {moment(one.opened_at)}: {one.outcome or one.state}"
    if one.attention is not None:
        return Line(f"{said}, PARKED {one.attention.reason}: send {one.attention.send}", style="bold red")
    if one.waiting is not None:
        said += f", waits on {one.waiting.on.value} for {one.waiting.code} until {moment(one.waiting.due)}"
    return Line(said)


def _money(money: MoneyView) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    amounts = [(name.replace("_", " "), getattr(money, name)) for name in MoneyView.model_fields]
    for name, _ in amounts:
        table.add_column(name, justify="right")
    table.add_row(*(str(amount) for _, amount in amounts))
    return table


def show_explanation(console: Console, explanation: Explanation, *, chinese: bool) -> None:
    """Every decision: outcome, text, reasons, rules, numbers."""
    for verdict in explanation.decisions:
        table = Table(title=f"{verdict.decision}: {verdict.outcome}", title_justify="left", show_header=False, box=None)
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        table.add_row("why", verdict.text.zh if chinese else verdict.text.en)
        for name, values in (("reasons", verdict.reasons), ("rules", verdict.rules)):
            if values:
                table.add_row(name, ", ".join(values))
        for name, value in verdict.numbers.items():
            table.add_row(name, str(value))
        table.add_row("book", f"{verdict.book.version} {verdict.book.hash[:12]}")
        console.print(table)
    if not explanation.decisions:
        console.print("no decision yet")


def show_stuck(console: Console, found: Sequence[Stuck]) -> None:
    """What is parked, the most urgent first."""
    if not found:
        console.print("nothing is parked")
        return
    table = Table("workflow", "reason", "since", "due", "headline", "send", box=None)
    for one in found:
        table.add_row(one.workflow_id, one.reason, moment(one.since), moment(one.due), one.headline, one.send)
    console.print(table)
    for one in found:
        console.print(one.link, soft_wrap=True, highlight=False)
