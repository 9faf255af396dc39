"""How a merchant's statement looks in a terminal: one table a currency, with totals. Money in major units."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from backhaul.cli.tables import moment
from backhaul.statements import Statement, StatementAccount


def show(console: Console, statement: Statement, *, chinese: bool = False) -> None:
    """Every account, or that there is none."""
    what = f"cut {statement.cut}" if statement.cut else f"entries {statement.after + 1} to {statement.upto}"
    console.print(f"[bold]{statement.merchant_id}[/bold], {what}", highlight=False)
    if not statement.accounts:
        console.print("nothing was ever on this account")
    for account in statement.accounts:
        console.print(_lines(account, chinese=chinese))
        console.print(_batches(account))


def _lines(account: StatementAccount, *, chinese: bool) -> Table:
    table = Table(box=None, show_footer=True)
    for name in ("at", "what", "case or order", "settled by"):
        table.add_column(name, footer="closing" if name == "at" else "")
    total = sum(line.amount.minor for line in account.lines)
    table.add_column("amount", justify="right", footer=account.opening.model_copy(update={"minor": total}).major())
    table.add_column("balance", justify="right", footer=str(account.closing))
    table.add_row("opening", "", "", "", "", str(account.opening))
    for line in account.lines:
        words = line.meaning.zh if chinese else line.meaning.en
        table.add_row(
            moment(line.at),
            f"{line.template} {words}",
            line.case or line.order_id or "",
            line.batch or "",
            line.amount.major(),
            line.balance.major(),
        )
    return table


def _batches(account: StatementAccount) -> Table:
    table = Table(box=None)
    for name in ("batch", "state", "net", "netted", "payout", "provider's reference"):
        table.add_column(name, justify="right" if name in {"net", "netted", "payout"} else "left")
    for one in account.batches:
        ref = one.provider_ref or ""
        table.add_row(one.batch, one.state, one.net.major(), one.netted.major(), one.payout.major(), ref)
    paid = f"paid out {account.paid}; owed by the merchant {account.owed_closing}; deposit {account.deposit_closing}"
    table.caption = paid
    return table
