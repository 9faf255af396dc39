"""What all effects share: the providers, the store, and an effect described once for running it and for proving it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from activities.contract import Receipt
from activities.errors import DAYS
from backhaul.errors import CODES
from backhaul.ids import CaseId
from backhaul.ledger import CaseRef
from backhaul.money import Money
from gateways.ports import Operation, Provider, Standing
from gateways.registry import Gateways
from store.effects import Also, Answer, ApprovalUse, Clock, Done, Entries, Failed, First, Intent, Outcome, run_effect
from store.engine import Store

KEY_LIFETIME = timedelta(days=30)
"""How long the providers know an idempotency key. Past half of it nothing is sent again, only looked up."""


def now() -> datetime:
    """The time, for activities."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class World:
    """What effects work with: our store, the providers, a clock."""

    store: Store
    gateways: Gateways
    clock: Clock = field(default=now)


@dataclass(frozen=True)
class Plan:
    """One effect: what is intended, who does it, and what follows from its end in the transaction that keeps it.
    `first`: what has to hold when it begins, looked at in the transaction that keeps the intent."""

    intent: Intent
    provider: Provider
    send: Callable[[], Awaitable[Answer]]
    entries: Entries | None = None
    also: Also | None = None
    failed: Failed | None = None
    first: First | None = None

    async def look_up(self) -> Answer | None:
        """What the provider's own books say under the key; None when it does not know the key."""
        found = await self.provider.operation(self.intent.key)
        return None if found is None else answer_of(found)


async def run(world: World, plan: Plan, approval: ApprovalUse | None = None) -> Done:
    """Do it once, however often this runs (store.effects.run_effect)."""
    return await run_effect(
        world.store,
        plan.intent,
        look_up=plan.look_up,
        send=plan.send,
        clock=world.clock,
        entries=plan.entries,
        also=plan.also,
        failed=plan.failed,
        approval=approval,
        first=plan.first,
    )


def answer_of(found: Operation) -> Answer:
    """An operation in the provider's books as the answer it would have given."""
    collected = None if found.collected is None else str(found.collected.minor)
    return answer(found.standing, found.ref, found.code, amount=found.amount, payee=found.payee, collected=collected)


def answer(
    standing: Standing,
    ref: str | None,
    code: str | None = None,
    *,
    amount: Money | None = None,
    payee: str | None = None,
    **result: str | None,
) -> Answer:
    """An answer for the effect's row. A failure always has one of our codes; a pending one only where days pass."""
    known = None
    if standing is Standing.FAILED:
        known = code if code in CODES else "provider_rejected"
    if standing is Standing.PENDING and code in DAYS:
        known = code
    kept = {name: value for name, value in result.items() if value is not None}
    return Answer(Outcome(standing.value), ref, known, amount, payee, kept)


def receipt(done: Done) -> Receipt:
    """What the workflow hears."""
    return Receipt(key=done.key, ref=done.ref, amount=done.amount)


def case_id(case: CaseRef) -> CaseId:
    """The case of a reference."""
    return CaseId(case.merchant_id, case.rma_id)


def case_key(case: CaseRef) -> str:
    """The key of a case in the store."""
    return case_id(case).key
