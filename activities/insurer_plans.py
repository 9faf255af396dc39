"""The insurer's effects one by one, described for running (activities.insurers) and for proving (activities.proofs)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import FreightClaim, IndemnityPlan, RecoveryPlan
from activities.effects_support import KEY_LIFETIME, Plan, World, answer, case_key
from backhaul.ids import recovery_key
from backhaul.ledger import (
    CaseRef,
    JournalEntry,
    consumer_paid_by_insurer,
    courier_paid_by_insurer,
    insurer_funded,
    made,
    rdv_approved,
    rdv_reserved,
    recovery_remitted,
    reserve_changed,
    rfi_approved,
    rfi_reserved,
)
from backhaul.money import Money
from gateways.ports import ClaimKind, Standing
from store import claims, ledger, recoveries, settlement
from store.effects import Also, Answer, Failed, Intent
from store.tables import EffectRow

PLATFORM = "platform"
INSURER = "insurer"


def reserve_key(claim_ref: str) -> str:
    """The key under which a claim is notified and reserved."""
    return f"{claim_ref}:reserve"


def approve_key(claim_ref: str) -> str:
    """The key under which a claim's decision is asked for."""
    return f"{claim_ref}:approve"


def remit_key(claim_ref: str, n: int = 1) -> str:
    """The key under which what was recovered goes to the insurer: one a part that came in."""
    return recovery_key(claim_ref, "remit", n)


async def know_claim(
    world: World,
    case: CaseRef,
    kind: str,
    claim_ref: str,
    coverage_id: str,
    amount: Money,
    payee: str,
    waybill: str | None = None,
) -> None:
    """Keep the claim and take its amount of the cover, unless the step that planned it did. A repeat is no change."""

    async def keep(session: AsyncSession) -> None:
        await claims.plan(
            session,
            claim_ref,
            kind,
            coverage_id,
            case_key(case),
            amount,
            payee,
            waybill=waybill,
            at=world.clock(),
        )

    await world.store.run(keep)


# ---- freight: J10, J11, J12 or J13 --------------------------------------------------------------------------------


def reserve_freight(world: World, case: CaseRef, claim: FreightClaim) -> Plan:
    """J10."""
    return _reserve(world, case, claim, ClaimKind.FREIGHT, rfi_reserved(case, claim.amount, claim_ref=claim.claim_ref))


def approve_freight(world: World, case: CaseRef, claim: FreightClaim) -> Plan:
    """J11; a denial releases the reserve: J33."""
    approved = rfi_approved(case, claim.amount, claim_ref=claim.claim_ref)
    return _approve(world, case, claim, "freight", _advance_claim(world, claim, "approved"), approved)


def pay_freight(world: World, case: CaseRef, claim: FreightClaim, *, self_ship: bool) -> Plan:
    """J12 to the courier, J13 to the consumer who sent the parcel."""
    template = consumer_paid_by_insurer if self_ship else courier_paid_by_insurer
    key, ref = claim.payment_key, claim.claim_ref
    paid = template(case, claim.amount, claim_ref=ref, key=key, waybill=claim.waybill)
    insurer = world.gateways.insurer

    async def send() -> Answer:
        return answer(Standing.SUCCEEDED, await insurer.pay(key, ref, claim.amount, claim.payee))

    body = {**_body(case, claim), "self_ship": self_ship}
    intent = _intent(world, key, "freight_payment", case, claim.amount, claim.payee, body)
    return Plan(intent, insurer, send, lambda _: made(paid), _advance_claim(world, claim, "paid"))


# ---- loss: J30, J31, J32 ------------------------------------------------------------------------------------------


def reserve_loss(world: World, case: CaseRef, plan: IndemnityPlan) -> Plan:
    """J30."""
    return _reserve(world, case, plan, ClaimKind.LOSS, rdv_reserved(case, plan.amount, claim_ref=plan.claim_ref))


def approve_loss(world: World, case: CaseRef, plan: IndemnityPlan) -> Plan:
    """J31, whose leg goes into the advance's own batch at once, so that no settlement takes it; a denial: J33."""
    advance = _advance_claim(world, plan, "approved")

    async def also(session: AsyncSession, row: EffectRow) -> None:
        await advance(session, row)
        at = world.clock()
        await ledger.post(session, made(rdv_approved(case, plan.amount, claim_ref=plan.claim_ref)), at)
        await settlement.form_advance(session, plan.claim_ref, plan.advance_key, at)

    return _approve(world, case, plan, "loss", also, None)


