"""Collecting from a consumer and setting off with a carrier: once, whatever happens in between. X26 to X28."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from activities.contract import (
    ChargeReceivable,
    CheckDemand,
    DemandRecovery,
    ProveTerminal,
    RecoveryPlan,
    SetOffDemand,
)
from backhaul.facts import Liable
from backhaul.ids import collect_key
from backhaul.ledger import CaseRef, courier_paid, freight_above_cap, left_uncharged, lightning_granted, made
from backhaul.money import Money
from store import claims, credit, ledger, recoveries, waybills
from tests.activities.effects_kit import AT, DATABASES, PATIENCE, Kit, code_of, id_of, key_of, kit_on

OWED = Money(minor=36_000)


@pytest.fixture(scope="module", params=DATABASES)
async def kit_(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    async with kit_on(request, tmp_path_factory.mktemp("recoveries")) as made_:
        yield made_


@pytest.fixture
async def k(kit_: Kit) -> AsyncIterator[Kit]:
    yield kit_
    for party in kit_.world.servers:
        await kit_.world.faults(party)


async def _owes(k: Kit, rma: str) -> ChargeReceivable:
    """360.00 of a lightning refund without a cover (J50)."""
    case = await k.case(rma)
    plan = RecoveryPlan(
        claim_ref=f"m1.{rma}.clawback.1", liable=Liable.CONSUMER, amount=OWED, waybill=None, coverage_id=""
    )
    await k.recovery(case, plan)
    async with k.store.transaction() as session:
        assert await credit.reserve(session, key_of(case), "c1", OWED, AT)
        await credit.freeze(session, key_of(case), AT)
        await ledger.post(session, made(lightning_granted(case, OWED), left_uncharged(case, OWED)), AT)
    return ChargeReceivable(case=case, plan=plan, n=1, patience=PATIENCE)


def key(asked: ChargeReceivable) -> str:
    return collect_key(id_of(asked.case), asked.plan.claim_ref, asked.n)


async def _thawed(k: Kit) -> None:
    async with k.store.transaction() as session:
        await credit.set_frozen(session, "c1", frozen=False, at=AT, by="test", reason="the next test")


async def test_a_charge_whose_answer_is_lost_is_looked_up_and_posted_once(k: Kit) -> None:
    asked = await _owes(k, "charge")
    await k.world.faults("psp", {"match": "POST /v1/charges", "kind": "error_after", "times": 1})
    assert code_of(await k.fails(k.payments.charge_receivable, asked)) == ("Unknown", "provider_unknown")
    for _ in range(2):
        done = await k.run(k.payments.charge_receivable, asked)
        assert (done.amount, done.left) == (OWED, Money(minor=0))
    assert (await k.numbers(asked.case)).count("J51") == 1
    assert [row.amount for row in await k.world.statement("psp", key(asked))] == [OWED]
    async with k.store.read() as session:
        line = await credit.line_of(session, "c1")
    assert not line.frozen
    again = asked.model_copy(update={"n": 2})
    assert (await k.run(k.payments.charge_receivable, again)).amount == Money(minor=0)  # nothing is owed any more
    assert await k.world.statement("psp", key(again)) == []


async def test_a_charge_gets_a_part_and_the_next_one_the_rest(k: Kit) -> None:
    asked = await _owes(k, "part-charge")
    await k.world.script("psp", key(asked), collects=10_000)
    await k.world.faults("psp", {"match": "POST /v1/charges", "kind": "timeout_after", "ms": 50, "times": 1})
    await k.run(k.payments.charge_receivable, asked)
    first = await k.run(k.payments.charge_receivable, asked)
    assert (first.amount.minor, first.left.minor) == (10_000, 26_000)
    rest = await k.run(k.payments.charge_receivable, asked.model_copy(update={"n": 2}))
    assert (rest.amount.minor, rest.left.minor) == (26_000, 0)
    assert [entry.lines[0].amount.minor for entry in await k.entries(asked.case, "J51")] == [10_000, 26_000]
    await _thawed(k)


async def test_a_charge_that_fails_takes_nothing_and_proves_it(k: Kit) -> None:
    asked = await _owes(k, "no-charge")
    await k.world.script("psp", key(asked), state="failed", code="insufficient_balance")
    assert code_of(await k.fails(k.payments.charge_receivable, asked)) == ("Rejected", "insufficient_balance")
    proof = await k.run(k.payments.prove_terminal, ProveTerminal(case=asked.case, key=key(asked)))
    assert proof.state == "failed"
    assert await k.entries(asked.case, "J51") == []
    await _thawed(k)


async def test_no_charge_follows_on_one_that_a_second_person_gave_up(k: Kit) -> None:
    """Not before the channel itself ends it: it may still collect."""
    asked = await _owes(k, "given-up-charge")
    again = asked.model_copy(update={"n": 2})
    await k.world.script("psp", key(asked), state="pending")
    assert code_of(await k.fails(k.payments.charge_receivable, asked)) == ("Unknown", "pending")
    assert code_of(await k.fails(k.payments.charge_receivable, again)) == ("Rejected", "proof_refused")
    approval = await k.approve(asked.case, key(asked), OWED, "platform")
    prove = ProveTerminal(case=asked.case, key=key(asked))
    assert code_of(await k.fails(k.payments.prove_terminal, prove)) == ("Rejected", "proof_refused")
    approved = prove.model_copy(update={"approval_id": approval})
    assert (await k.run(k.payments.prove_terminal, approved)).state == "approved"
    assert code_of(await k.fails(k.payments.charge_receivable, again)) == ("Rejected", "proof_refused")
    await k.world.control("psp", "charges", {"key": key(asked), "code": "channel_closed"})
    assert code_of(await k.fails(k.payments.charge_receivable, again)) == ("Rejected", "proof_refused")
    assert (await k.run(k.payments.prove_terminal, prove)).state == "failed"
    assert (await k.run(k.payments.charge_receivable, again)).amount == OWED
    assert await k.numbers(asked.case) == [*("J20", "J50"), "J51"]
    await _thawed(k)


async def test_a_charge_that_was_given_up_and_succeeds_is_booked_and_not_repeated(k: Kit) -> None:
    asked = await _owes(k, "late-charge")
    await k.world.script("psp", key(asked), state="pending")
    await k.fails(k.payments.charge_receivable, asked)
    approval = await k.approve(asked.case, key(asked), OWED, "platform")
    prove = ProveTerminal(case=asked.case, key=key(asked))
    await k.run(k.payments.prove_terminal, prove.model_copy(update={"approval_id": approval}))
    await k.world.control("psp", "charges", {"key": key(asked)})
    assert (await k.run(k.payments.prove_terminal, prove)).state == "succeeded"
    assert (await k.run(k.payments.charge_receivable, asked)).amount == OWED
    again = await k.run(k.payments.charge_receivable, asked.model_copy(update={"n": 2}))
    assert (again.amount.minor, again.left.minor) == (0, 0)
    assert (await k.numbers(asked.case)).count("J51") == 1
    await _thawed(k)


# ---- set-off --------------------------------------------------------------------------------------------------------


async def _demanded(k: Kit, rma: str, payable: int, **answer: object) -> SetOffDemand:
    case = await k.case(rma)
    waybill = f"SF-{rma}"
    items = [f"m1/{rma}/l1"]
    await k.world.script("courier", f"m1/{rma}", demand={"after_ms": 0, **answer})
    proven = {"amount": 20_000, "currency": "CNY"}
    await k.world.control(
        "courier", "self_ship", {"waybill": waybill, "items": items, "tracking": [], "proven_freight": proven}
    )
    plan = RecoveryPlan(
        claim_ref=f"m1.{rma}.loss.1", liable=Liable.CARRIER, amount=OWED, waybill=waybill, coverage_id="c"
    )
    async with k.store.transaction() as session:
        await waybills.bind(session, waybill, "sandbox", key_of(case), AT, Money(minor=20_000))
        owed = freight_above_cap(case, Money(minor=payable), bearer="merchant", courier="sandbox", waybill="older")
        await ledger.post(session, made(owed), AT)
    await k.recovery(case, plan)
    demand = DemandRecovery(case=case, plan=plan, patience=PATIENCE, cap_freights=3)
    assert (await k.run(k.couriers.demand_recovery, demand)).amount == OWED
    return SetOffDemand(case=case, plan=plan, upto=OWED, n=1, patience=PATIENCE)


async def _rest_of_payable(k: Kit, case: CaseRef) -> None:
    """Nothing is left for the next test."""
    async with k.store.transaction() as session:
        left = await recoveries.payable(session, "sandbox", "CNY")
        await ledger.post(session, made(courier_paid(case, left, courier="sandbox", waybill=f"p.{case.rma_id}")), AT)


async def test_a_set_off_whose_answer_is_lost_is_posted_once(k: Kit) -> None:
    asked = await _demanded(k, "setoff", 10_000, answer="silent")
    await k.world.faults("courier", {"match": "POST /v1/set_offs", "kind": "error_after", "times": 1})
    assert code_of(await k.fails(k.couriers.set_off_demand, asked)) == ("Unknown", "provider_unknown")
    for _ in range(2):
        done = await k.run(k.couriers.set_off_demand, asked)
        assert (done.amount.minor, done.collected.minor) == (10_000, 10_000)
    assert [n for n in await k.numbers(asked.case) if n in {"J40", "J41"}] == ["J40", "J41"]
    nothing = await k.run(k.couriers.set_off_demand, asked.model_copy(update={"n": 2}))
    assert (nothing.amount.minor, nothing.collected.minor) == (0, 10_000)


async def test_no_set_off_follows_on_one_that_a_second_person_gave_up(k: Kit) -> None:
    """What we owe the carrier is there again, and yet only the carrier's own word lets the next number leave."""
    asked = await _demanded(k, "given-up-off", 50_000, answer="silent")
    of = f"{asked.plan.ref}:set_off"
    again = asked.model_copy(update={"n": 2})
    await k.world.faults("courier", {"match": "POST /v1/set_offs", "kind": "unavailable_before", "times": 1})
    await k.fails(k.couriers.set_off_demand, asked)
    approval = await k.approve(asked.case, of, OWED, "platform")
    proof = ProveTerminal(case=asked.case, key=of, approval_id=approval)
    assert (await k.run(k.payments.prove_terminal, proof)).state == "approved"
    assert code_of(await k.fails(k.couriers.set_off_demand, again)) == ("Rejected", "proof_refused")
    gateway = k.world.gateways.courier("sandbox")
    await gateway.set_off(of, asked.plan.ref, OWED)  # the call that was lost on its way arrives
    assert (await k.run(k.payments.prove_terminal, proof.model_copy(update={"approval_id": None}))).state == "succeeded"
    assert (await k.run(k.couriers.set_off_demand, asked)).collected == OWED
    assert [n for n in await k.numbers(asked.case) if n in {"J40", "J41"}] == ["J40", "J41"]
    await _rest_of_payable(k, asked.case)


