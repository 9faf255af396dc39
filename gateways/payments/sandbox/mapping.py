"""The sandbox payment provider's JSON to our words and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from backhaul.money import Money
from gateways.payments.sandbox import wire as w
from gateways.ports import PaymentState, Standing
from gateways.wire import money, standing

STATES: Mapping[str, Standing] = {"succeeded": Standing.SUCCEEDED, "failed": Standing.FAILED}
"""Whatever else it says, it has not decided: pending."""
WORDS: Mapping[str, Mapping[str, Standing]] = {"refund": STATES, "payout": STATES, "charge": STATES}
FAILURES: Mapping[str, str] = {
    "account_abnormal": "account_abnormal",
    "channel_closed": "channel_closed",
    "insufficient_balance": "insufficient_balance",
}
"""Why a payment failed, in our codes; any other reason is `provider_rejected`."""
PLATFORM = "platform"
CODES: Mapping[str, str] = {"exceeds_capture": "exceeds_capture"}


def refund_request(payment_id: str, amount: Money, payee: str) -> w.RefundRequestWire:
    """A refund."""
    return w.RefundRequestWire(payment_id=payment_id, amount=amount.minor, currency=amount.currency, payee=payee)


def payout_request(payee: str, amount: Money, reference: str) -> w.PayoutRequestWire:
    """A payout."""
    return w.PayoutRequestWire(payee=payee, amount=amount.minor, currency=amount.currency, reference=reference)


def charge_request(payer: str, amount: Money, reference: str) -> w.ChargeRequestWire:
    """A charge."""
    return w.ChargeRequestWire(payer=payer, amount=amount.minor, currency=amount.currency, reference=reference)


def charge(key: str, asked: Money, wire: w.ChargeWire) -> PaymentState:
    """A charge. Another amount than asked for, or a success that got nothing or more, means nothing: ValueError."""
    amount, collected = money(wire.amount, wire.currency), money(wire.collected, wire.currency)
    if amount != asked:
        raise ValueError(f"asked for {asked}, answered {amount}")
    now = standing(wire.state, STATES)
    if now is Standing.SUCCEEDED and not 0 < collected.minor <= amount.minor:
        raise ValueError(f"a charge of {amount} got {collected}")
    return PaymentState(
        key=key,
        standing=now,
        ref=wire.charge_id,
        code=failure(wire.code) if now is Standing.FAILED else None,
        provider_code=wire.code,
        amount=amount,
        payee=PLATFORM,
        collected=collected if now is Standing.SUCCEEDED else None,
    )


def payment(key: str, asked: Money, wire: w.PaymentWire) -> PaymentState:
    """A refund or payout. Another amount than the one asked for means nothing to us: ValueError."""
    amount = money(wire.amount, wire.currency)
    if amount != asked:
        raise ValueError(f"asked for {asked}, answered {amount}")
    now = standing(wire.state, STATES)
    return PaymentState(
        key=key,
        standing=now,
        ref=wire.refund_id or wire.payout_id,
        code=failure(wire.code) if now is Standing.FAILED else None,
        provider_code=wire.code,
        amount=amount,
        payee=wire.payee,
    )


def failure(code: str | None) -> str:
    """Our code for the provider's reason of a failure."""
    return FAILURES.get(code or "", "provider_rejected")
