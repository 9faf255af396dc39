"""Tables for people who look at a workflow in the Temporal UI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GAP = "\N{EM SPACE}"
"""After each cell: the UI sets the columns of a table with nothing between them."""


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: frozenset[str] = frozenset()) -> str:
    """A markdown table, a row a line; `numbers`: the heads of columns that stand to the right.

    What would break a row (a bar, the end of a line) becomes a slash or a space."""
    ruler = ["---:" if head in numbers else "---" for head in heads]
    cells = [[f"{_plain(cell)}{GAP}" for cell in row] for row in (heads, *rows)]
    first, *rest = ["|".join(["", *row, ""]) for row in cells]
    return "\n".join([first, "|".join(["", *ruler, ""]), *rest])


def _plain(cell: object) -> str:
    return " ".join(str(cell).replace("|", "/").split())
