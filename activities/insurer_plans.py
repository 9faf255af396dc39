"""The insurer's effects one by one, described for running (activities.insurers) and for proving (activities.proofs)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import ClaimDecision, FreightClaim, IndemnityPlan, MoneyBack, RecoveryPlan
from activities.effects_support import KEY_LIFETIME, Plan, World, answer, case_key
from backhaul.errors import Rejected
from backhaul.facts import BookRef
from backhaul.ids import recovery_key
from backhaul.ledger import (
    CaseRef,
    JournalEntry,
    consumer_paid_by_insurer,
    courier_paid,
    courier_paid_by_insurer,
    insurer_funded,
    made,
    rdv_approved,
    rdv_reserved,
    recovery_remitted,
    recovery_returned,
    reserve_changed,
    rfi_approved,
    rfi_reserved,
)
from backhaul.money import Money
from backhaul.policy.denials import APPEALABLE, Denial, insurer_decision
from gateways.ports import ClaimKind, ClaimPayment, ClaimState, InsurerGateway, Standing
from store import cases, claims, effects, ledger, recoveries, settlement
from store.effects import Also, Answer, Failed, Intent, Outcome
from store.tables import EffectRow

PLATFORM = "platform"
INSURER = "insurer"


def reserve_key(claim_ref: str) -> str:
    """The key under which a claim is notified and reserved."""
    return f"{claim_ref}:reserve"


def approve_key(claim_ref: str) -> str:
    """The key under which a claim's decision is asked for."""
    return f"{claim_ref}:approve"


def close_key(claim_ref: str) -> str:
    """The key under which a claim is closed at the insurer."""
    return f"{claim_ref}:close"


def remit_key(ref: str, n: int = 1) -> str:
    """The key under which what was recovered goes to the insurer: one a part that came in of a recovery."""
    return recovery_key(ref, "remit", n)


