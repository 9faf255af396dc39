"""What was recovered and is not owed any more: what came is given back, what did not is let go. Domain 2.10, 4.5.

A recovery is cut first: its workflow finds that nothing is owed any more, and ends by itself. Nothing is cut while its
money is between two places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from activities.contract import MoneyBack, Repayment
from activities.steps.amounts import CLAWBACK, Piece, count_lines, demanded_of_carrier
from activities.steps.before import Before, by_line, posted
from activities.steps.desk import Work, id_of
from backhaul.errors import Rejected, Transient
from backhaul.facts import Liable
from backhaul.ids import claim_ref, payment_key
from backhaul.ledger import (
    consumer_owes_indemnity,
    consumer_paid_for_nothing,
    consumer_uncollectable,
    consumer_written_off,
    goods_accepted,
    left_uncharged,
    lightning_granted,
    recovery_uncollectable,
    reversal,
    withheld_from_refund,
)
from backhaul.money import Money
from backhaul.policy.consequences import Consequences
from backhaul.policy.refunds import RefundValue
from store import claims, recoveries
from store.tables import ClaimRow, RecoveryRow


@dataclass
class Undone:
    """What leaves: money that the insurer gives back, and of it (or of ours) what the consumer is repaid."""

    back: list[MoneyBack] = field(default_factory=list)
    repayments: list[Repayment] = field(default_factory=list)
    demanded: Money | None = None
    """What the consumer owes us (J50) that no recovery demands yet."""


async def undo(
    work: Work, before: Before, result: Consequences, rows: Sequence[ClaimRow], now: dict[str, Piece]
) -> Undone:
    """Take back what of the recoveries of the claims the new liability does not bear out.

    Raises Transient(`pending`) while money of a recovery is under way."""
    done = Undone()
    old = {one.claim_ref: one for one in before.last.pieces}
    of_carrier = demanded_of_carrier(result, rows, tuple(now.values()))
    for row in rows:
        ref = row.claim_ref
        known = await claims.recoveries_of(work.session, ref, lock=True)
        demand = of_carrier[ref].minor if ref in of_carrier else 0
        for one in known:
            if one.liable == Liable.CARRIER.value:
                kept = min(demand, one.amount_minor - one.in_hand_minor)
                demand -= kept
                await _carrier_back(work, before, one, kept, done)
        piece = now.get(ref)
        if ref in old:
            theirs = [one for one in known if one.liable == Liable.CONSUMER.value]
            stand = [one for one in theirs if one.amount_minor]
            await _consumer_back(work, before, old[ref], piece, stand or theirs[-1:], done)
        elif piece is not None:
            part = f"v{before.n}" if known else "1"
            work.post(
                withheld_from_refund(work.case, piece.withheld, claim_ref=ref, part=part),
                consumer_owes_indemnity(work.case, piece.receivable, claim_ref=ref, part=part),
            )
    return done


async def _carrier_back(work: Work, before: Before, row: RecoveryRow, demand: int, done: Undone) -> None:
    """Above what is still demanded: what came goes back (J45, J15), what was accepted and did not is let go (J43)."""
    if row.amount_minor - row.in_hand_minor <= demand:
        return
    came, lost = row.collected_minor, row.written_off_minor
    still = max(0, min(row.accepted_minor, demand) - min(came, demand) - lost)
    let_go = Money(minor=max(0, row.accepted_minor - came - lost) - still, currency=row.currency)
    part = recoveries.entry_part(row, f"v{before.n}")
    work.post(recovery_uncollectable(work.case, let_go, claim_ref=row.claim_ref, part=part))
    if await recoveries.setting_off(work.session, row.recovery_ref):
        raise Transient("pending", f"a set-off of {row.recovery_ref} is under way")
    if before.closed and row.remitted_minor < row.in_hand_minor + row.collected_minor:
        raise Transient("pending", f"what was collected for {row.recovery_ref} is on its way to the insurer")
    courier = await claims.courier_of(work.session, before.scan.waybill)
    back = Money(minor=max(0, came - demand), currency=row.currency)
    await claims.cut_recovery(work.session, row.recovery_ref, row.in_hand_minor + demand, work.at)
    if back and courier is None:
        raise Rejected("not_found", f"nobody is known to have carried {before.scan.waybill}")
    if back:
        key = payment_key(id_of(work.case), f"return.{row.recovery_ref}.v{before.n}")
        waybill = before.scan.waybill
        done.back.append(
            MoneyBack(claim_ref=row.claim_ref, amount=back, key=key, to="carrier", courier=courier, waybill=waybill)
        )


async def _consumer_back(
    work: Work, before: Before, old: Piece, now: Piece | None, rows: Sequence[RecoveryRow], done: Undone
) -> None:
    """What was withheld is refunded with the rest, and what the consumer has paid is repaid, once the insurer has given
    it back (J45); what they have not paid is taken back (J53 reversed, or J55). What they are liable for besides is
    withheld (J54), or owed (J53)."""
    zero, ref = Money.zero(old.withheld.currency), old.claim_ref
    withheld, receivable = (zero, zero) if now is None else (now.withheld, now.receivable)
    if (withheld, receivable) == (old.withheld, old.receivable):
        return
    name = rows[-1].recovery_ref if rows else ref
    for row in rows:
        await _need_rest(work, before, row)
    came = Money(minor=sum(row.collected_minor for row in rows), currency=zero.currency)
    lost = Money(minor=sum(row.written_off_minor for row in rows), currency=zero.currency)
    sent = any(row.in_hand_minor and row.remitted_minor for row in rows)
    if sent and withheld < old.withheld:
        key = payment_key(id_of(work.case), f"return.{name}.v{before.n}")
        done.back.append(MoneyBack(claim_ref=ref, amount=old.withheld - withheld, key=key, to="consumer"))
    elif sent:
        work.post(withheld_from_refund(work.case, withheld - old.withheld, claim_ref=ref, part=f"v{before.n}"))
    elif withheld != old.withheld:
        work.post(*[reversal(one) for one in (await posted(work, "J54", ref))[-1:]])
        work.post(withheld_from_refund(work.case, withheld, claim_ref=ref, part=f"v{before.n}"))
    let_go = max(old.receivable - came - lost, zero) - max(receivable - came - lost, zero)
    if let_go < zero:
        work.post(consumer_owes_indemnity(work.case, -let_go, claim_ref=ref, part=f"v{before.n}"))
    else:
        await _let_go(work, before, ref, let_go)
    paid = max(came - receivable, zero)
    if paid:
        key = payment_key(id_of(work.case), f"repaid.{name}.v{before.n}")
        done.back.append(MoneyBack(claim_ref=ref, amount=paid, key=key, to="consumer"))
        done.repayments.append(Repayment(key=key, amount=paid))
    left = (withheld + receivable).minor
    if not before.closed:  # what was overturned waits with what was withheld
        left += max(0, sum(row.in_hand_minor for row in rows) - old.withheld.minor)
    for row, kept in _kept(rows, left):
        await claims.cut_recovery(work.session, row.recovery_ref, kept, work.at)


def _kept(rows: Sequence[RecoveryRow], left: int) -> list[tuple[RecoveryRow, int]]:
    """What each recovery is still of, of `left` in all: what is in hand or has come before what is only demanded."""
    kept = []
    for row in rows:
        kept.append(min(left, row.in_hand_minor + row.collected_minor))
        left -= kept[-1]
    for at, row in enumerate(rows):
        more = min(left, row.amount_minor - kept[at])
        kept[at], left = kept[at] + more, left - more
    return list(zip(rows, kept, strict=True))


async def _need_rest(work: Work, before: Before, row: RecoveryRow) -> None:
    """Raises Transient(`pending`) while a charge is under way, or what came has not reached the insurer."""
    if not before.closed:
        return
    if await recoveries.charging(work.session, id_of(work.case), row.recovery_ref):
        raise Transient("pending", f"a charge for {row.recovery_ref} is under way")
    if row.state not in recoveries.ENDED and row.remitted_minor < row.in_hand_minor + row.collected_minor:
        raise Transient("pending", f"what came for {row.recovery_ref} is on its way to the insurer")


async def _let_go(work: Work, before: Before, ref: str, amount: Money) -> None:
    """The last J53 is reversed where all of it is let go; of a part of it, J55."""
    last = (await posted(work, "J53", ref))[-1:]
    if amount and any(one.lines[0].amount == amount for one in last):
        work.post(*[reversal(one) for one in last])
    else:
        work.post(consumer_uncollectable(work.case, amount, claim_ref=ref, part=f"v{before.n}"))


# ---- of an advance --------------------------------------------------------------------------------------------------


async def recharge(
    work: Work,
    tag: str,
    before: Before,
    result: Consequences,
    charge: RefundValue,
    done: Undone,
    *,
    went_back: bool,
    advanced: Money | None,
) -> None:
    """J22 and J50 taken back and posted anew, where the merchant's part has changed. What the consumer has paid counts
    for the new J50, and what is above it is owed to them (J45); what is below it is demanded anew.

    Where the goods `went_back` after an ordinary refund, that counts as an advance from here on: J20 takes the place
    of J23. What is charged beyond what was `advanced` leaves only now, and is advanced with it. Raises
    Transient(`pending`) while a charge is under way."""
    old, zero = before.last, Money.zero(result.refund.currency)
    charged = by_line(before.charged, zero)
    if went_back:
        work.post(*[reversal(one) for one in await posted(work, "J23")])
        work.post(lightning_granted(work.case, Money.sum((one.amount for one in charged), zero.currency), part=tag))
    elif advanced is not None and charge.total > advanced:
        work.post(lightning_granted(work.case, charge.total - advanced, part=tag))
    elif (old.result.merchant_charge, old.result.uncharged) == (result.merchant_charge, result.uncharged):
        return
    ref = claim_ref(id_of(work.case), CLAWBACK)
    rows = await claims.recoveries_of(work.session, ref, lock=True)
    for row in rows:
        if await recoveries.charging(work.session, id_of(work.case), row.recovery_ref):
            raise Transient("pending", f"a charge for {row.recovery_ref} is under way")
    for template in ("J22", "J50", "J52"):
        work.post(*[reversal(one) for one in await posted(work, template)])
    waived = result.uncharged.at_most(result.not_demanded)
    work.post(
        goods_accepted(work.case, charge.total, charge.commission, part=tag),
        left_uncharged(work.case, result.uncharged, part=tag),
        consumer_written_off(work.case, waived, part=tag),
    )
    await count_lines(work, charge.lines, charged)
    left = result.uncharged - waived
    paid = Money(minor=sum(row.collected_minor for row in rows), currency=left.currency)
    over = max(paid - left, Money.zero(left.currency))
    key = payment_key(id_of(work.case), f"repaid.{ref}.v{before.n}")
    work.post(consumer_paid_for_nothing(work.case, over, claim_ref=ref, key=key))
    if over:
        done.repayments.append(Repayment(key=key, amount=over))
    for row in sorted(rows, key=lambda one: -one.collected_minor):
        stands = row.collected_minor if row.state in recoveries.ENDED else row.amount_minor
        kept = left.at_most(Money(minor=stands, currency=row.currency))
        await claims.cut_recovery(work.session, row.recovery_ref, kept.minor, work.at)
        left = left - kept
    if left < work.book.recovery.waiver_below:
        work.post(consumer_written_off(work.case, left, part=f"{tag}.rest"))
    else:
        done.demanded = left
