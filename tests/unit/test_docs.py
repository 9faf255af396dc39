"""The documentation says what the code does: links resolve, commands exist, examples fit the models."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backhaul.messages import OpenReturn

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if path.name not in {"LICENSE.md"}]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"\bmake ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text()))
    assert named
    assert named <= targets


def test_commands_of_the_readme_exist() -> None:
    commands = set(re.findall(r"^backhaul ([a-z]+)", README, re.M))
    assert {"show", "explain", "stuck", "settle", "doctor"} <= commands
    for command in sorted(commands):
        done = subprocess.run(
            [sys.executable, "-m", "backhaul.cli", command, "--help"], capture_output=True, text=True, timeout=500
        )
        assert done.returncode == 0, (command, done.stderr)
        for option in re.findall(rf"^backhaul {command}.*?(--[a-z]+)", README, re.M):
            assert option in done.stdout, (command, option)


def test_modules_of_the_readme_exist() -> None:
    for module in re.findall(r"python -m ([a-z_.]+)", README):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_examples_of_the_readme_open_a_return() -> None:
    bodies = re.findall(r"'(\{\s*\"merchant_id\".*?\})'", README, re.S)
    assert len(bodies) == 2
    assert len({OpenReturn.model_validate(json.loads(body)) for body in bodies}) == 1
    for snippet in re.findall(r"```python\n(.*?)```", README, re.S):
        compile(snippet, "README", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_the_rooms_of_the_architecture_exist() -> None:
    rooms = re.findall(r"^\| `([a-z]+)/`", (ROOT / "ARCHITECTURE.md").read_text(), re.M)
    assert len(rooms) >= 6
    assert all((ROOT / room).is_dir() for room in rooms)