async def test_a_carrier_that_paid_meanwhile_is_not_set_off(k: Kit) -> None:
    asked = await _demanded(k, "paidfirst", 50_000, answer="accept", pay_after_ms=0)
    check = CheckDemand(case=asked.case, plan=asked.plan)
    gateway = k.world.gateways.courier("sandbox")
    async with asyncio.timeout(60):
        while (await gateway.demand_answer(asked.plan.claim_ref)).standing != "paid":
            await asyncio.sleep(0.02)
    assert code_of(await k.fails(k.couriers.set_off_demand, asked)) == ("Rejected", "already_decided")
    said = await k.run(k.couriers.check_demand, check)
    assert (said.state, said.collected) == ("paid", OWED)
    assert [n for n in await k.numbers(asked.case) if n in {"J40", "J41", "J44"}] == ["J40", "J44"]
    await _rest_of_payable(k, asked.case)


@pytest.mark.parametrize("owed", [0, 10_000])
async def test_what_a_carrier_pays_for_a_withdrawn_demand_goes_back(k: Kit, owed: int) -> None:
    asked = await _demanded(k, f"withdrawn{owed}", 0, answer="accept", pay_after_ms=0)
    check, ref = CheckDemand(case=asked.case, plan=asked.plan), asked.plan.claim_ref
    async with k.store.transaction() as session:
        await claims.cut_recovery(session, ref, owed, AT)
    async with asyncio.timeout(60):
        while (said := await k.run(k.couriers.check_demand, check)).state != "paid":
            await asyncio.sleep(0.02)
    for _ in range(2):
        assert said.withdrawn and said.returned == OWED - Money(minor=owed) and said.collected == Money(minor=owed)
        said = await k.run(k.couriers.check_demand, check)
    posted = [(entry.template, entry.lines[0].amount.minor) for entry in await k.entries(asked.case)]
    back = 36_000 - owed
    kept = [("J40", owed)] if owed else []
    assert sorted(posted) == sorted([*kept, ("J15", back), ("J44", 36_000), ("J45", back)])
    async with k.store.read() as session:
        row = await claims.need_recovery(session, ref)
        assert not await recoveries.setting_off(session, ref)
    assert (row.amount_minor, row.cash_minor, row.collected_minor) == (owed, owed, owed)


