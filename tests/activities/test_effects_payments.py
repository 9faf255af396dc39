"""Refunds, advances and payouts: once outside and once in the journal, whatever goes wrong between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from activities.contract import Batch, ClaimIndemnity, PayAdvance, PayBatch, SendRefund
from activities.errors import delay_after
from backhaul.ledger import P
from backhaul.money import Money
from gateways.http import Answer, Http
from store import effects, ledger, settlement
from tests.activities.effects_kit import DATABASES, PATIENCE, Kit, code_of, kit_on, loss_of, part_of
from tests.gateways.outside import HOLD_MS


@pytest.fixture(scope="module", params=DATABASES)
async def kit_(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    async with kit_on(request, tmp_path_factory.mktemp("payments")) as made:
        yield made


@pytest.fixture
async def k(kit_: Kit) -> AsyncIterator[Kit]:
    kit_.attempt = 1
    yield kit_
    for party in kit_.world.servers:
        await kit_.world.faults(party)


async def _refund(k: Kit, rma: str) -> SendRefund:
    case = await k.case(rma)
    part = part_of(case)
    await k.due(part, case)
    return SendRefund(case=case, part=part, patience=PATIENCE)


async def test_a_refund_and_its_repeat(k: Kit) -> None:
    asked = await _refund(k, "plain")
    first = await k.run(k.payments.send_refund, asked)
    assert (first.key, first.amount) == (asked.part.payment_key, asked.part.amount)
    assert await k.run(k.payments.send_refund, asked) == first
    assert k.beats > 0
    rows = await k.world.statement("psp", asked.part.payment_key)
    assert [(row.ref, row.amount) for row in rows] == [(first.ref, asked.part.amount)]
    assert await k.numbers(asked.case) == ["J23", "J21"]


FAULTS: list[tuple[dict[str, Any], str, str, float | None]] = [
    ({"kind": "unavailable_before"}, "Transient", "provider_unavailable", None),
    ({"kind": "rate_limit", "retry_after": 3}, "Transient", "provider_rate_limited", 3.0),
    ({"kind": "error_after"}, "Unknown", "provider_unknown", 60.0),
    ({"kind": "timeout_after", "ms": HOLD_MS}, "Unknown", "provider_unknown", 60.0),
]


@pytest.mark.parametrize(("fault", "kind", "code", "delay"), FAULTS, ids=lambda value: str(value))
async def test_one_success_outside_and_one_entry_inside(
    k: Kit, fault: dict[str, Any], kind: str, code: str, delay: float | None
) -> None:
    asked = await _refund(k, f"fault.{fault['kind']}")
    await k.world.faults("psp", {"match": "POST /v1/refunds", "times": 1, **fault})
    failed = await k.fails(k.payments.send_refund, asked)
    assert code_of(failed) == (kind, code)
    assert failed.next_retry_delay == (None if delay is None else timedelta(seconds=delay))
    assert not failed.non_retryable
    assert await k.entries(asked.case, "J21") == []
    k.attempt = 2
    await k.run(k.payments.send_refund, asked)
    assert len(await k.world.statement("psp", asked.part.payment_key)) == 1
    assert len(await k.entries(asked.case, "J21")) == 1


async def test_a_key_that_changes_would_be_seen(k: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: every attempt leaves under a key of its own. The statement shows the second refund."""
    asked = await _refund(k, "planted")
    real, attempts = Http.post, iter("abc")

    async def another_key(self: Http, path: str, key: str, body: BaseModel, **more: Any) -> Answer:
        return await real(self, path, f"{key}.{next(attempts)}", body, **more)

    monkeypatch.setattr(Http, "post", another_key)
    half = asked.part.model_copy(update={"amount": Money(minor=40_000)})
    asked = asked.model_copy(update={"part": half})
    await k.world.faults("psp", {"match": "POST /v1/refunds", "times": 1, "kind": "error_after", "key_contains": ".a"})
    await k.fails(k.payments.send_refund, asked)
    await k.run(k.payments.send_refund, asked)
    keys = [f"{half.payment_key}.{attempt}" for attempt in "ab"]
    assert [len(await k.world.statement("psp", key)) for key in keys] == [1, 1]
    assert await k.world.statement("psp", half.payment_key) == []


