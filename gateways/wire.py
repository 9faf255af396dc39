"""Wire types and mapping that the sandbox's parties share: operations and statements."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AwareDatetime

from backhaul.money import Money
from gateways.http import Http, WireModel, segment
from gateways.ports import Operation, Standing, StatementPage, StatementRow

NOT_FOUND = 404
UNKNOWN_KEY = "unknown_key"


class OperationWire(WireModel):
    """What was done under a key. A provider may leave the amount out where none was asked for."""

    key: str
    kind: str
    state: str | None = None
    ref: str | None = None
    payment_ref: str | None = None
    remittance_ref: str | None = None
    code: str | None = None
    amount: int | None = None
    currency: str | None = None
    payee: str | None = None
    collected: int | None = None
    bounced_at: AwareDatetime | None = None


class StatementRowWire(WireModel):
    """One row of a statement."""

    seq: int
    key: str
    kind: str
    ref: str | None = None
    amount: int
    currency: str
    payee: str | None = None
    at: AwareDatetime


class StatementWire(WireModel):
    """One page of a statement."""

    rows: tuple[StatementRowWire, ...]
    next: int | None = None


class NotFoundWire(WireModel):
    """Why something was not found: an unknown key is an answer, an unknown path is not."""

    code: str = ""


def money(amount: int, currency: str) -> Money:
    """An amount as the provider writes it. Raises ValueError for a currency or size that we do not take."""
    return Money(minor=amount, currency=currency)


def standing(state: str | None, words: Mapping[str, Standing]) -> Standing:
    """A provider's state in our words. A word that we do not know is pending: never terminal by accident."""
    return words.get(state or "", Standing.PENDING)


def operation(wire: OperationWire, words: Mapping[str, Mapping[str, Standing]]) -> Operation:
    """An operation in our words; `words` has the states of each kind."""
    amount = None
    if wire.amount is not None and wire.currency is not None:
        amount = money(wire.amount, wire.currency)
    collected = None
    if wire.collected is not None and wire.currency is not None:
        collected = money(wire.collected, wire.currency)
    return Operation(
        key=wire.key,
        kind=wire.kind,
        standing=standing(wire.state, words.get(wire.kind, {})),
        ref=wire.payment_ref or wire.remittance_ref or wire.ref or None,
        code=wire.code,
        amount=amount,
        payee=wire.payee,
        collected=collected,
        bounced_at=wire.bounced_at,
    )


def statement(wire: StatementWire) -> StatementPage:
    """A page of a statement in our words."""
    rows = tuple(
        StatementRow(
            seq=row.seq,
            key=row.key,
            kind=row.kind,
            ref=row.ref,
            amount=money(row.amount, row.currency),
            payee=row.payee,
            at=row.at,
        )
        for row in wire.rows
    )
    return StatementPage(rows=rows, next=wire.next)


async def look_up(http: Http, key: str, words: Mapping[str, Mapping[str, Standing]]) -> Operation | None:
    """What the provider did under `key`; None only when it says that it does not know the key."""
    answer = await http.get(f"/v1/operations/{segment(key)}", allow=(NOT_FOUND,))
    if answer.status == NOT_FOUND:
        if answer.read(NotFoundWire).code == UNKNOWN_KEY:
            return None
        raise answer.malformed("404 without unknown_key")
    return answer.map(OperationWire, lambda wire: operation(wire, words))


async def read_statement(http: Http, since: int, limit: int) -> StatementPage:
    """A page of the provider's statement."""
    answer = await http.get("/v1/statement", {"since": since, "limit": limit})
    return answer.map(StatementWire, statement)
