"""Patch files: read, applied to a copy of the code, made anew. Own code, so that nothing but Python is needed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent


class Rotten(AssertionError):
    """The patch no longer applies."""


class Hunk(NamedTuple):
    """Lines of one file as they are, and as the plant has them."""

    file: str
    before: str
    after: str


def hunks(patch: str) -> Iterator[Hunk]:
    """Every hunk of a unified diff. Line numbers are not used: the lines themselves must be there, once."""
    for part in re.split(r"^(?=--- )", patch, flags=re.M):
        if not part.startswith("--- "):
            continue
        file = part.splitlines()[1].removeprefix("+++ b/").strip()
        for body in re.split(r"^@@.*@@.*\n", part, flags=re.M)[1:]:
            lines = body.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] in " -")
            yield Hunk(file, before, "".join(line[1:] for line in lines if line[0] in " +"))


def apply(name: str, root: Path) -> None:
    """Plant a fault in the copy at `root`. Raises Rotten where the code has changed."""
    for hunk in hunks((FOLDER / f"{name}.patch").read_text()):
        path = root / hunk.file
        text = path.read_text() if path.exists() else ""
        if text.count(hunk.before) != 1:
            raise Rotten(
                f"{name}.patch no longer applies to {hunk.file}: the code has changed. Plant the same fault anew:"
                f" edit its lines in tests/plants/make.py and run `python -m tests.plants.make {name}`"
            )
        path.write_text(text.replace(hunk.before, hunk.after))


def diff(file: str, before: str, after: str) -> str:
    """A unified diff with two lines of context."""
    lines = (before.splitlines(keepends=True), after.splitlines(keepends=True))
    return "".join(difflib.unified_diff(*lines, f"a/{file}", f"b/{file}", n=2))
