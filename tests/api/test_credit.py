"""Credit lines and recoveries over HTTP: who sees them, who freezes, and what is kept of it."""

from __future__ import annotations

import pytest

from backhaul.credit import CreditLine
from backhaul.names import Role
from tests.api.place import MERCHANT, Place, an_order, problem


async def test_a_line_is_seen_frozen_and_thawed(place: Place) -> None:
    order = an_order("O-credit")
    consumer = order["consumer"]["consumer_ref"]
    assert (await place.call("POST", "/v1/orders", Role.SERVICE, order)).is_success
    path = f"/v1/consumers/{consumer}/credit"
    before = CreditLine.model_validate((await place.call("GET", path, Role.AUDITOR)).json())
    assert (before.frozen, before.used.minor, before.free) == (False, 0, before.limit)
    frozen = await place.call("POST", f"{path}/freeze", Role.OPERATOR, {"reason": "chargebacks"})
    line = CreditLine.model_validate(frozen.json())
    assert line.frozen and line.frozen_by is not None
    thawed = await place.call("POST", f"{path}/unfreeze", Role.OPERATOR, {"reason": "a mistake"})
    line = CreditLine.model_validate(thawed.json())
    assert (line.frozen, line.frozen_by) == (False, None)
    told = [(event.kind, event.reason) for event in line.events[-2:]]
    assert told == [("frozen", "chargebacks"), ("unfrozen", "a mistake")]


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        ("GET", "/v1/consumers/nobody/credit", {Role.OPERATOR, Role.AUDITOR}),
        ("POST", "/v1/consumers/nobody/credit/freeze", {Role.OPERATOR}),
        ("POST", "/v1/consumers/nobody/credit/unfreeze", {Role.OPERATOR}),
    ],
)
async def test_who_may(place: Place, method: str, path: str, may: set[Role]) -> None:
    body = {"reason": "x"} if method == "POST" else None
    for role in Role:
        answer = await place.call(method, path, role, body)
        problem(answer, 404, "not_found") if role in may else problem(answer, 403, "forbidden")


async def test_a_freeze_needs_a_reason(place: Place) -> None:
    answer = await place.call("POST", "/v1/consumers/nobody/credit/freeze", Role.OPERATOR, {"reason": ""})
    problem(answer, 422, "invalid_input")


async def test_recoveries_of_a_return_that_is_not_there(place: Place) -> None:
    path = f"/v1/returns/R-none/recoveries?merchant_id={MERCHANT}"
    problem(await place.call("GET", path, Role.OPERATOR), 404, "not_found")
    path = f"/v1/returns/R-none/recoveries/m.r.loss.1/retry_step?merchant_id={MERCHANT}"
    problem(await place.call("POST", path, Role.OPERATOR, {}), 404, "not_found")
    problem(await place.call("POST", path, Role.MERCHANT, {}), 403, "forbidden")
