"""A seed gives the same examples alone as after other tests."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st


def examples() -> list[int]:
    """What one seed draws."""
    drawn: list[int] = []

    @seed(7)
    @settings(max_examples=300, database=None, derandomize=False, phases=(Phase.generate,))
    @given(st.integers(0, 10**9))
    def draw(number: int) -> None:
        drawn.append(number)

    draw()
    return drawn


def test_a_seed_draws_the_same_whatever_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis by itself draws the constants of a new module from then on."""
    before = examples()
    path = tmp_path / "newcomer.py"
    path.write_text(f"NUMBERS = {list(range(7_000_001, 7_000_101))}\n")
    spec = spec_from_file_location("newcomer", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "newcomer", module)
    assert len(before) == 300 and examples() == before
