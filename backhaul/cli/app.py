"""The commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.table import Table
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from backhaul.backtests import BacktestReport, CaseBacktest
from backhaul.cli import accounts, backtesting, cases, events, reconciling, remote, tables
from backhaul.cli import credit as credit_line
from backhaul.cli import doctor as examination
from backhaul.cli.doctor import Finding
from backhaul.cli.running import Exit, emit, err, exit_of, fail, invalid, out, problem_of, run, usage
from backhaul.client import connect
from backhaul.client.failures import translate
from backhaul.errors import BackhaulError
from backhaul.ids import part
from backhaul.inbox import EventState, EventView
from backhaul.messages import ImportOrder, OpenReturn
from backhaul.names import QUEUE, WorkflowType
from backhaul.reconciliation import ReconcileRequest, ReconciliationReport, ResolveFinding
from backhaul.statements import to_csv

M = TypeVar("M", bound=BaseModel)

app = typer.Typer(
    help="Returns of goods, from request to settled money. Exit codes: 0 ok, 1 refused, 2 usage, 3 not reachable.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document a line, for programs.")]
Merchant = Annotated[
    str | None,
    typer.Option("--merchant", "-m", envvar="BACKHAUL_MERCHANT", help="Whose return it is (or write MERCHANT/RMA)."),
]
Rma = Annotated[str, typer.Argument(metavar="RMA", help="The return's id, or MERCHANT/RMA.")]
Lines = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="One JSON object a line.")]


@app.command("import")
def import_orders(file: Lines, as_json: Json = False) -> None:
    """Import orders (JSON lines) over the API."""
    orders = list(_messages(file, ImportOrder, as_json=as_json))

    async def work() -> int:
        api = remote.needed_by("import")
        worst = Exit.OK
        async with api:
            for order in orders:
                try:
                    done = await api.import_order(order)
                except BackhaulError as error:
                    worst = max(worst, _line_failed(order.order_id, error, as_json=as_json))
                    continue
                emit(done) if as_json else out.print(f"{done.order_id} {'imported' if done.created else 'was there'}")
        return worst

    raise typer.Exit(run(work(), as_json=as_json))


@app.command("open")
def open_returns(file: Lines, as_json: Json = False) -> None:
    """Open returns (JSON lines) over the API, or over Temporal where no API is named."""
    requests = list(_messages(file, OpenReturn, as_json=as_json))

    async def work() -> int:
        worst = Exit.OK
        async with cases.reached() as reached:
            for request in requests:
                try:
                    decision = await reached.open(request)
                except BackhaulError as error:
                    worst = max(worst, _line_failed(request.rma_id, error, as_json=as_json))
                    continue
                if as_json:
                    emit(decision)
                else:
                    out.print(f"{decision.rma_id} {decision.outcome}, {decision.refundable}: {decision.text.en}")
        return worst

    raise typer.Exit(run(work(), as_json=as_json))


@app.command()
def show(rma: Rma, merchant: Merchant = None, as_json: Json = False) -> None:
    """Where a return is, what it waits for, its money."""
    merchant_id, rma_id = case_of(rma, merchant)

    async def work() -> None:
        async with cases.reached() as reached:
            status = await reached.status(merchant_id, rma_id)
        if as_json:
            emit(status)
        else:
            tables.show_case(out, status)

    run(work(), as_json=as_json)


@app.command()
def explain(
    rma: Rma,
    merchant: Merchant = None,
    chinese: Annotated[bool, typer.Option("--zh", help="In Chinese.")] = False,
    as_json: Json = False,
) -> None:
    """Every decision of a return: rules, numbers, reasons, policy book."""
    merchant_id, rma_id = case_of(rma, merchant)

    async def work() -> None:
        async with cases.reached() as reached:
            explanation = await reached.explain(merchant_id, rma_id)
        if as_json:
            emit(explanation)
        else:
            tables.show_explanation(out, explanation, chinese=chinese)

    run(work(), as_json=as_json)


@app.command()
def claim(
    rma: Rma,
    account: Annotated[str, typer.Option("--account", help="The account that the consumer names.")],
    merchant: Merchant = None,
    as_json: Json = False,
) -> None:
    """Pay a closed return's unclaimed money to an account (over the API)."""
    merchant_id, rma_id = case_of(rma, merchant)

    async def work() -> None:
        async with remote.needed_by("claim") as api:
            done = await api.claim(merchant_id, rma_id, account)
        emit(done) if as_json else out.print(f"correction {done.n}: {done.outcome or done.state}")

    run(work(), as_json=as_json)