def fund(world: World, case: CaseRef, plan: IndemnityPlan) -> Plan:
    """J32."""
    key, ref, insurer = plan.funding_key, plan.claim_ref, world.gateways.insurer

    async def send() -> Answer:
        return answer(Standing.SUCCEEDED, await insurer.pay(key, ref, plan.amount, PLATFORM))

    funded = insurer_funded(case, plan.amount, claim_ref=ref, key=key)
    intent = _intent(world, key, "funding", case, plan.amount, PLATFORM, _body(case, plan))
    return Plan(intent, insurer, send, lambda _: made(funded), _advance_claim(world, plan, "paid"))


def remit(world: World, case: CaseRef, plan: RecoveryPlan, amount: Money, n: int = 1) -> Plan:
    """J42."""
    ref, insurer = plan.claim_ref, world.gateways.insurer
    key = remit_key(ref, n)

    async def send() -> Answer:
        return answer(Standing.SUCCEEDED, await insurer.remit(key, ref, amount))

    async def also(session: AsyncSession, row: EffectRow) -> None:
        await recoveries.remitted(session, ref, amount, world.clock())

    remitted = recovery_remitted(case, amount, claim_ref=ref, key=key)
    body = {**_body(case, plan), "amount": amount.model_dump(mode="json"), "n": n}
    intent = _intent(world, key, "remittance", case, amount, INSURER, body)
    return Plan(intent, insurer, send, lambda _: made(remitted), also)


# ---- shared -------------------------------------------------------------------------------------------------------


def released(case: CaseRef, claim: FreightClaim | IndemnityPlan) -> tuple[JournalEntry, ...]:
    """J33: what was reserved for the claim is free again."""
    return made(reserve_changed(case, -claim.amount, claim_ref=claim.claim_ref))


def _body(case: CaseRef, about: FreightClaim | IndemnityPlan | RecoveryPlan) -> dict[str, object]:
    """What the row keeps, so that the effect can be described again from it alone."""
    return {"case": case.model_dump(mode="json"), "about": about.model_dump(mode="json")}


def _intent(
    world: World, key: str, kind: str, case: CaseRef, amount: Money, payee: str, body: Mapping[str, object]
) -> Intent:
    return Intent(
        key=key,
        kind=kind,
        provider=world.gateways.insurer.name,
        amount=amount,
        payee=payee,
        lifetime=KEY_LIFETIME,
        case_key=case_key(case),
        body=body,
    )


def _reserve(
    world: World,
    case: CaseRef,
    claim: FreightClaim | IndemnityPlan,
    kind: ClaimKind,
    entry: JournalEntry | None,
) -> Plan:
    insurer, key = world.gateways.insurer, reserve_key(claim.claim_ref)

    async def send() -> Answer:
        state = await insurer.reserve(key, claim.claim_ref, claim.coverage_id, kind, claim.amount)
        return answer(Standing.SUCCEEDED, state.claim_no or claim.claim_ref, claim_no=state.claim_no)

    intent = _intent(world, key, f"{kind.value}_reserve", case, claim.amount, claim.payee, _body(case, claim))
    return Plan(intent, insurer, send, lambda _: made(entry), _advance_claim(world, claim, "reserved"))


def _approve(
    world: World,
    case: CaseRef,
    claim: FreightClaim | IndemnityPlan,
    kind: str,
    also: Also,
    entry: JournalEntry | None,
) -> Plan:
    insurer, key = world.gateways.insurer, approve_key(claim.claim_ref)

    async def send() -> Answer:
        state = await insurer.approve(key, claim.claim_ref, claim.amount)
        return answer(state.standing, state.claim_no or claim.claim_ref, state.code, provider_code=state.provider_code)

    intent = _intent(world, key, f"{kind}_approval", case, claim.amount, claim.payee, _body(case, claim))
    return Plan(intent, insurer, send, lambda _: made(entry), also, _denied(world, case, claim))


def _denied(world: World, case: CaseRef, claim: FreightClaim | IndemnityPlan) -> Failed:
    async def failed(session: AsyncSession, row: EffectRow) -> Iterable[JournalEntry]:
        await claims.deny(session, claim.claim_ref, row.code or "claim_denied", world.clock())
        return released(case, claim)

    return failed


def _advance_claim(world: World, claim: FreightClaim | IndemnityPlan, state: str) -> Also:
    """The claim's own row, in the transaction of the effect that moved it."""

    async def also(session: AsyncSession, row: EffectRow) -> None:
        at = world.clock()
        if state == "reserved":
            claim_no = (row.result or {}).get("claim_no")
            await claims.advance(session, claim.claim_ref, state, at, claim_no=claim_no)
        elif state == "approved":
            await claims.advance(session, claim.claim_ref, state, at, approved=claim.amount)
        else:
            await claims.advance(session, claim.claim_ref, state, at, paid=claim.amount)

    return also
