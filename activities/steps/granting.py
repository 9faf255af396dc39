"""grant_refund: money for the consumer without goods coming back. Domain 4.7 (X30), X29; J82, J23."""

from __future__ import annotations

from activities.contract import Granted, GrantRefund
from activities.steps.desk import Desk, Work
from activities.steps.facts import refreshed
from activities.steps.opening import STEP as JUDGED
from activities.steps.parts import refund_parts
from backhaul.case import Stage
from backhaul.errors import Rejected
from backhaul.facts import CaseFacts, Party
from backhaul.ledger import partial_refund_due, refund_due
from backhaul.policy.refunds import RefundValue, partial_refund, refund_value
from store import cases, refunds

OFFER, REFUND_ONLY = "offer", "refund_only"


def step_of(what: str) -> str:
    """The step under which a grant is kept: once a case and kind."""
    return f"grant_refund:{what}"


async def grant(desk: Desk, argument: GrantRefund) -> Granted:
    """Post what is granted, count it on lines and payments, name what leaves. Once a case and kind."""

    async def work(now: Work) -> Granted:
        return await _grant(now, argument)

    return await desk.once(argument.case, step_of(argument.what), argument, Granted, work, argument.at)


async def _grant(work: Work, argument: GrantRefund) -> Granted:
    judged = await cases.facts_of(work.session, work.key, JUDGED, CaseFacts)
    if judged is None:
        raise Rejected("not_found", f"{work.key} has no facts")
    facts = refreshed(judged, work.order)
    value = _value(work, facts, argument)
    await cases.store_facts(work.session, work.key, step_of(argument.what), facts)
    for line in value.lines:
        if line.amount or line.commission:
            await refunds.add_to_line(work.session, work.case.order_id, line.line_id, line.amount, line.commission)
    purpose = OFFER if argument.what == OFFER else "refund"
    parts = await refund_parts(work, value.total, purpose)
    stage, waiting = (Stage.REFUNDING, Party.PSP) if parts else (Stage.CLOSING, Party.PLATFORM)
    await cases.set_stage(work.session, work.key, stage.value, work.at, waiting_on=waiting.value)
    return Granted(amount=value.total, refunds=parts)


def _value(work: Work, facts: CaseFacts, argument: GrantRefund) -> RefundValue:
    """J82 of what was offered, or J23 of all that the goods are worth; commission follows by line."""
    if argument.what == OFFER:
        value = partial_refund(facts, argument.amount)
        work.post(partial_refund_due(work.case, value.total, value.commission))
        return value
    value = refund_value(facts)
    work.post(refund_due(work.case, value.total, value.commission))
    return value
