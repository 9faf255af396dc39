"""Our error kinds as failures, bugs as themselves, and the heartbeat."""

from __future__ import annotations

import asyncio
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel, ValidationError
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from activities import declarations
from activities.contract import Patience, Proof, ProveTerminal
from activities.couriers import CourierActivities
from activities.declarations import DECLARED, Effect, Step
from activities.errors import MESSAGE_LIMIT, effect, failure_of, heartbeating, step
from activities.insurers import InsurerActivities
from activities.notices import NoticeActivities
from activities.payments import PaymentActivities
from activities.reconciliation_steps import ReconciliationSteps
from backhaul.errors import BackhaulError, Refusal, Rejected, Transient, Unknown
from backhaul.ledger import CaseRef

GROUPS = (CourierActivities, PaymentActivities, InsurerActivities, NoticeActivities, ReconciliationSteps)
STEPS = {one.name for one in DECLARED if isinstance(one, Step)}
ASKED = ProveTerminal(case=CaseRef(merchant_id="m1", order_id="o1", consumer_ref="c1", rma_id="r1"), key="k")


def methods() -> dict[str, Any]:
    """Every activity of effects by its wire name."""
    found: dict[str, Any] = {}
    for group in GROUPS:
        for method in vars(group).values():
            defined = getattr(method, "__temporal_activity_definition", None)
            if defined is not None and defined.name not in STEPS:
                found[defined.name] = method
    return found


def test_every_declared_effect_has_one_implementation_of_the_same_types() -> None:
    made = methods()
    declared = {one.name: one for one in DECLARED if isinstance(one, Effect)}
    assert made.keys() == declared.keys()
    for name, method in made.items():
        hints = get_type_hints(method)
        assert hints["return"] is declared[name].result, name
        assert hints.get("asked", hints.get("argument")) is declared[name].argument, name


def test_every_effect_says_what_a_repeat_does() -> None:
    for name, method in methods().items():
        for word in ("Idempotency:", "Retries:", "Raises:"):
            assert word in method.__doc__, (name, word)


@pytest.mark.parametrize(
    ("error", "kind", "final", "delay"),
    [
        (Rejected("claim_denied"), "Rejected", True, None),
        (Refusal("not_found", field="x"), "Rejected", True, None),
        (Transient("store_busy"), "Transient", False, None),
        (Transient("provider_rate_limited", retry_after_s=7), "Transient", False, 7),
        (Unknown("pending"), "Unknown", False, 20),
    ],
)
def test_a_failure(error: BackhaulError, kind: str, final: bool, delay: float | None) -> None:
    failure = failure_of(error, attempt=2, patience=Patience(delays_s=(10, 20, 30)))
    assert (failure.type, failure.non_retryable) == (kind, final)
    assert failure.details == ({"code": error.code, "message": error.message, "field": error.field},)
    seconds = None if failure.next_retry_delay is None else failure.next_retry_delay.total_seconds()
    assert seconds == delay


def test_texts_are_bounded() -> None:
    failure = failure_of(Rejected("provider_rejected", "x" * 9_999), attempt=1)
    assert len(failure.message) == MESSAGE_LIMIT


class Strict(BaseModel):
    number: int


class Broken:
    """Activities that fail in all ways."""

    def __init__(self, error: Exception | None = None):
        self.error = error

    @activity.defn(name="broken_step")
    @step
    async def run(self, asked: ProveTerminal) -> Proof:
        if self.error is not None:
            raise self.error
        return Proof(key=str(Strict.model_validate({"number": "secret"})), state="")

    @activity.defn(name="slow_effect")
    @effect
    async def slow(self, asked: ProveTerminal) -> Proof:
        await asyncio.sleep(1.3)
        return Proof(key="k", state="succeeded")


async def test_a_bug_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError):
        await ActivityEnvironment().run(Broken(ZeroDivisionError()).run, ASKED)
    with pytest.raises(ValidationError):
        await ActivityEnvironment().run(Broken().run, ASKED)


async def test_a_failure_does_not_quote_what_caused_it() -> None:
    error = Unknown("provider_malformed")
    error.__cause__ = ValueError("what the provider sent")
    with pytest.raises(Exception, match="provider") as caught:
        await ActivityEnvironment().run(Broken(error).run, ASKED)
    assert caught.value.__cause__ is None


async def test_effects_heartbeat_while_they_run() -> None:
    environment, beats = ActivityEnvironment(), 0

    def beat(*_: object) -> None:
        nonlocal beats
        beats += 1

    environment.on_heartbeat = beat
    await environment.run(Broken().slow, ASKED)
    assert beats >= 2
    assert declarations.HEARTBEAT_TIMEOUT.total_seconds() >= 3


async def test_the_heartbeat_ends_with_its_effect() -> None:
    before = asyncio.all_tasks()

    async def fails(_: int) -> None:
        async with heartbeating(0.001):
            await asyncio.sleep(0.01)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ActivityEnvironment().run(fails, 1)
    assert asyncio.all_tasks() <= before
