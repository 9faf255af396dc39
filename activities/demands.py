"""Recovery from a carrier: the demand, its answer, the set-off, and what each posts. Domain 4.5, X27, J40, J41, J44."""

from __future__ import annotations

from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import DemandState, RecoveryPlan, SetOff, SetOffDemand
from activities.effects_support import KEY_LIFETIME, Plan, World, answer, case_key, run
from backhaul.errors import Refusal, Rejected
from backhaul.ids import recovery_key
from backhaul.ledger import (
    CaseRef,
    P,
    Side,
    carrier_paid_cash,
    carrier_paid_for_nothing,
    carrier_set_off,
    courier_paid,
    made,
)
from backhaul.money import Money
from gateways.ports import CourierGateway, DemandAnswer, DemandStanding, Standing
from store import claims, effects, ledger, recoveries, waybills
from store.effects import Answer, Intent
from store.tables import EffectRow, RecoveryRow, WaybillRow

PLATFORM = "platform"
REASON = "lost_or_damaged"
ALREADY = "already_decided"
"""The carrier has paid in cash: nothing of it is set off any more."""


def demand_key(ref: str) -> str:
    """The key under which an indemnity is demanded in the recovery of this name."""
    return recovery_key(ref, "demand")


async def demand(world: World, case: CaseRef, plan: RecoveryPlan, cap_freights: int | None) -> Plan:
    """The demand as an effect. Nothing is posted before the carrier answers.

    For a waybill that was not declared the carrier owes so many times its freight at most (X27)."""
    courier, known = await _carrier(world, plan)
    key, ref = demand_key(plan.ref), plan.ref
    async with world.store.read() as session:
        begun = await effects.get(session, key)
    if begun is not None:
        amount = Money(minor=begun.amount_minor, currency=begun.currency)
    else:
        amount = await _owed_at_most(courier, known, plan, cap_freights)
    if not amount:
        raise Rejected("over_indemnity", f"the carrier owes nothing for {known.waybill}")

    async def send() -> Answer:
        await courier.demand(key, ref, known.waybill, amount, REASON)
        return answer(Standing.SUCCEEDED, ref)

    async def also(session: AsyncSession, row: EffectRow) -> None:
        await recoveries.demanded(session, ref, amount, world.clock())

    intent = _intent(key, "demand", known.courier, case, amount, {"about": plan.model_dump(mode="json")})
    return Plan(intent, courier, send, also=also)


async def check(world: World, case: CaseRef, plan: RecoveryPlan) -> DemandState:
    """Read the carrier's answer and post what follows from it, once."""
    courier, known = await _carrier(world, plan)
    said = await courier.demand_answer(plan.ref)

    async def keep(session: AsyncSession) -> DemandState:
        row, at = await claims.need_recovery(session, plan.ref, lock=True), world.clock()
        if row.withdrawn:
            return await _keep_owed(session, case, row, known, said, at)
        got = await _keep(session, case, row, said, at)
        return DemandState(state=said.standing.value, accepted=said.accepted, collected=got)

    return await world.store.run(keep)


async def _keep_owed(
    session: AsyncSession, case: CaseRef, row: RecoveryRow, known: WaybillRow, said: DemandAnswer, at: datetime
) -> DemandState:
    """A correction took the demand back: the parcel was found, or somebody else is liable. What the carrier paid
    before it knew is booked (J44), and what of it is not owed any more goes straight back (J45, J15)."""
    claim, ref = row.claim_ref, row.recovery_ref
    mine = {f"J44:{case_key(case)}:{ref}", f"J45:{case_key(case)}:{ref}"}
    posted = [one.entry for one in await ledger.entries_of(session, case_key(case)) if one.entry.key in mine]
    if said.paid and not any(entry.template == "J44" for entry in posted):
        kept = said.paid.at_most(recoveries.left(row))
        entries = await recoveries.recognise(session, case, row, recoveries.collected(row) + kept, at)
        await recoveries.collect(session, row, kept, at, cash=True)
        entries += made(
            carrier_paid_cash(case, said.paid, claim_ref=claim, ref=ref),
            carrier_paid_for_nothing(case, said.paid - kept, claim_ref=claim, courier=known.courier, ref=ref),
            courier_paid(
                case, said.paid - kept, courier=known.courier, waybill=known.waybill, key=recovery_key(ref, "return")
            ),
        )
        await ledger.post(session, entries, at)
        posted += entries
    back = sum(entry.total(P.RECOVERIES_OWED, Side.DEBIT) for entry in posted if entry.template == "J45")
    return DemandState(
        state=said.standing.value,
        collected=recoveries.collected(row),
        withdrawn=True,
        returned=Money(minor=back, currency=row.currency),
    )


