"""A merchant's account over HTTP: statements, settlements, holds, bank movements; and who may see and do what."""

from __future__ import annotations

import csv
import io
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from backhaul.ledger import made, settlement_paid
from backhaul.money import Money
from backhaul.names import Role
from store import ledger, settlement
from tests.api.place import MERCHANT, OTHER, Place, an_order, money, problem

NET = 114_000


async def sold_and_settled(place: Place, merchant: str) -> str:
    """A coat sold, settled and paid; the cut's name."""
    done = await place.call("POST", "/v1/orders", Role.SERVICE, an_order(merchant=merchant))
    assert done.status_code == 201, done.text
    cut, now = f"c-{uuid.uuid4()}", datetime.now(UTC)
    async with place.store.transaction() as session:
        await settlement.open_cut(session, cut, now)
        for row in await settlement.form_batches(session, merchant, cut, now):
            net = Money(minor=row.payout_minor)
            await settlement.close_batch(session, row.batch, now)
            paid = settlement_paid(merchant, net, batch=row.batch, key=row.payout_key)
            await ledger.post(session, made(paid), now)
    return cut


def fresh() -> str:
    return f"M-{uuid.uuid4()}"


async def test_a_statement_from_balance_to_balance(place: Place) -> None:
    merchant = fresh()
    cut = await sold_and_settled(place, merchant)
    answer = await place.call("GET", f"/v1/merchants/{merchant}/statements?cut={cut}", Role.AUDITOR)
    assert answer.status_code == 200, answer.text
    (account,) = answer.json()["accounts"]
    assert (account["opening"]["minor"], account["closing"]["minor"]) == (0, NET)
    (line,) = account["lines"]
    assert (line["template"], line["meaning"]["zh"]) == ("J01", "订单收入(已扣佣金)")
    assert line["link"].startswith("/v1/returns?order_id=O-")
    whole = await place.call("GET", f"/v1/merchants/{merchant}/statements", Role.AUDITOR)
    (account,) = whole.json()["accounts"]
    assert (account["closing"]["minor"], account["paid"]["minor"]) == (0, NET)
    listed = await place.call("GET", f"/v1/merchants/{merchant}/settlements", Role.AUDITOR)
    assert [(one["cut"], one["batches"][0]["state"]) for one in listed.json()["cuts"]] == [(cut, "paid")]


async def test_as_csv_by_name_and_by_accept(place: Place) -> None:
    merchant = fresh()
    await sold_and_settled(place, merchant)
    named = await place.call("GET", f"/v1/merchants/{merchant}/statements.csv", Role.AUDITOR)
    asked = await place.call("GET", f"/v1/merchants/{merchant}/statements", Role.AUDITOR, accept="text/csv")
    assert named.text == asked.text
    assert named.headers["content-type"].startswith("text/csv")
    assert "attachment" in named.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(named.text)))
    assert [row["amount"] for row in rows] == ["", "1140.00", "-1140.00", ""]


async def test_a_merchant_sees_its_own_only(place: Place) -> None:
    for merchant in (MERCHANT, OTHER):
        await sold_and_settled(place, merchant)
    for path in ("statements", "statements.csv", "settlements", "holds"):
        own = await place.call("GET", f"/v1/merchants/{MERCHANT}/{path}", Role.MERCHANT)
        assert own.status_code == 200, own.text
        problem(await place.call("GET", f"/v1/merchants/{OTHER}/{path}", Role.MERCHANT), 404, "not_found")
        for role in (Role.CONSUMER, Role.COURIER):
            problem(await place.call("GET", f"/v1/merchants/{MERCHANT}/{path}", role), 403, "forbidden")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("cut=never", 404, "not_found"),
        ("cut=c&from=2026-01-01T00:00:00Z", 422, "invalid_input"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 422, "invalid_input"),
        ("from=2026-01-02T00:00:00", 422, "invalid_input"),
    ],
)
async def test_periods_that_make_no_sense(place: Place, query: str, status: int, code: str) -> None:
    merchant = fresh()
    await sold_and_settled(place, merchant)
    answer = await place.call("GET", f"/v1/merchants/{merchant}/statements?{query}", Role.AUDITOR)
    problem(answer, status, code)


