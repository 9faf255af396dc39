"""What a person sees: progress while it runs, tables at the end."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

Json = dict[str, Any]

_STAGES = {"orders": "orders imported", "opened": "returns opened", "ended": "closed or parked"}


class Stages:
    """The progress bars. A context manager."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description:<18}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, refresh_per_second=4)
        self._tasks = {stage: self._progress.add_task(text, total=None) for stage, text in _STAGES.items()}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, stage: str, done: int, of: int) -> None:
        """A stage has come this far."""
        self._progress.update(self._tasks[stage], completed=done, total=of)


def show(console: Console, summary: Json) -> None:
    """The tables."""
    _paths(console, summary)
    _merchants(console, summary)
    _books(console, summary)
    _backtest(console, summary["backtest"])
    _parked(console, summary)
    _troubles(console, summary)
    events, faults = summary["history_events"], sum(summary["faults"].values())
    console.print(
        f"{summary['returns']} returns: {summary['closed']} closed, {summary['parked']} parked; "
        f"{events['median']} history events in the middle ({events['least']} to {events['most']}); "
        f"{faults} faults survived; {summary['seconds']:.0f} s",
        soft_wrap=True,
    )
    verdict = "[green]everything ended as declared and every fen is accounted for[/green]"
    console.print(verdict if summary["ok"] else "[red]not everything is as it should be[/red]")


def _paths(console: Console, summary: Json) -> None:
    table = Table(title="Returns by path", title_justify="left")
    for name in ("path", "declared", "ended so"):
        table.add_column(name, justify="left" if name == "path" else "right")
    for path, counts in summary["by_path"].items():
        right = counts["expected"] == counts["as_expected"]
        color = "green" if right else "red"
        table.add_row(path, str(counts["expected"]), f"[{color}]{counts['as_expected']}[/{color}]")
    console.print(table)


def _merchants(console: Console, summary: Json) -> None:
    table = Table(title="Money by merchant", title_justify="left")
    columns = ("sold", "refunded", "indemnified", "settled")
    table.add_column("merchant")
    for column in columns:
        table.add_column(column, justify="right")
    for name, counts in summary["money_by_merchant"].items():
        table.add_row(name, *(amount(counts[column], name[-3:]) for column in columns))
    console.print(table)


def _books(console: Console, summary: Json) -> None:
    table = Table(title="Trial balance", title_justify="left")
    for name in ("book", "account", "currency", "balance"):
        table.add_column(name, justify="right" if name == "balance" else "left")
    for book, accounts in sorted(summary["accounts"].items()):
        for account, balances in sorted(accounts.items()):
            for currency, minor in sorted(balances.items()):
                table.add_row(book, account, currency, amount(minor, currency))
        for currency, minor in summary["trial_balance"][book].items():
            color = "red" if minor else "green"
            table.add_row(book, "sum", currency, f"[{color}]{amount(minor, currency)}[/{color}]", end_section=True)
    console.print(table)
    wrong = summary["unreconciled"]
    color = "red" if wrong else "green"
    console.print(
        f"[{color}]{summary['movements_compared']} movements on the three parties' statements; "
        f"{len(wrong)} differ from our journal[/{color}]"
    )
    for text in wrong:
        console.print(f"  {text}", markup=False, soft_wrap=True)
    for text in summary["invariants_broken"]:
        console.print(f"[red]invariant[/red] {text}", soft_wrap=True)


def _backtest(console: Console, tried: Json) -> None:
    rules = ", ".join(f"{rule} {count}" for rule, count in sorted(tried["rules"].items()))
    money = ", ".join(f"{name} {amount(minor, name[-3:])}" for name, minor in sorted(tried["money"].items()))
    differ = f"{tried['differ']} of {tried['looked']} differ ({rules or 'no rule'})"
    console.print(
        f"decided again by book {tried['against']}: {differ}, {tried['unknown']} unknown; changes: {money or 'none'}",
        markup=False,
        soft_wrap=True,
    )


def _parked(console: Console, summary: Json) -> None:
    for case, link in summary["ui_links"].items():
        console.print(f"[yellow]parked[/yellow] {case}: {link['reason']}: {link['headline']}", soft_wrap=True)
        console.print(f"  look  {link['ui']}", markup=False, soft_wrap=True)
        console.print(f"  free  {link['free'] or link['send']}", markup=False, soft_wrap=True)


def _troubles(console: Console, summary: Json) -> None:
    for case, wrongs in summary["unexpected"].items():
        for wrong in wrongs:
            console.print(f"[red]unexpected[/red] {case}: {wrong}", soft_wrap=True)
    for crash in summary["crashed_commands"]:
        console.print(f"[yellow]crashed and asked again[/yellow] {crash}")
    for act in summary["unexpected_acts"]:
        console.print(f"[red]unexpected[/red] act {act}", soft_wrap=True)
    for name, other in summary["other_workflows_parked"].items():
        console.print(f"[red]unexpected[/red] {name} is parked: {other['reason']}", soft_wrap=True)


def amount(minor: int, currency: str) -> str:
    """Minor units as people write them; yen have none."""
    return f"{minor:,}" if currency == "JPY" else f"{minor / 100:,.2f}"
