"""Who may do what: every update by every role, and nobody sees another merchant's cases."""

from __future__ import annotations

import uuid

import pytest

from api.openapi import EXAMPLES
from backhaul.names import ROLE_OF, Role, Update
from tests.api.place import MERCHANT, OTHER, Place, a_return, an_order, problem

PLATFORM = {Role.SERVICE, Role.COURIER, Role.OPERATOR, Role.APPROVER, Role.AUDITOR}


def _query(role: Role) -> str:
    return f"?merchant_id={MERCHANT}" if role in PLATFORM else ""


@pytest.mark.parametrize("update", list(ROLE_OF))
async def test_each_update_is_for_one_role(place: Place, update: Update) -> None:
    for role in Role:
        path = f"/v1/returns/R-nobody/{update.value}{_query(role)}"
        answer = await place.call("POST", path, role, EXAMPLES[update])
        if role is ROLE_OF[update]:
            problem(answer, 404, "not_found")  # it got through to a case that is not there
        else:
            problem(answer, 403, "forbidden")


async def test_names_that_are_no_updates(place: Place) -> None:
    for name in ("first_decision", "no_such", "cancel"):
        answer = await place.call("POST", f"/v1/returns/R-1/{name}", Role.CONSUMER, {})
        problem(answer, 404, "unknown_update")


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        ("POST", "/v1/orders", {Role.SERVICE}),
        ("POST", "/v1/returns", {Role.SERVICE}),
        ("GET", "/v1/returns", {Role.SERVICE, Role.MERCHANT, Role.OPERATOR, Role.APPROVER, Role.AUDITOR}),
        ("GET", "/v1/returns/R-1", set(Role) - {Role.COURIER}),
        ("GET", "/v1/returns/R-1/explain", set(Role) - {Role.COURIER}),
        ("POST", "/v1/approvals", {Role.OPERATOR}),
        ("POST", "/v1/approvals/apr-1/approve", {Role.APPROVER}),
        ("POST", "/v1/rulings", {Role.APPROVER}),
    ],
)
async def test_other_routes(place: Place, method: str, path: str, may: set[Role]) -> None:
    bodies = {
        "/v1/orders": an_order(),
        "/v1/returns": a_return(),
        "/v1/approvals": _approval("R-1"),
        "/v1/rulings": _ruling("R-1"),
    }
    for role in Role:
        body = bodies.get(path) if method == "POST" else None
        answer = await place.call(method, f"{path}{_query(role)}", role, body)
        assert (answer.status_code != 403) == (role in may), (role, answer.text)


def _approval(rma_id: str) -> dict[str, object]:
    return {
        "merchant_id": MERCHANT,
        "rma_id": rma_id,
        "subject": "x",
        "amount": {"minor": 1, "currency": "CNY"},
        "payee": MERCHANT,
    }


def _ruling(rma_id: str) -> dict[str, object]:
    return {"merchant_id": MERCHANT, "rma_id": rma_id, "decides": "liability", "outcome": "carrier", "reason": "x"}


async def test_nobody_sees_another_merchants_case(place: Place) -> None:
    rma_id = f"R-{uuid.uuid4()}"
    opened = await place.call("POST", "/v1/returns", body=a_return(rma_id), Idempotency_Key=rma_id)
    assert opened.status_code == 201, opened.text
    for role in (Role.MERCHANT, Role.CONSUMER):
        assert (await place.call("GET", f"/v1/returns/{rma_id}", role)).is_success
        problem(await place.call("GET", f"/v1/returns/{rma_id}", role, merchant=OTHER), 404, "not_found")
        asked = f"/v1/returns/{rma_id}?merchant_id={MERCHANT}"
        problem(await place.call("GET", asked, role, merchant=OTHER), 404, "not_found")
    withdraw = f"/v1/returns/{rma_id}/withdraw"
    problem(await place.call("POST", withdraw, Role.CONSUMER, {}, merchant=OTHER), 404, "not_found")
    problem(
        await place.call("POST", f"{withdraw}?merchant_id={MERCHANT}", Role.CONSUMER, {}, merchant=OTHER),
        404,
        "not_found",
    )
    assert (await place.call("POST", withdraw, Role.CONSUMER, {})).json()["recorded"] is True


async def test_a_platform_token_names_the_merchant(place: Place) -> None:
    said = problem(await place.call("GET", "/v1/returns/R-1", Role.OPERATOR), 422, "invalid_input")
    assert said["field"] == "merchant_id"


async def test_a_bound_service_acts_for_its_merchant_only(place: Place) -> None:
    problem(await place.call("POST", "/v1/orders", Role.SERVICE, an_order(), merchant=OTHER), 403, "forbidden")
    body = a_return()
    answer = await place.call("POST", "/v1/returns", Role.SERVICE, body, merchant=OTHER, Idempotency_Key="k")
    problem(answer, 403, "forbidden")