async def test_holds_come_and_go(place: Place) -> None:
    merchant = fresh()
    await sold_and_settled(place, merchant)
    path = f"/v1/merchants/{merchant}"
    held = await place.call("POST", f"{path}/holds", Role.OPERATOR, {"note": "fraud?"})
    assert [(one["rma_id"], one["held_by"]) for one in held.json()["holds"]] == [(None, "operator-1")]
    problem(await place.call("POST", f"{path}/holds", Role.OPERATOR, {"rma_id": "R-none"}), 404, "not_found")
    for role in (Role.MERCHANT, Role.AUDITOR, Role.SERVICE):
        bound = MERCHANT if role is Role.MERCHANT else None
        problem(await place.call("POST", f"{path}/holds", role, {}, merchant=bound), 403, "forbidden")
    released = await place.call("POST", f"{path}/releases", Role.OPERATOR, {})
    assert released.json() == {"holds": []}
    problem(await place.call("POST", f"{path}/releases", Role.OPERATOR, {}), 404, "not_found")


async def approval(place: Place, merchant: str, subject: str, minor: int) -> str:
    body: dict[str, Any] = {
        "merchant_id": merchant, "subject": subject, "amount": money(minor), "payee": merchant,
    }  # fmt: skip
    answer = await place.call("POST", "/v1/approvals", Role.OPERATOR, body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["rma_id"] is None
    path = f"/v1/approvals/{answer.json()['approval_id']}/approve"
    return str((await place.call("POST", path, Role.APPROVER, {})).json()["approval_id"])


async def test_a_deposit_is_booked_once_under_its_approval(place: Place) -> None:
    merchant = fresh()
    await sold_and_settled(place, merchant)
    approved = await approval(place, merchant, "deposit_received:bank-1", 5_000)
    body = {
        "kind": "deposit_received", "merchant_id": merchant, "amount": money(5_000), "reference": "bank-1",
        "approval_id": approved,
    }  # fmt: skip
    problem(await place.call("POST", "/v1/treasury", Role.APPROVER, body), 403, "forbidden")
    more = {**body, "amount": money(5_001)}
    problem(await place.call("POST", "/v1/treasury", Role.OPERATOR, more), 409, "approval_mismatch")
    first = await place.call("POST", "/v1/treasury", Role.OPERATOR, body)
    again = await place.call("POST", "/v1/treasury", Role.OPERATOR, body)
    assert (first.status_code, again.status_code, first.json()["template"]) == (201, 200, "J77")
    whole = await place.call("GET", f"/v1/merchants/{merchant}/statements", Role.AUDITOR)
    assert whole.json()["accounts"][0]["deposit_closing"]["minor"] == 5_000
    topped = await approval(place, merchant, "shortfall_topped_up:bank-1", 5_000)
    other = {**body, "kind": "shortfall_topped_up", "approval_id": topped}
    problem(await place.call("POST", "/v1/treasury", Role.OPERATOR, other), 409, "exceeds_owed")
    nameless = {**body, "merchant_id": "platform"}
    problem(await place.call("POST", "/v1/treasury", Role.OPERATOR, nameless), 422, "invalid_input")


async def test_an_approval_for_nobody_is_refused(place: Place) -> None:
    body = {
        "merchant_id": fresh(), "subject": "x", "amount": money(1), "payee": "x",
    }  # fmt: skip
    problem(await place.call("POST", "/v1/approvals", Role.OPERATOR, body), 404, "not_found")


async def test_a_settlement_that_is_not_there_takes_nothing(place: Place) -> None:
    path = f"/v1/merchants/{MERCHANT}/settlements/c-none"
    problem(await place.call("POST", f"{path}/retry_step", Role.OPERATOR, {}), 409, "not_parked")
    problem(await place.call("POST", f"{path}/retry_step", Role.MERCHANT, {}), 403, "forbidden")
