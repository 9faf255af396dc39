"""Effects at the payment provider: refunds, advances, settlement payouts; and the proof that an effect is terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities import payment_plans as plans
from activities.contract import (
    Bounced,
    Charged,
    ChargeReceivable,
    ConfirmBounce,
    PayAdvance,
    PayBatch,
    PayConsumer,
    Proof,
    ProveBatch,
    ProveTerminal,
    Receipt,
    RefundPart,
    SendRefund,
)
from activities.effects_support import World, case_id, case_key, receipt, run
from activities.errors import effect
from activities.payout_proofs import prove_payout
from activities.proofs import prove
from backhaul.errors import Rejected, Transient
from backhaul.ids import collect_key
from backhaul.ledger import made, refund_bounced
from backhaul.money import Money
from gateways.registry import Gateways
from store import cases, claims, consumer_money, effects, ledger, recoveries, settlement
from store.effects import ApprovalUse, Clock, Outcome
from store.engine import Store


class PaymentActivities:
    """Every effect at the payment provider."""

    def __init__(self, store: Store, gateways: Gateways, clock: Clock | None = None):
        self._world = World(store, gateways) if clock is None else World(store, gateways, clock)

    @activity.defn(name="send_refund")
    @effect
    async def send_refund(self, asked: SendRefund) -> Receipt:
        """Refund one part to its original payment (J21).

        Idempotency: one effect under the part's payment key; a repeat returns the stored receipt.
        Retries: Transient backs off; an unknown or pending refund is looked up by key as the book says (X18), and
        never leaves under another key.
        Raises: Rejected(`account_abnormal`, `channel_closed`, `insufficient_balance`): failed for good under this
        key; Rejected(`exceeds_capture`, `effect_conflict`, `provider_rejected`), Transient, Unknown(`pending`,
        `provider_unknown`), Unknown(`payer_short`): days may pass, the workflow waits (X21)."""
        return receipt(await run(self._world, plans.refund(self._world, asked.case, asked.part)))

    @activity.defn(name="pay_consumer")
    @effect
    async def pay_consumer(self, asked: PayConsumer) -> Receipt:
        """Pay a consumer: J61 in place of a refund, or of what is owed besides (J16, J45); J63 of unclaimed money.

        Idempotency: one effect under its key, which is begun only while nothing else can still pay the same money.
        Retries: Transient backs off; an unknown or pending payout is looked up by key as the book says (X18).
        Raises: Rejected(`proof_refused`) while the refund or an earlier payout may still pay, Rejected(
        `effect_conflict`, `invariant_broken`), and what send_refund raises."""
        world = self._world

        async def prepare(session: AsyncSession) -> None:
            if await effects.get(session, asked.key) is None:
                owner = case_key(asked.case)
                await consumer_money.need_payable(session, owner, asked.of, asked.amount, claimed=asked.unclaimed)

        await world.store.run(prepare)
        return receipt(await run(world, plans.to_account(world, asked)))

    @activity.defn(name="confirm_bounce")
    @effect
    async def confirm_bounce(self, asked: ConfirmBounce) -> Bounced:
        """Ask the provider's books whether a refund came back after it had succeeded, and post J60.

        Idempotency: one J60 a payment key; a repeat answers the same and posts nothing.
        Retries: Transient backs off, also while the refund's own success is not kept yet.
        Raises: Rejected(`proof_refused`) where the books do not show it, Rejected(`effect_conflict`), Transient,
        Unknown(`provider_malformed`)."""
        world, key = self._world, asked.payment_key
        async with world.store.read() as session:
            row = await effects.get(session, key)
        if row is None or row.kind != "refund" or row.case_key != case_key(asked.case):
            raise Rejected("proof_refused", f"{key} is no refund of {case_key(asked.case)}")
        if row.state != Outcome.SUCCEEDED:
            raise Transient("pending", f"{key} is {row.state} here")
        found = await world.gateways.payments.operation(key)
        if found is None or found.bounced_at is None:
            raise Rejected("proof_refused", f"the provider's books do not show that {key} came back")
        if found.amount is not None and found.amount.minor != row.amount_minor:
            raise Rejected("effect_conflict", f"{found.amount} came back under {key}")
        part = RefundPart.model_validate(row.request["about"])
        entries = made(refund_bounced(asked.case, part.amount, key=key))

        async def post(session: AsyncSession) -> None:
            owner = case_key(asked.case)
            if not await consumer_money.came_back(session, key):
                await cases.add_money(session, owner, refunded=-part.amount.minor)
            await ledger.post(session, entries, world.clock())

        await world.store.run(post)
        return Bounced(part=part)

    @activity.defn(name="pay_advance")
    @effect
    async def pay_advance(self, asked: PayAdvance) -> Receipt:
        """Pay an approved indemnity to the merchant at once (J34), out of the batch of its own.

        Idempotency: one effect under the advance's key, and one batch; the approval is consumed with the intent.
        Retries: Transient backs off; an unknown or pending payout is looked up by key as the book says (X18).
        Raises: Rejected(`approval_required`, `approval_unknown`, `approval_mismatch`, `approval_used`),
        Rejected(`over_indemnity`) for another amount than the insurer approved, Rejected(`effect_conflict`) for another
        payee or key, Rejected(`already_decided`), and what send_refund raises."""
        world, case, plan = self._world, asked.case, asked.plan
        approval = None
        if asked.approval_id is not None:
            approval = ApprovalUse(asked.approval_id, case_key(case), plan.advance_key)

        async def may_pay(session: AsyncSession) -> None:
            await _may_pay(session, asked, world.clock())

        advance = plans.advance(world, case, plan, settlement.advance_batch(plan.claim_ref))
        return receipt(await run(world, replace(advance, first=may_pay), approval))

    @activity.defn(name="pay_batch")
    @effect
    async def pay_batch(self, asked: PayBatch) -> Receipt:
        """Pay one settlement batch (J70), which closes it to zero.

        Idempotency: one effect under the batch's payout key, for the amount that the store has for the batch. The key
        goes on to the next number only where the channel itself ended the one before.
        Retries: Transient backs off; an unknown or pending payout is looked up by key as the book says (X18).
        Raises: Rejected(`invariant_broken`) for a batch that is not ours or not to be paid, and what send_refund
        raises."""
        world, batch = self._world, asked.batch
        if batch.net.minor <= 0:
            raise Rejected("invariant_broken", f"the batch {batch.batch} has nothing to pay")

        async def take_key(session: AsyncSession) -> str:
            row = await settlement.next_payout(session, batch.batch, batch.payout_key)
            if (batch.merchant_id, batch.net.minor, batch.net.currency) != (
                row.merchant_id,
                row.payout_minor,
                row.currency,
            ):
                raise Rejected("invariant_broken", f"the batch {batch.batch} is not what was formed")
            return row.payout_key

        key = await world.store.run(take_key)
        return receipt(await run(world, plans.payout(world, batch.model_copy(update={"payout_key": key}))))

    @activity.defn(name="prove_batch")
    @effect
    async def prove_batch(self, asked: ProveBatch) -> Proof:
        """Ask the provider's books whether a batch's payout is terminal; one that failed, or that a second person
        gave up, is dissolved, and its legs go into the next settlement.

        Idempotency: by payout key; a batch that was dissolved stays so.
        Retries: Transient backs off; nothing is sent, the books are only read.
        Raises: as prove_terminal; the approval is the merchant's, for the payout key."""
        return await prove_payout(self._world, asked)

    @activity.defn(name="charge_receivable")
    @effect
    async def charge_receivable(self, asked: ChargeReceivable) -> Charged:
        """Collect from the consumer what they owe of a recovery (J51): all of it, or what the channel gets.

        Idempotency: one effect under `{merchant}:{rma}:collect.{recovery_ref}:{n}`, for what the journal says is owed
        when it began, kept under the recovery's lock: a correction sees it, or it sees the correction. A repeat
        returns the stored answer. Nothing owed any more: nothing is charged.
        Retries: Transient backs off; an unknown or pending charge is looked up by key as the book says (X18).
        Raises: Rejected(`account_abnormal`, `channel_closed`, `insufficient_balance`, `provider_rejected`): failed
        for good under this key; Rejected(`over_indemnity`, `effect_conflict`), Transient, Unknown."""
        world, case, plan = self._world, asked.case, asked.plan
        key, ref = collect_key(case_id(case), plan.ref, asked.n), plan.ref

        async def intend(session: AsyncSession) -> Money:
            begun = await effects.get(session, key)
            if begun is not None:
                return Money(minor=begun.amount_minor, currency=begun.currency)
            amount, _ = await recoveries.owed(session, ref, case_key(case), lock=True)
            if amount:
                await effects.begin(session, plans.charge_intent(world, case, plan, amount, key), world.clock())
            return amount

        amount = await world.store.run(intend)
        got = Money.zero(amount.currency)
        if amount:
            done = await run(world, plans.charge(world, case, plan, amount, key))
            got = Money(minor=int(done.result.get("collected") or amount.minor), currency=amount.currency)
        async with world.store.read() as session:
            left, _ = await recoveries.owed(session, ref, case_key(case))
        return Charged(amount=got, left=left)

    @activity.defn(name="prove_terminal")
    @effect
    async def prove_terminal(self, asked: ProveTerminal) -> Proof:
        """Ask the provider's books whether an effect is terminal, and post what follows from it.

        Idempotency: entries are keyed by the effect; a repeat answers the same and posts nothing. A success in the
        provider's books wins over everything.
        Retries: Transient backs off.
        Raises: Rejected(`proof_refused`) while neither the books nor an approval end it, Rejected(
        `approval_unknown`, `approval_mismatch`, `approval_used`), Transient, Unknown(`provider_malformed`)."""
        return await prove(self._world, asked)


