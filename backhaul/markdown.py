"""Tables for people who look at a workflow in the Temporal UI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GAP = "\N{EM SPACE}"
"""After each cell: the UI sets the columns of a table with nothing between them."""


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: frozenset[str] = frozenset()) -> str:
    """A markdown table, a row a line; `numbers`: the heads of columns that stand to the right.

    What would break a row (a bar, the end of a line) becomes a slash or a space."""
    ruler = "|".join(["---:" if head in numbers else "---" for head in heads])
    return "\n".join([row(*heads), f"|{ruler}|", *(row(*cells) for cells in rows)])


def row(*cells: object) -> str:
    """One line of a table."""
    return "".join([f"|{_plain(cell)}{GAP}" for cell in cells]) + "|"


def _plain(cell: object) -> str:
    return " ".join(str(cell).replace("|", "/").split())
