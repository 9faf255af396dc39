"""What a line is worth when it comes back, how its commission follows, and which payments it goes back to. Rule 6."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from backhaul.facts import CaseFacts, Frozen, LineFacts, PaymentFacts
from backhaul.money import Money, cumulative_share


class PaymentsShort(ValueError):
    """The original payments have less left than is to be refunded."""

    code = "exceeds_capture"


class LineRefund(Frozen):
    """A refund on one line, and the part of its commission that is reversed with it."""

    line_id: str
    amount: Money
    commission: Money


class RefundValue(Frozen):
    """A refund by line. `total` and `commission` are what J22, J23 and J82 take."""

    lines: tuple[LineRefund, ...]
    total: Money
    commission: Money = Field(description="reversed with the refund, over all lines")


def unit_value(line: LineFacts) -> Money:
    """What the returned units of a line are worth: by cumulative floor, after those that came back before."""
    before = line.already_returned
    after = cumulative_share(line.paid, before + line.quantity, line.ordered)
    return after - cumulative_share(line.paid, before, line.ordered)


def refundable(line: LineFacts) -> Money:
    """The most that may be refunded now: the units' value, at most what of the line is not refunded yet."""
    left = line.paid - _refunded(line)
    return max(Money.zero(line.paid.currency), unit_value(line).at_most(left))


def commission_reversal(line: LineFacts, amount: Money) -> Money:
    """floor(commission x cumulative refunded / paid) - already reversed: partial refunds never drift."""
    sale = line.paid.fraction(line.commission_bps, 10_000)
    if not line.paid:
        return Money.zero(line.paid.currency)
    before = line.commission_reversed_before
    if before is None:
        before = sale.fraction(_refunded(line).minor, line.paid.minor)
    reversed_now = sale.fraction((_refunded(line) + amount).minor, line.paid.minor) - before
    return max(Money.zero(line.paid.currency), reversed_now.at_most(amount))


def refund_value(facts: CaseFacts, less: Mapping[str, Money] | None = None) -> RefundValue:
    """The refund R of the case by line; `less` takes an amount off a line (R - L), at most all of it."""
    taken = less or {}
    parts = []
    for line in facts.lines:
        full = refundable(line)
        off = taken.get(line.line_id, Money.zero(full.currency))
        if off.minor < 0:
            raise ValueError(f"line {line.line_id}: {off} cannot be taken off")
        amount = full - off.at_most(full)
        parts.append(_part(line, amount))
    return _value(parts, _currency(facts))


def partial_refund(facts: CaseFacts, amount: Money) -> RefundValue:
    """A part of what the case's goods are worth, without a return (J82), at most all of it: by line in proportion to
    what each may still be refunded, with its commission."""
    most = [refundable(line) for line in facts.lines]
    total = Money.sum(most, _currency(facts))
    shares = amount.at_most(total).split([each.minor for each in most]) if total else most
    return _value([_part(line, share) for line, share in zip(facts.lines, shares, strict=True)], _currency(facts))


def refund_rest(facts: CaseFacts, done: Iterable[LineRefund], less: Mapping[str, Money] | None = None) -> RefundValue:
    """What is still to be charged after earlier charges of this same case: the second J22 or J23, after a ruling."""
    earlier: dict[str, LineRefund] = {}
    for part in done:
        known = earlier.get(part.line_id)
        if known is not None:
            part = LineRefund(
                line_id=part.line_id, amount=known.amount + part.amount, commission=known.commission + part.commission
            )
        earlier[part.line_id] = part
    whole = refund_value(facts, less)
    parts = []
    for line, full in zip(facts.lines, whole.lines, strict=True):
        before = earlier.get(line.line_id)
        if before is None:
            parts.append(full)
            continue
        reversed_before = line.commission_reversed_before
        if reversed_before is None:
            sale = line.paid.fraction(line.commission_bps, 10_000)
            reversed_before = sale.fraction(_refunded(line).minor, max(1, line.paid.minor))
        later = line.model_copy(
            update={
                "refunded_before": _refunded(line) + before.amount,
                "commission_reversed_before": reversed_before + before.commission,
            }
        )
        parts.append(_part(later, max(Money.zero(full.amount.currency), full.amount - before.amount)))
    return _value(parts, _currency(facts))


def allocate_payments(amount: Money, payments: Sequence[PaymentFacts]) -> tuple[tuple[str, Money], ...]:
    """Which original payment gets back how much: in their order, each at most what is left of it.

    Parts of nothing are left out. Raises PaymentsShort when all of them together do not reach."""
    parts = []
    rest = amount
    for payment in payments:
        part = rest.at_most(max(Money.zero(amount.currency), payment.captured - payment.refunded))
        if part:
            parts.append((payment.payment_id, part))
        rest = rest - part
    if rest or amount.minor < 0:
        raise PaymentsShort(f"{amount} cannot be refunded: {rest} is not left of the payments")
    return tuple(parts)


def _refunded(line: LineFacts) -> Money:
    return line.refunded_before or Money.zero(line.paid.currency)


def _part(line: LineFacts, amount: Money) -> LineRefund:
    return LineRefund(line_id=line.line_id, amount=amount, commission=commission_reversal(line, amount))


def _value(parts: Sequence[LineRefund], currency: str) -> RefundValue:
    return RefundValue(
        lines=tuple(parts),
        total=Money.sum((part.amount for part in parts), currency),
        commission=Money.sum((part.commission for part in parts), currency),
    )


def _currency(facts: CaseFacts) -> str:
    return facts.lines[0].paid.currency if facts.lines else facts.consumer.credit_limit.currency
