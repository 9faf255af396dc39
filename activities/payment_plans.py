"""The payment provider's effects one by one, described for running and for proving. J21, J34, J51, J61, J63, J70."""

from __future__ import annotations

from collections.abc import Mapping

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import Batch, IndemnityPlan, PayConsumer, RecoveryPlan, RefundPart
from activities.effects_support import KEY_LIFETIME, Plan, World, answer, case_key
from backhaul.ledger import (
    CaseRef,
    JournalEntry,
    advance_paid,
    alternate_payout,
    consumer_collected,
    made,
    refund_succeeded,
    settlement_paid,
    unclaimed_claimed,
)
from backhaul.money import Money
from gateways.ports import PaymentState
from store import cases, claims, consumer_money, credit, recoveries, settlement, unclaimed
from store.effects import Answer, Intent
from store.tables import EffectRow

PLATFORM = "platform"


NUMBERED = frozenset({"refund", "advance", consumer_money.ALTERNATE, consumer_money.CLAIMED, recoveries.CHARGE})
"""Kinds of which a new number is begun only once the provider has ended the last one."""


def refund(world: World, case: CaseRef, part: RefundPart) -> Plan:
    """J21: one part to its original payment."""
    psp, key = world.gateways.payments, part.payment_key

    async def send() -> Answer:
        return _answer(await psp.refund(key, part.payment_id, part.amount, part.payee))

    async def also(session: AsyncSession, row: EffectRow) -> None:
        await cases.add_money(session, case_key(case), refunded=part.amount.minor)

    succeeded = refund_succeeded(case, part.amount, key=key)
    body = {"case": case.model_dump(mode="json"), "about": part.model_dump(mode="json")}
    intent = _intent(world, key, "refund", part.amount, part.payee, body, case)
    return Plan(intent, psp, send, lambda _: made(succeeded), also)


def to_account(world: World, asked: PayConsumer) -> Plan:
    """J61 or J63: to the consumer's own account, or one that they named. It takes nothing of the original payment, of
    which the refund's share stays counted; what is owed besides is no refund."""
    psp, case, key = world.gateways.payments, asked.case, asked.key

    async def send() -> Answer:
        return _answer(await psp.payout(key, asked.account_ref, asked.amount, asked.of))

    async def also(session: AsyncSession, row: EffectRow) -> None:
        if asked.unclaimed:
            await unclaimed.paid(session, asked.of, world.clock())
        if await consumer_money.owed_besides(session, case_key(case), asked.of) is None:
            await cases.add_money(session, case_key(case), refunded=asked.amount.minor)

    template = unclaimed_claimed if asked.unclaimed else alternate_payout
    paid = template(case, asked.amount, key=key)
    about = asked.model_dump(mode="json", exclude={"case", "patience"})
    body = {"case": case.model_dump(mode="json"), "about": about}
    kind = consumer_money.CLAIMED if asked.unclaimed else consumer_money.ALTERNATE
    intent = _intent(world, key, kind, asked.amount, asked.account_ref, body, case)
    return Plan(intent, psp, send, lambda _: made(paid), also)


def advance(world: World, case: CaseRef, plan: IndemnityPlan, batch: str) -> Plan:
    """J34: the indemnity to the merchant at once; it closes the batch that J31's leg is in."""
    psp, key = world.gateways.payments, plan.advance_key

    async def send() -> Answer:
        return _answer(await psp.payout(key, plan.payee, plan.amount, plan.claim_ref))

    async def also(session: AsyncSession, row: EffectRow) -> None:
        await settlement.close_batch(session, batch, world.clock())
        await cases.add_money(session, case_key(case), indemnified=plan.amount.minor)

    paid = advance_paid(case, plan.amount, claim_ref=plan.claim_ref, key=key, batch=batch)
    body = {"case": case.model_dump(mode="json"), "about": plan.model_dump(mode="json"), "batch": batch}
    intent = _intent(world, key, "advance", plan.amount, plan.payee, body, case)
    return Plan(intent, psp, send, lambda _: made(paid), also)


def payout(world: World, batch: Batch) -> Plan:
    """J70: one batch under its one key; it closes the batch to zero."""
    psp, key = world.gateways.payments, batch.payout_key

    async def send() -> Answer:
        return _answer(await psp.payout(key, batch.merchant_id, batch.net, batch.batch))

    async def also(session: AsyncSession, row: EffectRow) -> None:
        await settlement.close_batch(session, batch.batch, world.clock())

    paid = settlement_paid(batch.merchant_id, batch.net, batch=batch.batch, key=key)
    intent = _intent(world, key, "settlement", batch.net, batch.merchant_id, {"about": batch.model_dump(mode="json")})
    return Plan(intent, psp, send, lambda _: made(paid), also)


def charge(world: World, case: CaseRef, plan: RecoveryPlan, amount: Money, key: str) -> Plan:
    """J51: what the consumer owes, taken from what they pay with; of a part, J51 is of that part."""
    psp, ref = world.gateways.payments, plan.ref

    async def send() -> Answer:
        return _answer(await psp.charge(key, case.consumer_ref, amount, ref))

    def got(row: EffectRow) -> Money:
        return Money(minor=int((row.result or {}).get("collected") or amount.minor), currency=amount.currency)

    async def also(session: AsyncSession, row: EffectRow) -> None:
        at = world.clock()
        await recoveries.collect(session, await claims.need_recovery(session, ref, lock=True), got(row), at)
        await credit.collected(session, case_key(case), got(row), at)

    def entries(row: EffectRow) -> tuple[JournalEntry, ...]:
        return made(consumer_collected(case, got(row), key=key, claim_ref=plan.claim_ref))

    return Plan(charge_intent(world, case, plan, amount, key), psp, send, entries, also)


def charge_intent(world: World, case: CaseRef, plan: RecoveryPlan, amount: Money, key: str) -> Intent:
    """What is kept of a charge before it is sent."""
    body = {"case": case.model_dump(mode="json"), "about": plan.model_dump(mode="json")}
    return _intent(world, key, recoveries.CHARGE, amount, PLATFORM, body, case)


def _answer(state: PaymentState) -> Answer:
    return answer(
        state.standing,
        state.ref,
        state.code,
        amount=state.amount,
        payee=state.payee,
        provider_code=state.provider_code,
        collected=None if state.collected is None else str(state.collected.minor),
    )


def _intent(
    world: World,
    key: str,
    kind: str,
    amount: Money,
    payee: str,
    body: Mapping[str, object],
    case: CaseRef | None = None,
) -> Intent:
    return Intent(
        key=key,
        kind=kind,
        provider=world.gateways.payments.name,
        amount=amount,
        payee=payee,
        lifetime=KEY_LIFETIME,
        case_key=None if case is None else case_key(case),
        body=body,
        numbered=kind in NUMBERED,
        in_parts=kind in recoveries.IN_PARTS,
    )
