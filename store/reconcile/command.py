"""`python -m store.reconcile`: the books of one database, looked at without Temporal and without the providers."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from dataclasses import asdict
from typing import Any

from backhaul.policy.library import load_library
from store import ledger
from store.engine import VARIABLE, Store
from store.reconcile.invariants import check_lines, snapshot
from store.reconcile.outside import journal_side


async def our_books(url: str) -> dict[str, Any]:
    """What the journal says happened outside, the trial balance, and every invariant's line."""
    store = Store(url)
    try:
        async with snapshot(store) as session:
            lines = await journal_side(session)
            balance = await ledger.trial_balance(session)
        invariants = await check_lines(store, load_library())
    finally:
        await store.close()
    return {
        "journal": [asdict(line) for line in lines],
        "trial_balance": balance,
        "invariants": [asdict(line) for line in invariants],
    }


def main(arguments: list[str] | None = None) -> int:
    """The command: our side, as one JSON object or as lines. With `--check` 1 where an invariant does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m store.reconcile", description="Look at the books: what they say happened, and the invariants."
    )
    parser.add_argument("--url", help=f"the database; else ${VARIABLE}")
    parser.add_argument("--json", action="store_true", help="one JSON object, with the trial balance, instead of lines")
    parser.add_argument("--check", action="store_true", help="end with 1 where an invariant does not hold")
    given = parser.parse_args(arguments)
    url = given.url or os.environ.get(VARIABLE, "").strip()
    if not url:
        parser.error(f"no database: give --url or set {VARIABLE}")
    books = asyncio.run(our_books(url))
    if given.json:
        sys.stdout.write(json.dumps(books) + "\n")
    else:
        for line in books["journal"]:
            sys.stdout.write(" ".join(str(value) for value in line.values()) + "\n")
        for line in books["invariants"]:
            sys.stdout.write(f"{line['invariant']:>2} {line['says']}: {line['looked']} looked at\n")
            for one in line["findings"]:
                sys.stdout.write(f"   {one['code']} {one['subject']}: {one['expected']}, is {one['found']}\n")
    broken = any(line["findings"] for line in books["invariants"])
    return 1 if given.check and broken else 0