async def test_a_set_off_under_way_is_seen(k: Kit) -> None:
    asked = await _demanded(k, "underway", 10_000, answer="silent")
    ref = asked.plan.claim_ref
    await k.world.faults("courier", {"match": "POST /v1/set_offs", "kind": "error_after", "times": 1})
    await k.fails(k.couriers.set_off_demand, asked)
    seen = []
    for _ in range(2):
        async with k.store.read() as session:
            seen.append(await recoveries.setting_off(session, ref))
        await k.run(k.couriers.set_off_demand, asked)
    assert seen == [True, False]


async def test_an_undeclared_parcel_is_liable_for_three_freights(k: Kit) -> None:
    case = await k.case("undeclared")
    plan = RecoveryPlan(
        claim_ref="m1.undeclared.loss.1", liable=Liable.CARRIER, amount=OWED, waybill="SF-und", coverage_id="c"
    )
    await k.world.control("courier", "self_ship", {"waybill": "SF-und", "items": ["m1/undeclared/l1"], "tracking": []})
    async with k.store.transaction() as session:
        await waybills.bind(session, "SF-und", "sandbox", key_of(case), AT, Money(minor=1_500))
    await k.recovery(case, plan)
    demand = DemandRecovery(case=case, plan=plan, patience=PATIENCE, cap_freights=3)
    assert (await k.run(k.couriers.demand_recovery, demand)).amount.minor == 4_500
    assert (await k.run(k.couriers.demand_recovery, demand)).amount.minor == 4_500
    async with k.store.read() as session:
        assert (await claims.need_recovery(session, plan.claim_ref)).demanded_minor == 4_500
