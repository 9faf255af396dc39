"""The demo's own comparison: what the product's journal says was done outside, against the parties' statements.

Written again here on purpose: a bug in the product's reconciliation would hide what it is there to find.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.parties import Parties

Json = dict[str, Any]
Trial = Mapping[str, Mapping[str, Mapping[str, int]]]


@dataclass(frozen=True, order=True)
class Movement:
    """One movement of money as one side tells it."""

    party: str
    kind: str
    key: str
    minor: int
    currency: str
    payee: str


@dataclass(frozen=True)
class Difference:
    """One disagreement. `what`: missing (we lack it), extra (they lack it), twice, amount, currency or payee."""

    what: str
    party: str
    kind: str
    key: str
    ours: tuple[Movement, ...]
    theirs: tuple[Movement, ...]

    def text(self) -> str:
        """One line for people."""
        return f"{self.what}: {self.party} {self.kind} {self.key}: ours {_said(self.ours)}, theirs {_said(self.theirs)}"


def compare(ours: Iterable[Movement], theirs: Iterable[Movement]) -> list[Difference]:
    """Every disagreement. Nothing: the two sides are a bijection on party, kind, key, amount, currency and payee."""
    left, right = _by_key(ours), _by_key(theirs)
    found = []
    for key in sorted(left.keys() | right.keys()):
        mine, their = tuple(left.get(key, ())), tuple(right.get(key, ()))
        found += [Difference(what, *key, ours=mine, theirs=their) for what in _disagreements(mine, their)]
    return found


def _disagreements(mine: tuple[Movement, ...], their: tuple[Movement, ...]) -> list[str]:
    if not mine:
        return ["missing"]
    if not their:
        return ["extra"]
    if len(mine) > 1 or len(their) > 1:
        return ["twice"]
    one, other = mine[0], their[0]
    fields = (("amount", one.minor, other.minor), ("currency", one.currency, other.currency))
    return [what for what, a, b in (*fields, ("payee", one.payee, other.payee)) if a != b]


def _by_key(movements: Iterable[Movement]) -> dict[tuple[str, str, str], list[Movement]]:
    keyed: dict[tuple[str, str, str], list[Movement]] = defaultdict(list)
    for movement in movements:
        keyed[movement.party, movement.kind, movement.key].append(movement)
    return keyed


def _said(movements: tuple[Movement, ...]) -> str:
    return " and ".join(f"{one.minor} {one.currency} to {one.payee}" for one in movements) or "nothing"


async def statements(parties: Parties) -> list[Movement]:
    """What the three parties say happened, straight from their servers."""
    controls = {"courier": parties.courier_control, "psp": parties.psp_control, "insurer": parties.insurer_control}
    return [
        Movement(party, row["kind"], row["key"], row["amount"], row["currency"], row["payee"] or "")
        for party, control in controls.items()
        for row in await control.statement()
    ]


def journal(told: Iterable[Json]) -> list[Movement]:
    """What the product's command says of its journal."""
    return [
        Movement(
            party=row["provider"],
            kind=row["kind"],
            key=row["key"],
            minor=int(row["minor"]),
            currency=row["currency"],
            payee=row["payee"] or "",
        )
        for row in told
    ]


def sums(trial: Trial) -> dict[str, dict[str, int]]:
    """What each book adds up to per currency: nothing, or the books are wrong."""
    totals: dict[str, dict[str, int]] = {}
    for book, accounts in trial.items():
        total: Counter[str] = Counter()
        for balances in accounts.values():
            for currency, minor in balances.items():
                total[currency] += int(minor)
        totals[book] = dict(sorted(total.items()))
    return totals


def balanced(trial: Trial) -> bool:
    """Are there two books, and is each zero in every currency?"""
    totals = sums(trial)
    return set(totals) == {"P", "I"} and not any(minor for book in totals.values() for minor in book.values())


def about(movements: Iterable[Movement], party: str, kind: str, prefix: str) -> int:
    """What the statements say moved under keys of one case, in minor units."""
    return sum(one.minor for one in movements if one.party == party and one.kind == kind and one.key.startswith(prefix))
