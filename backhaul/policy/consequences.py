"""What follows from a loss for every party's money. Rule 4.5 and the fixed readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from backhaul.facts import CaseFacts, Frozen, Liable
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.losses import LineLoss


class RemedyExclusion(ValueError):
    """The merchant would get more for a loss than the loss: a bug, never input."""

    code = "remedy_exclusion"


class Consequences(Frozen):
    """Who gets and who owes what now. Ordinary: merchant_charge = before + refund_now + withhold + freight_withheld.
    After lightning: refund = merchant_charge + uncharged + pending. Both are checked."""

    liable: Liable
    refund: Money = Field(description="R, the whole refund of the returned goods")
    loss: Money = Field(description="L, at most R where the merchant is not charged it")
    merchant_charge: Money = Field(description="J23, after lightning J22; commission follows by line")
    refund_now: Money = Field(description="leaves for the consumer now (J21); 0 after lightning")
    indemnify: Money = Field(description="owed to the merchant under RDV: J30, J31, J34, J32")
    withhold: Money = Field(description="J54: of the indemnity, kept back from the refund")
    consumer_receivable: Money = Field(description="J53: of the indemnity, demanded from the consumer")
    uncharged: Money = Field(description="J50: after lightning without RDV, owed by the consumer")
    not_demanded: Money = Field(description="under the waiver: of J50, written off by J52; of an indemnity, left")
    freight_withheld: Money = Field(description="J56")
    pending: Money = Field(description="waits for a ruling: not charged and, before lightning, not refunded yet")
    recover_from: Literal["carrier", "consumer"] | None = Field(description="whom a recovery is opened against")
    before: Money | None = Field(default=None, description="of the charge, posted and refunded before: undisputed")
    carrier_share: Money | None = Field(
        default=None, description="of the indemnity, what the carrier is liable for, where others are liable too"
    )

    @property
    def relieved(self) -> Money:
        """What of the refund the merchant is not charged, for good."""
        return self.refund - self.merchant_charge - self.pending

    @property
    def from_carrier(self) -> Money:
        """What of the indemnity is demanded from the carrier."""
        if self.carrier_share is not None:
            return self.carrier_share
        return self.indemnify if self.recover_from == "carrier" else Money.zero(self.refund.currency)


def consequences(
    facts: CaseFacts,
    refund: Money,
    loss: Money,
    indemnity: Money,
    liable: Liable,
    already_refunded: bool,
    freight_due_from_consumer: Money,
    book: PolicyBook,
    losses: Sequence[LineLoss] = (),
    before: Money | None = None,
) -> Consequences:
    """Fix every amount of a case whose liability is known. `indemnity` is what RDV pays for the loss, 0 without.

    With the `losses` by line, a line's loss relieves the merchant of that line's refund at most, never of another's.
    `before` was charged and refunded already (the undisputed part of a denied finding): it stands, and what is to be
    withheld beyond the rest becomes a receivable. `freight_due_from_consumer` is what is still due then.

    Raises RemedyExclusion when the indemnity is above the loss, ValueError for negative amounts."""
    zero = Money.zero(refund.currency)
    if min(refund, loss, indemnity, freight_due_from_consumer) < zero:
        raise ValueError("refund, loss, indemnity and freight are not negative")
    if liable in (Liable.MERCHANT, Liable.NOBODY, Liable.UNDETERMINED):
        indemnity = zero  # the merchant is not paid for their own fault, nor before a ruling
    if liable is Liable.NOBODY:
        loss = zero
    relief = Money.sum((one.relief for one in losses), refund.currency) if losses else loss
    stands = zero if before is None else before
    relief = relief.at_most(loss).at_most(max(zero, refund - stands))
    relieved, pending = _not_charged(refund, relief, indemnity, liable, already_refunded)
    charge = refund - relieved - pending
    withhold = receivable = not_demanded = zero
    if liable is Liable.CONSUMER:
        withhold = zero if already_refunded else indemnity.at_most(max(zero, charge - stands))
        receivable = indemnity - withhold
        if receivable < book.recovery.waiver_below:
            not_demanded, receivable = receivable, zero
    uncharged = relieved if already_refunded else zero
    if uncharged < book.recovery.waiver_below:
        not_demanded = not_demanded + uncharged
    rest = zero if already_refunded else charge - stands - withhold
    freight = freight_due_from_consumer.at_most(rest)
    result = Consequences(
        liable=liable,
        refund=refund,
        loss=loss,
        merchant_charge=charge,
        refund_now=rest - freight,
        indemnify=indemnity,
        withhold=withhold,
        consumer_receivable=receivable,
        uncharged=uncharged,
        not_demanded=not_demanded,
        freight_withheld=freight,
        pending=pending,
        recover_from=_recover_from(liable, indemnity, receivable, uncharged, not_demanded),
        before=before,
    )
    check_remedies(result, already_refunded)
    return result


def with_shares(
    result: Consequences, loss: Money, shares: Mapping[Liable, Money], already_refunded: bool
) -> Consequences:
    """The consequences for the party named first, and what others are liable for besides: the merchant is indemnified
    for all of it. `shares` of the indemnity, by party; none where one alone is liable. Raises RemedyExclusion."""
    if not shares:
        return result
    zero = Money.zero(loss.currency)
    shared = result.model_copy(
        update={
            "loss": loss,
            "indemnify": Money.sum(shares.values(), loss.currency),
            "carrier_share": shares.get(Liable.CARRIER, zero),
        }
    )
    check_remedies(shared, already_refunded)
    return shared


def line_relief(result: Consequences, losses: Sequence[LineLoss]) -> dict[str, Money]:
    """What each line of the merchant's charge is less by (`less` of refund_value), so that commission follows by line.

    Adds up to the refund minus the charge: each line's own loss, or (nothing is charged yet) all of every line."""
    off = result.refund - result.merchant_charge
    if not off or not losses:
        return {}
    if off == result.refund:
        weights = [one.value if one.refundable is None else one.refundable for one in losses]
    else:
        weights = [one.relief for one in losses]
    shares = off.split([weight.minor for weight in weights])
    return {one.line_id: share for one, share in zip(losses, shares, strict=True)}


