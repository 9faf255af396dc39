"""What the outside parties know before the first return: money captured, cover bound, and what will go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sandbox.parties import Parties
from sandbox.samples.rows import Sample, at

Json = dict[str, Any]

_REQUESTS: tuple[Json, ...] = (
    {"match": "POST /v1/*", "kind": "latency", "probability": 0.25, "ms": 60},
    {"match": "POST /v1/*", "kind": "unavailable_before", "probability": 0.06, "times": 1},
    {"match": "POST /v1/*", "kind": "error_after", "probability": 0.05, "times": 1},
    {"match": "POST /v1/*", "kind": "rate_limit", "probability": 0.04, "times": 1, "retry_after": 1},
    {"match": "POST /v1/*", "kind": "timeout_after", "probability": 0.03, "times": 1, "ms": 4000},
)
_WEBHOOKS: tuple[Json, ...] = (
    {"match": "webhook", "kind": "duplicate_webhook", "probability": 0.10},
    {"match": "webhook", "kind": "late_webhook", "probability": 0.06, "ms": 1500},
    {"match": "webhook", "kind": "reordered_webhook", "probability": 0.05, "ms": 1200},
    {"match": "webhook", "kind": "lost_webhook", "probability": 0.04},
)
"""What goes wrong everywhere: at most once per key and kind, so that nothing goes wrong for ever."""


async def seed(parties: Parties, samples: Iterable[Sample], now: datetime, chance: int) -> None:
    """Tell the three parties everything, and turn the faults on. `chance` is the seed of the faults."""
    rules: dict[str, list[Json]] = {"psp": [], "insurer": [], "courier": []}
    orders: dict[str, Sample] = {}
    for sample in samples:
        orders.setdefault(sample.order["order_id"], sample)
        for party, own in sample.parties.get("faults", {}).items():
            rules[party] += own
        await _scripts(parties, sample)
    for sample in orders.values():
        await _order(parties, at(sample.order, now))
    await asyncio.gather(
        parties.psp_control.faults(*rules["psp"], *_REQUESTS, seed=chance),
        parties.insurer_control.faults(*rules["insurer"], *_REQUESTS, seed=chance),
        parties.courier_control.faults(*rules["courier"], *_REQUESTS, *_WEBHOOKS, seed=chance),
    )


async def _order(parties: Parties, order: Json) -> None:
    for payment in order["payments"]:
        amount = payment["amount"]
        await parties.psp_control.payment(
            payment["payment_id"], amount["minor"], amount["currency"],
            payee=order["merchant"]["merchant_id"], payer=order["consumer"]["consumer_ref"],
        )  # fmt: skip
    for cover in order["covers"]:
        await parties.insurer_control.coverage(
            coverage_id=cover["coverage_id"],
            order_id=order["order_id"],
            kind=cover["kind"],
            sum_insured=cover["sum_insured"]["minor"],
            currency=cover["sum_insured"]["currency"],
            premium=cover["premium_merchant"]["minor"] + cover["premium_platform"]["minor"],
            bound_at=cover["bound_at"],
            book=cover["book_version"],
        )


async def _scripts(parties: Parties, sample: Sample) -> None:
    told = sample.parties
    if "courier" in told:
        await parties.courier_control.script(sample.case, **told["courier"])
    for script in told.get("psp", ()):
        await parties.psp_control.post("scripts", script)
    for script in told.get("insurer", ()):
        await parties.insurer_control.post("scripts", script)
    for payee in told.get("accounts", ()):
        await parties.psp_control.account(payee, "abnormal")


async def calm(parties: Parties) -> None:
    """Before the settlement: payouts may still be refused for now, but no answer gets lost after the fact any more.

    The settlement looks an unknown payout up after a minute, as it would in production; nobody wants to watch that."""
    before = [rule for rule in _REQUESTS if not rule["kind"].endswith("_after")]
    await parties.psp_control.faults(*before, seed=1)


async def fired(parties: Parties, *names: str) -> dict[str, int]:
    """How often each kind of fault has happened since the faults were set, over all parties or those named."""
    controls = {"psp": parties.psp_control, "insurer": parties.insurer_control, "courier": parties.courier_control}
    counts: dict[str, int] = {}
    for name in names or controls:
        for one in await controls[name].fired():
            counts[one["kind"]] = counts.get(one["kind"], 0) + 1
    return counts
