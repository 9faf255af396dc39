"""A backtest from a terminal: pages over the API, added up, and shown rule by rule."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from backhaul.backtests import MONEY, BacktestPage, BacktestReport, CaseBacktest, Figures, Known, changes
from backhaul.cli.remote import Api
from backhaul.errors import Refusal
from backhaul.money import Money

FILTERS = {
    "merchant": "merchant_id",
    "rma": "rma_id",
    "order": "order_id",
    "from": "from",
    "to": "to",
    "outcome": "outcome",
    "reason": "reason",
}
"""What `--where NAME=VALUE` may name, and the API's parameter for it."""


def parameters(book: str | None, against: str, where: Iterable[str]) -> dict[str, str]:
    """The call's parameters. Raises Refusal(`invalid_input`) for a filter that there is not."""
    named = {"against": against} | ({} if book is None else {"book": book})
    for one in where:
        name, given, value = one.partition("=")
        if not given or name not in FILTERS:
            raise Refusal("invalid_input", f"--where takes {', '.join(FILTERS)} as NAME=VALUE", field="where")
        named[FILTERS[name]] = value
    return named


async def pages(api: Api, named: dict[str, str]) -> AsyncIterator[BacktestPage]:
    """Page after page, each with what differs in it."""
    after: str | None = None
    while True:
        page = await api.backtest({**named, "differing": "true"} | ({} if after is None else {"after": after}))
        yield page
        if page.next is None:
            return
        after = page.next


async def explained(api: Api, named: dict[str, str], merchant: str, rma: str) -> CaseBacktest:
    """One case with every decision. Raises Refusal(`not_found`)."""
    page = await api.backtest({**named, "merchant_id": merchant, "rma_id": rma, "explain": "true"})
    if not page.cases:
        raise Refusal("not_found", f"there is no case {merchant}/{rma}")
    return page.cases[0]


class Bar:
    """Cases looked at so far, on a terminal only."""

    def __init__(self, console: Console, *, shown: bool) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} cases, {task.fields[differ]} differ"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True) if shown else None
        self._task = None if self._progress is None else self._progress.add_task("", total=None, differ=0)

    def running(self) -> AbstractContextManager[object]:
        """Show it while the block runs."""
        return nullcontext() if self._progress is None else self._progress

    def move(self, report: BacktestReport) -> None:
        """So far."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=report.looked, differ=report.differ)


def show(console: Console, report: BacktestReport, cases: Iterable[CaseBacktest], more: int) -> None:
    """Totals, a line a rule, and the cases that differ."""
    against = f"{report.book or 'own books'} against {report.against}"
    console.print(f"[bold]{report.looked}[/bold] cases, {against}", highlight=False)
    told = f"{report.equal} alike, {report.differ} differ"
    told += "".join(f", {count} unknown after {why}" for why, count in sorted(report.unknown.items()))
    told += "".join(f", {count} not comparable ({why})" for why, count in sorted(report.not_comparable.items()))
    console.print(told, highlight=False, soft_wrap=True)
    for currency, sums in sorted(report.money.items()):
        console.print(_rules(report, currency, sums))
    denied = f"{report.denials:+d} denied ({report.ends_declined:+d} that went on in fact)"
    days = f"{report.float_s / 86_400:+.2f} days of float, {report.lightning:+d} by lightning"
    console.print(f"{denied}, {days}", highlight=False)
    shown = _cases(cases)
    if shown.row_count:
        console.print(shown)
    if more:
        console.print(f"and {more} more: --show, or --json for all", highlight=False)


def _rules(report: BacktestReport, currency: str, totals: dict[str, int]) -> Table:
    table = Table(box=None, show_footer=True)
    table.add_column("rule", footer="total")
    table.add_column("cases", justify="right", footer=str(report.differ))
    table.add_column("decisive", justify="right", footer=str(report.differ))
    for name in MONEY:
        footer = _signed(totals.get(name, 0), currency)
        table.add_column(name.replace("_", " "), justify="right", footer=footer)
    for rule, line in sorted(report.rules.items()):
        sums = line.money.get(currency, {})
        amounts = [_signed(sums.get(name, 0), currency) for name in MONEY]
        table.add_row(rule, str(line.cases), str(line.decisive), *amounts)
    table.caption = f"changes in {currency}; a case's money stands with its decisive rule"
    return table


def _cases(cases: Iterable[CaseBacktest]) -> Table:
    table = Table(box=None)
    for name in ("case", "decisive", "before", "after", "what changes"):
        table.add_column(name)
    for case in cases:
        before, after = case.before, case.after
        moved = changes(case) if case.counted else {}
        pairs = (f"{name} {before.amounts[name].major()} > {after.amounts[name].major()}" for name in moved)
        rule = case.rules[0] if case.rules else ""
        table.add_row(f"{case.merchant_id}/{case.rma_id}", rule, _said(before), _said(after), ", ".join(pairs))
    return table


def show_case(console: Console, case: CaseBacktest) -> None:
    """Both sides of one case, decision by decision."""
    console.print(f"[bold]{case.merchant_id}/{case.rma_id}[/bold], ended {case.outcome or 'not yet'}", highlight=False)
    table = Table(box=None)
    for name in ("decision", "before", "after", "rules"):
        table.add_column(name)
    theirs = list(case.after.decisions)
    for one in case.before.decisions:
        other = next((each for each in theirs if each.decision == one.decision), None)
        if other is not None:
            theirs.remove(other)
        changed = other is None or (other.outcome, other.reasons) != (one.outcome, one.reasons)
        table.add_row(
            one.decision,
            f"{one.outcome}: {', '.join(one.reasons)}",
            "" if other is None else f"{other.outcome}: {', '.join(other.reasons)}",
            ", ".join(one.rules),
            style="yellow" if changed else None,
        )
    for other in theirs:
        table.add_row(other.decision, "", f"{other.outcome}: {', '.join(other.reasons)}", ", ".join(other.rules))
    for name in MONEY:
        table.add_row(name.replace("_", " "), str(case.before.amounts[name]), str(case.after.amounts[name]), "")
    table.add_row("ends", _said(case.before), _said(case.after), ", ".join(case.rules))
    console.print(table)


def _said(figures: Figures) -> str:
    if figures.known is Known.KNOWN:
        return figures.outcome
    return f"{figures.known.value.replace('_', ' ')}: {figures.why}"


def _signed(minor: int, currency: str) -> str:
    amount = Money(minor=minor, currency=currency).major()
    return "" if not minor else f"+{amount}" if minor > 0 else amount