async def _keep(session: AsyncSession, case: CaseRef, row: RecoveryRow, said: DemandAnswer, at: datetime) -> Money:
    """J40 of what the carrier accepted, J44 of what it paid; what is collected all in all."""
    if said.accepted is None:
        if said.standing is DemandStanding.CONTESTED:
            await recoveries.contested(session, row.recovery_ref, at)
        return recoveries.collected(row)
    paid = said.paid if said.paid is not None else Money.zero(row.currency)
    fresh = bool(paid) and not row.cash_minor
    owed = max(said.accepted, recoveries.collected(row) + (paid if fresh else Money.zero(row.currency)))
    entries = await recoveries.recognise(session, case, row, owed, at)
    if fresh:
        await recoveries.collect(session, row, paid, at, cash=True)
        entries += made(carrier_paid_cash(case, paid, claim_ref=row.claim_ref, ref=row.recovery_ref))
    await ledger.post(session, entries, at)
    return recoveries.collected(row)


# ---- set-off -------------------------------------------------------------------------------------------------------


async def set_off(world: World, asked: SetOffDemand) -> SetOff:
    """J41: at most what we owe the carrier now. The payable is taken with the intent, so that nobody else uses it."""
    case, plan = asked.case, asked.plan
    courier, known = await _carrier(world, plan)
    key, ref = recovery_key(plan.ref, "set_off", asked.n), plan.ref

    async def intend(session: AsyncSession) -> Money:
        begun = await effects.get(session, key)
        if begun is not None:
            return Money(minor=begun.amount_minor, currency=begun.currency)
        row = await claims.need_recovery(session, ref, lock=True)
        want = asked.upto.at_most(recoveries.collected(row) + recoveries.left(row)) - recoveries.collected(row)
        amount = want.at_most(await recoveries.payable(session, known.courier, row.currency))
        if amount.minor > 0:
            await effects.begin(session, _set_off_intent(key, known.courier, case, amount, plan), world.clock())
        return max(amount, Money.zero(row.currency))

    amount = await world.store.run(intend)
    if amount:
        await run(world, set_off_plan(world, courier, known.courier, case, plan, amount, key))
    async with world.store.read() as session:
        row = await claims.need_recovery(session, ref)
    return SetOff(amount=amount, collected=recoveries.collected(row))


def set_off_plan(
    world: World, courier: CourierGateway, name: str, case: CaseRef, plan: RecoveryPlan, amount: Money, key: str
) -> Plan:
    """One set-off as an effect: declared to the carrier, then J40 of what was not recognised yet, and J41."""
    ref = plan.ref

    async def send() -> Answer:
        try:
            return answer(Standing.SUCCEEDED, await courier.set_off(key, ref, amount))
        except Rejected as error:
            if error.code != ALREADY:
                raise
            return answer(Standing.FAILED, None, ALREADY)

    async def also(session: AsyncSession, row: EffectRow) -> None:
        at = world.clock()
        recovery = await claims.need_recovery(session, ref, lock=True)
        entries = await recoveries.recognise(session, case, recovery, recoveries.collected(recovery) + amount, at)
        await recoveries.collect(session, recovery, amount, at)
        entries += made(carrier_set_off(case, amount, claim_ref=plan.claim_ref, courier=name, key=key))
        await ledger.post(session, entries, at)

    return Plan(_set_off_intent(key, name, case, amount, plan), courier, send, also=also)


def _set_off_intent(key: str, courier: str, case: CaseRef, amount: Money, plan: RecoveryPlan) -> Intent:
    return _intent(key, recoveries.SET_OFF, courier, case, amount, {"about": plan.model_dump(mode="json")})


def _intent(key: str, kind: str, provider: str, case: CaseRef, amount: Money, body: dict[str, object]) -> Intent:
    return Intent(
        key=key,
        kind=kind,
        provider=provider,
        amount=amount,
        payee=PLATFORM,
        lifetime=KEY_LIFETIME,
        case_key=case_key(case),
        body={"case": case.model_dump(mode="json"), **body},
        numbered=kind in recoveries.IN_PARTS,
        in_parts=kind in recoveries.IN_PARTS,
    )


async def _owed_at_most(
    courier: CourierGateway, known: WaybillRow, plan: RecoveryPlan, cap_freights: int | None
) -> Money:
    """What is demanded: of a parcel that the consumer posted, which nobody declared, so many freights at most. Its
    freight is the proven one, or the carrier's invoice; where neither is known the carrier itself says what it owes."""
    amount = plan.amount - (plan.in_hand or Money.zero(plan.amount.currency))
    if known.pickup_id is not None or cap_freights is None:
        return amount  # every pickup under RDV is declared
    freight = None if known.freight_minor is None else Money(minor=known.freight_minor, currency=amount.currency)
    if freight is None:
        invoice = await courier.invoice(known.waybill)
        freight = None if invoice is None else invoice.amount
    return amount if freight is None else amount.at_most(freight * cap_freights)


async def _carrier(world: World, plan: RecoveryPlan) -> tuple[CourierGateway, WaybillRow]:
    """Who carried the goods. Raises Refusal(`not_found`) for a waybill that we do not know."""
    if plan.waybill is None:
        raise Refusal("not_found", f"{plan.ref} names no waybill")
    async with world.store.read() as session:
        known = await waybills.need(session, plan.waybill)
    return world.gateways.courier(known.courier), known
