"""refund_undisputed: the consumer denies a finding; what nobody disputes is refunded at once. Domain 4.5, X8."""

from __future__ import annotations

from activities.contract import RefundUndisputed, Undisputed
from activities.steps.desk import SETTLED, Desk, Work
from activities.steps.parcel import SCAN, Scan, scan_facts
from activities.steps.parts import refund_parts
from backhaul.errors import Rejected
from backhaul.facts import CaseFacts, CoverKind, Frozen
from backhaul.ledger import freight_withheld, refund_due
from backhaul.money import Money
from backhaul.policy.refunds import LineRefund, refund_value
from backhaul.policy.settling import undisputed_value
from store import cases, refunds

STEP = "refund_undisputed"
UNDISPUTED = "undisputed"
PURPOSE = "undisputed"
"""In the payment key: the rest, after the ruling, is a payment of its own."""


class UndisputedPart(Frozen):
    """What was charged by line, and the freight that was taken from it (J56)."""

    lines: tuple[LineRefund, ...]
    freight: Money


async def refund(desk: Desk, argument: RefundUndisputed) -> Undisputed:
    """Post J23 for all but what the findings may cost, and name what leaves."""

    async def work(now: Work) -> Undisputed:
        return await _refund(desk, now, argument)

    return await desk.once(argument.case, STEP, argument, Undisputed, work)


async def _refund(desk: Desk, work: Work, argument: RefundUndisputed) -> Undisputed:
    facts = await scan_facts(work)
    scan = await cases.recorded(work.session, work.key, SCAN, Scan)
    if scan is None:
        raise Rejected("not_found", f"the goods of {work.key} were not collected")
    if await cases.has_step(work.session, work.key, SETTLED):
        raise Rejected("already_decided", f"{work.key} is settled")
    if scan.granted:
        zero = Money.zero(work.order.order.currency)
        return Undisputed(charged=zero, disputed=zero)  # lightning refunded all of it: the refund stands (X12)
    whole = refund_value(facts)
    charge = undisputed_value(facts, argument.findings, desk.book_of_cover(facts, CoverKind.RDV, work.book))
    freight = scan.consumer_owes.at_most(charge.total)
    work.post(
        refund_due(work.case, charge.total, charge.commission, part=UNDISPUTED),
        freight_withheld(work.case, freight, part=UNDISPUTED),
    )
    for line in charge.lines:
        if line.amount or line.commission:
            await refunds.add_to_line(work.session, work.case.order_id, line.line_id, line.amount, line.commission)
    parts = await refund_parts(work, charge.total - freight, PURPOSE)
    part = UndisputedPart(lines=charge.lines, freight=freight)
    await cases.record(work.session, work.key, UNDISPUTED, argument, part, work.at)
    await cases.store_facts(work.session, work.key, STEP, facts)
    return Undisputed(charged=charge.total, disputed=whole.total - charge.total, refunds=parts)


async def undisputed_part(work: Work) -> UndisputedPart | None:
    """What was refunded while the finding was disputed."""
    return await cases.recorded(work.session, work.key, UNDISPUTED, UndisputedPart)


def before_it(facts: CaseFacts, part: UndisputedPart) -> CaseFacts:
    """The facts as if this case had refunded nothing yet: its own part taken off the lines again."""
    mine = {line.line_id: line for line in part.lines}
    lines = tuple(
        line.model_copy(
            update={
                "refunded_before": line.refunded_before - mine[line.line_id].amount,
                "commission_reversed_before": (line.commission_reversed_before or Money.zero(line.paid.currency))
                - mine[line.line_id].commission,
            }
        )
        if line.line_id in mine and line.refunded_before is not None
        else line
        for line in facts.lines
    )
    return facts.model_copy(update={"lines": lines})
