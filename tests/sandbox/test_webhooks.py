"""The courier's webhooks: signed, retried, and everything that can go wrong with them."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx2
import pytest

from sandbox.common.serve import serve
from sandbox.control import CourierControl
from sandbox.courier import CourierSettings, create_app
from sandbox.parties import Parties
from tests.sandbox.support import CONTROL_TOKEN, SECRET, TOKEN, Api, Json, Receiver, book, events, hurry, item
from tests.waiting import PATIENCE_S, eventually

QUICK: Json = {
    "visits": [{"after_ms": 30}],
    "tracking": [{"after_ms": 30, "status": "in_transit"}, {"after_ms": 30, "status": "delivered"}],
}


async def test_webhooks_tell_what_the_log_tells(parties: Parties, courier: Api, receiver: Receiver) -> None:
    await parties.courier_control.script("m1/r1", **QUICK)
    made = await book(courier)
    told = await receiver.wait_for(3)
    assert told == await events(courier, made["waybill"], 3)
    assert receiver.kinds() == ["picked_up", "in_transit", "delivered"]


async def test_a_refused_webhook_is_sent_again(parties: Parties, courier: Api, receiver: Receiver) -> None:
    receiver.answers = [500, 503, 401]
    await parties.courier_control.script("m1/r1", **QUICK | {"tracking": []})
    await book(courier)
    await receiver.wait_for(1)
    assert receiver.refused == 3
    (sent,) = await eventually(parties.courier_control.webhooks, lambda rows: rows[0]["state"] == "delivered")
    assert (sent["attempts"], sent["last_status"]) == (4, 202)


async def test_a_duplicate_webhook_has_the_same_id(parties: Parties, courier: Api, receiver: Receiver) -> None:
    await parties.courier_control.faults({"kind": "duplicate_webhook", "match": "webhook pickup"})
    await parties.courier_control.script("m1/r1", **QUICK)
    await book(courier)
    told = await receiver.wait_for(4)
    pickups = [one for one in told if one["type"] == "pickup"]
    assert len(pickups) == 2
    assert pickups[0] == pickups[1]


async def test_a_lost_webhook_is_in_the_log(parties: Parties, courier: Api, receiver: Receiver) -> None:
    await parties.courier_control.faults({"kind": "lost_webhook", "match": "webhook pickup"})
    await parties.courier_control.script("m1/r1", **QUICK)
    made = await book(courier)
    await receiver.wait_for(2)
    assert receiver.kinds() == ["in_transit", "delivered"]
    assert (await events(courier, made["waybill"], 3))[0]["type"] == "pickup"
    assert [row["state"] for row in await parties.courier_control.webhooks()] == ["lost", "delivered", "delivered"]


async def test_a_late_webhook_says_when_it_happened(parties: Parties, courier: Api, receiver: Receiver) -> None:
    await parties.courier_control.faults({"kind": "late_webhook", "match": "webhook pickup", "ms": 600_000})
    await parties.courier_control.script("m1/r1", **QUICK)
    await book(courier)
    await receiver.wait_for(2)
    hurry(parties.courier)
    told = await receiver.wait_for(3)
    assert receiver.kinds() == ["in_transit", "delivered", "picked_up"]
    assert told[2]["occurred_at"] < told[0]["occurred_at"]


async def test_reordered_webhooks_arrive_after_a_later_one(parties: Parties, courier: Api, receiver: Receiver) -> None:
    rule = {"kind": "reordered_webhook", "match": "webhook pickup", "ms": 60_000}
    await parties.courier_control.faults(rule)
    await parties.courier_control.script("m1/r1", **QUICK | {"tracking": QUICK["tracking"][:1]})
    await book(courier)
    await receiver.wait_for(2)
    assert receiver.kinds() == ["in_transit", "picked_up"]


async def test_a_reordered_webhook_with_nothing_behind_it_arrives(
    parties: Parties, courier: Api, receiver: Receiver
) -> None:
    await parties.courier_control.faults({"kind": "reordered_webhook", "ms": 100})
    await parties.courier_control.script("m1/r1", **QUICK | {"tracking": []})
    await book(courier)
    await receiver.wait_for(1)


async def test_webhook_faults_look_at_their_cases_only(parties: Parties, courier: Api, receiver: Receiver) -> None:
    await parties.courier_control.faults({"kind": "lost_webhook", "match": "webhook", "key_contains": "m1/r2/"})
    await parties.courier_control.script("m1/*", **QUICK | {"tracking": []})
    lost = await book(courier, item("m1/r2/l1"), key="pickup:2:1")
    await events(courier, lost["waybill"], 1)
    kept = await book(courier)
    assert [one["waybill"] for one in await receiver.wait_for(1)] == [kept["waybill"]]


async def test_webhook_faults_repeat_with_their_seed(parties: Parties, courier: Api, receiver: Receiver) -> None:
    control = parties.courier_control

    async def run(seed: int) -> list[str]:
        await control.reset()
        await control.faults({"kind": "lost_webhook", "match": "webhook", "probability": 0.5}, seed=seed)
        await control.script("*", visits=[{"after_ms": 10}], tracking=[])
        for number in range(12):
            made = await book(courier, item(f"m1/r{number}/l1"), key=f"pickup:{number}:1")
            await events(courier, made["waybill"], 1)
        return sorted(row["event_id"] for row in await control.webhooks() if row["state"] == "lost")

    first = await run(3)
    assert 0 < len(first) < 12
    assert await run(3) == first
    assert await run(4) != first


async def test_a_receiver_that_is_down_gets_it_later(parties: Parties, courier: Api) -> None:
    control = parties.courier_control
    with socket.socket() as reserved:  # bound and not listening: refused, and nobody else's
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        await _told_once_it_is_up(control, courier, reserved.getsockname()[1])


async def _told_once_it_is_up(control: CourierControl, courier: Api, port: int) -> None:
    await control.webhook(f"http://127.0.0.1:{port}/hooks", SECRET)
    await control.script("m1/r1", **QUICK | {"tracking": []})
    await book(courier)
    await eventually(control.webhooks, lambda rows: bool(rows) and rows[0]["attempts"] > 0)
    receiver = Receiver()
    server = await serve(receiver.app(), port=port)
    await receiver.wait_for(1)
    await server.stop()


async def test_without_a_url_nothing_is_sent(parties: Parties, courier: Api) -> None:
    await parties.courier_control.script("m1/r1", **QUICK)
    made = await book(courier)
    await events(courier, made["waybill"], 3)
    assert await parties.courier_control.webhooks() == []


@pytest.mark.parametrize("secret", ["plain", "whsec_", None])
async def test_a_url_needs_a_secret(parties: Parties, secret: str | None) -> None:
    with pytest.raises(httpx2.HTTPStatusError, match="422"):
        await parties.courier_control.webhook("http://127.0.0.1:9/hooks", secret)


async def test_what_was_due_is_done_after_a_restart_on_the_same_book(tmp_path: Path) -> None:
    receiver = Receiver(answers=[503] * 3)
    hooks = await serve(receiver.app())
    settings = CourierSettings(
        book=tmp_path / "courier.db",
        token=TOKEN,
        control_token=CONTROL_TOKEN,
        webhook_url=f"{hooks.url}/hooks",
        webhook_secret=SECRET,
    )
    server = await serve(create_app(settings))
    api = Api(server)
    control = {"authorization": f"Bearer {CONTROL_TOKEN}"}
    async with httpx2.AsyncClient(headers=control, trust_env=False, timeout=PATIENCE_S) as client:
        script = {"match": "m1/r2", "visits": [{"after_ms": 30}], "tracking": []}
        await client.post(f"{server.url}/_control/scripts", json=script)
    visited = await book(api, item("m1/r2/l1"), key="pickup:2:1")
    await events(api, visited["waybill"], 1)
    made = await book(api)
    await api.aclose()
    await server.stop()

    restarted = await serve(create_app(settings), port=server.port)
    api = Api(restarted)
    told = await receiver.wait_for(4)
    assert {one["waybill"] for one in told} == {visited["waybill"], made["waybill"]}
    assert len((await api.json("/v1/invoices"))["invoices"]) == 2
    assert (await api.operation("pickup:1:1")).json()["booking_id"] == made["booking_id"]
    await api.aclose()
    await restarted.stop()
    await hooks.stop()
