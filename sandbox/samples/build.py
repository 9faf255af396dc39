"""The words that sample rows are written in. Amounts are minor units; times are relative: "now-2d", "now+8s"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

CNY = "CNY"
BOOK = "2025-05"
"""The policy book under which the covers were bound."""

MERCHANTS: dict[str, Json] = {
    "north-coats": {"name": "North Coats", "commission_bps": 500, "auto_authorize": True},
    "pearl-phones": {"name": "Pearl Phones", "commission_bps": 300, "auto_authorize": True},
    "oak-and-home": {"name": "Oak and Home", "commission_bps": 400, "auto_authorize": True},
    "quick-shoes": {"name": "Quick Shoes", "commission_bps": 600, "auto_authorize": True},
    "paper-moon": {"name": "Paper Moon", "commission_bps": 800, "auto_authorize": True},
    "jade-studio": {"name": "Jade Studio", "commission_bps": 500, "auto_authorize": False},
    "linen-loft": {"name": "Linen Loft", "commission_bps": 500, "auto_authorize": True, "offers": True},
    "sakura-import": {"name": "Sakura Import", "commission_bps": 450, "auto_authorize": True},
}
"""Jade Studio looks at every request itself; Linen Loft offers a part of the price; Sakura Import sells in yen."""


def money(minor: int, currency: str = CNY) -> Json:
    """An amount as the product's API takes it."""
    return {"minor": minor, "currency": currency}


def line(
    line_id: str, paid: int, *, quantity: int = 1, grams: int = 600, cm3: int = 0, category: str = "apparel",
    currency: str = CNY,
) -> Json:  # fmt: skip
    """One order line; `paid` is for the whole line, weight and volume are per unit."""
    return {
        "line_id": line_id,
        "sku": f"sku-{line_id}",
        "category": category,
        "quantity": quantity,
        "paid": money(paid, currency),
        "weight_g": grams,
        "volume_cm3": cm3,
    }


def order(
    name: str, merchant: str, *lines: Json, tier: int = 1, limit: int = 500_000, cover: str = "RFI RDV",
    rfi_sum: int = 2500, signed: str = "now-2d", payments: Sequence[int] = (),
) -> Json:  # fmt: skip
    """An order with one payment (or `payments`), a consumer of its own, and the covers named in `cover`."""
    currency = lines[0]["paid"]["currency"]
    total = sum(one["paid"]["minor"] for one in lines)
    parts = list(payments) or [total]
    covers = []
    if "RFI" in cover:
        covers.append(_cover(f"rfi-{name}", "RFI", rfi_sum, 36, 0))
    if "RDV" in cover:
        covers.append(_cover(f"rdv-{name}", "RDV", total, 0, 60))
    return {
        "order_id": f"order-{name}",
        "merchant": {"merchant_id": merchant, **MERCHANTS[merchant]},
        "consumer": {"consumer_ref": f"c-{name}", "tier": tier, "credit_limit": money(limit, currency)},
        "lines": list(lines),
        "payments": [
            {"payment_id": f"pay-{name}-{n}", "amount": money(part, currency)} for n, part in enumerate(parts, 1)
        ],
        "covers": covers,
        "captured_at": "now-4d" if signed == "now-2d" else "now-40d",
        "signed_at": signed,
    }


def _cover(coverage_id: str, kind: str, insured: int, merchants: int, platforms: int) -> Json:
    return {
        "coverage_id": coverage_id,
        "kind": kind,
        "sum_insured": money(insured),
        "premium_merchant": money(merchants),
        "premium_platform": money(platforms),
        "bound_at": "now-3d",
        "book_version": BOOK,
    }


def returned(
    name: str, made: Json, *units: tuple[str, int], reason: str = "dont_like", method: str = "pickup",
    address: str = "", slot: Json | None = None, evidence: Sequence[Json] = (),
) -> Json:  # fmt: skip
    """The request; without `units` every unit of every line comes back."""
    wanted = units or tuple((one["line_id"], one["quantity"]) for one in made["lines"])
    body = {
        "merchant_id": made["merchant"]["merchant_id"],
        "rma_id": name,
        "order_id": made["order_id"],
        "reason": reason,
        "method": method,
        "lines": [{"line_id": line_id, "quantity": quantity} for line_id, quantity in wanted],
        "address_ref": address or f"addr-{name}",
    }
    if slot is not None:
        body["slot"] = slot
    if evidence:
        body["evidence"] = list(evidence)
    return body


