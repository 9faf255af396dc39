"""Save-the-sale: a part of the price for keeping the goods, before a pickup is booked. Domain 2.2, 4.7, X30."""

from __future__ import annotations

from temporalio import workflow

from activities.contract import GrantRefund
from activities.declarations import grant_refund
from backhaul.case import Region
from backhaul.facts import Party
from backhaul.messages import OfferAnswer
from workflows.case_run import CaseRun
from workflows.stages.notices import ask
from workflows.stages.refunding import refund


async def retain(run: CaseRun) -> bool:
    """Did the consumer keep the goods for what was offered? Silence and a refusal let the return go on; so does a
    withdrawal, which the next stage sees."""
    offer, mail = run.judged.offer, run.mail
    if offer is None or mail.withdraw is not None:
        return False
    run.offer = offer
    run.tell(f"offered {offer} for keeping the goods", Party.MERCHANT)
    await ask(
        run,
        Party.CONSUMER,
        "offer",
        "offer",
        run.judged.terms.offer_answer_s,
        lambda: bool(mail.offer or mail.withdraw),
        amount=offer,
    )
    run.offer = None
    if mail.offer is None or mail.offer.answer is not OfferAnswer.ACCEPT:
        run.tell("the return goes on without the offer", Party.PLATFORM)
        return False
    run.regions.to(Region.AUTHORIZATION, "retained")
    run.regions.to(Region.LOGISTICS, "not_required")
    granted = await run.step(
        grant_refund, GrantRefund(case=run.judged.case, what="offer", amount=offer, at=workflow.now())
    )
    run.regions.to(Region.SETTLEMENT, "posted")
    if granted.refunds:
        run.regions.to(Region.REFUND, "due")
        await refund(run, granted.refunds)
    return True
