"""Backtests over the API and in a terminal: pages of figures, who may ask, and books that nobody knows."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
from rich.console import Console
from typer.testing import CliRunner

from backhaul.backtests import BacktestPage, BacktestReport
from backhaul.cli import app, backtesting, remote
from backhaul.cli.remote import Api
from backhaul.errors import Refusal
from backhaul.names import Role
from tests.api.place import Place, problem, token
from tests.steps.support import World, an_order
from tests.steps.test_backtests import content, straight

PATH = "/v1/backtests?against=2025-09"


@pytest.fixture(scope="module")
async def closed(place: Place) -> Place:
    """Three cases that went the straight way."""
    world = World(place.store, "2024-09")
    for n in range(1, 4):
        await world.order(an_order(order_id=f"bt{n}"))
        await straight(world, f"bt{n}", f"bt{n}")
    return place


async def test_pages_of_figures(closed: Place) -> None:
    before = await content(closed.store)
    first = (await closed.call("GET", f"{PATH}&merchant_id=m1&limit=2", Role.AUDITOR)).json()
    page = BacktestPage.model_validate(first)
    assert (page.looked, [case.rma_id for case in page.cases]) == (2, ["bt1", "bt2"])
    assert (page.book, page.against, page.cases[0].before.refund.minor) == (None, "2025-09", 120_000)
    assert page.cases[0].before.decisions == ()
    rest = await closed.call(
        "GET", f"{PATH}&merchant_id=m1&after={page.next}&explain=true".replace("+", "%2B"), Role.AUDITOR
    )
    last = BacktestPage.model_validate(rest.json())
    assert ([case.rma_id for case in last.cases], last.next) == (["bt3"], None)
    assert [one.decision for one in last.cases[0].after.decisions][:2] == ["eligibility", "risk"]
    alike = await closed.call("GET", f"{PATH}&merchant_id=m1&differing=true&book=2025-05", Role.AUDITOR)
    assert (alike.json()["looked"], alike.json()["cases"]) == (3, [])
    assert await content(closed.store) == before


async def test_filters_narrow(closed: Place) -> None:
    async def looked(more: str) -> int:
        answer = await closed.call("GET", f"{PATH}&{more}", Role.AUDITOR)
        return int(answer.json()["looked"])

    assert await looked("merchant_id=m1") == 3
    assert await looked("order_id=bt2") == 1
    assert await looked("merchant_id=m1&rma_id=bt3&outcome=refunded&reason=no_reason") == 1
    assert await looked("merchant_id=m1&reason=quality") == 0
    assert await looked("merchant_id=m1&to=2025-06-03T08:00:00Z") == 0
    assert await looked("merchant_id=m1&from=2025-06-03T08:00:00Z") == 3


async def test_who_may_and_what_is_refused(closed: Place) -> None:
    for role in Role:
        answer = await closed.call("GET", PATH, role)
        assert answer.status_code == (200 if role is Role.AUDITOR else 403), role
    problem(await closed.call("GET", "/v1/backtests?against=1999-01", Role.AUDITOR), 422, "unknown_book")
    problem(await closed.call("GET", f"{PATH}&book=1999-01", Role.AUDITOR), 422, "unknown_book")
    problem(await closed.call("GET", f"{PATH}&after=x", Role.AUDITOR), 422, "invalid_input")
    problem(await closed.call("GET", f"{PATH}&limit=201", Role.AUDITOR), 422, "invalid_input")
    problem(await closed.call("GET", "/v1/backtests", Role.AUDITOR), 422, "invalid_input")


def api_of(place: Place) -> Api:
    return Api("http://api", token(Role.AUDITOR), transport=httpx2.ASGITransport(app=place.app))


async def test_the_command_line_adds_up_and_explains(closed: Place, tmp_path: Path) -> None:
    named = backtesting.parameters("2024-09", "2025-05", ["merchant=m1", "order=bt1"])
    report = BacktestReport(book="2024-09", against="2025-05")
    async with api_of(closed) as api:
        async for page in backtesting.pages(api, named):
            report.add(page)
        case = await backtesting.explained(api, backtesting.parameters(None, "2025-05", []), "m1", "bt1")
        with pytest.raises(Refusal) as refusal:
            await backtesting.explained(api, backtesting.parameters(None, "2025-05", []), "m1", "none")
    assert refusal.value.code == "not_found"
    assert (report.looked, report.differ, report.equal, report.money) == (1, 0, 1, {})
    shown = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    backtesting.show_case(shown, case)
    backtesting.show(shown, report, [], 0)
    text = shown.export_text()
    assert "lightning_gate" in text
    assert "1 cases, 2024-09 against 2025-05" in text


class Pages:
    """An API of two pages."""

    def __init__(self, *pages: BacktestPage) -> None:
        self.pages, self.asked = list(pages), list[dict[str, str]]()

    async def __aenter__(self) -> Pages:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def backtest(self, named: dict[str, str]) -> BacktestPage:
        self.asked.append(named)
        return self.pages.pop(0)


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.policy.build import book_with, yuan
    from tests.unit.policy.test_backtest import damaged, tried

    differs = tried(damaged(), book_with("rdv", deductible=yuan("60.00")))
    first = BacktestPage(book=None, against="2025-05", cases=(differs,), looked=100, next="there")
    last = BacktestPage(book=None, against="2025-05", cases=(differs,), looked=7, not_comparable={"open": 2})
    monkeypatch.setenv("COLUMNS", "240")
    for options in ([], ["--json"]):
        pages = Pages(first, last)
        monkeypatch.setattr(remote, "from_environment", lambda pages=pages: pages)
        done = CliRunner().invoke(app, ["backtest", "--against", "2025-05", "--where", "merchant=m1", *options])
        assert done.exit_code == 0, done.output
        assert [one.get("after") for one in pages.asked] == [None, "there"]
        assert {one["merchant_id"] for one in pages.asked} == {"m1"}
        if options:
            assert len(done.stdout.splitlines()) == 3
            assert '"indemnity": -12000' in done.stdout.splitlines()[-1]
        else:
            assert "107 cases, own books against 2025-05" in done.stdout
            assert "103 alike, 2 differ, 2 not comparable (open)" in done.stdout
            assert "4.3.deductible" in done.stdout
            assert "indemnity 360.00 > 300.00" in " ".join(re.sub(r"[^\w.,>]+", " ", done.stdout).split())
    monkeypatch.setattr(remote, "from_environment", lambda: Pages())
    assert CliRunner().invoke(app, ["backtest", "--against", "x", "--where", "colour=red"]).exit_code == 1
    monkeypatch.setattr(remote, "from_environment", lambda: None)
    assert CliRunner().invoke(app, ["backtest", "--against", "x"]).exit_code == 2
