"""Credit lines and recoveries over HTTP: who sees them, who freezes, and what is kept of it."""

from __future__ import annotations

import pytest

from backhaul.credit import CreditLine
from backhaul.ids import recovery_ref
from backhaul.money import Money
from backhaul.names import Role
from store import cases, claims
from tests.api.place import MERCHANT, Place, an_order, problem
from tests.store.support import AT, a_case, case_row


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


async def test_both_recoveries_of_a_claim_are_shown(place: Place) -> None:
    """The second has a name of its own, under which operators speak to it."""
    order = an_order("O-two")
    assert (await place.call("POST", "/v1/orders", Role.SERVICE, order)).is_success
    consumer = order["consumer"]["consumer_ref"]
    case = a_case("R-two", order_id="O-two", merchant=MERCHANT, consumer=consumer)
    async with place.store.transaction() as session:
        await cases.insert(session, case_row(case), [])
        for n, liable in enumerate(("consumer", "carrier"), 1):
            ref = recovery_ref("claim", n)
            loss = Money(minor=36_000, currency="CNY")
            row = await claims.open_recovery(
                session, "claim", f"{MERCHANT}/R-two", liable, loss, f"recovery:{ref}", {}, AT, n=n
            )
            if n == 1:
                await claims.cut_recovery(session, row.recovery_ref, 0, AT)
    path = f"/v1/returns/R-two/recoveries?merchant_id={MERCHANT}"
    listed = (await place.call("GET", path, Role.OPERATOR)).json()["recoveries"]
    assert [(one["recovery_ref"], one["claim_ref"], one["liable"], one["state"]) for one in listed] == [
        ("claim", "claim", "consumer", "waived"),
        ("claim.r2", "claim", "carrier", "identified"),
    ]
    path = f"/v1/returns/R-two/recoveries/claim.r2/retry_step?merchant_id={MERCHANT}"
    problem(await place.call("POST", path, Role.OPERATOR, {}), 409, "not_parked")
    path = f"/v1/returns/R-two/recoveries/claim.r3/retry_step?merchant_id={MERCHANT}"
    problem(await place.call("POST", path, Role.OPERATOR, {}), 404, "not_found")
