"""What queries answer: the one typed view of a case, and how its decisions are told."""

from __future__ import annotations

from backhaul.case import allowed_actions
from backhaul.errors import CODES
from backhaul.messages import CaseStatus, MoneyView
from backhaul.money import Money
from workflows.case_run import CaseRun

LAST_EVENTS = 30


def _money(run: CaseRun) -> MoneyView:
    if run.judgement is None:
        nothing = Money.zero()
        return MoneyView(
            paid=nothing,
            refundable=nothing,
            refunded=nothing,
            refund_under_way=nothing,
            withheld=nothing,
            indemnified=nothing,
            freight=nothing,
            remaining=nothing,
        )
    sums, refundable = run.sums, run.judgement.refundable
    gone = sums.refunded + sums.under_way + sums.withheld
    return MoneyView(
        paid=run.judgement.paid,
        refundable=refundable,
        refunded=run.money(sums.refunded),
        refund_under_way=run.money(sums.under_way),
        withheld=run.money(sums.withheld),
        indemnified=run.money(sums.indemnified),
        freight=run.money(sums.freight),
        remaining=run.money(max(0, refundable.minor - gone)),
    )


def status_of(run: CaseRun) -> CaseStatus:
    """Stage, regions, waiting on, due, attention, money, allowed actions with reasons, last events."""
    wait = run.shown_wait
    return CaseStatus(
        merchant_id=run.id.merchant_id,
        rma_id=run.id.rma_id,
        order_id=run.request.order_id,
        stage=run.stage.value,
        outcome=run.outcome,
        regions=run.regions.plain(),
        waiting=None if wait is None else wait.view(),
        attention=run.attention(),
        money=_money(run),
        actions=allowed_actions(run.situation(), CODES),
        events=tuple(run.events[-LAST_EVENTS:]),
        waybill=run.waybill,
        offer=run.offer,
        reopens=run.request.reopens,
        closed=run.closed,
        ruling_id=None if run.ruled is None else run.ruled.id,
    )
