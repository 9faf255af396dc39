"""Recorded payloads of the providers, and what they mean in our words. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from backhaul.money import Money
from gateways.couriers.sandbox import mapping as courier
from gateways.couriers.sandbox import wire as courier_wire
from gateways.insurers.sandbox import mapping as insurer
from gateways.insurers.sandbox import wire as insurer_wire
from gateways.payments.sandbox import mapping as payments
from gateways.payments.sandbox import wire as payments_wire
from gateways.ports import BookingRequest, DemandStanding, Operation, Parcel, Standing
from gateways.wire import OperationWire, StatementWire, operation, statement

TEN = Money(minor=1000)


def _payment(**changes: Any) -> payments_wire.PaymentWire:
    recorded = {
        "refund_id": "rf_1",
        "key": "m:r:refund.p:1",
        "state": "succeeded",
        "code": None,
        "amount": 1000,
        "currency": "CNY",
        "payee": "c1",
        "fee": 3,
    }
    return payments_wire.PaymentWire.model_validate(recorded | changes)


@pytest.mark.parametrize(
    ("state", "code", "standing", "ours"),
    [
        ("succeeded", None, Standing.SUCCEEDED, None),
        ("pending", None, Standing.PENDING, None),
        ("processing", None, Standing.PENDING, None),
        ("", None, Standing.PENDING, None),
        ("SUCCEEDED", None, Standing.PENDING, None),
        ("failed", "account_abnormal", Standing.FAILED, "account_abnormal"),
        ("failed", "channel_closed", Standing.FAILED, "channel_closed"),
        ("failed", "insufficient_balance", Standing.FAILED, "insufficient_balance"),
        ("failed", "moon_phase", Standing.FAILED, "provider_rejected"),
        ("failed", None, Standing.FAILED, "provider_rejected"),
    ],
)
def test_a_payment_is_pending_unless_it_says_otherwise(
    state: str, code: str | None, standing: Standing, ours: str | None
) -> None:
    result = payments.payment("k", TEN, _payment(state=state, code=code))
    assert (result.standing, result.code, result.provider_code) == (standing, ours, code)


@pytest.mark.parametrize("changes", [{"amount": 999}, {"currency": "EUR"}, {"currency": "XXX"}])
def test_another_amount_than_asked_for_means_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        payments.payment("k", TEN, _payment(**changes))


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        ("reserved", Standing.PENDING),
        ("pending", Standing.PENDING),
        ("under_review", Standing.PENDING),
        ("approved", Standing.SUCCEEDED),
        ("paid", Standing.SUCCEEDED),
        ("denied", Standing.FAILED),
        ("closed", Standing.FAILED),
    ],
)
def test_a_claim_is_pending_unless_it_says_otherwise(state: str, standing: Standing) -> None:
    wire = insurer_wire.ClaimWire.model_validate({"claim_ref": "m.r.loss.1", "state": state, "claim_no": "CL1"})
    assert insurer.claim("m.r.loss.1", wire).standing is standing


def test_a_claim_s_payment_says_that_it_is_paid() -> None:
    words = {"paid": Standing.SUCCEEDED, "queued": Standing.PENDING, "refused": Standing.FAILED}
    for word, standing in words.items():
        done = insurer.paid(insurer_wire.PaidWire(state=word, payment_ref="pay_1"))
        assert (done.ref, done.standing) == ("pay_1", standing)


@pytest.mark.parametrize(
    ("state", "amount", "standing", "accepted"),
    [
        ("received", None, DemandStanding.RECEIVED, None),
        ("being_read", None, DemandStanding.RECEIVED, None),
        ("contested", None, DemandStanding.CONTESTED, None),
        ("accepted", 1000, DemandStanding.ACCEPTED, TEN),
        ("paid", 1000, DemandStanding.PAID, TEN),
    ],
)
def test_a_demand(state: str, amount: int | None, standing: DemandStanding, accepted: Money | None) -> None:
    wire = courier_wire.DemandWire(state=state, accepted_amount=amount, currency="CNY")
    answer = courier.demand("m.r.loss.1", wire)
    assert (answer.standing, answer.accepted) == (standing, accepted)


def test_an_acceptance_names_its_amount() -> None:
    with pytest.raises(ValueError, match="amount"):
        courier.demand("c", courier_wire.DemandWire(state="accepted"))


def test_a_booking_is_the_same_bytes_each_time() -> None:
    request = BookingRequest(
        client_ref="pickup:1:1",
        address_ref="a",
        destination_ref="m",
        slot_start=datetime(2026, 1, 5, 9, tzinfo=UTC),
        slot_end=datetime(2026, 1, 5, 11, tzinfo=UTC),
        parcels=(Parcel(ref="m/r/l", sku="s", quantity=1, weight_g=900, volume_cm3=0),),
    )
    once, again = (courier.booking_request(request).model_dump_json(exclude_none=True) for _ in range(2))
    assert once == again
    assert '"slot_start":"2026-01-05T09:00:00+00:00"' in once
    assert "declared" not in once


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (
            {
                "key": "k",
                "kind": "refund",
                "state": "succeeded",
                "ref": "rf",
                "amount": 1000,
                "currency": "CNY",
                "payee": "c",
            },
            Operation(key="k", kind="refund", standing=Standing.SUCCEEDED, ref="rf", amount=TEN, payee="c"),
        ),
        (
            {"key": "k", "kind": "refund", "state": "failed", "code": "account_abnormal"},
            Operation(key="k", kind="refund", standing=Standing.FAILED, code="account_abnormal"),
        ),
        ({"key": "k", "kind": "refund", "state": None}, Operation(key="k", kind="refund", standing=Standing.PENDING)),
        # A kind that we never asked for is never terminal, whatever it says.
        (
            {"key": "k", "kind": "voucher", "state": "succeeded"},
            Operation(key="k", kind="voucher", standing=Standing.PENDING),
        ),
    ],
)
def test_an_operation(recorded: dict[str, Any], expected: Operation) -> None:
    assert operation(OperationWire.model_validate(recorded), payments.WORDS) == expected


def test_a_statement() -> None:
    row = {
        "seq": 3,
        "key": "k",
        "kind": "refund",
        "ref": "rf",
        "amount": 1000,
        "currency": "CNY",
        "payee": "c",
        "at": "2026-01-05T10:00:00Z",
        "batch": 9,
    }
    page = statement(StatementWire.model_validate({"rows": [row], "next": 3}))
    assert page.next == 3
    assert page.rows[0].amount == TEN
    with pytest.raises(ValueError):
        statement(StatementWire.model_validate({"rows": [row | {"currency": "XXX"}], "next": None}))


def test_an_answer_to_a_cancel_that_says_nothing_is_no_void() -> None:
    """An answer without a state once counted as voided: the courier came, and another one was booked beside it."""
    assert courier.voided(courier_wire.VoidWire.model_validate({"what": "is this"})) is None
    confirmed = courier.voided(courier_wire.VoidWire.model_validate({"state": "cancelled"}))
    assert confirmed is not None and confirmed.voided and confirmed.booking_cancelled
