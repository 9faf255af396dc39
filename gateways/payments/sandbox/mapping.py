"""The sandbox payment provider's JSON to our words and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from backhaul.messages import PaymentNews
from backhaul.money import Money
from gateways.payments.sandbox import wire as w
from gateways.ports import PaymentEvent, PaymentState, Standing
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
WAITS: Mapping[str, str] = {"insufficient_balance": "payer_short"}
"""Why a payment is pending, in our codes; any other reason is none of ours."""
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
        code=code(now, wire.code),
        provider_code=wire.code,
        amount=amount,
        payee=wire.payee,
    )


def code(now: Standing, said: str | None) -> str | None:
    """Our code for why a payment failed, or for what it waits; none for a success."""
    if now is Standing.FAILED:
        return failure(said)
    return WAITS.get(said or "") if now is Standing.PENDING else None


def event(wire: w.PaymentEventWire) -> PaymentEvent:
    """An event. Raises ValueError for news that we do not know."""
    return PaymentEvent(
        event_id=wire.event_id, key=wire.transfer.key, news=PaymentNews(wire.type), occurred_at=wire.occurred_at
    )


def failure(code: str | None) -> str:
    """Our code for the provider's reason of a failure."""
    return FAILURES.get(code or "", "provider_rejected")
