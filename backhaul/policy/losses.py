"""How much a finding, or a lost parcel, costs. Rule 4.3: everything rounds down, once per line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import Field

from backhaul.facts import CaseFacts, Finding, Frozen, LineFacts, LineFinding
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.refunds import refundable, unit_value

WITH_SALVAGE = frozenset({Finding.MISMATCH, Finding.COUNTERFEIT})
"""Findings that are a total loss of the units affected, less what is still worth something. Lost goods too."""


class LineLoss(Frozen):
    """The loss on one line. `value` is that of the returned units; the loss is at most this.

    `unverifiable` and `severity_unknown` say that a finding could not be counted: a denial with a code."""

    line_id: str
    value: Money
    loss: Money
    refundable: Money | None = Field(default=None, description="what is left to refund of it; None: all of the value")
    unverifiable: bool = False
    severity_unknown: bool = False

    @property
    def relief(self) -> Money:
        """The most of the refund that the merchant may not be charged for this loss."""
        return self.loss.at_most(self.value if self.refundable is None else self.refundable)


def line_loss(line: LineFacts, findings: Iterable[LineFinding], book: PolicyBook) -> LineLoss:
    """Loss of a line: its findings (those of other lines are passed over) add up, at most to the line's value.

    A unit is worth the line's returned value divided by its returned quantity, so that all units lost are worth
    exactly what is refunded for them. Damage without a severity of the book counts nothing and says so."""
    value = unit_value(line)
    parts = max(1, line.quantity) * 100
    # In hundredths of a returned unit's value, so that the sum rounds down once.
    total, unverifiable, unknown = 0, False, False
    for one in findings:
        if one.line_id != line.line_id:
            continue
        units = min(one.quantity, line.quantity)
        if one.finding is Finding.DAMAGE:
            if one.severity in book.rdv.severities:
                total += value.minor * units * (one.severity or 0)
            else:
                unknown = True
        elif one.finding is Finding.MISSING:
            total += value.minor * units * 100
        elif one.finding in WITH_SALVAGE:
            total += max(0, value.minor * units * 100 - _salvage(one.salvage, value.currency) * parts)
        elif one.finding is Finding.UNVERIFIABLE:
            unverifiable = True
    loss = Money(minor=total // parts, currency=value.currency).at_most(value)
    return LineLoss(
        line_id=line.line_id,
        value=value,
        loss=loss,
        refundable=refundable(line),
        unverifiable=unverifiable,
        severity_unknown=unknown,
    )


def case_losses(facts: CaseFacts, findings: Iterable[LineFinding], book: PolicyBook) -> tuple[LineLoss, ...]:
    """The loss of every line of the case, in the order of the facts."""
    given = tuple(findings)
    return tuple(line_loss(line, given, book) for line in facts.lines)


def lost_losses(facts: CaseFacts, salvage: Mapping[str, Money] | None = None) -> tuple[LineLoss, ...]:
    """The parcel is lost: every line's whole value, less salvage by line."""
    worth = salvage or {}
    losses = []
    for line in facts.lines:
        value = unit_value(line)
        saved = Money(minor=_salvage(worth.get(line.line_id), value.currency), currency=value.currency)
        loss = max(Money.zero(value.currency), value - saved)
        losses.append(LineLoss(line_id=line.line_id, value=value, loss=loss, refundable=refundable(line)))
    return tuple(losses)


def without(losses: Iterable[LineLoss], others: Iterable[LineLoss]) -> tuple[LineLoss, ...]:
    """What of the losses is left beyond the `others` of the same lines, in the same order."""
    return tuple(
        one.model_copy(update={"loss": one.loss - other.loss.at_most(one.loss)})
        for one, other in zip(losses, others, strict=True)
    )


def total_loss(losses: Iterable[LineLoss], currency: str) -> Money:
    """The loss L of the case."""
    return Money.sum((one.loss for one in losses), currency)


def _salvage(salvage: Money | None, currency: str) -> int:
    if salvage is None:
        return 0
    return max(0, (salvage - Money.zero(currency)).minor)