def row(
    name: str, path: str, made: Json, *, opened: Json, expect: Json, actors: Sequence[Json] = (),
    **parties: Any,
) -> Json:  # fmt: skip
    """One sample row. `parties`: scripts of courier, psp and insurer, accounts, self_ship, faults."""
    return {
        "name": name,
        "path": path,
        "order": made,
        "open": opened,
        "parties": {party: script for party, script in parties.items() if script},
        "actors": list(actors),
        "expect": expect,
    }


# ---- how it must end -------------------------------------------------------------------------------------------------


def closed(
    outcome: str = "refunded", *, refunded: int = 0, withheld: int = 0, indemnified: int = 0, recovered: int = 0,
    **more: int,
) -> Json:  # fmt: skip
    """The case ends by itself. `recovered` is what the insurer gets back; `freight` the case's share of the freight."""
    sums = {"refunded": refunded, "withheld": withheld, "indemnified": indemnified, "recovered": recovered}
    return {"end": "closed", "outcome": outcome, **sums, **more}


def parked(attention: str, free: Sequence[Json], *, refunded: int = 0) -> Json:
    """The case waits for a human; `free` is what the human sends."""
    sums = {"refunded": refunded, "withheld": 0, "indemnified": 0, "recovered": 0}
    return {"end": "parked", "outcome": None, "attention": attention, "free": list(free), **sums}


# ---- who does what ---------------------------------------------------------------------------------------------------


def act(
    who: str, send: str, body: Json | None = None, *, after: str, delay_ms: int = 0, refused: str | None = None
) -> Json:
    """One act: `after` is open, booked, scan, delivered (in the physical world), transit (known to the product)."""
    one: Json = {"as": who, "send": send, "body": body or {}, "after": after, "delay_ms": delay_ms}
    return one | ({"refused": refused} if refused else {})


def confirm(delay_ms: int = 200) -> Json:
    """The merchant confirms the receipt."""
    return act("merchant", "confirm_receipt", after="delivered", delay_ms=delay_ms)


def objects(line_id: str, finding: str, quantity: int = 1, severity: int | None = None) -> Json:
    """The merchant finds something at the receipt."""
    found = {"line_id": line_id, "finding": finding, "quantity": quantity, "severity": severity}
    photo = {"ref": f"evidence/{line_id}/bench.jpg", "sha256": "b" * 64, "by": "merchant"}
    said = {"findings": [found], "evidence": [photo]}
    return act("merchant", "report_receipt_issue", said, after="delivered", delay_ms=200)


def answers(answer: str, delay_ms: int = 300) -> Json:
    """The consumer answers a finding that nothing was said to at the door."""
    return act("consumer", "answer_finding", {"answer": answer}, after="scan", delay_ms=delay_ms)


def withdraws(after: str, refused: str | None = None, delay_ms: int = 0) -> Json:
    """The consumer takes the return back."""
    return act("consumer", "withdraw", {"reason": "keeps it"}, after=after, delay_ms=delay_ms, refused=refused)


# ---- what happens at the door ----------------------------------------------------------------------------------------


def door(
    line_id: str, finding: str, *, severity: int | None = None, quantity: int | None = None, consumer: str = "agrees"
) -> Json:
    """The courier's script: one visit, one finding on one line."""
    found: Json = {"finding": finding, "consumer": consumer}
    if severity is not None:
        found["severity"] = severity
    if quantity is not None:
        found["quantity"] = quantity
    return {"visits": [{"after_ms": 400, "outcome": "picked_up", "inspection": {line_id: found}}]}


def visits(*outcomes: str) -> Json:
    """The courier's script: visits with these outcomes, the last one clean."""
    return {"visits": [{"after_ms": 400, "outcome": outcome} for outcome in outcomes]}


def moves(*statuses: str) -> Json:
    """The courier's script: a clean pickup, then these movements of the parcel."""
    return {"tracking": [{"after_ms": 300, "status": status} for status in statuses]}
