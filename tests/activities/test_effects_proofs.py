"""Skipping a money step: only on the provider's word or a second person's, and never without its alternative entry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from activities import payments
from activities.contract import (
    ClaimFreight,
    ClaimIndemnity,
    FundIndemnity,
    PayAdvance,
    Proof,
    ProveTerminal,
    SendRefund,
)
from activities.effects_support import Plan, World, run
from backhaul.facts import Method
from backhaul.ledger import CaseRef, I, P, indemnity_overturned, made
from backhaul.money import Money
from gateways.ports import Standing
from store import claims, ledger, orders, settlement
from store.effects import ApprovalUse, Done
from store.tables import CoverageRow
from tests.activities.effects_kit import DATABASES, PATIENCE, Kit, code_of, freight_of, key_of, kit_on, loss_of, part_of

NOTHING = Money(minor=0)


@pytest.fixture(scope="module", params=DATABASES)
async def kit_(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    async with kit_on(request, tmp_path_factory.mktemp("proofs")) as made:
        yield made


@pytest.fixture
async def k(kit_: Kit) -> AsyncIterator[Kit]:
    yield kit_
    for party in kit_.world.servers:
        await kit_.world.faults(party)


def ask(case: CaseRef, key: str, approval_id: str | None = None) -> ProveTerminal:
    return ProveTerminal(case=case, key=key, approval_id=approval_id)


async def _refund(k: Kit, rma: str, **script: object) -> SendRefund:
    case = await k.case(rma)
    part = part_of(case)
    await k.due(part, case)
    if script:
        await k.world.script("psp", part.payment_key, **script)
    return SendRefund(case=case, part=part, patience=PATIENCE)


async def test_a_success_in_the_books_is_posted_as_if_it_had_returned(k: Kit) -> None:
    asked = await _refund(k, "happened")
    await k.world.faults("psp", {"match": "POST /v1/refunds", "kind": "error_after"})
    await k.fails(k.payments.send_refund, asked)
    proof = await k.run(k.payments.prove_terminal, ask(asked.case, asked.part.payment_key))
    assert (proof.state, proof.ref is not None) == ("succeeded", True)
    assert await k.run(k.payments.prove_terminal, ask(asked.case, asked.part.payment_key)) == proof
    assert await k.numbers(asked.case) == ["J23", "J21"]
    assert (await k.run(k.payments.send_refund, asked)).ref == proof.ref


async def test_a_failed_refund_becomes_unclaimed_money(k: Kit) -> None:
    asked = await _refund(k, "failed", state="failed", code="account_abnormal")
    key = asked.part.payment_key
    await k.fails(k.payments.send_refund, asked)
    for _ in range(2):
        proof = await k.run(k.payments.prove_terminal, ask(asked.case, key))
        assert proof == Proof(key=key, state="failed")
    assert await k.numbers(asked.case) == ["J23", "J62"]
    async with k.store.read() as session:
        assert await ledger.balance(session, P.REFUND_PAYABLE, "CNY", case_key=key_of(asked.case)) == NOTHING
        bundle = await orders.get(session, asked.case.order_id)
    assert bundle is not None
    assert [payment.refunded_minor for payment in bundle.payments] == [0]


async def test_pending_or_unknown_proves_nothing(k: Kit) -> None:
    asked = await _refund(k, "pending", state="pending")
    await k.fails(k.payments.send_refund, asked)
    refused = await k.fails(k.payments.prove_terminal, ask(asked.case, asked.part.payment_key))
    assert code_of(refused) == ("Rejected", "proof_refused")
    never = await _refund(k, "never")
    await k.world.faults("psp", {"match": "POST /v1/refunds", "kind": "unavailable_before"})
    await k.fails(k.payments.send_refund, never)
    for key in (never.part.payment_key, "m1:never:invented:1"):
        refused = await k.fails(k.payments.prove_terminal, ask(never.case, key))
        assert code_of(refused) == ("Rejected", "proof_refused")
    assert await k.numbers(never.case) == ["J23"]


async def test_a_second_person_ends_what_the_provider_never_heard_of(k: Kit) -> None:
    asked = await _refund(k, "approved")
    key, amount = asked.part.payment_key, asked.part.amount
    await k.world.faults("psp", {"match": "POST /v1/refunds", "kind": "unavailable_before"})
    await k.fails(k.payments.send_refund, asked)
    wrong = await k.approve(asked.case, key, amount * 2, "c1")
    refused = await k.fails(k.payments.prove_terminal, ask(asked.case, key, wrong))
    assert code_of(refused) == ("Rejected", "approval_mismatch")
    assert await k.numbers(asked.case) == ["J23"]
    other = await _refund(k, "approved2")
    stolen = ask(other.case, other.part.payment_key, wrong)
    await k.fails(k.payments.send_refund, other)
    assert code_of(await k.fails(k.payments.prove_terminal, stolen)) == ("Rejected", "approval_mismatch")

    right = await k.approve(other.case, other.part.payment_key, other.part.amount, "c1")
    for _ in range(2):
        proof = await k.run(k.payments.prove_terminal, ask(other.case, other.part.payment_key, right))
        assert proof == Proof(key=other.part.payment_key, state="approved")
    assert await k.numbers(other.case) == ["J23", "J62"]
    await k.world.faults("psp")
    assert code_of(await k.fails(k.payments.send_refund, other)) == ("Rejected", "no_answer")
    assert await k.world.statement("psp", other.part.payment_key) == []


async def test_a_success_wins_over_an_approval(k: Kit) -> None:
    asked = await _refund(k, "wins")
    key = asked.part.payment_key
    await k.world.faults("psp", {"match": "POST /v1/refunds", "kind": "error_after"})
    await k.fails(k.payments.send_refund, asked)
    approval = await k.approve(asked.case, key, asked.part.amount, "c1")
    assert (await k.run(k.payments.prove_terminal, ask(asked.case, key, approval))).state == "succeeded"
    assert await k.numbers(asked.case) == ["J23", "J21"]


async def test_another_case_s_effect_is_not_provable(k: Kit) -> None:
    asked = await _refund(k, "mine")
    await k.run(k.payments.send_refund, asked)
    other = await k.case("theirs")
    refused = await k.fails(k.payments.prove_terminal, ask(other, asked.part.payment_key))
    assert code_of(refused) == ("Rejected", "proof_refused")


# ---- advances and funding -----------------------------------------------------------------------------------------


async def test_a_failed_advance_is_left_to_the_normal_settlement(k: Kit) -> None:
    case = await k.case("advance")
    plan = loss_of(case)
    await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=plan, patience=PATIENCE))
    await k.world.script("psp", plan.advance_key, state="failed", code="account_abnormal")
    pay = PayAdvance(case=case, plan=plan, patience=PATIENCE)
    assert code_of(await k.fails(k.payments.pay_advance, pay)) == ("Rejected", "account_abnormal")
    for _ in range(2):
        proof = await k.run(k.payments.prove_terminal, ask(case, plan.advance_key))
        assert proof == Proof(key=plan.advance_key, state="failed")
        assert code_of(await k.fails(k.payments.pay_advance, pay)) == ("Rejected", "account_abnormal")
    assert await k.numbers(case) == ["J30", "J31"]
    async with k.store.transaction() as session:
        gone = await settlement.need_batch(session, settlement.advance_batch(plan.claim_ref))
        assert (gone.state, gone.net_minor) == ("dissolved", 0)
        before = await ledger.balance(session, P.MERCHANT_PAYABLE, "CNY", party="m1")
        await settlement.open_cut(session, "cut.advance", k.now)
        (batch,) = await settlement.form_batches(session, "m1", "cut.advance", k.now)
        assert await settlement.check_batches(session) == ()
    assert batch.net_minor == -before.minor


async def test_funding_that_happened_is_posted(k: Kit) -> None:
    case = await k.case("funding")
    plan = loss_of(case)
    await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=plan, patience=PATIENCE))
    await k.world.faults("insurer", {"match": "POST /v1/claims/*/pay", "kind": "error_after"})
    await k.fails(k.insurers.fund_indemnity, FundIndemnity(case=case, plan=plan, patience=PATIENCE))
    assert (await k.run(k.payments.prove_terminal, ask(case, plan.funding_key))).state == "succeeded"
    assert await k.numbers(case) == ["J30", "J31", "J32"]


# ---- claims -------------------------------------------------------------------------------------------------------


async def _no_reserve_left(k: Kit, case: CaseRef, claim_ref: str) -> None:
    async with k.store.read() as session:
        for account in (I.CASE_RESERVE, I.CLAIMS_PAYABLE):
            assert await ledger.balance(session, account, "CNY", claim_ref=claim_ref) == NOTHING, account
        loss = await ledger.balance(session, I.INCURRED_LOSS, "CNY", claim_ref=claim_ref)
    assert loss == NOTHING


@pytest.mark.parametrize("what", ["freight", "loss"])
async def test_a_denied_claim_is_terminal(k: Kit, what: str) -> None:
    case = await k.case(f"denied.{what}")
    freight, loss = freight_of(case), loss_of(case)
    ref, key = (freight.claim_ref, freight.payment_key) if what == "freight" else (loss.claim_ref, loss.claim_ref)
    await k.world.script("insurer", ref, decision="deny", code="excluded")
    if what == "freight":
        asked = ClaimFreight(case=case, claim=freight, method=Method.PICKUP, patience=PATIENCE)
        await k.fails(k.insurers.claim_freight, asked)
    else:
        await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=loss, patience=PATIENCE))
    for _ in range(2):
        proof = await k.run(k.payments.prove_terminal, ask(case, key))
        assert proof == Proof(key=key, state="failed")
    assert await k.numbers(case) == ["J10" if what == "freight" else "J30", "J33"]
    await _no_reserve_left(k, case, ref)


async def test_a_claim_whose_decision_never_comes(k: Kit) -> None:
    case = await k.case("undecided")
    plan = loss_of(case)
    await k.world.script("insurer", plan.claim_ref, decision="pending")
    await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=plan, patience=PATIENCE))
    refused = await k.fails(k.payments.prove_terminal, ask(case, plan.claim_ref))
    assert code_of(refused) == ("Rejected", "proof_refused")
    approval = await k.approve(case, plan.claim_ref, plan.amount, plan.payee)
    proof = await k.run(k.payments.prove_terminal, ask(case, plan.claim_ref, approval))
    assert proof.state == "approved"
    assert await k.numbers(case) == ["J30", "J33"]
    await _no_reserve_left(k, case, plan.claim_ref)
    assert (await k.world.gateways.insurer.claim(plan.claim_ref)).provider_state == "closed"


async def test_an_approved_claim_that_is_not_paid_takes_its_approval_back(k: Kit) -> None:
    case = await k.case("unpaid")
    claim = freight_of(case)
    asked = ClaimFreight(case=case, claim=claim, method=Method.PICKUP, patience=PATIENCE)
    await k.world.faults("insurer", {"match": "POST /v1/claims/*/pay", "kind": "unavailable_before"})
    await k.fails(k.insurers.claim_freight, asked)
    approval = await k.approve(case, claim.payment_key, claim.amount, claim.payee)
    for _ in range(2):
        proof = await k.run(k.payments.prove_terminal, ask(case, claim.payment_key, approval))
        assert proof.state == "approved"
    assert await k.numbers(case) == ["J10", "J11", "J11", "J33"]
    await _no_reserve_left(k, case, claim.claim_ref)
    assert (await k.world.gateways.insurer.claim(claim.claim_ref)).provider_state == "closed"
    async with k.store.read() as session:
        kept = await claims.need(session, claim.claim_ref)
        cover = await session.get(CoverageRow, claim.coverage_id)
    assert kept.state == "closed"
    assert cover is not None and cover.remaining_minor == cover.sum_insured_minor


async def test_a_claim_that_went_on_outside_is_carried_to_its_end(k: Kit) -> None:
    case = await k.case("went-on")
    plan = loss_of(case)
    await k.world.script("insurer", plan.claim_ref, decision="approve", after_ms=50)
    await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=plan, patience=PATIENCE))
    insurer = k.world.gateways.insurer
    async with asyncio.timeout(60):
        while (await insurer.claim(plan.claim_ref)).standing is Standing.PENDING:
            await asyncio.sleep(0.02)
    assert (await k.run(k.payments.prove_terminal, ask(case, plan.claim_ref))).state == "succeeded"
    assert await k.numbers(case) == ["J30", "J31"]


async def test_an_advance_that_was_overturned_before_it_began_does_not_leave(
    k: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An overturn comes between the look at the claim and the intent: the intent looks again, and nothing is sent."""
    case = await k.case("race")
    plan = loss_of(case)
    await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=plan, patience=PATIENCE))

    async def overturned_first(world: World, effect: Plan, approval: ApprovalUse | None = None) -> Done:
        async with k.store.transaction() as session:
            await settlement.dissolve_advance(session, plan.claim_ref, k.now)
            await claims.overturn(session, plan.claim_ref, plan.amount, k.now)
            await ledger.post(session, made(indemnity_overturned(case, plan.amount, claim_ref=plan.claim_ref)), k.now)
        return await run(world, effect, approval)

    monkeypatch.setattr(payments, "run", overturned_first)
    pay = PayAdvance(case=case, plan=plan, patience=PATIENCE)
    assert code_of(await k.fails(k.payments.pay_advance, pay)) == ("Rejected", "over_indemnity")
    assert await k.numbers(case) == ["J30", "J31", "J75"]
    assert await k.world.statement("psp", plan.advance_key) == []
    async with k.store.read() as session:
        assert await settlement.check_batches(session) == ()