def check_remedies(result: Consequences, already_refunded: bool) -> None:
    """uncharged + indemnity <= loss (invariant 5), and nothing appears or vanishes. Raises RemedyExclusion."""
    if result.relieved + result.indemnify > result.loss:
        raise RemedyExclusion(f"{result.relieved} uncharged and {result.indemnify} indemnified for {result.loss}")
    if result.consumer_receivable + result.withhold > result.indemnify:
        raise RemedyExclusion("more is taken back from the consumer than was indemnified")
    if already_refunded:
        fits = result.refund_now.minor == 0 and result.uncharged == result.relieved
    else:
        paid = result.refund_now + result.withhold + result.freight_withheld
        paid = paid if result.before is None else paid + result.before
        fits = paid == result.merchant_charge and result.uncharged.minor == 0
    if not fits or result.relieved.minor < 0:
        raise RemedyExclusion(f"the amounts do not add up: {result!r}")


def _not_charged(
    refund: Money, relief: Money, indemnity: Money, liable: Liable, already_refunded: bool
) -> tuple[Money, Money]:
    """(for good, until a ruling): what of the refund is not charged to the merchant."""
    zero = Money.zero(refund.currency)
    if liable is Liable.CONSUMER and not indemnity:
        return relief, zero
    if liable is Liable.UNDETERMINED:
        # X12: after lightning the refund stands and the merchant is charged nothing until the ruling.
        return zero, refund if already_refunded else relief
    return zero, zero


def _recover_from(
    liable: Liable, indemnity: Money, receivable: Money, uncharged: Money, not_demanded: Money
) -> Literal["carrier", "consumer"] | None:
    if liable is Liable.CARRIER and indemnity:
        return "carrier"
    if liable is Liable.CONSUMER and (receivable or (uncharged and not not_demanded)):
        return "consumer"
    return None
