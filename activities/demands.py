"""Recovery from a carrier: the demand as an effect, and what the carrier's answer posts. Domain 4.5, X27, J40, J44."""

from __future__ import annotations

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import DemandState, RecoveryPlan
from activities.effects_support import KEY_LIFETIME, Plan, World, answer, case_key
from backhaul.errors import Refusal
from backhaul.ledger import CaseRef, carrier_accepted, carrier_paid_cash, made
from gateways.ports import CourierGateway, DemandStanding, Standing
from store import claims, ledger, waybills
from store.effects import Answer, Intent
from store.tables import EffectRow

PLATFORM = "platform"
REASON = "lost_or_damaged"


def demand_key(claim_ref: str) -> str:
    """The key under which an indemnity is demanded."""
    return f"{claim_ref}:demand"


async def demand(world: World, case: CaseRef, plan: RecoveryPlan) -> Plan:
    """The demand as an effect. Nothing is posted before the carrier answers."""
    courier, waybill = await _carrier(world, plan)
    key, ref = demand_key(plan.claim_ref), plan.claim_ref

    async def send() -> Answer:
        await courier.demand(key, ref, waybill, plan.amount, REASON)
        return answer(Standing.SUCCEEDED, ref)

    async def also(session: AsyncSession, row: EffectRow) -> None:
        await claims.advance_recovery(session, ref, "demanded", world.clock())

    intent = Intent(
        key=key,
        kind="demand",
        provider=courier.name,
        amount=plan.amount,
        payee=PLATFORM,
        lifetime=KEY_LIFETIME,
        case_key=case_key(case),
        body={"case": case.model_dump(mode="json"), "about": plan.model_dump(mode="json")},
    )
    return Plan(intent, courier, send, also=also)


async def check(world: World, case: CaseRef, plan: RecoveryPlan) -> DemandState:
    """Read the carrier's answer and post what follows from it, once."""
    courier, _ = await _carrier(world, plan)
    said = await courier.demand_answer(plan.claim_ref)
    if said.accepted is None:
        if said.standing is DemandStanding.CONTESTED:
            at = world.clock()
            await world.store.run(lambda session: claims.advance_recovery(session, plan.claim_ref, "contested", at))
        return DemandState(state=said.standing.value)
    accepted, paid, ref = said.accepted, said.standing is DemandStanding.PAID, plan.claim_ref

    async def keep(session: AsyncSession) -> None:
        at = world.clock()
        entries = made(carrier_accepted(case, accepted, claim_ref=ref))
        if paid:
            entries += made(carrier_paid_cash(case, accepted, claim_ref=ref))
            state = "collected" if accepted == plan.amount else "partial"
            await claims.advance_recovery(session, ref, state, at, accepted=accepted, collected=accepted)
        else:
            await claims.advance_recovery(session, ref, "accepted", at, accepted=accepted)
        await ledger.post(session, entries, at)

    await world.store.run(keep)
    return DemandState(state=said.standing.value, accepted=accepted)


async def _carrier(world: World, plan: RecoveryPlan) -> tuple[CourierGateway, str]:
    """Who carried the goods. Raises Refusal(`not_found`) for a waybill that we do not know."""
    if plan.waybill is None:
        raise Refusal("not_found", f"{plan.claim_ref} names no waybill")
    async with world.store.read() as session:
        known = await waybills.need(session, plan.waybill)
    return world.gateways.courier(known.courier), plan.waybill