async def test_eight_at_once_are_one(k: Kit) -> None:
    asked = await _refund(k, "crowd")
    results = await asyncio.gather(*(k.run(k.payments.send_refund, asked) for _ in range(8)), return_exceptions=True)
    assert any(not isinstance(result, BaseException) for result in results)
    assert len(await k.world.statement("psp", asked.part.payment_key)) == 1
    assert len(await k.entries(asked.case, "J21")) == 1


async def test_a_process_that_died_after_the_call_is_carried_on(k: Kit) -> None:
    """The refund left, and nobody wrote it down: the next run finds it by its key."""
    asked = await _refund(k, "killed")
    part = asked.part
    plan = effects.Intent(
        key=part.payment_key,
        kind="refund",
        provider="psp",
        amount=part.amount,
        payee=part.payee,
        lifetime=timedelta(days=30),
        case_key="m1/killed",
    )
    async with k.store.transaction() as session:
        row, _ = await effects.begin(session, plan, k.now)
        effects.mark_sent(session, row, k.now)
    await k.world.gateways.payments.refund(part.payment_key, part.payment_id, part.amount, part.payee)
    await k.world.faults("psp", {"match": "POST /v1/refunds", "kind": "unavailable_before"})
    await k.run(k.payments.send_refund, asked)
    assert len(await k.entries(asked.case, "J21")) == 1


async def test_pending_is_looked_up_and_never_sent_again(k: Kit) -> None:
    asked = await _refund(k, "pending")
    key = asked.part.payment_key
    await k.world.script("psp", key, state="pending", then="succeeded", lookups=2)
    failed = await k.fails(k.payments.send_refund, asked)
    assert code_of(failed) == ("Unknown", "pending")
    await k.world.faults("psp", {"match": "POST /v1/refunds", "kind": "unavailable_before"})
    k.attempt = 2
    assert (await k.fails(k.payments.send_refund, asked)).next_retry_delay == timedelta(seconds=300.0)
    await k.run(k.payments.send_refund, asked)
    assert len(await k.world.statement("psp", key)) == 1
    assert len(await k.entries(asked.case, "J21")) == 1


@pytest.mark.parametrize("code", ["account_abnormal", "channel_closed", "insufficient_balance"])
async def test_a_failed_refund_is_the_end_of_its_key(k: Kit, code: str) -> None:
    asked = await _refund(k, f"failed.{code}")
    await k.world.script("psp", asked.part.payment_key, state="failed", code=code)
    for _ in range(2):
        failed = await k.fails(k.payments.send_refund, asked)
        assert code_of(failed) == ("Rejected", code)
        assert failed.non_retryable
    assert await k.entries(asked.case, "J21") == []
    async with k.store.read() as session:
        row = await effects.get(session, asked.part.payment_key)
    assert row is not None
    assert (row.state, row.code) == ("failed", code)


async def test_the_same_key_for_another_amount_never_leaves(k: Kit) -> None:
    asked = await _refund(k, "conflict")
    await k.run(k.payments.send_refund, asked)
    more = asked.model_copy(update={"part": asked.part.model_copy(update={"amount": Money(minor=84_001)})})
    assert code_of(await k.fails(k.payments.send_refund, more)) == ("Rejected", "effect_conflict")
    assert len(await k.world.statement("psp", asked.part.payment_key)) == 1


async def test_above_the_capture_is_refused_and_posts_nothing(k: Kit) -> None:
    case = await k.case("above")
    asked = SendRefund(case=case, part=part_of(case, minor=120_001), patience=PATIENCE)
    assert code_of(await k.fails(k.payments.send_refund, asked)) == ("Rejected", "exceeds_capture")
    assert await k.numbers(case) == []


