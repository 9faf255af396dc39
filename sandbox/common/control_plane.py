"""The part of the control plane that every party has: reset, seeds, faults, scripts."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

from sandbox.common.book import Book
from sandbox.common.faults import Plan
from sandbox.common.party import Party
from sandbox.common.wire import Body, Call, M, Nothing, Strict


class Seed(Strict):
    """A seed for ids; fault plans bring their own."""

    seed: int


def add_control_plane(party: Party) -> None:
    """Add reset, seeds and faults to a party."""

    def reset(call: Call[Nothing]) -> Body:
        party.book.wipe()
        party.faults.set(Plan(seed=party.book.seed))
        return {"state": "empty"}

    def reseed(call: Call[Seed]) -> Body:
        party.book.reseed(call.body.seed)
        return {"seed": call.body.seed}

    def set_faults(call: Call[Plan]) -> Body:
        party.faults.set(call.body)
        return {"seed": call.body.seed, "rules": len(call.body.rules)}

    def fired(call: Call[Nothing]) -> Body:
        plan = party.faults.plan.model_dump(mode="json")
        return {**plan, "fired": party.faults.log()}

    party.control("/reset", Nothing, reset)
    party.control("/seeds", Seed, reseed)
    party.control("/faults", Plan, set_faults)
    party.control("/faults", Nothing, fired, method="GET")


def keep_script(book: Book, match: str, script: M) -> None:
    """Keep a script under its `match`; the same match again replaces it."""
    book.run("DELETE FROM scripts WHERE match = ?", match)
    book.run("INSERT INTO scripts (match, body) VALUES (?, ?)", match, script.model_dump_json())


def script_matching(book: Book, text: str, model: type[M]) -> M | None:
    """The script whose match is `text`, else the latest whose wildcards fit it, else None."""
    rows = book.all("SELECT match, body FROM scripts ORDER BY match <> ?, seq DESC", text)
    for row in rows:
        if row["match"] == text or fnmatchcase(text, row["match"]):
            return model.model_validate_json(row["body"])
    return None


def script_within(book: Book, text: str, model: type[M]) -> M | None:
    """The latest script whose match is a part of `text` ("*" is a part of everything), else None."""
    for row in book.all("SELECT match, body FROM scripts ORDER BY match = '*', seq DESC"):
        if row["match"] == "*" or row["match"] in text:
            return model.model_validate_json(row["body"])
    return None


def loads(text: str | None) -> object:
    """JSON out of a column that may be NULL."""
    return None if text is None else json.loads(text)
