"""A self-test of the reconciliation: falsify a provider's own book by one fen, and see that the demo fails.

`python -m sandbox.demo --plant one-fen`. It changes the SQLite file behind the provider's back, after everything has
happened and before anything is compared; the product is not touched.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_TRIGGER = """CREATE TRIGGER statement_no_update BEFORE UPDATE ON statement
  BEGIN SELECT RAISE(ABORT, 'the statement is append-only'); END"""


def one_fen(books: Path) -> str:
    """Make the last refund on the payment provider's statement one fen larger; its key."""
    with closing(sqlite3.connect(books / "psp.db", timeout=10, isolation_level=None)) as book:
        book.execute("BEGIN IMMEDIATE")
        found = book.execute(
            "SELECT seq, key FROM statement WHERE kind = 'refund' ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        if found is None:
            raise LookupError("there is no refund to falsify")
        book.execute("DROP TRIGGER statement_no_update")
        book.execute("UPDATE statement SET amount = amount + 1 WHERE seq = ?", (found[0],))
        book.execute(_TRIGGER)
        book.execute("COMMIT")
    return str(found[1])
