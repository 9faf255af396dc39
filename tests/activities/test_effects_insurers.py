"""Freight and loss at the insurer: reserved, approved, paid, each once; a no releases what was reserved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.contract import ClaimFreight, ClaimIndemnity, FundIndemnity, RemitRecovery
from backhaul.facts import Method
from backhaul.ledger import I, P
from backhaul.money import Money
from store import claims, ledger
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
    failed = await k.fails(k.insurers.claim_indemnity, asked)
    if later is not None:
        assert code_of(failed) == ("Unknown", "pending")
        async with asyncio.timeout(10):
            while code_of(failed := await k.fails(k.insurers.claim_indemnity, asked))[0] == "Unknown":
                await asyncio.sleep(0.02)
    assert code_of(failed) == ("Rejected", "claim_denied")
    assert code_of(await k.fails(k.insurers.claim_indemnity, asked)) == ("Rejected", "claim_denied")
    assert await k.numbers(asked.case) == ["J30", "J33"]
    async with k.store.read() as session:
        assert (await claims.need(session, asked.plan.claim_ref)).state == "denied"
        reserve = await ledger.balance(session, I.CASE_RESERVE, "CNY", claim_ref=asked.plan.claim_ref)
    assert reserve == Money(minor=0)


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
