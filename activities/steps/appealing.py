"""appeal_claim: the insurer is asked once more about a claim that it denied for want of evidence. Domain 4.3."""

from __future__ import annotations

from activities.contract import AppealClaim, Appealed
from activities.steps.desk import Desk, Work
from activities.steps.loss import loss_claims, plan_indemnity
from activities.steps.parcel import scan_facts
from backhaul.errors import Rejected
from backhaul.facts import CoverKind
from backhaul.money import Money
from backhaul.policy.denials import APPEALABLE

STEP = "appeal_claim"


async def appeal(desk: Desk, argument: AppealClaim) -> Appealed:
    """Plan a claim of the same amount in the denied one's place. An appeal itself is not appealed."""

    async def work(now: Work) -> Appealed:
        return await _appeal(desk, now, argument.claim_ref)

    return await desk.once(argument.case, f"{STEP}:{argument.claim_ref}", argument, Appealed, work)


async def _appeal(desk: Desk, work: Work, claim_ref: str) -> Appealed:
    before = await loss_claims(work)
    denied = next((row for row in before if row.claim_ref == claim_ref), None)
    if denied is None or denied.state != "denied" or denied.code not in APPEALABLE or denied.appeal_of is not None:
        raise Rejected("already_decided", f"the decision on {claim_ref} cannot be appealed")
    facts = await scan_facts(work)
    cover = facts.cover(CoverKind.RDV)
    if cover is None:
        raise Rejected("not_found", f"{work.key} has no cover for a loss")
    amount = Money(minor=denied.reserved_minor, currency=denied.currency)
    plan = await plan_indemnity(desk, work, facts, cover, amount, before, appeal_of=claim_ref)
    return Appealed(plan=plan, verdicts=tuple(work.verdicts))