# ---- advances -----------------------------------------------------------------------------------------------------


async def _approved(k: Kit, rma: str, *, approval_needed: bool = False) -> PayAdvance:
    case = await k.case(rma)
    plan = loss_of(case, approval_needed=approval_needed)
    await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=plan, patience=PATIENCE))
    return PayAdvance(case=case, plan=plan, patience=PATIENCE)


async def test_an_advance_is_a_batch_of_its_own_that_no_settlement_takes(k: Kit) -> None:
    asked = await _approved(k, "advance")
    async with k.store.transaction() as session:
        await settlement.open_cut(session, "cut.advance", k.now)
        taken = await settlement.form_batches(session, "m1", "cut.advance", k.now)
    first = await k.run(k.payments.pay_advance, asked)
    assert await k.run(k.payments.pay_advance, asked) == first
    assert await k.numbers(asked.case) == ["J30", "J31", "J34"]
    async with k.store.read() as session:
        batch = await settlement.need_batch(session, settlement.advance_batch(asked.plan.claim_ref))
        wrong = await settlement.check_batches(session)
        owed = await ledger.balance(session, P.MERCHANT_PAYABLE, "CNY", case_key="m1/advance")
    assert batch.state == "paid"
    assert wrong == ()
    assert owed == Money(minor=0)
    assert batch.batch not in {one.batch for one in taken}
    rows = await k.world.statement("psp", asked.plan.advance_key)
    assert [(row.kind, row.payee, row.amount) for row in rows] == [("payout", "m1", asked.plan.amount)]


async def test_nothing_above_authority_leaves_without_its_own_approval(k: Kit) -> None:
    asked = await _approved(k, "authority", approval_needed=True)
    plan = asked.plan
    assert code_of(await k.fails(k.payments.pay_advance, asked)) == ("Rejected", "approval_required")
    wrong = asked.model_copy(update={"approval_id": await k.approve(asked.case, "else", plan.amount, "m1")})
    assert code_of(await k.fails(k.payments.pay_advance, wrong)) == ("Rejected", "approval_mismatch")
    assert await k.world.statement("psp", plan.advance_key) == []
    right = asked.model_copy(update={"approval_id": await k.approve(asked.case, plan.advance_key, plan.amount, "m1")})
    first = await k.run(k.payments.pay_advance, right)
    assert await k.run(k.payments.pay_advance, right) == first
    assert await k.run(k.payments.pay_advance, asked) == first
    assert len(await k.world.statement("psp", plan.advance_key)) == 1


async def test_no_more_than_the_insurer_approved(k: Kit) -> None:
    asked = await _approved(k, "greedy")
    more = asked.plan.model_copy(update={"amount": asked.plan.amount * 2})
    failed = await k.fails(k.payments.pay_advance, asked.model_copy(update={"plan": more}))
    assert code_of(failed) == ("Rejected", "over_indemnity")


# ---- settlement ---------------------------------------------------------------------------------------------------


async def test_a_batch_is_paid_once_and_only_as_it_was_formed(k: Kit) -> None:
    await k.case("settled")
    async with k.store.transaction() as session:
        await settlement.open_cut(session, "cut.1", k.now)
        (row,) = await settlement.form_batches(session, "m1", "cut.1", k.now)
    batch = Batch(
        batch=row.batch,
        merchant_id="m1",
        payout_key=row.payout_key,
        net=Money(minor=row.payout_minor),
        legs=row.legs,
        payable=True,
    )
    forged = batch.model_copy(update={"net": batch.net * 2})
    failed = await k.fails(k.payments.pay_batch, PayBatch(batch=forged, patience=PATIENCE))
    assert code_of(failed) == ("Rejected", "invariant_broken")
    await k.world.faults("psp", {"match": "POST /v1/payouts", "kind": "error_after", "times": 1})
    asked = PayBatch(batch=batch, patience=PATIENCE)
    assert code_of(await k.fails(k.payments.pay_batch, asked)) == ("Unknown", "provider_unknown")
    first = await k.run(k.payments.pay_batch, asked)
    assert await k.run(k.payments.pay_batch, asked) == first
    async with k.store.read() as session:
        assert await settlement.check_batches(session) == ()
        assert (await settlement.need_batch(session, batch.batch)).state == "paid"
    assert [row.amount for row in await k.world.statement("psp", batch.payout_key)] == [batch.net]


