"""Corrections over HTTP: a signed webhook of the payment provider starts one, once; the consumer ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from backhaul.names import Role
from tests.api.place import MERCHANT, OTHER, Place, money, open_place, problem
from tests.api.test_product import _delivered, _kept, _moved, _open, _picked_up, _until
from tests.servers.temporal import start_dev_server
from tests.waiting import eventually
from tests.workflows.world import World, world


@pytest.fixture(scope="module")
async def product(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """On a Temporal server of its own: the product's queues have fixed names."""
    folder = tmp_path_factory.mktemp("corrections")
    async with start_dev_server(folder) as environment, world(environment, folder) as running:
        yield running


@pytest.fixture(scope="module")
async def place(product: World) -> AsyncIterator[Place]:
    async with open_place(product.store, product.backhaul) as opened:
        yield opened


def came_back(key: str) -> dict[str, Any]:
    """The event that the provider sends when a refund comes back."""
    return {
        "event_id": f"pev-{key.replace(':', '.')}",
        "type": "bounced",
        "occurred_at": datetime.now(UTC).isoformat(),
        "transfer": {"key": key, "state": "succeeded"},
    }


async def listed(place: Place, path: str, test: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    async def seen() -> list[dict[str, Any]]:
        """The corrections; none where nobody could answer just now."""
        answer = await place.call("GET", f"{path}/corrections", Role.CONSUMER)
        found: list[dict[str, Any]] = answer.json()["corrections"] if answer.is_success else []
        return found

    return await eventually(seen, lambda found: bool(found) and test(found))


async def closed(place: Place, product: World) -> tuple[dict[str, Any], str]:
    """A return that was refunded by lightning and closed; the refund's key."""
    body = await _open(place, product)
    waybill = (await _until(place, body, lambda seen: bool(seen.get("waybill"))))["waybill"]
    await place.webhook(_picked_up(waybill, body))
    await _until(place, body, lambda seen: seen["money"]["refunded"]["minor"] == 120_000)
    for status in ("in_transit", "delivered"):
        await place.webhook(_moved(waybill, status))
    await _until(place, body, lambda seen: seen["regions"].get("logistics") == "delivered")
    await place.call("POST", f"/v1/returns/{body['rma_id']}/confirm_receipt", Role.MERCHANT, {})
    await _until(place, body, lambda seen: seen["closed"])
    return body, f"{MERCHANT}:{body['rma_id']}:refund.pay-{body['order_id']}:1"


async def test_a_refund_that_came_back_is_corrected_once(place: Place, product: World) -> None:
    body, key = await closed(place, product)
    path = f"/v1/returns/{body['rma_id']}"
    assert (await place.call("GET", f"{path}/corrections", Role.CONSUMER)).json() == {"corrections": []}
    await product.outside.control("psp", "bounces", {"key": key})
    event = came_back(key)
    for _ in range(2):
        answer = await place.webhook(event, sender="psp")
        assert answer.status_code == 202, answer.text
    (one,) = await listed(place, path, lambda found: bool(found) and found[0]["waiting"] is not None)
    assert (one["kind"], one["n"], one["state"]) == ("refund_bounced", 1, "open")
    assert (one["waiting"]["on"], one["waiting"]["code"]) == ("consumer", "account")
    update = f"{path}/corrections/1/provide_account"
    problem(await place.call("POST", update, Role.MERCHANT, {"account_ref": "acc-1"}), 403, "forbidden")
    other = await place.call("POST", update, Role.CONSUMER, {"account_ref": "acc-1"}, merchant=OTHER)
    problem(other, 409, "return_closed")
    said = await place.call("POST", update, Role.CONSUMER, {"account_ref": "acc-1"})
    assert said.json()["recorded"] is True
    (one,) = await listed(place, path, lambda found: found[0]["state"] == "closed")
    assert one["outcome"] == "paid_otherwise"
    seen = (await place.call("GET", path, Role.MERCHANT)).json()
    assert [(each["n"], each["outcome"]) for each in seen["corrections"]] == [(1, "paid_otherwise")]
    assert seen["money"]["refunded"] == money(120_000)
    assert len(await product.outside.payouts("acc-1")) == 1
    again = came_back(key) | {"event_id": "another-event"}
    assert (await place.webhook(again, sender="psp")).status_code == 202
    await _kept(place, again, _delivered, sender="psp")
    assert len((await place.call("GET", f"{path}/corrections", Role.CONSUMER)).json()["corrections"]) == 1


async def test_a_lost_parcel_that_is_found_is_followed_to_the_merchant(place: Place, product: World) -> None:
    """By webhooks alone: the correction is told what the courier says, and the merchant objects to it over the API."""
    body = await _open(place, product)
    waybill = (await _until(place, body, lambda seen: bool(seen.get("waybill"))))["waybill"]
    await place.webhook(_picked_up(waybill, body))
    await _until(place, body, lambda seen: seen["money"]["refunded"]["minor"] == 120_000)
    await place.webhook(_moved(waybill, "lost"))
    await _until(place, body, lambda seen: seen["closed"])
    path = f"/v1/returns/{body['rma_id']}"
    await place.webhook(_moved(waybill, "found"))
    (one,) = await listed(place, path, lambda found: bool(found) and found[0]["waiting"] is not None)
    assert (one["kind"], one["state"], one["waiting"]["code"]) == ("parcel_found", "open", "delivery")
    update = f"{path}/corrections/1/report_receipt_issue"
    found: dict[str, Any] = {
        "findings": [{"line_id": body["lines"][0]["line_id"], "finding": "damage", "quantity": 1, "severity": 50}]
    }
    found["evidence"] = [{"ref": "photo-1", "sha256": "0" * 64, "by": "merchant"}]
    problem(await place.call("POST", update, Role.CONSUMER, found), 403, "forbidden")
    problem(await place.call("POST", update, Role.MERCHANT, found), 409, "not_delivered")
    await place.webhook(_moved(waybill, "delivered"))
    await listed(place, path, lambda found: (found[0]["waiting"] or {}).get("code") == "receipt")
    unknown = {"findings": [{"line_id": "L9", "finding": "damage", "quantity": 1, "severity": 50}]}
    problem(await place.call("POST", update, Role.MERCHANT, unknown), 422, "line_unknown")
    said = (await place.call("POST", update, Role.MERCHANT, found)).json()
    assert said.get("recorded") is True, said
    (one,) = await listed(place, path, lambda found: found[0]["state"] == "closed")
    assert one["outcome"] == "corrected"
    seen = (await place.call("GET", path, Role.MERCHANT)).json()
    assert seen["regions"]["inspection"] == "receipt_fail"


async def test_what_is_not_ours_or_not_there(place: Place, product: World) -> None:
    body, _ = await closed(place, product)
    path = f"/v1/returns/{body['rma_id']}"
    stranger = came_back("someone:else:refund.pay:1")
    assert (await place.webhook(stranger, sender="psp")).status_code == 202
    claim = f"{path}/corrections/refund_claimed"
    problem(await place.call("POST", claim, Role.CONSUMER, {"account_ref": "a"}), 409, "nothing_unclaimed")
    problem(await place.call("POST", claim, Role.MERCHANT, {"account_ref": "a"}), 403, "forbidden")
    problem(await place.call("GET", f"{path}/corrections", Role.MERCHANT, merchant=OTHER), 404, "not_found")
    running = await _open(place, product)
    early = await place.call(
        "POST", f"/v1/returns/{running['rma_id']}/corrections/refund_claimed", Role.CONSUMER, {"account_ref": "a"}
    )
    problem(early, 409, "nothing_unclaimed")
