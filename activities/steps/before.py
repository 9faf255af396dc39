"""What was fixed for a settled case before: every version of its amounts, and what stands of its entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.steps.amounts import Amounts
from activities.steps.desk import SETTLED, Work
from activities.steps.parcel import SCAN, Scan
from activities.steps.undisputed import UndisputedPart, undisputed_part
from backhaul.errors import Rejected
from backhaul.ledger import JournalEntry
from backhaul.money import Money
from backhaul.policy.refunds import LineRefund
from store import cases, ledger


@dataclass(frozen=True)
class Before:
    """What was fixed so far: each version of the amounts, and the scan they rest on."""

    versions: tuple[Amounts, ...]
    scan: Scan
    undisputed: UndisputedPart | None
    closed: bool = True
    """Is the case closed? Before that no recovery of it has begun."""

    @property
    def last(self) -> Amounts:
        return self.versions[-1]

    @property
    def granted(self) -> bool:
        """Was the refund advanced, by lightning or as it turned out later?"""
        return bool(self.scan.granted) or self.last.advanced

    @property
    def n(self) -> int:
        """The number of the next version."""
        return len(self.versions) + 1

    @property
    def charged(self) -> tuple[LineRefund, ...]:
        """What was charged by line, all in all; of an advance the last version has replaced the others."""
        if self.granted:
            return self.last.charge.lines
        first = () if self.undisputed is None else self.undisputed.lines
        return (*first, *(line for one in self.versions for line in one.charge.lines))


def by_line(parts: Sequence[LineRefund], zero: Money) -> tuple[LineRefund, ...]:
    """What several charges come to on each line."""
    sums: dict[str, LineRefund] = {}
    for part in parts:
        known = sums.get(part.line_id, LineRefund(line_id=part.line_id, amount=zero, commission=zero))
        sums[part.line_id] = LineRefund(
            line_id=part.line_id, amount=known.amount + part.amount, commission=known.commission + part.commission
        )
    return tuple(sums.values())


async def before_of(work: Work) -> Before:
    """Raises Rejected(`not_found`) for a case that was never settled."""
    scan = await cases.recorded(work.session, work.key, SCAN, Scan)
    versions = await versions_of(work.session, work.key)
    if scan is None or not versions:
        raise Rejected("not_found", f"{work.key} was never settled")
    row = await cases.need(work.session, work.key)
    return Before(versions, scan, await undisputed_part(work), row.closed_at is not None)


async def versions_of(session: AsyncSession, key: str) -> tuple[Amounts, ...]:
    """What a case was settled on, and every time anew, in order; none of one that was never settled."""
    versions: list[Amounts] = []
    while True:
        name = SETTLED if not versions else f"{SETTLED}.{len(versions) + 1}"
        one = await cases.recorded(session, key, name, Amounts)
        if one is None:
            return tuple(versions)
        versions.append(one)


async def posted(work: Work, template: str, ref: str | None = None) -> list[JournalEntry]:
    """The case's entries of a template that stand, in order: neither reversals nor reversed."""
    entries = [one.entry for one in await ledger.entries_of(work.session, work.key)]
    reversed_ = {entry.reverses for entry in entries if entry.reverses}
    return [
        entry
        for entry in entries
        if entry.template == template
        and (ref is None or entry.claim_ref == ref)
        and not entry.reverses
        and entry.key not in reversed_
    ]
