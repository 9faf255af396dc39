"""How a consumer's credit line looks in a terminal. Money in major units."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from backhaul.cli.tables import moment
from backhaul.credit import CreditLine


def show(console: Console, line: CreditLine) -> None:
    """The line, what holds it, and what happened to it."""
    state = "open" if not line.frozen else f"frozen by {line.frozen_by or 'a rule'}"
    console.print(f"[bold]{line.consumer_ref}[/bold], tier S{line.tier}, {state}", highlight=False)
    console.print(f"limit {line.limit}, used {line.used}, free {line.free}", highlight=False)
    if line.holds:
        table = Table(box=None)
        for name in ("case", "granted", "taken", "state", "since"):
            table.add_column(name, justify="right" if name in {"granted", "taken"} else "left")
        for hold in line.holds:
            table.add_row(hold.case, hold.granted.major(), hold.amount.major(), hold.state, moment(hold.at))
        console.print(table)
    table = Table(box=None)
    for name in ("at", "what", "amount", "used", "by", "why"):
        table.add_column(name, justify="right" if name in {"amount", "used"} else "left")
    for event in line.events:
        amount = event.amount.major() if event.amount else ""
        table.add_row(moment(event.at), event.kind, amount, event.used.major(), event.by, event.reason)
    console.print(table)
