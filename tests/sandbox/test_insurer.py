"""The insurer."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from sandbox.parties import Parties
from tests.sandbox.support import Api, Json
from tests.waiting import eventually

RDV: Json = {
    "coverage_id": "cov-rdv", "order_id": "o1", "kind": "RDV", "sum_insured": 120_000, "currency": "CNY",
    "premium": 60, "declared": 120_000, "bound_at": "2026-01-01T00:00:00Z", "book": "2026.1",
}  # fmt: skip
RFI = RDV | {"coverage_id": "cov-rfi", "kind": "RFI", "sum_insured": 2500, "premium": 36, "declared": None}
CLAIM = {"claim_ref": "c1", "coverage_id": "cov-rdv", "kind": "loss", "amount": 36_000, "currency": "CNY"}
FULL = {"amount": 36_000, "currency": "CNY", "payee": "platform"}


@pytest.fixture(autouse=True)
async def covered(parties: Parties) -> None:
    for cover in (RDV, RFI):
        await parties.insurer_control.coverage(**cover)


async def remaining(insurer: Api) -> int:
    covers = (await insurer.json("/v1/coverages", order_id="o1"))["coverages"]
    return int(next(cover["remaining"] for cover in covers if cover["coverage_id"] == "cov-rdv"))


async def claim(insurer: Api, **change: Any) -> Json:
    body = CLAIM | change
    answer = await insurer.post("/v1/claims", body, key=f"claim:{body['claim_ref']}")
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


async def approve(insurer: Api, ref: str = "c1", amount: int = 36_000) -> httpx2.Response:
    return await insurer.post(f"/v1/claims/{ref}/approve", {"amount": amount}, key=f"approve:{ref}:{amount}")


async def test_a_claim_from_reserve_to_recovery(parties: Parties, insurer: Api) -> None:
    made = await claim(insurer)
    assert (made["claim_ref"], made["state"], bool(made["claim_no"])) == ("c1", "reserved", True)
    assert (await approve(insurer)).json()["state"] == "approved"
    paid = (await insurer.post("/v1/claims/c1/pay", FULL, key="pay:c1")).json()
    assert paid["state"] == "paid"
    assert await remaining(insurer) == 84_000
    remitted = await insurer.post(
        "/v1/remittances", {"claim_ref": "c1", "amount": 36_000, "currency": "CNY"}, key="rem"
    )
    assert (remitted.status_code, remitted.json()["state"]) == (201, "received")
    assert await remaining(insurer) == 120_000
    assert (await insurer.json("/v1/claims/c1"))["state"] == "paid"
    rows = await parties.insurer_control.statement()
    assert [(row["kind"], row["key"], row["amount"], row["payee"]) for row in rows] == [
        ("premium", "cov-rdv", 60, "insurer"),
        ("premium", "cov-rfi", 36, "insurer"),
        ("payment", "pay:c1", 36_000, "platform"),
        ("recovery", "rem", 36_000, "insurer"),
    ]
    assert rows[2]["ref"] == paid["payment_ref"]
    for key, kind in (("claim:c1", "claim"), ("pay:c1", "payment"), ("rem", "recovery")):
        found = (await insurer.operation(key)).json()
        assert (found["kind"], found["amount"], found["ref"]) == (kind, 36_000, "c1")


async def test_coverages_are_listed_by_order_with_what_remains(insurer: Api) -> None:
    covers = (await insurer.json("/v1/coverages", order_id="o1"))["coverages"]
    assert covers == [RDV | {"remaining": 120_000}, RFI | {"remaining": 2500}]
    assert await insurer.json("/v1/coverages", order_id="o2") == {"coverages": []}
    assert (await insurer.get("/v1/coverages")).status_code == 422


async def test_claims_stay_within_the_remaining_sum(insurer: Api) -> None:
    await claim(insurer, amount=100_000)
    assert await remaining(insurer) == 20_000
    over = await insurer.post("/v1/claims", CLAIM | {"claim_ref": "c2", "amount": 20_001}, key="c2")
    assert (over.status_code, over.json()["code"], over.json()["remaining"]) == (422, "exceeds_remaining", 20_000)
    await insurer.post("/v1/claims/c1/close", key="close:c1")
    assert await remaining(insurer) == 120_000


async def test_an_approval_may_differ_from_the_reserve_within_the_remaining_sum(insurer: Api) -> None:
    await claim(insurer)
    assert (await approve(insurer, amount=120_001)).json()["code"] == "exceeds_remaining"
    assert (await approve(insurer, amount=40_000)).json()["approved_amount"] == 40_000
    assert await remaining(insurer) == 80_000
    assert (await approve(insurer, amount=1)).json()["code"] == "already_decided"


async def test_payments_stay_within_the_approved_amount(parties: Parties, insurer: Api) -> None:
    await claim(insurer)
    early = await insurer.post("/v1/claims/c1/pay", FULL, key="early")
    assert (early.status_code, early.json()["code"]) == (409, "not_approved")
    await approve(insurer)
    assert (await insurer.post("/v1/claims/c1/pay", FULL | {"amount": 30_000}, key="a")).json()["state"] == "paid"
    over = await insurer.post("/v1/claims/c1/pay", FULL | {"amount": 6001}, key="b")
    assert (over.status_code, over.json()["code"]) == (422, "exceeds_approved")
    assert (await insurer.post("/v1/claims/c1/pay", FULL | {"amount": 6000}, key="c")).status_code == 200
    paid = [row["amount"] for row in await parties.insurer_control.statement() if row["kind"] == "payment"]
    assert paid == [30_000, 6000]


async def test_a_denial_releases_the_reserve(parties: Parties, insurer: Api) -> None:
    await parties.insurer_control.script("c1", decision="deny", code="unverifiable")
    await claim(insurer)
    denied = (await approve(insurer)).json()
    assert (denied["state"], denied["code"]) == ("denied", "unverifiable")
    assert await remaining(insurer) == 120_000
    assert (await insurer.post("/v1/claims/c1/pay", FULL, key="p")).json()["code"] == "not_approved"


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ({"decision": "pending", "after_ms": 150}, "approved"),
        ({"decision": "pending", "then": "deny", "code": "late", "after_ms": 150}, "denied"),
        ({"decision": "approve", "after_ms": 150}, "approved"),
    ],
)
async def test_a_decision_may_come_later(parties: Parties, insurer: Api, script: Json, state: str) -> None:
    await parties.insurer_control.script("c1", **script)
    await claim(insurer)
    assert (await approve(insurer)).json()["state"] == "pending"
    await eventually(lambda: insurer.json("/v1/claims/c1"), lambda found: found["state"] == state)
    assert (await insurer.operation("approve:c1:36000")).json()["state"] == state


async def test_a_decision_may_never_come(parties: Parties, insurer: Api) -> None:
    await parties.insurer_control.script("c1", decision="pending")
    await claim(insurer)
    assert (await approve(insurer)).json()["state"] == "pending"
    assert (await insurer.post("/v1/claims/c1/close", key="close")).json()["state"] == "closed"
    assert await remaining(insurer) == 120_000


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"coverage_id": "cov-9"}, 404, "coverage_unknown"),
        ({"kind": "freight"}, 422, "kind_mismatch"),
        ({"currency": "USD"}, 422, "currency_mismatch"),
        ({"amount": 0}, 422, "invalid_request"),
    ],
)
async def test_claims_that_are_refused(insurer: Api, change: Json, status: int, code: str) -> None:
    answer = await insurer.post("/v1/claims", CLAIM | change, key="k")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_claim_is_made_once(insurer: Api) -> None:
    await claim(insurer)
    again = await insurer.post("/v1/claims", CLAIM, key="another key")
    assert (again.status_code, again.json()["code"]) == (409, "claim_exists")


async def test_money_is_bounded_by_payee_currency_and_recovery(insurer: Api) -> None:
    await claim(insurer)
    await approve(insurer)
    for change, code in (({"payee": "somebody"}, "invalid_request"), ({"currency": "USD"}, "currency_mismatch")):
        answer = await insurer.post("/v1/claims/c1/pay", FULL | change, key=code)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    over = {"claim_ref": "c1", "amount": 36_001, "currency": "CNY"}
    assert (await insurer.post("/v1/remittances", over, key="r")).json()["code"] == "exceeds_approved"
    assert (await insurer.post("/v1/claims/c9/pay", FULL, key="c9")).json()["code"] == "claim_unknown"


async def test_a_claim_reference_may_have_slashes(insurer: Api) -> None:
    await claim(insurer, claim_ref="m1/r1/loss:1")
    assert (await approve(insurer, "m1%2Fr1%2Floss:1")).json()["state"] == "approved"
    assert (await insurer.json("/v1/claims/m1%2Fr1%2Floss:1"))["claim_ref"] == "m1/r1/loss:1"


async def test_a_coverage_is_bound_once(parties: Parties) -> None:
    await parties.insurer_control.coverage(**RDV)
    assert len(await parties.insurer_control.statement()) == 2
    with pytest.raises(httpx2.HTTPStatusError, match="409"):
        await parties.insurer_control.coverage(**RDV | {"sum_insured": 1})
