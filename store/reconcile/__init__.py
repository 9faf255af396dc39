"""Reconciliation: do the books keep the 17 invariants, and do the providers' statements say what our journal says?

`check_books(store)` runs every line that needs the database alone. `python -m store.reconcile` is the command.
"""

from __future__ import annotations

from store.reconcile.command import main, our_books
from store.reconcile.invariants import CHECKS, Line, check_books, check_line, check_lines, says, snapshot
from store.reconcile.look import Books, Check, Finding
from store.reconcile.outside import (
    COURIER,
    INSURER,
    PSP,
    Difference,
    StatementLine,
    compare,
    journal_side,
)

__all__ = [
    "CHECKS",
    "COURIER",
    "INSURER",
    "PSP",
    "Books",
    "Check",
    "Difference",
    "Finding",
    "Line",
    "StatementLine",
    "check_books",
    "check_line",
    "check_lines",
    "compare",
    "journal_side",
    "main",
    "our_books",
    "says",
    "snapshot",
]
