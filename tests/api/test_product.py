"""The whole product behind the API: real worker, real database, real sandbox. Parties speak HTTP only."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backhaul.messages import OpenReturn
from backhaul.names import Role
from store import inbox
from store.tables import InboxRow
from tests.api.place import MERCHANT, Place, a_return, an_order, money, open_place, problem
from tests.servers.temporal import start_dev_server
from tests.waiting import eventually
from tests.workflows.scenarios.telling import books_that_do_not_add_up
from tests.workflows.world import World, world
from worker.sweeper import sweep_once


@pytest.fixture(scope="module")
async def product(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """On a Temporal server of its own: the product's queues have fixed names."""
    folder = tmp_path_factory.mktemp("product")
    async with start_dev_server(folder) as environment, world(environment, folder) as running:
        yield running


@pytest.fixture(scope="module")
async def place(product: World) -> AsyncIterator[Place]:
    async with open_place(product.store, product.backhaul) as opened:
        yield opened


async def _order(place: Place, product: World, quantity: int = 1) -> dict[str, Any]:
    """An order with both covers, here and outside."""
    order = an_order()
    order["lines"][0]["quantity"] = quantity
    order_id, at = order["order_id"], order["captured_at"]
    order["covers"] = [
        {
            "coverage_id": f"{order_id}-{kind}",
            "kind": kind,
            "sum_insured": money(insured),
            "premium_merchant": money(merchant),
            "premium_platform": money(platform),
            "bound_at": at,
            "book_version": "2025-05",
        }
        for kind, insured, merchant, platform in (("RFI", 2_500, 36, 0), ("RDV", 120_000, 0, 60))
    ]
    await product.outside.capture(f"pay-{order_id}", 120_000, MERCHANT, order["consumer"]["consumer_ref"])
    for cover in order["covers"]:
        await product.outside.cover(cover["coverage_id"], order_id, cover["kind"], cover["sum_insured"]["minor"])
    answer = await place.call("POST", "/v1/orders", body=order)
    assert answer.status_code == 201, answer.text
    return order


async def _open(place: Place, product: World) -> dict[str, Any]:
    """A return with the courier held back: its events come from the test."""
    return await _open_of(place, product, await _order(place, product))


async def _open_of(place: Place, product: World, order: dict[str, Any]) -> dict[str, Any]:
    body = a_return(order_id=order["order_id"])
    await product.outside.script("courier", f"{MERCHANT}/{body['rma_id']}", hold=True)
    answer = await place.call("POST", "/v1/returns", body=body, Idempotency_Key=body["rma_id"])
    assert answer.status_code == 201, answer.text
    assert answer.json()["outcome"] == "authorized"
    return body


