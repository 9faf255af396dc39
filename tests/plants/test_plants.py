"""A check that cannot fail is a defect: each invariant's line finds the fault that is planted against it.

The faults are patch files beside this module, applied to a copy of the code; the real code is never touched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from store.reconcile import CHECKS
from tests.plants.checks import codes_of
from tests.plants.make import PLANTS, ROOT
from tests.plants.patches import FOLDER, Rotten, apply, hunks

ROOMS = ("backhaul", "store", "activities", "gateways", "workflows", "tests")
SKIPPED = shutil.ignore_patterns("histories", "migrations", "*.db")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, from which each plant's own copy is made."""
    folder = tmp_path_factory.mktemp("original")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=SKIPPED)
    return folder


@pytest.mark.parametrize("invariant", sorted(CHECKS))
async def test_without_a_plant_the_line_finds_nothing(invariant: int) -> None:
    assert await codes_of(invariant) == []


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_the_line_finds_the_plant(name: str, original: Path, tmp_path: Path) -> None:
    root = tmp_path / "planted"
    shutil.copytree(original, root, copy_function=os.link)
    for hunk in hunks((FOLDER / f"{name}.patch").read_text()):
        own = (root / hunk.file).read_text()
        (root / hunk.file).unlink()
        (root / hunk.file).write_text(own)
    apply(name, root)
    done = subprocess.run(
        [sys.executable, "-m", "tests.plants.checks", name[3:5].lstrip("0")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert PLANTS[name].finds in json.loads(done.stdout), f"the planted fault was not found: {done.stdout}"


def test_every_invariant_has_a_plant() -> None:
    assert {int(name[3:5]) for name in PLANTS} == set(CHECKS)
    assert {path.stem for path in FOLDER.glob("*.patch")} == set(PLANTS)


def test_a_patch_that_does_not_fit_any_more_says_so(tmp_path: Path) -> None:
    with pytest.raises(Rotten, match=r"inv01_unbalanced.patch no longer applies to store/ledger.py.*anew"):
        apply("inv01_unbalanced", tmp_path)
