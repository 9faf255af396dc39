"""The consumer's money: refunds to the original payments, each part under its own key. Domain 6, X18 to X21."""

from __future__ import annotations

import asyncio

from activities.contract import Proof, RefundPart, SendRefund
from activities.declarations import send_refund
from backhaul.case import Region
from backhaul.facts import Party
from backhaul.ids import next_key
from workflows.case_run import CaseRun


async def refund(run: CaseRun, parts: tuple[RefundPart, ...]) -> None:
    """Refund to the original payments, each under its own key (X18: an unknown answer never makes a new one)."""
    run.regions.to(Region.REFUND, "submitted")
    run.sums.under_way = sum(part.amount.minor for part in parts)
    results = await asyncio.gather(*(_refund_part(run, part) for part in parts))
    run.sums.under_way = 0
    run.regions.to(Region.REFUND, "succeeded" if all(results) else "unclaimed")


async def _refund_part(run: CaseRun, part: RefundPart) -> bool:
    done = await run.effect(
        send_refund,
        SendRefund(case=run.judged.case, part=part, patience=run.patience),
        key=lambda a: a.part.payment_key,
        again=_next_refund,
    )
    paid = not isinstance(done, Proof) or done.state == "succeeded"
    if paid:
        run.sums.refunded += part.amount.minor
    run.tell(f"refund of {part.amount} {'succeeded' if paid else 'went to unclaimed money'}", Party.PSP)
    return paid


def _next_refund(ended: SendRefund) -> SendRefund:
    part = ended.part.model_copy(update={"payment_key": next_key(ended.part.payment_key)})
    return ended.model_copy(update={"part": part})
