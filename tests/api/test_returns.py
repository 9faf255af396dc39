"""Orders and returns over HTTP: once, however often sent; lists and late answers from the database."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backhaul.client import request_hash
from backhaul.facts import Text, digest
from backhaul.messages import OpenReturn
from backhaul.names import Role
from store import cases
from store.tables import CaseRow
from tests.api.place import MERCHANT, OTHER, Place, a_return, an_order, money, problem


async def _open(place: Place, body: dict[str, Any], key: str | None = None) -> Any:
    return await place.call("POST", "/v1/returns", body=body, Idempotency_Key=key or body["rma_id"])


async def test_an_order_is_imported_once(place: Place) -> None:
    order = an_order()
    first = await place.call("POST", "/v1/orders", body=order)
    assert first.status_code == 201, first.text
    assert first.json()["created"] is True
    again = await place.call("POST", "/v1/orders", body=order)
    assert (again.status_code, again.json()["created"]) == (200, False)
    other = order | {"lines": [order["lines"][0] | {"sku": "hat"}]}
    problem(await place.call("POST", "/v1/orders", body=other), 409, "order_conflict")


async def test_an_order_of_two_currencies_is_refused(place: Place) -> None:
    order = an_order() | {"payments": [{"payment_id": "p", "amount": {"minor": 1, "currency": "USD"}}]}
    problem(await place.call("POST", "/v1/orders", body=order), 422, "currency_mismatch")


async def test_a_key_is_required(place: Place) -> None:
    problem(await place.call("POST", "/v1/returns", body=a_return()), 400, "idempotency_key_required")
    answer = await place.call("POST", "/v1/returns", body=a_return(), Idempotency_Key="k" * 256)
    problem(answer, 422, "invalid_input")


async def test_opening_is_idempotent(place: Place) -> None:
    body = a_return()
    first = await _open(place, body)
    assert first.status_code == 201, first.text
    assert first.json()["outcome"] == "authorized"
    for key in (body["rma_id"], "another-key"):
        assert (await _open(place, body, key)).json() == first.json()
    problem(await _open(place, a_return(), body["rma_id"]), 409, "idempotency_mismatch")
    changed = body | {"reason": "quality"}
    problem(await _open(place, changed, f"{body['rma_id']}-2"), 409, "return_conflict")


async def test_an_unknown_order(place: Place) -> None:
    body = a_return(order_id=f"O-unknown-{uuid.uuid4()}")
    said = problem(await _open(place, body), 422, "order_unknown")
    assert said["field"] == "order_id"


async def test_updates_reach_the_case(place: Place) -> None:
    body = a_return()
    await _open(place, body)
    path = f"/v1/returns/{body['rma_id']}"
    refused = await place.call("POST", f"{path}/withdraw", Role.CONSUMER, {"reason": "picked up"})
    problem(refused, 409, "already_picked_up")
    first = await place.call("POST", f"{path}/withdraw", Role.CONSUMER, {}, Idempotency_Key="w-1")
    again = await place.call("POST", f"{path}/withdraw", Role.CONSUMER, {"reason": "picked up"}, Idempotency_Key="w-1")
    assert first.json() == again.json() == {"recorded": True, "duplicate": False, "stage": "closing", "note": ""}
    decline = await place.call("POST", f"{path}/decline", Role.MERCHANT, {"reason": "statutory_return"})
    problem(decline, 409, "statutory_return")
    busy = await place.call("POST", f"{path}/retry_step?merchant_id={MERCHANT}", Role.OPERATOR, {})
    problem(busy, 503, "store_busy")
    assert busy.headers["retry-after"]
    bug = await place.call("POST", f"{path}/withdraw", Role.CONSUMER, {"reason": "bug"})
    problem(bug, 500, "internal_error")


async def test_a_running_case_answers_itself(place: Place) -> None:
    body = a_return()
    await _open(place, body)
    answer = await place.call("GET", f"/v1/returns/{body['rma_id']}", Role.MERCHANT)
    assert (answer.json()["stage"], answer.headers["backhaul-source"]) == ("authorizing", "case")
    explained = await place.call("GET", f"/v1/returns/{body['rma_id']}/explain", Role.CONSUMER)
    assert explained.json()["decisions"] == []
    problem(await place.call("GET", "/v1/returns/R-never", Role.MERCHANT), 404, "not_found")
    problem(await place.call("GET", "/v1/returns/R-never/explain", Role.MERCHANT), 404, "not_found")


async def test_a_closed_case_tells_an_update_how_it_ended(place: Place) -> None:
    body = a_return()
    await _open(place, body)
    path = f"/v1/returns/{body['rma_id']}"
    close = f"{path}/close_case?merchant_id={MERCHANT}"
    assert (await place.call("POST", close, Role.OPERATOR, {"reason": "test"})).is_success
    await place.backhaul.client.get_workflow_handle(f"return:{MERCHANT}:{body['rma_id']}").result()
    said = problem(await place.call("POST", f"{path}/withdraw", Role.CONSUMER, {}), 409, "return_closed")
    assert said["outcome"]["outcome"] == "refunded"


# ---- the read model -------------------------------------------------------------------------------------------------


async def _kept(place: Place, request: dict[str, Any], **changes: Any) -> CaseRow:
    """A case that only the database knows, as after retention."""
    order = an_order(request["order_id"], request["merchant_id"])
    assert (await place.call("POST", "/v1/orders", body=order)).is_success
    message = OpenReturn.model_validate(request)
    now = datetime.now(UTC)
    row = CaseRow(
        case_key=f"{message.merchant_id}/{message.rma_id}",
        merchant_id=message.merchant_id,
        rma_id=message.rma_id,
        order_id=message.order_id,
        consumer_ref=order["consumer"]["consumer_ref"],
        workflow_id=f"return:{message.merchant_id}:{message.rma_id}",
        request=request,
        request_hash=request_hash(message),
        book_version="2025-05",
        book_hash=digest("book"),
        stage="closed",
        outcome="refunded",
        judgement={
            "outcome": "authorized",
            "reasons": [],
            "refundable": money(120_000),
            "rfi": False,
            "rdv": False,
            "text": Text(en="Authorized.", zh="已同意。").model_dump(),
        },
        refundable_minor=120_000,
        refunded_minor=120_000,
        currency="CNY",
        opened_at=now,
        updated_at=now,
        closed_at=now,
    )
    for name, value in changes.items():
        setattr(row, name, value)
    async with place.store.transaction() as session:
        await cases.insert(session, row, [("L-1", 1)])
    return row


async def test_a_case_past_retention_answers_from_the_database(place: Place) -> None:
    body = a_return(order_id=f"O-{uuid.uuid4()}")
    await _kept(place, body)
    answer = await place.call("GET", f"/v1/returns/{body['rma_id']}", Role.CONSUMER)
    assert answer.headers["backhaul-source"] == "read-model"
    status = answer.json()
    assert (status["stage"], status["outcome"], status["closed"]) == ("closed", "refunded", True)
    assert status["money"]["refunded"] == money(120_000)
    explained = await place.call("GET", f"/v1/returns/{body['rma_id']}/explain", Role.CONSUMER)
    assert explained.headers["backhaul-source"] == "read-model"
    again = await _open(place, body)
    assert (again.status_code, again.json()["outcome"]) == (200, "authorized")
    problem(await _open(place, body | {"reason": "quality"}, "k-closed"), 409, "return_conflict")


async def test_lists_are_paged_and_of_one_merchant(place: Place) -> None:
    start = datetime.now(UTC)
    merchant = f"M-{uuid.uuid4()}"
    names = [f"R-{number}" for number in range(5)]
    for number, name in enumerate(names):
        body = a_return(name, f"O-{uuid.uuid4()}", merchant)
        parked = "step_failed" if number == 0 else None
        await _kept(place, body, opened_at=start + timedelta(seconds=number), attention=parked)
    await _kept(place, a_return(order_id=f"O-{uuid.uuid4()}", merchant=OTHER))
    found: list[str] = []
    after = ""
    for _ in range(3):
        path = f"/v1/returns?merchant_id={merchant}&limit=2{after}"
        page = (await place.call("GET", path, Role.AUDITOR)).json()
        found += [case["rma_id"] for case in page["cases"]]
        after = f"&after={page['next']}".replace("+", "%2B") if page["next"] else ""
    assert found == names[::-1]
    assert not after
    parked = (await place.call("GET", f"/v1/returns?merchant_id={merchant}&parked=true", Role.OPERATOR)).json()
    assert [case["attention"] for case in parked["cases"]] == ["step_failed"]
    own = (await place.call("GET", "/v1/returns?limit=200", Role.MERCHANT, merchant=OTHER)).json()["cases"]
    assert {case["merchant_id"] for case in own} == {OTHER}
    asked = await place.call("GET", f"/v1/returns?merchant_id={merchant}", Role.MERCHANT, merchant=OTHER)
    problem(asked, 404, "not_found")
    problem(await place.call("GET", "/v1/returns?after=nonsense", Role.AUDITOR), 422, "invalid_input")


@pytest.mark.parametrize("role", [Role.CONSUMER, Role.COURIER])
async def test_who_lists_nothing(place: Place, role: Role) -> None:
    problem(await place.call("GET", "/v1/returns", role), 403, "forbidden")


# ---- approvals and rulings ------------------------------------------------------------------------------------------


async def test_approvals_are_by_a_second_person(place: Place) -> None:
    """Prepared and approved are two calls under two tokens; neither says who the other is."""
    body = a_return(order_id=f"O-{uuid.uuid4()}")
    await _kept(place, body)
    wanted = {
        "merchant_id": MERCHANT,
        "rma_id": body["rma_id"],
        "subject": f"{MERCHANT}:{body['rma_id']}:advance.1:1",
        "amount": money(400_000),
        "payee": MERCHANT,
    }
    first = await place.call("POST", "/v1/approvals", Role.OPERATOR, wanted)
    assert first.status_code == 201, first.text
    assert (first.json()["prepared_by"], first.json()["approved_by"]) == ("operator-1", None)
    assert (await place.call("POST", "/v1/approvals", Role.OPERATOR, wanted)).json() == first.json()
    for forged in ({"approved_by": "somebody"}, {"prepared_by": "somebody"}):
        problem(await place.call("POST", "/v1/approvals", Role.OPERATOR, wanted | forged), 422, "invalid_input")
    nowhere = await place.call("POST", "/v1/approvals", Role.OPERATOR, wanted | {"rma_id": "R-never"})
    problem(nowhere, 404, "not_found")
    problem(await place.call("POST", "/v1/approvals", Role.APPROVER, wanted), 403, "forbidden")
    path = f"/v1/approvals/{first.json()['approval_id']}/approve"
    problem(await place.call("POST", path, Role.OPERATOR, {}), 403, "forbidden")
    said = await place.call("POST", path, Role.APPROVER, {})
    assert (said.status_code, said.json()["approved_by"], said.json()["used"]) == (200, "approver-1", False)
    assert (await place.call("POST", path, Role.APPROVER, {})).json() == said.json()
    problem(await place.call("POST", "/v1/approvals/apr-none/approve", Role.APPROVER, {}), 422, "approval_unknown")


async def test_rulings_are_by_the_token(place: Place) -> None:
    body = a_return(order_id=f"O-{uuid.uuid4()}")
    await _kept(place, body)
    wanted = {
        "merchant_id": MERCHANT,
        "rma_id": body["rma_id"],
        "decides": "liability",
        "outcome": "carrier",
        "reason": "the seal was broken on the way",
    }
    first = await place.call("POST", "/v1/rulings", Role.APPROVER, wanted)
    assert (first.status_code, first.json()["ruled_by"]) == (201, "approver-1"), first.text
    assert (await place.call("POST", "/v1/rulings", Role.APPROVER, wanted)).json() == first.json()
    for wrong in ({"decides": "weather"}, {"outcome": "authorize"}, {"decides": "authorization"}):
        problem(await place.call("POST", "/v1/rulings", Role.APPROVER, wanted | wrong), 422, "invalid_input")
