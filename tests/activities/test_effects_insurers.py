"""Freight and loss at the insurer: reserved, approved, paid, each once; a no releases what was reserved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.contract import ClaimFreight, ClaimIndemnity, FundIndemnity, RemitRecovery
from backhaul.facts import Method
from backhaul.ids import next_key
from backhaul.ledger import I, P
from backhaul.money import Money
from store import cases, claims, ledger
from store.tables import CoverageRow
from tests.activities.effects_kit import (
    DATABASES,
    PATIENCE,
    Kit,
    code_of,
    freight_of,
    key_of,
    kit_on,
    loss_of,
    recovery_of,
)
from tests.gateways.outside import HOLD_MS
from tests.sandbox.support import hurry


@pytest.fixture(scope="module", params=DATABASES)
async def kit_(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    async with kit_on(request, tmp_path_factory.mktemp("insurers")) as made:
        yield made


@pytest.fixture
async def k(kit_: Kit) -> AsyncIterator[Kit]:
    yield kit_
    for party in kit_.world.servers:
        await kit_.world.faults(party)


async def _freight(k: Kit, rma: str, method: Method = Method.PICKUP) -> ClaimFreight:
    case = await k.case(rma)
    claim = freight_of(case)
    if method is Method.SELF_SHIP:
        claim = claim.model_copy(update={"payee": "consumer:c1"})
    return ClaimFreight(case=case, claim=claim, method=method, patience=PATIENCE)


async def _loss(k: Kit, rma: str) -> ClaimIndemnity:
    case = await k.case(rma)
    return ClaimIndemnity(case=case, plan=loss_of(case), patience=PATIENCE)


@pytest.mark.parametrize(
    ("method", "paid", "payee"), [(Method.PICKUP, "J12", "courier:sandbox"), (Method.SELF_SHIP, "J13", "consumer:c1")]
)
async def test_freight_is_reserved_approved_and_paid_once(k: Kit, method: Method, paid: str, payee: str) -> None:
    asked = await _freight(k, f"freight.{method.value}", method)
    first = await k.run(k.insurers.claim_freight, asked)
    assert await k.run(k.insurers.claim_freight, asked) == first
    assert (first.key, first.amount) == (asked.claim.payment_key, asked.claim.amount)
    assert await k.numbers(asked.case) == ["J10", "J11", paid]
    rows = await k.world.statement("insurer", asked.claim.payment_key)
    assert [(row.kind, row.payee, row.amount, row.ref) for row in rows] == [("payment", payee, first.amount, first.ref)]
    async with k.store.read() as session:
        claim = await claims.need(session, asked.claim.claim_ref)
    assert (claim.state, claim.paid_minor, claim.claim_no is not None) == ("paid", 1_400, True)


@pytest.mark.parametrize("route", ["POST /v1/claims", "POST /v1/claims/*/approve", "POST /v1/claims/*/pay"])
@pytest.mark.parametrize(
    "fault", [{"kind": "unavailable_before"}, {"kind": "error_after"}, {"kind": "timeout_after", "ms": HOLD_MS}]
)
async def test_trouble_at_any_call_ends_in_one_payment(k: Kit, route: str, fault: dict[str, Any]) -> None:
    asked = await _freight(k, f"t.{fault['kind']}.{len(route)}")
    await k.world.faults("insurer", {"match": route, "times": 1, **fault})
    failed = await k.fails(k.insurers.claim_freight, asked)
    assert failed.type == ("Transient" if fault["kind"] == "unavailable_before" else "Unknown")
    await k.run(k.insurers.claim_freight, asked)
    assert await k.numbers(asked.case) == ["J10", "J11", "J12"]
    assert len(await k.world.statement("insurer", asked.claim.payment_key)) == 1


async def test_a_loss_is_owed_to_the_merchant_and_funded(k: Kit) -> None:
    asked = await _loss(k, "loss")
    first = await k.run(k.insurers.claim_indemnity, asked)
    assert await k.run(k.insurers.claim_indemnity, asked) == first
    funding = FundIndemnity(case=asked.case, plan=asked.plan, patience=PATIENCE)
    await k.world.faults("insurer", {"match": "POST /v1/claims/*/pay", "kind": "error_after", "times": 1})
    assert code_of(await k.fails(k.insurers.fund_indemnity, funding)) == ("Unknown", "provider_unknown")
    funded = await k.run(k.insurers.fund_indemnity, funding)
    assert await k.run(k.insurers.fund_indemnity, funding) == funded
    assert await k.numbers(asked.case) == ["J30", "J31", "J32"]
    rows = await k.world.statement("insurer", asked.plan.funding_key)
    assert [(row.payee, row.amount) for row in rows] == [("platform", asked.plan.amount)]
    async with k.store.read() as session:
        for account in (I.CASE_RESERVE, I.CLAIMS_PAYABLE, P.INSURER_RECEIVABLE):
            rest = await ledger.balance(session, account, "CNY", claim_ref=asked.plan.claim_ref)
            assert rest == Money(minor=0)


@pytest.mark.parametrize("later", [None, 50])
async def test_a_denied_claim_gives_its_reserve_back(k: Kit, later: int | None) -> None:
    asked = await _loss(k, f"denied.{later}")
    script = {"decision": "deny", "code": "excluded"} | ({} if later is None else {"after_ms": later})
    await k.world.script("insurer", asked.plan.claim_ref, **script)
    said = await k.run(k.insurers.claim_indemnity, asked)
    if later is not None:
        assert said.state == "pending"
        async with asyncio.timeout(60):
            while (said := await k.run(k.insurers.claim_indemnity, asked)).state == "pending":
                await asyncio.sleep(0.02)
    assert (said.state, said.denial, said.appealable, said.amount) == ("denied", "not_covered", False, Money(minor=0))
    assert [one.outcome for one in said.verdicts] == ["denied"]
    assert await k.run(k.insurers.claim_indemnity, asked) == said
    assert await k.numbers(asked.case) == ["J30", "J33"]
    async with k.store.read() as session:
        claim = await claims.need(session, asked.plan.claim_ref)
        reserve = await ledger.balance(session, I.CASE_RESERVE, "CNY", claim_ref=asked.plan.claim_ref)
        told = await cases.explanation(session, key_of(asked.case))
    assert (claim.state, claim.code) == ("denied", "not_covered")
    assert reserve == Money(minor=0)
    assert [one.reasons for one in told.decisions] == [("claim_not_covered",)]


WORDS = ["excluded", "no_evidence", "late", "fraud", "limit", "a word of theirs"]
REASONS = ["not_covered", "evidence_missing", "late_notice", "fraud_suspected", "limit_exhausted", "other"]


@pytest.mark.parametrize(("word", "reason"), list(zip(WORDS, REASONS, strict=True)))
async def test_every_word_of_the_insurer_is_one_of_our_reasons(k: Kit, word: str, reason: str) -> None:
    asked = await _loss(k, f"why.{reason}")
    await k.world.script("insurer", asked.plan.claim_ref, decision="deny", code=word)
    await k.world.faults("insurer", {"match": "POST /v1/claims/*/approve", "kind": "error_after", "times": 1})
    assert code_of(await k.fails(k.insurers.claim_indemnity, asked)) == ("Unknown", "provider_unknown")
    said = await k.run(k.insurers.claim_indemnity, asked)  # looked up: the reason is not lost with the answer
    assert (said.denial, said.appealable) == (reason, reason == "evidence_missing")


async def test_the_reserve_follows_the_insurer_s_up_and_down(k: Kit) -> None:
    """J33: 360.00 reserved, 500.00 while the insurer looks at it, 300.00 approved."""
    asked = await _loss(k, "reserve")
    ref = asked.plan.claim_ref
    script = {"decision": "pending", "after_ms": 600_000, "reserve": 50_000, "approved": 30_000, "complex": True}
    await k.world.script("insurer", ref, **script)
    said = await k.run(k.insurers.claim_indemnity, asked)
    assert (said.state, said.complex) == ("pending", True)
    hurry(k.world.servers["insurer"])
    async with asyncio.timeout(60):
        while (said := await k.run(k.insurers.claim_indemnity, asked)).state == "pending":
            await asyncio.sleep(0.02)
    assert (said.state, said.amount) == ("approved", Money(minor=30_000))
    changes = [(one.template, one.lines[0].amount.minor) for one in await k.entries(asked.case)]
    assert changes == [("J30", 36_000), ("J33", 14_000), ("J33", 20_000), ("J31", 30_000)]
    funding = FundIndemnity(case=asked.case, plan=asked.plan, patience=PATIENCE)
    assert (await k.run(k.insurers.fund_indemnity, funding)).amount == Money(minor=30_000)
    async with k.store.read() as session:
        for account in (I.CASE_RESERVE, I.CLAIMS_PAYABLE, P.INSURER_RECEIVABLE):
            assert await ledger.balance(session, account, "CNY", claim_ref=ref) == Money(minor=0)
        cover = await session.get(CoverageRow, asked.plan.coverage_id)
    assert cover is not None and cover.remaining_minor == 470_000


@pytest.mark.parametrize("state", ["pending", "refused"])
async def test_funding_that_is_late_or_refused_is_an_answer(k: Kit, state: str) -> None:
    asked = await _loss(k, f"funding.{state}")
    await k.run(k.insurers.claim_indemnity, asked)
    payment = {"payment": "refuse"} if state == "refused" else {"payment": "late", "pay_after_ms": 50}
    await k.world.script("insurer", asked.plan.claim_ref, **payment)
    funding = FundIndemnity(case=asked.case, plan=asked.plan, patience=PATIENCE)
    done = await k.run(k.insurers.fund_indemnity, funding)
    assert (done.state, await k.numbers(asked.case)) == (state, ["J30", "J31"])
    if state == "refused":  # proved: the next attempt is under the next key
        await k.world.script("insurer", asked.plan.claim_ref)
        plan = asked.plan.model_copy(update={"funding_key": next_key(asked.plan.funding_key)})
        funding = funding.model_copy(update={"plan": plan})
    async with asyncio.timeout(60):
        while (done := await k.run(k.insurers.fund_indemnity, funding)).state == "pending":
            await asyncio.sleep(0.02)
    assert (done.state, await k.numbers(asked.case)) == ("paid", ["J30", "J31", "J32"])
    assert len(await k.world.statement("insurer", funding.plan.funding_key)) == 1


async def test_what_the_cover_has_not_left_is_not_claimed(k: Kit) -> None:
    case = await k.case("above")
    plan = loss_of(case, minor=500_001)
    failed = await k.fails(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=plan, patience=PATIENCE))
    assert code_of(failed) == ("Rejected", "over_indemnity")
    assert await k.numbers(case) == []
    assert await k.world.gateways.insurer.operation(f"{plan.claim_ref}:reserve") is None


async def test_what_was_withheld_goes_to_the_insurer_once(k: Kit) -> None:
    asked = await _loss(k, "remit")
    await k.run(k.insurers.claim_indemnity, asked)
    plan = recovery_of(asked.case, None)
    await k.recovery(asked.case, plan)
    remit = RemitRecovery(case=asked.case, plan=plan, amount=plan.amount, patience=PATIENCE)
    await k.world.faults("insurer", {"match": "POST /v1/remittances", "kind": "error_after", "times": 1})
    assert code_of(await k.fails(k.insurers.remit_recovery, remit)) == ("Unknown", "provider_unknown")
    first = await k.run(k.insurers.remit_recovery, remit)
    assert await k.run(k.insurers.remit_recovery, remit) == first
    assert (await k.numbers(asked.case))[-1] == "J42"
    assert len(await k.world.statement("insurer", f"{plan.claim_ref}:remit")) == 1
    less = remit.model_copy(update={"amount": Money(minor=1)})
    assert code_of(await k.fails(k.insurers.remit_recovery, less)) == ("Rejected", "effect_conflict")
    async with k.store.read() as session:
        kept = await claims.need_recovery(session, plan.claim_ref)
    assert (kept.state, kept.remitted_minor, kept.case_key) == ("collected", 36_000, key_of(asked.case))
