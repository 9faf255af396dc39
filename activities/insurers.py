"""Effects at the insurer: freight and loss claimed, advances funded, recoveries remitted. Domain 4.2, 4.3, 4.5."""

from __future__ import annotations

from temporalio import activity

from activities.contract import (
    ClaimDecision,
    ClaimFreight,
    ClaimIndemnity,
    CloseClaim,
    FundIndemnity,
    Funding,
    Receipt,
    RemitRecovery,
    ReturnMoney,
)
from activities.effects_support import World, receipt, run
from activities.errors import effect
from activities.insurer_plans import (
    approve_freight,
    approve_loss,
    close,
    decision_of,
    fund,
    know_claim,
    money_back,
    pay_freight,
    remit,
    reserve_follows,
    reserve_freight,
    reserve_loss,
)
from backhaul.errors import Rejected, Unknown
from backhaul.facts import Method
from gateways.registry import Gateways
from store import claims, effects
from store.effects import Clock, Outcome
from store.engine import Store


class InsurerActivities:
    """Every effect at the insurer."""

    def __init__(self, store: Store, gateways: Gateways, clock: Clock | None = None):
        self._world = World(store, gateways) if clock is None else World(store, gateways, clock)

    @activity.defn(name="claim_freight")
    @effect
    async def claim_freight(self, asked: ClaimFreight) -> Receipt:
        """Have the return freight paid: reserved (J10), approved (J11), paid to courier (J12) or consumer (J13).

        Idempotency: three effects, `{claim_ref}:reserve`, `{claim_ref}:approve` and the payment key; each is done
        once and a repeat goes on where the last one stopped. Each entry is in the transaction of its own result.
        Retries: Transient backs off; an unknown or undecided claim is looked up as the book says (X18).
        Raises: Rejected(`claim_denied`) with the reserve released (J33), Rejected(`over_indemnity`,
        `effect_conflict`, `provider_rejected`), Transient, Unknown(`pending`, `provider_unknown`)."""
        world, case, claim = self._world, asked.case, asked.claim
        await know_claim(world, case, "freight", claim)
        await run(world, reserve_freight(world, case, claim))
        await run(world, approve_freight(world, case, claim))
        self_ship = asked.method is Method.SELF_SHIP
        return receipt(await run(world, pay_freight(world, case, claim, self_ship=self_ship)))

    @activity.defn(name="claim_indemnity")
    @effect
    async def claim_indemnity(self, asked: ClaimIndemnity) -> ClaimDecision:
        """Claim the loss: reserved (J30), approved and owed to the merchant (J31), its leg set aside for the advance.

        A denial is an answer, with its reserve released (J33); so is a claim that is not decided yet. The insurer may
        approve, or reserve meanwhile, another amount: our reserve follows (J33).
        Idempotency: two effects, `{claim_ref}:reserve` and `{claim_ref}:approve`; a repeat goes on.
        Retries: Transient backs off; an unknown claim is looked up as the book says (X18).
        Raises: Rejected(`over_indemnity`, `effect_conflict`, `provider_rejected`), Transient,
        Unknown(`provider_unknown`)."""
        world, case, plan = self._world, asked.case, asked.plan
        await know_claim(world, case, "loss", plan)
        await run(world, reserve_loss(world, case, plan))
        try:
            await run(world, approve_loss(world, case, plan))
        except Unknown as error:
            if error.code != "pending":
                raise
            now = await world.gateways.insurer.claim(plan.claim_ref)
            if now.reserve is not None:
                await reserve_follows(world, case, plan.claim_ref, now.reserve)
            return ClaimDecision(
                key=plan.claim_ref, amount=plan.amount, state="pending", complex=now.complex, ref=now.claim_no or ""
            )
        except Rejected as error:
            if error.code != "claim_denied":
                raise
        return await decision_of(world, case, plan)

    @activity.defn(name="fund_indemnity")
    @effect
    async def fund_indemnity(self, asked: FundIndemnity) -> Funding:
        """Have the insurer pay the platform back for the advance (J32): what stands of the claim as it is first asked.

        A payment that the insurer took on and has not made is an answer (X16), and so is its refusal.
        Idempotency: one effect under the funding key. What is overturned from its start on goes back to the insurer.
        Retries: Transient backs off; an unknown answer is looked up as the book says (X18).
        Raises: Rejected(`effect_conflict`), Transient, Unknown(`provider_unknown`)."""
        world, case, plan = self._world, asked.case, asked.plan
        key = plan.funding_key
        amount = await world.store.run(lambda session: claims.begin_funding(session, plan.claim_ref, key))
        if not amount:
            return Funding(key=key, amount=amount)
        try:
            done = await run(world, fund(world, case, plan.model_copy(update={"amount": amount})))
        except Unknown as error:
            if error.code != "pending":
                raise
            return Funding(key=key, amount=amount, state="pending")
        except Rejected as error:
            refused = await world.store.run(lambda session: effects.get(session, key))
            if refused is None or refused.state != Outcome.FAILED:
                raise error
            return Funding(key=key, amount=amount, state="refused")
        return Funding(key=key, ref=done.ref, amount=done.amount)

    @activity.defn(name="return_money")
    @effect
    async def return_money(self, asked: ReturnMoney) -> Receipt:
        """Send back what an overturn leaves with the wrong party: recovered money, which the insurer gives back for the
        carrier (J45, J15) or the consumer (J45); funded indemnity, which goes to the insurer (J42).

        Idempotency: one effect under the key that the step named.
        Retries: Transient backs off; an unknown answer is looked up as the book says (X18).
        Raises: Rejected(`effect_conflict`, `provider_rejected`), Transient, Unknown(`provider_unknown`)."""
        return receipt(await run(self._world, money_back(self._world, asked.case, asked.back)))

    @activity.defn(name="close_claim")
    @effect
    async def close_claim(self, asked: CloseClaim) -> Receipt:
        """Tell the insurer that nothing of a claim is owed any more. Posts nothing.

        Idempotency: one effect under `{claim_ref}:close`.
        Retries: Transient backs off; an unknown answer is looked up as the book says (X18).
        Raises: Rejected(`provider_rejected`), Transient, Unknown(`provider_unknown`)."""
        return receipt(await run(self._world, close(self._world, asked.case, asked.claim_ref)))

    @activity.defn(name="remit_recovery")
    @effect
    async def remit_recovery(self, asked: RemitRecovery) -> Receipt:
        """Give recovered money to the insurer (J42).

        Idempotency: one effect a part, `{recovery_ref}:remit` with its number: another amount under it is a conflict.
        Retries: Transient backs off; an unknown answer is looked up as the book says (X18).
        Raises: Rejected(`effect_conflict`, `provider_rejected`), Transient, Unknown(`provider_unknown`)."""
        return receipt(await run(self._world, remit(self._world, asked.case, asked.plan, asked.amount, asked.n)))