@app.command()
def stuck(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100, as_json: Json = False
) -> None:
    """What is parked and needs a human: reason, since, due, what to send, where to look."""

    async def work() -> None:
        client = await connect()
        try:
            found = await cases.stuck(client, limit)
        except RPCError as error:
            raise (translate(error) or error) from error
        if as_json:
            for one in found:
                emit(asdict(one))
        else:
            tables.show_stuck(out, found)

    run(work(), as_json=as_json)


@app.command()
def settle(
    cut: Annotated[str | None, typer.Option(help="Name of the cut; the time by default.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until every merchant is settled, or parked.")] = False,
    as_json: Json = False,
) -> None:
    """Start a settlement cycle now, beside the scheduled ones. The same cut twice is the same cycle."""
    name = cut or f"manual-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"

    async def work() -> None:
        part(name, "cut")
        client = await connect()
        workflow_id = f"settlement-cycle:{name}"
        try:
            handle = await client.start_workflow(
                WorkflowType.SETTLEMENT_CYCLE.value,
                {"cut": name},
                id=workflow_id,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                task_queue=QUEUE,
                static_summary=f"Settlement at cut `{name}`",
            )
        except WorkflowAlreadyStartedError:
            handle = client.get_workflow_handle(workflow_id)
        except RPCError as error:
            raise (translate(error) or error) from error
        result = await handle.result() if wait else None
        if as_json:
            emit({"cut": name, "workflow_id": workflow_id, "result": result})
        else:
            left = result.get("left", 0) if isinstance(result, dict) else 0
            said = f" done, {left} left to themselves (see `backhaul stuck`)" if left else " done"
            out.print(f"settlement at cut {name}: {workflow_id}" + (said if wait else " started"))

    run(work(), as_json=as_json)


@app.command()
def statement(
    merchant: Annotated[str, typer.Argument(metavar="MERCHANT", help="Whose account.")],
    cut: Annotated[str | None, typer.Option(help="From the cut before to this one.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="From this time (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this time (RFC 3339).")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table for spreadsheets.")] = False,
    chinese: Annotated[bool, typer.Option("--zh", help="In Chinese.")] = False,
    as_json: Json = False,
) -> None:
    """A merchant's account: every line with its case, from balance to balance, over the API."""
    period = {name: value for name, value in (("cut", cut), ("from", since), ("to", until)) if value is not None}

    async def work() -> None:
        async with remote.needed_by("statement") as api:
            found = await api.statement(merchant, period)
        if as_json:
            emit(found)
        elif as_csv:
            print(to_csv(found), end="")
        else:
            accounts.show(out, found, chinese=chinese)

    run(work(), as_json=as_json)


@app.command()
def reconcile(
    cut: Annotated[str | None, typer.Option(help="Name of the run; the time by default.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Show a run that was; without --cut the newest.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Compare everything again, not only what is new.")] = False,
    hold: Annotated[bool, typer.Option("--hold", help="Let the run park over what it finds.")] = False,
    explain: Annotated[str | None, typer.Option(metavar="ID", help="This finding of --cut is no trouble.")] = None,
    note: Annotated[str, typer.Option(help="Why; with --explain.")] = "",
    as_json: Json = False,
) -> None:
    """Compare books and statements now, and show what was found. Exit code 1 while anything is open."""
    if explain is not None and not (cut and note):
        raise usage("--explain needs --cut and --note")

    async def work() -> ReconciliationReport:
        client = await connect()
        if explain is not None:
            await reconciling.explain(client, cut or "", ResolveFinding(finding_id=explain, note=note))
        if report or explain is not None:
            return await reconciling.latest(client, cut)
        name = cut or f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        return await reconciling.begin(client, ReconcileRequest(cut=name, hold=hold, whole=whole))

    found = run(work(), as_json=as_json)
    if as_json:
        emit(found)
    else:
        reconciling.show(out, found)
    if found.open:
        raise typer.Exit(Exit.REFUSED)


@app.command()
def credit(
    consumer: Annotated[str, typer.Argument(metavar="CONSUMER", help="Whose line: the consumer's token.")],
    freeze: Annotated[str | None, typer.Option(metavar="REASON", help="Freeze it, and why.")] = None,
    unfreeze: Annotated[str | None, typer.Option(metavar="REASON", help="Thaw it, and why.")] = None,
    as_json: Json = False,
) -> None:
    """A consumer's credit line, its holds and its history, over the API; freeze or thaw it."""
    if freeze is not None and unfreeze is not None:
        raise usage("either freeze or unfreeze")

    async def work() -> None:
        async with remote.needed_by("credit") as api:
            if freeze is None and unfreeze is None:
                line = await api.credit(consumer)
            else:
                line = await api.set_frozen(consumer, freeze or unfreeze or "", frozen=freeze is not None)
        if as_json:
            emit(line)
        else:
            credit_line.show(out, line)

    run(work(), as_json=as_json)


@app.command()
def inbox(
    state: Annotated[EventState, typer.Option(help="Which events.")] = EventState.PARKED,
    retry: Annotated[str | None, typer.Option(metavar="SENDER/EVENT", help="Deliver this parked event again.")] = None,
    as_json: Json = False,
) -> None:
    """Events from outside, over the API: by default those that could not be delivered and wait for a person."""

    async def work() -> None:
        async with remote.needed_by("inbox") as api:
            if retry is not None:
                sender, _, event_id = retry.partition("/")
                if not sender or not event_id:
                    raise usage("name the event as SENDER/EVENT")
                again = await api.retry_event(sender, event_id)
                emit(again) if as_json else events.show(out, [again], again.state)
                return
            kept: list[EventView] = []
            after: str | None = ""
            while after is not None:
                page = await api.inbox(state, after)
                for event in page.events:
                    emit(event) if as_json else kept.append(event)
                after = page.next
        if not as_json:
            events.show(out, kept, state)

    run(work(), as_json=as_json)


@app.command()
def backtest(
    against: Annotated[str, typer.Option(help="The policy book to decide by.")],
    book: Annotated[str | None, typer.Option(help="The baseline; each case's own books without it.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="merchant, rma, order, from, to, outcome or reason; several are all."),
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="MERCHANT/RMA", help="Both sides of one case, decision by decision.")
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="List so many of the cases that differ.")] = 50,
    as_json: Json = False,
) -> None:
    """Decide stored cases again by another policy book, over the API. Reads only: no money moves."""

    async def work() -> None:
        async with remote.needed_by("backtest") as api:
            named = backtesting.parameters(book, against, where or ())
            if explain is not None:
                merchant, rma = case_of(explain, None)
                if merchant is None:
                    raise usage("name the case as MERCHANT/RMA")
                case = await backtesting.explained(api, named, merchant, rma)
                emit(case) if as_json else backtesting.show_case(out, case)
                return
            await _backtest(api, named, show, as_json=as_json)

    run(work(), as_json=as_json)


