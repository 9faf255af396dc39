"""Did everything end as the samples say, and does the money add up? The verdict, as plain data for summary.json."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sandbox.actors import Deed
from sandbox.demo.board import Board
from sandbox.demo.books import Movement, about, balanced, compare, sums
from sandbox.demo.play import Told
from sandbox.demo.stack import Stack
from sandbox.samples.rows import Sample

Json = dict[str, Any]


def judge_case(sample: Sample, view: Json | None, parked: str | None, theirs: Sequence[Movement]) -> list[str]:
    """Everything about one case that is not as its sample says; `parked` is the reason, while it is parked."""
    expect = sample.expect
    if view is None:
        return ["the product does not know it"]
    end = "closed" if view["closed"] else "parked" if parked else "open"
    found: list[str] = []
    seen: dict[str, Any] = {"end": end, "outcome": view["outcome"], "attention": parked}
    money = view["money"]
    seen |= {name: money[name]["minor"] for name in ("refunded", "withheld", "indemnified", "freight")}
    claims = f"{sample.merchant}.{sample.rma}."
    seen["recovered"] = about(theirs, "insurer", "recovery", claims)
    consumer = f"consumer:{sample.order['consumer']['consumer_ref']}"
    seen["paid_to_consumer"] = sum(one.minor for one in theirs if one.party == "insurer" and one.payee == consumer)
    for name, wanted in expect.items():
        if name != "free" and seen.get(name) != wanted:
            found.append(f"{name}: expected {wanted}, is {seen.get(name)}")
    at_psp = about(theirs, "psp", "refund", f"{sample.merchant}:{sample.rma}:")
    if at_psp != expect["refunded"]:
        found.append(f"refunded at the payment provider: expected {expect['refunded']}, is {at_psp}")
    if end == "open" and view.get("waiting"):
        found.append(f"waits on {view['waiting']['on']} for {view['waiting']['code']}")
    return found


def summarise(
    stack: Stack, samples: Sequence[Sample], told: Told, board: Board, deeds: Iterable[Deed], refused: dict[str, str]
) -> Json:
    """Everything, as summary.json has it. `ok` says whether the demo succeeded."""
    unexpected: dict[str, list[str]] = {}
    by_path: dict[str, Counter[str]] = defaultdict(Counter)
    links: dict[str, Json] = {}
    for sample in samples:
        parked = board.parked.get(sample.workflow_id)
        view = told.views.get(sample.case)
        wrong = judge_case(sample, view, parked.reason if parked else None, told.statements)
        if sample.case in refused:
            wrong.append(f"not opened: {refused[sample.case]}")
        by_path[sample.path].update(expected=1, as_expected=int(not wrong))
        if wrong:
            unexpected[sample.case] = wrong
        if parked is not None:
            attention = (view or {}).get("attention") or {}
            links[sample.case] = {
                "reason": parked.reason,
                "headline": attention.get("headline", ""),
                "send": attention.get("send", ""),
                "ui": stack.ui_link(parked.workflow_id, parked.run_id),
                "free": f"{_python()} -m sandbox.demo.free {sample.case}" if sample.expect.get("free") else "",
            }
    acts = [f"{deed.case} {deed.act}: {deed.result}" for deed in deeds if not deed.fits]
    others = {
        name: {"reason": parked.reason, "ui": stack.ui_link(name, parked.run_id)}
        for name, parked in board.parked.items()
        if not any(name == sample.workflow_id for sample in samples)
    }
    differences = compare(told.journal, told.statements)
    return {
        "ok": not (unexpected or acts or others or differences or told.running_recoveries)
        and not told.broken
        and balanced(told.trial)
        and bool(told.statements),
        "returns": len(samples),
        "closed": sum(sample.case in board.closed for sample in samples),
        "parked": len(links),
        "unexpected": unexpected,
        "unexpected_acts": acts,
        "other_workflows_parked": others,
        "by_path": {path: dict(counts) for path, counts in sorted(by_path.items())},
        "money_by_merchant": money_by_merchant(samples, told),
        "trial_balance": sums(told.trial),
        "accounts": told.trial,
        "movements_compared": len(told.statements),
        "invariants_broken": told.broken,
        "unreconciled": [difference.text() for difference in differences],
        "recoveries_running": told.running_recoveries,
        "settlement": told.settlement,
        "ui_links": links,
    }


def _python() -> str:
    """This interpreter, as one calls it from the repository's root."""
    here = Path(sys.executable)
    return str(here.relative_to(Path.cwd())) if here.is_relative_to(Path.cwd()) else str(here)


def money_by_merchant(samples: Iterable[Sample], told: Told) -> dict[str, dict[str, int]]:
    """Per merchant and currency, in minor units: sold, refunded, indemnified, settled."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    merchants = {(sample.merchant, sample.currency) for sample in samples}
    for merchant, currency in sorted(merchants):
        own = [one for one in told.statements if one.party == "psp" and one.currency == currency]
        name = f"{merchant} {currency}"
        for one in own:
            if one.kind == "capture" and one.payee == merchant:
                found[name]["sold"] += one.minor
            elif one.kind == "refund" and one.key.startswith(f"{merchant}:"):
                found[name]["refunded"] += one.minor
            elif one.kind == "payout" and one.key.startswith(f"{merchant}:settlement:"):
                found[name]["settled"] += one.minor
            elif one.kind == "payout" and one.payee == merchant:
                found[name]["indemnified"] += one.minor
    columns = ("sold", "refunded", "indemnified", "settled")
    return {name: {column: counts[column] for column in columns} for name, counts in found.items()}
