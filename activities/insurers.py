"""Effects at the insurer: freight and loss claimed, advances funded, recoveries remitted. Domain 4.2, 4.3, 4.5."""

from __future__ import annotations

from temporalio import activity

from activities.contract import (
    ClaimFreight,
    ClaimIndemnity,
    FundIndemnity,
    Receipt,
    RemitRecovery,
)
from activities.effects_support import World, receipt, run
from activities.errors import effect
from activities.insurer_plans import (
    approve_freight,
    approve_loss,
    fund,
    know_claim,
    pay_freight,
    remit,
    reserve_freight,
    reserve_loss,
)
from backhaul.facts import Method
from gateways.registry import Gateways
from store.effects import Clock
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
        await know_claim(
            world, case, "freight", claim.claim_ref, claim.coverage_id, claim.amount, claim.payee, claim.waybill
        )
        await run(world, reserve_freight(world, case, claim))
        await run(world, approve_freight(world, case, claim))
        self_ship = asked.method is Method.SELF_SHIP
        return receipt(await run(world, pay_freight(world, case, claim, self_ship=self_ship)))

    @activity.defn(name="claim_indemnity")
    @effect
    async def claim_indemnity(self, asked: ClaimIndemnity) -> Receipt:
        """Claim the loss: reserved (J30), approved and owed to the merchant (J31), its leg set aside for the advance.

        Idempotency: two effects, `{claim_ref}:reserve` and `{claim_ref}:approve`; a repeat goes on.
        Retries: Transient backs off; an unknown or undecided claim is looked up as the book says (X18).
        Raises: Rejected(`claim_denied`) with the reserve released (J33), Rejected(`over_indemnity`,
        `effect_conflict`, `provider_rejected`), Transient, Unknown(`pending`, `provider_unknown`)."""
        world, case, plan = self._world, asked.case, asked.plan
        await know_claim(world, case, "loss", plan.claim_ref, plan.coverage_id, plan.amount, plan.payee)
        await run(world, reserve_loss(world, case, plan))
        return receipt(await run(world, approve_loss(world, case, plan)))

    @activity.defn(name="fund_indemnity")
    @effect
    async def fund_indemnity(self, asked: FundIndemnity) -> Receipt:
        """Have the insurer pay the platform back for the advance (J32).

        Idempotency: one effect under the funding key.
        Retries: Transient backs off; an unknown answer is looked up as the book says (X18).
        Raises: Rejected(`effect_conflict`, `provider_rejected`), Transient, Unknown(`provider_unknown`)."""
        return receipt(await run(self._world, fund(self._world, asked.case, asked.plan)))

    @activity.defn(name="remit_recovery")
    @effect
    async def remit_recovery(self, asked: RemitRecovery) -> Receipt:
        """Give recovered money to the insurer (J42).

        Idempotency: one effect a part, `{claim_ref}:remit` with its number: another amount under it is a conflict.
        Retries: Transient backs off; an unknown answer is looked up as the book says (X18).
        Raises: Rejected(`effect_conflict`, `provider_rejected`), Transient, Unknown(`provider_unknown`)."""
        return receipt(await run(self._world, remit(self._world, asked.case, asked.plan, asked.amount, asked.n)))