async def _backtest(api: remote.Api, named: dict[str, str], show: int, *, as_json: bool) -> None:
    """Add the pages up. As JSON: a line for each case that differs, as it comes, and the report last."""
    report = BacktestReport(book=named.get("book"), against=named["against"])
    kept: list[CaseBacktest] = []
    bar = backtesting.Bar(err, shown=err.is_terminal and not as_json)
    with bar.running():
        async for page in backtesting.pages(api, named):
            report.add(page)
            bar.move(report)
            if as_json:
                for case in page.cases:
                    emit(case)
            kept += page.cases[: max(0, show - len(kept))]
    if as_json:
        emit({"report": report.model_dump(mode="json")})
    else:
        more = report.differ + sum(report.unknown.values()) - len(kept)
        backtesting.show(out, report, kept, more)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check Temporal, search attributes, workers, the API and the database."""
    checks = run(examination.examine(), as_json=as_json)
    if as_json:
        for check in checks:
            emit(asdict(check))
    else:
        table = Table(box=None, show_header=False)
        for check in checks:
            table.add_row(check.name, check.finding.value, check.detail)
        out.print(table)
    findings = {check.finding for check in checks}
    if Finding.UNREACHABLE in findings:
        raise typer.Exit(Exit.UNREACHABLE)
    if Finding.WRONG in findings:
        raise typer.Exit(Exit.REFUSED)


def case_of(rma: str, merchant: str | None) -> tuple[str | None, str]:
    """`RMA` with --merchant, or `MERCHANT/RMA`."""
    if "/" in rma:
        named, _, rma = rma.partition("/")
        if merchant not in {None, named}:
            raise usage(f"{named} or {merchant}: name one merchant")
        merchant = named
    return merchant, rma


def _messages(file: Path, model: type[M], *, as_json: bool) -> Iterator[M]:
    """The file's messages. All lines are checked before the first is sent."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"{file} cannot be read: {type(error).__name__}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield model.model_validate_json(line)
        except ValidationError as error:
            raise fail(invalid(error, f"{file.name}, line {number}"), as_json=as_json) from None


def _line_failed(name: str, error: BackhaulError, *, as_json: bool) -> Exit:
    """Say which line failed and go on with the next."""
    if as_json:
        emit({"id": name, **problem_of(error)}, stderr=True)
    else:
        err.print(f"{name} [red]{error.code}[/red]: {error.message}", soft_wrap=True, highlight=False)
    return exit_of(error)
