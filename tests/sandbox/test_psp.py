"""The payment provider."""

from __future__ import annotations

import httpx2
import pytest

from sandbox.parties import Parties
from tests.sandbox.support import Api, Json
from tests.waiting import eventually

REFUND = {"payment_id": "pay-1", "amount": 500, "currency": "CNY", "payee": "consumer-1"}
PAYOUT = {"payee": "m1", "amount": 36_000, "currency": "CNY", "reference": "claim-1"}


@pytest.fixture(autouse=True)
async def captured(parties: Parties) -> None:
    await parties.psp_control.payment("pay-1", 1200, "CNY", payee="m1", payer="consumer-1")


async def moved(parties: Parties) -> list[tuple[object, ...]]:
    rows = await parties.psp_control.statement()
    return [(row["kind"], row["key"], row["amount"], row["currency"], row["payee"]) for row in rows]


async def state_of(psp: Api, key: str, *states: str) -> Json:
    async def read() -> Json:
        found: Json = (await psp.operation(key)).json()
        return found

    return await eventually(read, lambda found: found["state"] in states)


async def test_the_statement_is_what_happened(parties: Parties, psp: Api) -> None:
    refund = await psp.post("/v1/refunds", REFUND, key="r")
    payout = await psp.post("/v1/payouts", PAYOUT, key="p")
    assert refund.json() | {"settled_at": 0} == {
        "refund_id": refund.json()["refund_id"], "key": "r", "state": "succeeded", "code": None, "amount": 500,
        "currency": "CNY", "payee": "consumer-1", "payment_id": "pay-1", "settled_at": 0,
    }  # fmt: skip
    assert (payout.status_code, payout.json()["state"]) == (201, "succeeded")
    assert await moved(parties) == [
        ("capture", "pay-1", 1200, "CNY", "m1"),
        ("refund", "r", 500, "CNY", "consumer-1"),
        ("payout", "p", 36_000, "CNY", "m1"),
    ]
    refs = [row["ref"] for row in await parties.psp_control.statement()]
    assert refs == ["pay-1", refund.json()["refund_id"], payout.json()["payout_id"]]


async def test_refunds_stay_within_the_capture(psp: Api) -> None:
    assert (await psp.post("/v1/refunds", REFUND | {"amount": 1000}, key="a")).status_code == 201
    over = await psp.post("/v1/refunds", REFUND | {"amount": 201}, key="b")
    assert (over.status_code, over.json()["code"], over.json()["remainder"]) == (422, "exceeds_capture", 200)
    assert (await psp.post("/v1/refunds", REFUND | {"amount": 200}, key="c")).status_code == 201


async def test_a_pending_refund_takes_from_the_capture_until_it_fails(parties: Parties, psp: Api) -> None:
    await parties.psp_control.script("slow", state="pending", then="failed", code="channel_closed", lookups=1)
    pending = (await psp.post("/v1/refunds", REFUND | {"amount": 1200}, key="slow-1")).json()
    assert (pending["state"], pending["code"]) == ("pending", None)
    assert (await psp.post("/v1/refunds", REFUND, key="b")).json()["code"] == "exceeds_capture"
    assert (await state_of(psp, "slow-1", "failed"))["code"] == "channel_closed"
    assert (await psp.post("/v1/refunds", REFUND, key="c")).status_code == 201
    assert [row[1] for row in await moved(parties)] == ["pay-1", "c"]


async def test_a_pending_payout_succeeds_later(parties: Parties, psp: Api) -> None:
    script = {"state": "pending", "pending_code": "insufficient_balance", "then": "succeeded", "lookups": 1}
    await parties.psp_control.script("p", **script)
    pending = (await psp.post("/v1/payouts", PAYOUT, key="p")).json()
    assert (pending["state"], pending["code"]) == ("pending", "insufficient_balance")
    assert len(await moved(parties)) == 1
    assert (await state_of(psp, "p", "succeeded"))["code"] is None
    assert len(await moved(parties)) == 2
    assert (await psp.post("/v1/payouts", PAYOUT, key="p")).json() == pending


async def test_a_pending_transfer_without_an_end_stays_pending(parties: Parties, psp: Api) -> None:
    await parties.psp_control.script("stuck", state="pending")
    await psp.post("/v1/refunds", REFUND, key="stuck")
    await psp.post("/v1/refunds", REFUND, key="other")
    assert (await psp.operation("stuck")).json()["state"] == "pending"
    assert [row[1] for row in await moved(parties)] == ["pay-1", "other"]


async def test_an_abnormal_account_fails(parties: Parties, psp: Api) -> None:
    await parties.psp_control.account("consumer-1", "abnormal")
    failed = (await psp.post("/v1/refunds", REFUND, key="a")).json()
    assert (failed["state"], failed["code"]) == ("failed", "account_abnormal")
    await parties.psp_control.account("consumer-1", "normal")
    assert (await psp.post("/v1/refunds", REFUND, key="b")).json()["state"] == "succeeded"


@pytest.mark.parametrize(
    ("path", "change", "status", "code"),
    [
        ("/v1/refunds", {"payment_id": "pay-9"}, 404, "payment_unknown"),
        ("/v1/refunds", {"currency": "USD"}, 422, "currency_mismatch"),
        ("/v1/refunds", {"amount": 0}, 422, "invalid_request"),
        ("/v1/payouts", {"amount": -5}, 422, "invalid_request"),
        ("/v1/payouts", {"currency": "yuan"}, 422, "invalid_request"),
    ],
)
async def test_what_is_refused(psp: Api, path: str, change: Json, status: int, code: str) -> None:
    body = (REFUND if path == "/v1/refunds" else PAYOUT) | change
    answer = await psp.post(path, body, key="k")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_payment_is_captured_once(parties: Parties) -> None:
    await parties.psp_control.payment("pay-1", 1200, "CNY", payee="m1", payer="consumer-1")
    assert len(await moved(parties)) == 1
    with pytest.raises(httpx2.HTTPStatusError, match="409"):
        await parties.psp_control.payment("pay-1", 1300, "CNY", payee="m1", payer="consumer-1")


async def test_a_script_that_fails_without_a_code_is_refused(parties: Parties) -> None:
    with pytest.raises(httpx2.HTTPStatusError, match="422"):
        await parties.psp_control.script("k", state="failed")
