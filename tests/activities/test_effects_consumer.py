"""A consumer's money by other ways: only once nothing can pay it any more, and once. Keys rise on proof alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from activities.contract import (
    ClaimIndemnity,
    ConfirmBounce,
    PayAdvance,
    PayConsumer,
    Proof,
    ProveTerminal,
    RefundPart,
    SendRefund,
)
from backhaul.ids import account_key, claim_key, next_key, previous_key
from backhaul.ledger import CaseRef, P
from backhaul.money import Money
from store import ledger, orders, unclaimed
from tests.activities.effects_kit import (
    DATABASES,
    PATIENCE,
    Kit,
    code_of,
    key_of,
    kit_on,
    loss_of,
    part_of,
)


@pytest.fixture(scope="module", params=DATABASES)
async def kit_(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    async with kit_on(request, tmp_path_factory.mktemp("consumer")) as made:
        yield made


@pytest.fixture
async def k(kit_: Kit) -> AsyncIterator[Kit]:
    kit_.attempt = 1
    yield kit_
    for party in kit_.world.servers:
        await kit_.world.faults(party)


async def refund_of(k: Kit, rma: str, **script: object) -> tuple[CaseRef, RefundPart]:
    """A refund that is owed, and how the provider takes it."""
    case = await k.case(rma)
    part = part_of(case)
    await k.due(part, case)
    if script:
        await k.world.script("psp", part.payment_key, **script)
    return case, part


async def send(k: Kit, case: CaseRef, part: RefundPart) -> None:
    await k.run(k.payments.send_refund, SendRefund(case=case, part=part, patience=PATIENCE))


def payout(
    case: CaseRef, part: RefundPart, n: int = 1, account: str = "acc-1", *, claimed: bool = False
) -> PayConsumer:
    key = claim_key(part.payment_key, 1) if claimed else account_key(part.payment_key)
    for _ in range(n - 1):
        key = next_key(key)
    return PayConsumer(
        case=case,
        of=part.payment_key,
        key=key,
        amount=part.amount,
        account_ref=account,
        unclaimed=claimed,
        patience=PATIENCE,
    )


def test_keys_of_payouts_have_a_purpose_of_their_own() -> None:
    assert account_key("m1:r1:refund.pay-1:3") == "m1:r1:payout.pay-1:1"
    assert account_key("m1:r1:undisputed.pay-1:1") == "m1:r1:payout.undisputed.pay-1:1"
    assert claim_key("m1:r1:refund.pay-1:3", 2) == "m1:r1:claim2.pay-1:1"
    assert (previous_key("m1:r1:refund.pay-1:3"), previous_key("m1:r1:refund.pay-1:1")) == (
        "m1:r1:refund.pay-1:2",
        None,
    )


async def test_a_refund_that_failed_for_good_is_paid_to_the_account_once(k: Kit) -> None:
    case, part = await refund_of(k, "void", state="failed", code="account_abnormal")
    assert code_of(await k.fails(k.payments.send_refund, SendRefund(case=case, part=part, patience=PATIENCE))) == (
        "Rejected",
        "account_abnormal",
    )
    await k.world.faults("psp", {"match": "POST /v1/payouts", "kind": "error_after", "times": 1})
    asked = payout(case, part)
    assert code_of(await k.fails(k.payments.pay_consumer, asked)) == ("Unknown", "provider_unknown")
    first = await k.run(k.payments.pay_consumer, asked)
    assert await k.run(k.payments.pay_consumer, asked) == first
    assert await k.numbers(case) == ["J23", "J61"]
    second = asked.model_copy(update={"key": f"{key_of(case)}.other:1", "account_ref": "acc-2"})
    assert code_of(await k.fails(k.payments.pay_consumer, second)) == ("Rejected", "proof_refused")
    assert [row.amount for row in await k.world.statement("psp", asked.key)] == [part.amount]
    async with k.store.read() as session:
        assert await ledger.balance(session, P.REFUND_PAYABLE, "CNY", case_key=key_of(case)) == Money(minor=0)
        bundle = await orders.get(session, case.order_id)
    assert bundle is not None
    assert [payment.refunded_minor for payment in bundle.payments] == [part.amount.minor]


@pytest.mark.parametrize(
    "script",
    [
        {},
        {"state": "succeeded"},
        {"state": "pending"},
        {"state": "pending", "pending_code": "insufficient_balance"},
    ],
    ids=["never_sent", "succeeded", "pending", "short"],
)
async def test_nothing_else_leaves_while_the_refund_may_pay(k: Kit, script: dict[str, object]) -> None:
    """Neither a payout in its place nor its own next number: the only proof is the provider's failure."""
    name = f"may.{script.get('pending_code', script.get('state', 'never'))}"
    case, part = await refund_of(k, name, **script)
    if script.get("state") == "succeeded":
        await send(k, case, part)
    elif script:
        await k.fails(k.payments.send_refund, SendRefund(case=case, part=part, patience=PATIENCE))
    assert code_of(await k.fails(k.payments.pay_consumer, payout(case, part))) == ("Rejected", "proof_refused")
    second = part.model_copy(update={"payment_key": next_key(part.payment_key)})
    again = SendRefund(case=case, part=second, patience=PATIENCE)
    assert code_of(await k.fails(k.payments.send_refund, again)) == ("Rejected", "proof_refused")
    assert await k.world.statement("psp", second.payment_key) == []