def test_the_last_delay_goes_on_for_ever() -> None:
    assert [delay_after(attempt, PATIENCE) for attempt in (1, 2, 3, 9)] == [60.0, 300.0, 300.0, 300.0]
    assert delay_after(1, None) is None


# ---- who may pay an advance ----------------------------------------------------------------------------------------


async def _claimed_above(k: Kit, rma: str, minor: int = 400_000) -> PayAdvance:
    """A claim above the authority, approved by the insurer."""
    case = await k.case(rma)
    plan = loss_of(case, minor, approval_needed=True)
    await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=plan, patience=PATIENCE))
    return PayAdvance(case=case, plan=plan, patience=PATIENCE)


async def _left(k: Kit, prefix: str) -> list[Money]:
    return [one.amount for one in await k.world.payouts("m1") if one.key.startswith(prefix)]


async def test_nobody_gets_around_the_second_person(k: Kit) -> None:
    """The activity asked directly, as any workflow or the Temporal UI can: it believes the store and not the asker."""
    asked = await _claimed_above(k, "around")
    merchant, plan = asked.plan.payee, asked.plan
    tries: dict[str, dict[str, Any]] = {
        "approval_required": {"approval_needed": False},
        "over_indemnity": {"approval_needed": False, "amount": Money(minor=1)},
        "effect_conflict": {"approval_needed": False, "payee": "m2"},
    }
    for code, changes in tries.items():
        forged = asked.model_copy(update={"plan": plan.model_copy(update=changes)})
        assert code_of(await k.fails(k.payments.pay_advance, forged)) == ("Rejected", code)
    other = asked.model_copy(update={"plan": plan.model_copy(update={"advance_key": "m1:around:advance:7"})})
    assert code_of(await k.fails(k.payments.pay_advance, other)) == ("Rejected", "effect_conflict")
    elsewhere = asked.model_copy(update={"case": asked.case.model_copy(update={"rma_id": "another"})})
    assert code_of(await k.fails(k.payments.pay_advance, elsewhere)) == ("Rejected", "effect_conflict")
    assert await _left(k, "m1:around:") == []
    approval = await k.approve(asked.case, plan.advance_key, plan.amount, merchant)
    paid = await k.run(k.payments.pay_advance, asked.model_copy(update={"approval_id": approval}))
    assert paid.amount == plan.amount
    again = asked.model_copy(update={"plan": plan.model_copy(update={"advance_key": "m1:around:advance:2"})})
    assert code_of(await k.fails(k.payments.pay_advance, again)) == ("Rejected", "already_decided")
    assert await _left(k, "m1:around:") == [plan.amount]


async def test_nothing_is_paid_out_without_a_reserve(k: Kit) -> None:
    """Invariant 8: neither before the claim is reserved, nor before it is approved."""
    case = await k.case("unreserved")
    plan = loss_of(case)
    asked = PayAdvance(case=case, plan=plan, patience=PATIENCE)
    assert (await k.fails(k.payments.pay_advance, asked)).details[0]["code"] == "not_found"
    await k.world.script("insurer", plan.claim_ref, decision="pending")
    await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=plan, patience=PATIENCE))
    assert await k.numbers(case) == ["J30"]
    assert code_of(await k.fails(k.payments.pay_advance, asked)) == ("Rejected", "over_indemnity")