async def _until(place: Place, body: dict[str, Any], test: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async def seen() -> dict[str, Any]:
        """The case; empty where nobody could answer just now."""
        answer = await place.call("GET", f"/v1/returns/{body['rma_id']}", Role.MERCHANT)
        found: dict[str, Any] = answer.json() if answer.is_success else {}
        return found

    return await eventually(seen, lambda found: bool(found) and test(found))


def _event(waybill: str, **what: Any) -> dict[str, Any]:
    return {
        "event_id": f"evt-{uuid.uuid4()}",
        "waybill": waybill,
        "booking_id": "bk",
        "occurred_at": datetime.now(UTC).isoformat(),
        **what,
    }


def _picked_up(waybill: str, *bodies: dict[str, Any]) -> dict[str, Any]:
    refs = [f"{MERCHANT}/{body['rma_id']}/L-1" for body in bodies]
    inspection = {"result": "ok", "items": []}
    pickup = {"outcome": "picked_up", "reason": None, "collected_refs": refs, "inspection": inspection}
    return _event(waybill, type="pickup", pickup=pickup)


def _moved(waybill: str, status: str) -> dict[str, Any]:
    return _event(waybill, type="tracking", tracking={"status": status, "location": "Hangzhou"})


async def test_a_return_from_request_to_refund(place: Place, product: World) -> None:
    body = await _open(place, product)
    path = f"/v1/returns/{body['rma_id']}"
    waybill = (await _until(place, body, lambda seen: bool(seen.get("waybill"))))["waybill"]
    early = await place.call("POST", f"{path}/confirm_receipt", Role.MERCHANT, {})
    problem(early, 409, "not_delivered")
    assert (await place.webhook(_picked_up(waybill, body))).status_code == 202
    lightning = await _until(place, body, lambda seen: seen["money"]["refunded"]["minor"] == 120_000)
    assert lightning["regions"]["refund"] == "succeeded"
    problem(await place.call("POST", f"{path}/withdraw", Role.CONSUMER, {}), 409, "already_picked_up")
    for status in ("in_transit", "delivered"):
        assert (await place.webhook(_moved(waybill, status))).status_code == 202
    await _until(place, body, lambda seen: seen["regions"].get("logistics") == "delivered")
    confirmed = await place.call("POST", f"{path}/confirm_receipt", Role.MERCHANT, {"note": "in order"})
    assert confirmed.json()["recorded"] is True
    ended = await _until(place, body, lambda seen: seen["closed"])
    assert (ended["stage"], ended["outcome"]) == ("closed", "refunded")
    await product.backhaul.client.get_workflow_handle(f"return:{MERCHANT}:{body['rma_id']}").result()

    again = await place.call("GET", path, Role.MERCHANT)
    assert again.headers["backhaul-source"] == "read-model"
    explained = await place.call("GET", f"{path}/explain", Role.AUDITOR, merchant=None)
    problem(explained, 422, "invalid_input")
    explained = await place.call("GET", f"{path}/explain?merchant_id={MERCHANT}", Role.AUDITOR)
    decisions = [verdict["decision"] for verdict in explained.json()["decisions"]]
    assert {"eligibility", "authorization", "lightning_gate", "liability"} <= set(decisions)
    said = problem(await place.call("POST", f"{path}/withdraw", Role.CONSUMER, {}), 409, "return_closed")
    assert said["outcome"]["refunded"] == money(120_000)
    repeat = await place.call("POST", "/v1/returns", body=body, Idempotency_Key="another-key")
    assert (repeat.status_code, repeat.json()["outcome"]) == (200, "authorized")
    problem(
        await place.call("POST", "/v1/returns", body=body | {"reason": "quality"}, Idempotency_Key="third-key"),
        409,
        "return_conflict",
    )
    late = _moved(waybill, "found")
    assert (await place.webhook(late)).status_code == 202


async def test_an_unknown_order_does_not_poison_the_id(place: Place, product: World) -> None:
    body = a_return(order_id=f"O-{uuid.uuid4()}")
    for _ in range(2):
        answer = await place.call("POST", "/v1/returns", body=body, Idempotency_Key=body["rma_id"])
        problem(answer, 422, "order_unknown")
    assert (await place.call("POST", "/v1/orders", body=an_order(body["order_id"]))).is_success
    answer = await place.call("POST", "/v1/returns", body=body, Idempotency_Key=body["rma_id"])
    assert answer.status_code == 201, answer.text


async def test_an_unknown_line(place: Place, product: World) -> None:
    order = await _order(place, product)
    body = a_return(order_id=order["order_id"]) | {"lines": [{"line_id": "L-9", "quantity": 1}]}
    answer = await place.call("POST", "/v1/returns", body=body, Idempotency_Key=body["rma_id"])
    problem(answer, 422, "line_unknown")


async def test_a_withdrawal(place: Place, product: World) -> None:
    body = await _open(place, product)
    await _until(place, body, lambda seen: bool(seen.get("waybill")))
    path = f"/v1/returns/{body['rma_id']}"
    assert (await place.call("POST", f"{path}/withdraw", Role.CONSUMER, {"reason": "keeps it"})).is_success
    ended = await _until(place, body, lambda seen: seen["closed"])
    assert ended["outcome"] == "withdrawn"
    listed = await place.call("GET", "/v1/returns?closed=true&limit=200", Role.MERCHANT)
    assert body["rma_id"] in {case["rma_id"] for case in listed.json()["cases"]}


async def test_goods_that_move_after_a_withdrawal_are_corrected(place: Place, product: World) -> None:
    """The case is closed when the parcel is scanned all the same: one correction, however many events follow."""
    body = await _open(place, product)
    waybill = (await _until(place, body, lambda seen: bool(seen.get("waybill"))))["waybill"]
    path = f"/v1/returns/{body['rma_id']}"
    assert (await place.call("POST", f"{path}/withdraw", Role.CONSUMER, {})).is_success
    await _until(place, body, lambda seen: seen["closed"])
    for event in (_picked_up(waybill, body), _moved(waybill, "in_transit")):
        assert (await _told(place, event, _delivered)).error == f"{MERCHANT}/{body['rma_id']}: correction 1, late_scan"
    listed = (await place.call("GET", f"{path}/corrections", Role.MERCHANT)).json()
    assert [(one["n"], one["kind"]) for one in listed["corrections"]] == [(1, "late_scan")]


async def _told(place: Place, event: dict[str, Any], test: Callable[[InboxRow], bool]) -> InboxRow:
    """Send this event, and wait until the inbox says so."""
    assert (await place.webhook(event)).status_code == 202
    return await _kept(place, event, test)


async def _kept(
    place: Place, event: dict[str, Any], test: Callable[[InboxRow], bool], sender: str = "sandbox"
) -> InboxRow:
    async def seen() -> InboxRow | None:
        async with place.store.read() as session:
            return await inbox.get(session, sender, event["event_id"])

    row = await eventually(seen, lambda found: found is not None and test(found))
    assert row is not None
    return row


def _delivered(row: InboxRow) -> bool:
    return row.state == inbox.DELIVERED


async def test_goods_that_move_during_the_close_are_corrected(place: Place, product: World) -> None:
    """The close of a withdrawn case is held up: its events are taken in, and once it is closed they are a correction,
    which the same events again find."""
    body = await _open(place, product)
    waybill = (await _until(place, body, lambda seen: bool(seen.get("waybill"))))["waybill"]
    path = f"/v1/returns/{body['rma_id']}"
    events = [_picked_up(waybill, body), _moved(waybill, "in_transit")]
    async with books_that_do_not_add_up(product, OpenReturn.model_validate(body)):
        assert (await place.call("POST", f"{path}/withdraw", Role.CONSUMER, {})).is_success
        await _until(place, body, lambda seen: (seen["attention"] or {}).get("reason") == "invariant_broken")
        for event in events:
            assert (await _told(place, event, _delivered)).error is None
    retried = await place.call("POST", f"{path}/retry_step?merchant_id={MERCHANT}", Role.OPERATOR, {})
    assert retried.is_success, retried.text
    ended = await _until(place, body, lambda seen: seen["closed"])
    assert ended["outcome"] == "withdrawn"
    await product.backhaul.client.get_workflow_handle(f"return:{MERCHANT}:{body['rma_id']}").result()
    again = await _told(place, _moved(waybill, "delivered"), _delivered)
    assert again.error == f"{MERCHANT}/{body['rma_id']}: correction 1, late_scan"
    listed = (await place.call("GET", f"{path}/corrections", Role.MERCHANT)).json()
    assert [(one["n"], one["kind"], one["state"]) for one in listed["corrections"]] == [(1, "late_scan", "open")]


async def test_an_event_waits_for_a_case_that_nobody_runs(place: Place, product: World) -> None:
    """Its workflow was terminated, and the case is open in the books: the event is kept until it is carried on."""
    body = await _open(place, product)
    waybill = (await _until(place, body, lambda seen: bool(seen.get("waybill"))))["waybill"]
    handle = product.backhaul.client.get_workflow_handle(f"return:{MERCHANT}:{body['rma_id']}")
    await handle.terminate("an operator's slip")
    event = _picked_up(waybill, body)
    kept = await _told(place, event, lambda row: row.error is not None)
    assert (kept.state, kept.error) == (
        inbox.RECEIVED,
        f"{MERCHANT}/{body['rma_id']}: return_closed, and not closed in the books",
    )
    await sweep_once(product.env.client, product.store, restart=True, settling=timedelta(seconds=-60))
    await _kept(place, event, _delivered)
    await _until(place, body, lambda seen: seen["money"]["refunded"]["minor"] == 120_000)


async def test_one_event_reaches_every_case_of_the_waybill(place: Place, product: World) -> None:
    """Combined pickup: two returns of one order, one visit, one waybill, one webhook."""
    order = await _order(place, product, quantity=2)
    bodies = [await _open_of(place, product, order) for _ in range(2)]
    seen = [await _until(place, body, lambda seen: bool(seen.get("waybill"))) for body in bodies]
    waybill = seen[0]["waybill"]
    assert seen[1]["waybill"] == waybill
    event = _picked_up(waybill, *bodies)
    assert (await place.webhook(event)).status_code == 202
    for body in bodies:
        await _until(place, body, lambda seen: seen["money"]["refunded"]["minor"] == 60_000)
    row = await _kept(place, event, _delivered)
    assert sorted(row.case_keys) == sorted(f"{MERCHANT}/{body['rma_id']}" for body in bodies)