async def test_an_unknown_answer_is_no_proof(k: Kit) -> None:
    case, part = await refund_of(k, "unknown")
    await k.world.faults("psp", {"match": "POST /v1/refunds", "kind": "error_after"})
    asked = SendRefund(case=case, part=part, patience=PATIENCE)
    assert code_of(await k.fails(k.payments.send_refund, asked)) == ("Unknown", "provider_unknown")
    second = asked.model_copy(update={"part": part.model_copy(update={"payment_key": next_key(part.payment_key)})})
    assert code_of(await k.fails(k.payments.send_refund, second)) == ("Rejected", "proof_refused")
    await k.run(k.payments.send_refund, asked)
    assert await k.numbers(case) == ["J23", "J21"]


async def test_a_short_payer_is_said_at_once_and_stays_under_its_key(k: Kit) -> None:
    """Unknown, and not retried by the activity: days may pass, which are the workflow's."""
    case, part = await refund_of(k, "short")
    await k.world.control("psp", "payers", {"payer": "m1", "state": "short"})
    asked = SendRefund(case=case, part=part, patience=PATIENCE)
    for _ in range(2):
        failed = await k.fails(k.payments.send_refund, asked)
        assert (code_of(failed), failed.non_retryable) == (("Unknown", "payer_short"), True)
    await k.world.control("psp", "payers", {"payer": "m1", "state": "funded"})
    await k.run(k.payments.send_refund, asked)
    assert len(await k.world.statement("psp", part.payment_key)) == 1


async def test_payout_numbers_rise_on_the_providers_word(k: Kit) -> None:
    case, part = await refund_of(k, "twice", state="failed", code="account_abnormal")
    await k.fails(k.payments.send_refund, SendRefund(case=case, part=part, patience=PATIENCE))
    await k.world.control("psp", "accounts", {"payee": "acc-void", "state": "abnormal"})
    too_early = await k.fails(k.payments.pay_consumer, payout(case, part, 2, "acc-2"))
    assert code_of(too_early) == ("Rejected", "proof_refused")
    assert code_of(await k.fails(k.payments.pay_consumer, payout(case, part, 1, "acc-void"))) == (
        "Rejected",
        "account_abnormal",
    )
    await k.run(k.payments.pay_consumer, payout(case, part, 2, "acc-2"))
    assert await k.numbers(case) == ["J23", "J61"]
    third = await k.fails(k.payments.pay_consumer, payout(case, part, 3, "acc-3"))
    assert code_of(third) == ("Rejected", "proof_refused")