async def _may_pay(session: AsyncSession, asked: PayAdvance, at: datetime) -> None:
    """May the advance leave? What is asked is not believed: claim, payee, amount and key are those of the store,
    whoever asks (invariants 8 and 13).

    Raises Rejected(`over_indemnity`) without a decision of the insurer for this amount, Rejected(`effect_conflict`) for
    another case, payee or key, Rejected(`already_decided`) once it is paid, Rejected(`approval_required`) where a
    second person has to approve it and none is named."""
    plan = asked.plan
    claim = await claims.need(session, plan.claim_ref, lock=True)
    approved = claim.state in ("approved", "paid") and plan.amount.minor == claims.stands(claim)
    if not approved or not plan.amount or plan.amount.currency != claim.currency:
        raise Rejected("over_indemnity", f"{plan.amount} is not what is approved for {plan.claim_ref}")
    if (claim.case_key, claim.payee) != (case_key(asked.case), plan.payee):
        raise Rejected("effect_conflict", f"{plan.claim_ref} is another case's, or for another payee")
    batch = await settlement.form_advance(session, plan.claim_ref, plan.advance_key, at)
    batch = await settlement.need_batch(session, batch.batch, lock=True)
    if batch.state != "formed":
        raise Rejected("already_decided", f"the advance of {plan.claim_ref} is {batch.state}")
    if batch.payout_key != plan.advance_key:
        before = await effects.get(session, batch.payout_key)
        if before is None or before.state != Outcome.FAILED:
            raise Rejected("effect_conflict", f"the advance of {plan.claim_ref} is under another key")
        batch.payout_key = plan.advance_key
        session.add(batch)
    if asked.approval_id is None and (claim.second_person or plan.approval_needed):
        raise Rejected("approval_required")
