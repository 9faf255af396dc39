"""Reconciliation: what our journal says was done outside, against what the providers' statements say was done.

Invariant 2: a bijection on (provider, kind, key, amount, currency, payee).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.ledger import I, P, Side
from store.tables import EffectRow, EntryLineRow, EntryRow

PSP, INSURER, COURIER = "psp", "insurer", "courier"
INVOICE = "freight_invoice"


@dataclass(frozen=True, order=True)
class StatementLine:
    """One thing that really happened outside."""

    provider: str
    kind: str
    key: str
    minor: int
    currency: str
    payee: str


@dataclass(frozen=True)
class Difference:
    """A key on which the two sides do not agree: what we have, what they have."""

    provider: str
    kind: str
    key: str
    ours: tuple[StatementLine, ...]
    theirs: tuple[StatementLine, ...]


@dataclass(frozen=True)
class _Trace:
    """How an entry shows outside: the line that carries the money, and who was paid where no effect says it."""

    provider: str
    kind: str
    account: str
    side: Side
    payee: str = ""


_OUTSIDE: dict[str, _Trace] = {
    "J01": _Trace(PSP, "capture", P.PSP_CLEARING, Side.DEBIT),
    "J03": _Trace(INSURER, "premium", P.BANK, Side.CREDIT, "insurer"),
    "J12": _Trace(INSURER, "payment", I.BANK, Side.CREDIT),
    "J13": _Trace(INSURER, "payment", I.BANK, Side.CREDIT),
    "J21": _Trace(PSP, "refund", P.PSP_CLEARING, Side.CREDIT),
    "J32": _Trace(INSURER, "payment", I.BANK, Side.CREDIT, "platform"),
    "J34": _Trace(PSP, "payout", P.BANK, Side.CREDIT),
    "J41": _Trace(COURIER, "set_off", P.CARRIER_PAYABLE, Side.DEBIT, "platform"),
    "J42": _Trace(INSURER, "recovery", P.BANK, Side.CREDIT, "insurer"),
    "J51": _Trace(PSP, "charge", P.PSP_CLEARING, Side.DEBIT, "platform"),
    "J44": _Trace(COURIER, "compensation", P.BANK, Side.DEBIT, "platform"),
    "J45": _Trace(INSURER, "return", P.BANK, Side.DEBIT, "platform"),
    "J60": _Trace(PSP, "bounce", P.PSP_CLEARING, Side.DEBIT),
    "J61": _Trace(PSP, "payout", P.BANK, Side.CREDIT),
    "J63": _Trace(PSP, "payout", P.BANK, Side.CREDIT),
    "J70": _Trace(PSP, "payout", P.BANK, Side.CREDIT),
}
_PAYS_COURIER: dict[str, tuple[str, Side]] = {
    "J12": (I.BANK, Side.CREDIT),
    "J15": (P.BANK, Side.CREDIT),
}
"""What a courier gets for a waybill adds up, over its cases and payers, to its one invoice (invariant 10)."""


@dataclass(frozen=True)
class Booked:
    """A line of ours and when its last entry was posted."""

    line: StatementLine
    at: datetime


async def journal_side(session: AsyncSession) -> tuple[StatementLine, ...]:
    """What our journal says was done outside, in a fixed order."""
    return tuple(sorted(booked.line for booked in await booked_outside(session)))


async def booked_outside(session: AsyncSession, *where: ColumnElement[bool]) -> list[Booked]:
    """The same with times, of the entries that fit `where`. A waybill's are given whole or not at all."""
    templates = sorted({*_OUTSIDE, *_PAYS_COURIER})
    statement = (
        select(EntryRow, EntryLineRow, EffectRow.payee)
        .join(EntryLineRow, col(EntryLineRow.sequence) == col(EntryRow.sequence))
        .outerjoin(EffectRow, col(EffectRow.key) == col(EntryRow.payment_key))
        .where(col(EntryRow.template).in_(templates), col(EntryRow.reverses).is_(None), *where)
    )
    rows: list[Booked] = []
    freight: dict[tuple[str, str], int] = defaultdict(int)
    latest: dict[str, datetime] = {}
    couriers: dict[str, str] = {}
    for entry, line, paid in await session.exec(statement):
        shown = _OUTSIDE.get(entry.template)
        if shown is not None and (line.account, line.side) == (shown.account, shown.side):
            payee = paid or shown.payee or entry.merchant_id
            key = entry.external_key or entry.entry_key
            told = StatementLine(shown.provider, shown.kind, key, line.minor, line.currency, payee)
            rows.append(Booked(told, entry.at))
        if entry.waybill is None or (entry.template == "J15" and entry.external_key is None):
            continue  # money that goes back to a courier after an overturn (J45) is no freight
        if _PAYS_COURIER.get(entry.template) == (line.account, line.side):
            freight[entry.waybill, line.currency] += line.minor
            latest[entry.waybill] = max(entry.at, latest.get(entry.waybill, entry.at))
            if entry.template == "J12" and paid:
                couriers[entry.waybill] = paid
        if entry.template == "J15" and line.account == P.CARRIER_PAYABLE and line.party:
            couriers.setdefault(entry.waybill, f"courier:{line.party}")
    for (waybill, currency), minor in freight.items():
        payee = couriers.get(waybill, "")
        told = StatementLine(COURIER, INVOICE, waybill, minor, currency, payee)
        rows.append(Booked(told, latest[waybill]))
    return rows


def compare(ours: Iterable[StatementLine], theirs: Iterable[StatementLine]) -> tuple[Difference, ...]:
    """Every key on which the sides differ: missing on one, there twice, or of another amount, currency or payee."""
    left, right = _by_key(ours), _by_key(theirs)
    return tuple(
        Difference(*key, ours=tuple(left.get(key, ())), theirs=tuple(right.get(key, ())))
        for key in sorted({*left, *right})
        if Counter(left.get(key, ())) != Counter(right.get(key, ())) or len(left.get(key, ())) > 1
    )


def _by_key(lines: Iterable[StatementLine]) -> Mapping[tuple[str, str, str], list[StatementLine]]:
    keyed: dict[tuple[str, str, str], list[StatementLine]] = defaultdict(list)
    for line in lines:
        keyed[line.provider, line.kind, line.key].append(line)
    return {key: sorted(found) for key, found in keyed.items()}
