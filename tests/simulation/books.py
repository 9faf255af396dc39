"""Reading the books at the end of a sequence: our own, and the providers' against ours."""

from __future__ import annotations

from store import ledger
from store.reconcile import StatementLine, compare, journal_side
from tests.simulation.world import Simulation


def violations(sim: Simulation) -> list[str]:
    """Every invariant of domain 6 that does not hold in our own books."""

    async def read() -> list[str]:
        async with sim.store.read() as session:
            balance = await ledger.trial_balance(session)
        found = []
        for book, accounts in balance.items():
            for currency in {currency for each in accounts.values() for currency in each}:
                total = sum(each.get(currency, 0) for each in accounts.values())
                if total:
                    found.append(f"1: book {book} is off by {total} {currency}")
        return found

    found: list[str] = sim.server.do(read())
    return found


def differences(sim: Simulation) -> list[str]:
    """Every key on which a provider's statement and our journal differ (invariant 2)."""

    async def read() -> list[str]:
        async with sim.store.read() as session:
            ours = await journal_side(session)
        theirs = []
        for party in ("psp", "insurer", "courier"):
            for row in await sim.outside.whole_statement(party):
                line = (party, row.kind, row.key, row.amount.minor, row.amount.currency, row.payee or "")
                theirs.append(StatementLine(*line))
        return [str(one) for one in compare(ours, theirs)]

    found: list[str] = sim.server.do(read())
    return found
