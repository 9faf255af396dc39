"""The table of the invariants names what exists: what keeps each, the test that proves it, its line and its plant."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from store.reconcile import CHECKS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "invariants.md").read_text()
ROWS = {
    int(number): [cell.strip() for cell in rest.split("|")]
    for number, rest in re.findall(r"^\| (\d+)\. (.*) \|$", PAGE, re.M)
}


def test_all_seventeen_are_there() -> None:
    assert sorted(ROWS) == sorted(CHECKS) == list(range(1, 18))


@pytest.mark.parametrize("number", sorted(ROWS))
def test_every_name_of_the_table_exists(number: int) -> None:
    _, keepers, proofs, lines, plant = ROWS[number]
    for cell in (keepers, proofs, lines):
        names = re.findall(r"`([\w.]+):(\w+)`", cell)
        assert names, cell
        for module, name in names:
            assert hasattr(importlib.import_module(module), name), f"{module}:{name}"
    assert CHECKS[number].__name__ in lines
    assert list((ROOT / "tests" / "plants").glob(f"{plant.strip('`')}.patch")), plant


def test_every_code_of_the_lines_is_explained() -> None:
    spelled = {
        code
        for path in (ROOT / "store" / "reconcile").glob("*.py")
        for code in re.findall(r'Finding\(\s*\d+,\s*"(\w+)"', path.read_text())
    }
    assert len(spelled) > 30
    assert spelled <= set(re.findall(r"`(\w+)`", PAGE))