async def test_an_advances_number_rises_on_the_providers_word(k: Kit) -> None:
    case = await k.case("advance")
    plan = loss_of(case)
    await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=plan, patience=PATIENCE))
    await k.world.script("psp", plan.advance_key, state="pending")
    asked = PayAdvance(case=case, plan=plan, patience=PATIENCE)
    assert code_of(await k.fails(k.payments.pay_advance, asked)) == ("Unknown", "pending")
    second = asked.model_copy(update={"plan": plan.model_copy(update={"advance_key": next_key(plan.advance_key)})})
    assert (await k.fails(k.payments.pay_advance, second)).non_retryable
    assert await k.world.statement("psp", next_key(plan.advance_key)) == []
    assert "J34" not in await k.numbers(case)


async def test_a_bounce_is_believed_to_the_providers_books_only(k: Kit) -> None:
    case, part = await refund_of(k, "bounce")
    await send(k, case, part)
    asked = ConfirmBounce(case=case, payment_key=part.payment_key, patience=PATIENCE)
    assert code_of(await k.fails(k.payments.confirm_bounce, asked)) == ("Rejected", "proof_refused")
    assert await k.numbers(case) == ["J23", "J21"]
    await k.world.control("psp", "bounces", {"key": part.payment_key})
    found = await k.run(k.payments.confirm_bounce, asked)
    assert await k.run(k.payments.confirm_bounce, asked) == found
    assert found.part == part
    await k.run(k.payments.pay_consumer, payout(case, part))
    assert await k.numbers(case) == ["J23", "J21", "J60", "J61"]
    kinds = [row.kind for row in await k.world.statement("psp", part.payment_key)]
    assert kinds == ["refund", "bounce"]
    other = await k.case("bounce2")
    stolen = ConfirmBounce(case=other, payment_key=part.payment_key, patience=PATIENCE)
    assert code_of(await k.fails(k.payments.confirm_bounce, stolen)) == ("Rejected", "proof_refused")


async def test_unclaimed_money_is_paid_to_who_claims_it_once(k: Kit) -> None:
    """J62 by the proof of the failure; a payout of money that nobody claims is refused; claimed, J63."""
    case, part = await refund_of(k, "claim", state="failed", code="channel_closed")
    await k.fails(k.payments.send_refund, SendRefund(case=case, part=part, patience=PATIENCE))
    proof = await k.run(k.payments.prove_terminal, ProveTerminal(case=case, key=part.payment_key))
    assert proof.state == "failed"
    asked = payout(case, part, claimed=True)
    assert code_of(await k.fails(k.payments.pay_consumer, asked)) == ("Rejected", "invariant_broken")
    in_place = await k.fails(k.payments.pay_consumer, payout(case, part))
    assert code_of(in_place) == ("Rejected", "invariant_broken")
    async with k.store.transaction() as session:
        (taken,) = await unclaimed.take(session, key_of(case), 1)
        assert await unclaimed.take(session, key_of(case), 2) == ()
    assert (taken.key, taken.amount_minor) == (part.payment_key, part.amount.minor)
    first = await k.run(k.payments.pay_consumer, asked)
    assert await k.run(k.payments.pay_consumer, asked) == first
    assert await k.numbers(case) == ["J23", "J62", "J63"]
    async with k.store.read() as session:
        kept = await unclaimed.get(session, part.payment_key)
    assert kept is not None
    assert (kept.state, kept.claimed_at is not None) == (unclaimed.CLAIMED, True)


async def test_a_payout_that_failed_is_proved_like_a_refund(k: Kit) -> None:
    case, part = await refund_of(k, "proved", state="failed", code="account_abnormal")
    await k.fails(k.payments.send_refund, SendRefund(case=case, part=part, patience=PATIENCE))
    asked = payout(case, part)
    await k.world.script("psp", asked.key, state="failed", code="channel_closed")
    await k.fails(k.payments.pay_consumer, asked)
    for _ in range(2):
        proof = await k.run(k.payments.prove_terminal, ProveTerminal(case=case, key=asked.key))
        assert proof == Proof(key=asked.key, state="failed")
    assert await k.numbers(case) == ["J23", "J62"]
    async with k.store.read() as session:
        kept = await unclaimed.get(session, part.payment_key)
    assert kept is not None
    assert kept.state == unclaimed.OPEN
