"""How events from outside look in a terminal: one table, and what keeps each from its case."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from backhaul.cli.tables import moment
from backhaul.inbox import EventState, EventView


def show(console: Console, events: Sequence[EventView], state: EventState) -> None:
    """The events of one state, and how to try one again."""
    if not events:
        console.print(f"nothing is {state.value}")
        return
    table = Table(box=None)
    for name in ("received", "sender", "event", "tries", "cases", "why"):
        table.add_column(name, justify="right" if name == "tries" else "left", overflow="fold")
    for one in events:
        cases = ", ".join(one.cases)
        table.add_row(moment(one.received_at), one.sender, one.event_id, str(one.attempts), cases, one.error or "")
    if state is EventState.PARKED:
        table.caption = "deliver one again: backhaul inbox --retry SENDER/EVENT"
    console.print(table)