async def know_claim(world: World, case: CaseRef, kind: str, about: FreightClaim | IndemnityPlan) -> None:
    """Keep the claim and take its amount of the cover, unless the step that planned it did. A repeat is no change."""
    loss = about if isinstance(about, IndemnityPlan) else None

    async def keep(session: AsyncSession) -> None:
        await claims.plan(
            session,
            about.claim_ref,
            kind,
            about.coverage_id,
            case_key(case),
            about.amount,
            about.payee,
            waybill=about.waybill if isinstance(about, FreightClaim) else None,
            second_person=loss is not None and loss.approval_needed,
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
        return _paid(await insurer.pay(key, ref, claim.amount, claim.payee))

    body = {**_body(case, claim), "self_ship": self_ship}
    intent = _intent(world, key, "freight_payment", case, claim.amount, claim.payee, body)
    return Plan(intent, insurer, send, lambda _: made(paid), _advance_claim(world, claim, "paid"))


# ---- loss: J30, J31, J32 ------------------------------------------------------------------------------------------


def reserve_loss(world: World, case: CaseRef, plan: IndemnityPlan) -> Plan:
    """J30."""
    return _reserve(world, case, plan, ClaimKind.LOSS, rdv_reserved(case, plan.amount, claim_ref=plan.claim_ref))


def approve_loss(world: World, case: CaseRef, plan: IndemnityPlan) -> Plan:
    """J31 of what was approved, the reserve brought to it before (J33). Its leg goes into the advance's own batch at
    once, so that no settlement takes it. A denial: J33."""
    ref = plan.claim_ref

    async def also(session: AsyncSession, row: EffectRow) -> None:
        at, approved = world.clock(), approved_of(row)
        entries = await _reserve_changed(session, case, ref, approved, at)
        await claims.advance(session, ref, "approved", at, approved=approved)
        await ledger.post(session, (*entries, *made(rdv_approved(case, approved, claim_ref=ref))), at)
        if approved:
            await settlement.form_advance(session, ref, plan.advance_key, at)

    return _approve(world, case, plan, "loss", also, None)


def approved_of(row: EffectRow) -> Money:
    """What the insurer approved: all that was claimed, where it did not say."""
    said = (row.result or {}).get("approved")
    return Money(minor=row.amount_minor if said is None else int(said), currency=row.currency)


async def decision_of(world: World, case: CaseRef, plan: IndemnityPlan) -> ClaimDecision:
    """What the insurer decided, as it is kept; the first time the decision joins those that explain the case."""

    async def read(session: AsyncSession) -> ClaimDecision:
        effect = await effects.get(session, approve_key(plan.claim_ref))
        if effect is None:
            raise Rejected("not_found", f"no decision was asked for on {plan.claim_ref}")
        denied = effect.state == Outcome.FAILED
        amount = Money.zero(effect.currency) if denied else approved_of(effect)
        denial = Denial((effect.result or {}).get("denial") or Denial.OTHER) if denied or not amount else None
        told = await cases.decisions(session, case_key(case), effect.key)
        if not told:
            row = await cases.need(session, case_key(case))
            book = BookRef(version=row.book_version, hash=row.book_hash)
            told = (insurer_decision(plan.amount, amount, denial, plan.claim_ref, book),)
            await cases.add_decisions(session, case_key(case), effect.key, told, world.clock())
        claim = await claims.need(session, plan.claim_ref)
        return ClaimDecision(
            key=plan.claim_ref,
            ref=effect.provider_ref or "",
            amount=amount,
            state="approved" if denial is None else "denied",
            denial=None if denial is None else denial.value,
            appealable=denial in APPEALABLE and claim.appeal_of is None,
            verdicts=told,
        )

    return await world.store.run(read)


async def reserve_follows(world: World, case: CaseRef, claim_ref: str, reserve: Money) -> None:
    """The insurer reserves another amount while it decides: ours follows (J33), up or down."""

    async def follow(session: AsyncSession) -> None:
        at = world.clock()
        await ledger.post(session, await _reserve_changed(session, case, claim_ref, reserve, at), at)

    await world.store.run(follow)


async def _reserve_changed(
    session: AsyncSession, case: CaseRef, claim_ref: str, reserve: Money, at: datetime
) -> tuple[JournalEntry, ...]:
    """A claim's reserve may go up, down and up again: each change is an entry of its own, told apart by the time."""
    before = claims.reserve_of(await claims.need(session, claim_ref))
    more = await claims.change_reserve(session, claim_ref, reserve, at)
    part = f"{before}-{reserve.minor}.{at:%Y%m%dT%H%M%S}"
    return made(reserve_changed(case, more, claim_ref=claim_ref, part=part))


def fund(world: World, case: CaseRef, plan: IndemnityPlan) -> Plan:
    """J32."""
    key, ref, insurer = plan.funding_key, plan.claim_ref, world.gateways.insurer

    async def send() -> Answer:
        return _paid(await insurer.pay(key, ref, plan.amount, PLATFORM))

    funded = insurer_funded(case, plan.amount, claim_ref=ref, key=key)
    intent = _intent(world, key, "funding", case, plan.amount, PLATFORM, _body(case, plan))
    return Plan(intent, insurer, send, lambda _: made(funded), _advance_claim(world, plan, "paid"))


def close(world: World, case: CaseRef, claim_ref: str) -> Plan:
    """Nothing of the claim is owed any more: the insurer closes it. Posts nothing."""
    insurer, key = world.gateways.insurer, close_key(claim_ref)

    async def send() -> Answer:
        await insurer.close(key, claim_ref)
        return answer(Standing.SUCCEEDED, claim_ref)

    body = {"case": case.model_dump(mode="json"), "about": {"claim_ref": claim_ref}}
    intent = _intent(world, key, "claim_close", case, Money.zero(), INSURER, body)
    return Plan(intent, insurer, send)


def money_back(world: World, case: CaseRef, back: MoneyBack) -> Plan:
    """J42 of an overturned indemnity, or J45 of recovered money: owed to the carrier, who is paid with it (J15), or to
    the consumer."""
    insurer, ref, amount, key = world.gateways.insurer, back.claim_ref, back.amount, back.key
    to_insurer = back.to == "insurer"

    async def send() -> Answer:
        call = insurer.remit if to_insurer else insurer.give_back
        return answer(Standing.SUCCEEDED, await call(key, ref, amount))

    if to_insurer:
        entries = made(recovery_remitted(case, amount, claim_ref=ref, key=key))
    else:
        courier = back.courier if back.to == "carrier" else None
        entries = made(recovery_returned(case, amount, claim_ref=ref, key=key, courier=courier))
        if courier is not None:
            entries += made(courier_paid(case, amount, courier=courier, waybill=back.waybill or "", key=key))
    kind, payee = ("remittance", INSURER) if to_insurer else ("recovery_return", PLATFORM)
    body = {"case": case.model_dump(mode="json"), "about": back.model_dump(mode="json")}
    return Plan(_intent(world, key, kind, case, amount, payee, body), insurer, send, lambda _: entries)


def remit(world: World, case: CaseRef, plan: RecoveryPlan, amount: Money, n: int = 1) -> Plan:
    """J42."""
    ref, insurer = plan.claim_ref, world.gateways.insurer
    key = remit_key(plan.ref, n)

    async def send() -> Answer:
        return answer(Standing.SUCCEEDED, await insurer.remit(key, ref, amount))

    async def also(session: AsyncSession, row: EffectRow) -> None:
        await recoveries.remitted(session, plan.ref, amount, world.clock())

    remitted = recovery_remitted(case, amount, claim_ref=ref, key=key)
    body = {**_body(case, plan), "amount": amount.model_dump(mode="json"), "n": n}
    intent = _intent(world, key, "remittance", case, amount, INSURER, body)
    return Plan(intent, insurer, send, lambda _: made(remitted), also)


# ---- shared -------------------------------------------------------------------------------------------------------


def released(case: CaseRef, claim_ref: str, reserve: Money) -> tuple[JournalEntry, ...]:
    """J33: what is reserved for the claim is free again."""
    return made(reserve_changed(case, -reserve, claim_ref=claim_ref))


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
        return _decided(await insurer.approve(key, claim.claim_ref, claim.amount))

    intent = _intent(world, key, f"{kind}_approval", case, claim.amount, claim.payee, _body(case, claim))
    return DecisionPlan(intent, insurer, send, lambda _: made(entry), also, _denied(world, case, claim))


@dataclass(frozen=True)
class DecisionPlan(Plan):
    """A decision on a claim: what was decided, and how much, is read off the claim itself."""

    async def look_up(self) -> Answer | None:
        found = await self.provider.operation(self.intent.key)
        if found is None:
            return None
        insurer = cast(InsurerGateway, self.provider)
        return _decided(await insurer.claim(self.intent.key.removesuffix(":approve")))


def _decided(state: ClaimState) -> Answer:
    return answer(
        state.standing,
        state.claim_no or state.claim_ref,
        state.code,
        provider_code=state.provider_code,
        denial=None if state.denial is None else state.denial.value,
        approved=None if state.approved is None else str(state.approved.minor),
    )


def _paid(done: ClaimPayment) -> Answer:
    code = "provider_rejected" if done.standing is Standing.FAILED else None
    return answer(done.standing, done.ref, code, provider_code=done.provider_code)


def _denied(world: World, case: CaseRef, claim: FreightClaim | IndemnityPlan) -> Failed:
    async def failed(session: AsyncSession, row: EffectRow) -> Iterable[JournalEntry]:
        reserve = claims.reserve_of(await claims.need(session, claim.claim_ref))
        denial = (row.result or {}).get("denial")
        await claims.deny(session, claim.claim_ref, denial or row.code or "claim_denied", world.clock())
        return released(case, claim.claim_ref, Money(minor=reserve, currency=row.currency))

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
