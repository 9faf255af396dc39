"""The demo from end to end: real Temporal, real processes, a few of the samples; then the same with one fen planted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.demo.__main__ import ROOT
from sandbox.samples.__main__ import FILE

FEW = {"runners", "coat-30", "wet-novel", "changed-mind", "nine-days", "not-my-scratch", "yen"}


@pytest.fixture
def few(tmp_path: Path) -> Path:
    rows = [row for row in FILE.read_text(encoding="utf-8").splitlines() if json.loads(row)["name"] in FEW]
    assert len(rows) == len(FEW)
    file = tmp_path / "few.jsonl"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


def run_demo(few: Path, out: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, "-m", "sandbox.demo", "--samples", str(few), "--out", str(out), "--within", "300", *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=560, check=False)
    said = done.stdout + done.stderr
    file = out / "summary.json"
    assert file.exists(), said
    return done.returncode, json.loads(file.read_text(encoding="utf-8")), said


def test_a_small_demo_ends_well(few: Path, tmp_path: Path) -> None:
    code, summary, said = run_demo(few, tmp_path / "out")
    assert code == 0, said
    assert summary["ok"]
    assert summary["returns"] == len(FEW)
    assert (summary["closed"], summary["parked"]) == (len(FEW) - 1, 1)
    assert summary["unexpected"] == {}
    assert summary["backtest"]["looked"] == len(FEW)
    assert summary["unreconciled"] == []
    assert summary["invariants_broken"] == []
    assert summary["movements_compared"] > 20
    assert summary["trial_balance"] == {"P": {"CNY": 0, "JPY": 0}, "I": {"CNY": 0}}
    assert summary["history_events_median"] > 0
    (case,) = summary["ui_links"]
    assert case == "north-coats/not-my-scratch"
    assert case in summary["ui_links"][case]["free"]


def test_one_planted_fen_fails_the_demo(few: Path, tmp_path: Path) -> None:
    code, summary, said = run_demo(few, tmp_path / "out", "--plant", "one-fen")
    assert code == 1, said
    assert not summary["ok"]
    (found,) = summary["unreconciled"]
    assert found.startswith("amount: psp refund ")
