"""Webhooks: proved by their signature, kept once, and brought to each case of the waybill."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from backhaul.errors import Refusal
from backhaul.messages import Ack
from backhaul.names import Role
from store import inbox, waybills
from store.tables import InboxRow
from tests.api.place import MERCHANT, Place, a_return, problem
from tests.waiting import eventually


def an_event(waybill: str, event_id: str | None = None, status: str = "in_transit") -> dict[str, Any]:
    return {
        "event_id": event_id or f"evt-{uuid.uuid4()}",
        "type": "tracking",
        "waybill": waybill,
        "booking_id": "bk-1",
        "occurred_at": datetime.now(UTC).isoformat(),
        "tracking": {"status": status, "location": "Hangzhou"},
    }


async def _row(place: Place, event_id: str) -> InboxRow | None:
    async with place.store.read() as session:
        return await inbox.get(session, "sandbox", event_id)


async def _until(place: Place, event_id: str, state: str) -> InboxRow:
    return await _seen(place, event_id, lambda row: row.state == state)


async def _seen(place: Place, event_id: str, test: Callable[[InboxRow], bool]) -> InboxRow:
    row = await eventually(lambda: _row(place, event_id), lambda row: row is not None and test(row), event_id)
    assert row is not None
    return row


async def _bind(place: Place, waybill: str, rma_id: str) -> None:
    async with place.store.transaction() as session:
        await waybills.bind(session, waybill, "sandbox", f"{MERCHANT}/{rma_id}", datetime.now(UTC))


async def _open(place: Place) -> str:
    body = a_return()
    assert (await place.call("POST", "/v1/returns", body=body, Idempotency_Key=body["rma_id"])).is_success
    return str(body["rma_id"])


async def test_an_event_reaches_its_case_under_its_own_id(place: Place) -> None:
    rma_id = await _open(place)
    waybill = f"W-{uuid.uuid4()}"
    await _bind(place, waybill, rma_id)
    event = an_event(waybill)
    answer = await place.webhook(event)
    assert (answer.status_code, answer.json()["duplicate"]) == (202, False), answer.text
    row = await _until(place, event["event_id"], inbox.DELIVERED)
    assert row.case_keys == [f"{MERCHANT}/{rma_id}"]
    assert row.error is None
    handle = place.backhaul.client.get_workflow_handle(f"return:{MERCHANT}:{rma_id}")
    history = await handle.fetch_history()
    ids = [
        event_.workflow_execution_update_accepted_event_attributes.protocol_instance_id
        for event_ in history.events
        if event_.HasField("workflow_execution_update_accepted_event_attributes")
    ]
    assert event["event_id"] in ids
    again = await place.webhook(event)
    assert (again.status_code, again.json()["duplicate"]) == (202, True)


async def test_a_bad_signature_is_not_kept(place: Place) -> None:
    event = an_event("W-1")
    headers = {"webhook-id": event["event_id"], "webhook-timestamp": "1", "webhook-signature": "v1,bm9wZQ=="}
    problem(await place.http.post("/v1/webhooks/sandbox", json=event, headers=headers), 401, "bad_signature")
    problem(await place.http.post("/v1/webhooks/sandbox", json=event), 401, "bad_signature")
    assert await _row(place, event["event_id"]) is None


async def test_an_unknown_sender(place: Place) -> None:
    problem(await place.webhook(an_event("W-1"), sender="nobody"), 404, "unknown_sender")


async def test_the_same_id_with_another_body(place: Place) -> None:
    event = an_event("W-nobody")
    assert (await place.webhook(event)).status_code == 202
    problem(await place.webhook(event | {"waybill": "W-another"}), 409, "event_conflict")


async def test_signed_but_malformed_is_parked(place: Place) -> None:
    for raw in (b"{", b"[]", b'{"event_id": "x"}'):
        event_id = f"evt-{uuid.uuid4()}"
        answer = await place.webhook(None, event_id=event_id, raw=raw)
        assert (answer.status_code, answer.json()["parked"]) == (202, True)
        row = await _until(place, event_id, inbox.PARKED)
        assert (row.error or "").startswith("invalid_input")
    event = an_event("W-1")
    answer = await place.webhook(event, event_id=f"evt-{uuid.uuid4()}")
    assert answer.json()["parked"] is True


async def test_an_unknown_waybill_waits_for_its_case(place: Place) -> None:
    waybill = f"W-{uuid.uuid4()}"
    event = an_event(waybill)
    assert (await place.webhook(event)).status_code == 202
    await _seen(place, event["event_id"], lambda row: row.error == "waybill_unknown")
    rma_id = await _open(place)
    await _bind(place, waybill, rma_id)
    await _until(place, event["event_id"], inbox.DELIVERED)


async def test_a_case_that_is_not_there_is_written_beside_the_event(place: Place) -> None:
    waybill = f"W-{uuid.uuid4()}"
    await _bind(place, waybill, "R-never")
    event = an_event(waybill)
    await place.webhook(event)
    row = await _until(place, event["event_id"], inbox.DELIVERED)
    assert row.error == f"{MERCHANT}/R-never: not_found"


async def test_what_a_full_case_refuses_stays_in_the_inbox(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never counted as delivered: it is tried again until the case takes it, or is closed."""
    rma_id = await _open(place)
    waybill = f"W-{uuid.uuid4()}"
    await _bind(place, waybill, rma_id)

    async def full(*_: object) -> Ack:
        raise Refusal("too_many_messages")

    with monkeypatch.context() as patched:
        patched.setattr(place.backhaul, "report", full)
        event = an_event(waybill)
        await place.webhook(event)
        refused = f"{MERCHANT}/{rma_id}: too_many_messages"
        row = await _seen(place, event["event_id"], lambda row: row.error == refused)
        assert row.state == inbox.RECEIVED
    await _until(place, event["event_id"], inbox.DELIVERED)


async def test_what_was_left_over_is_dispatched_at_the_start(place: Place) -> None:
    """A row that an API left behind when it died: nobody wakes the dispatcher for it."""
    rma_id = await _open(place)
    waybill = f"W-{uuid.uuid4()}"
    await _bind(place, waybill, rma_id)
    event = an_event(waybill)
    import json

    async with place.store.transaction() as session:
        raw = json.dumps(event).encode()
        await inbox.receive(session, "sandbox", event["event_id"], raw, datetime.now(UTC))
    await _until(place, event["event_id"], inbox.DELIVERED)


async def test_a_parked_event_is_shown_and_delivered_again(place: Place) -> None:
    """Parked since its waybill was nobody's for too long; the waybill is bound, an operator presses the button."""
    rma_id = await _open(place)
    waybill = f"W-{uuid.uuid4()}"
    event = an_event(waybill)
    assert (await place.webhook(event)).status_code == 202
    ref = {"sender": "sandbox", "event_id": event["event_id"]}
    problem(await place.call("POST", "/v1/inbox/retry", Role.OPERATOR, ref), 409, "not_parked")
    async with place.store.transaction() as session:
        await inbox.parked(session, "sandbox", event["event_id"], "waybill_unknown")
    listed = (await place.call("GET", "/v1/inbox?limit=200", Role.AUDITOR)).json()["events"]
    (shown,) = [one for one in listed if one["event_id"] == event["event_id"]]
    assert (shown["state"], shown["error"], shown["cases"]) == ("parked", "waybill_unknown", [])
    assert waybill in shown["body"]
    problem(await place.call("POST", "/v1/inbox/retry", Role.AUDITOR, ref), 403, "forbidden")
    nobody = {"sender": "sandbox", "event_id": "never-came"}
    problem(await place.call("POST", "/v1/inbox/retry", Role.OPERATOR, nobody), 404, "not_found")
    problem(await place.call("GET", "/v1/inbox", Role.MERCHANT), 403, "forbidden")
    await _bind(place, waybill, rma_id)
    answer = await place.call("POST", "/v1/inbox/retry", Role.OPERATOR, ref)
    assert (answer.status_code, answer.json()["state"]) == (202, "received"), answer.text
    row = await _until(place, event["event_id"], inbox.DELIVERED)
    assert row.case_keys == [f"{MERCHANT}/{rma_id}"]
    problem(await place.call("POST", "/v1/inbox/retry", Role.OPERATOR, ref), 409, "not_parked")


async def test_the_inbox_page_by_page(place: Place) -> None:
    events = [an_event(f"W-{uuid.uuid4()}", f"page-{n}/{uuid.uuid4()}") for n in range(3)]
    for event in events:
        assert (await place.webhook(event)).status_code == 202
        async with place.store.transaction() as session:
            await inbox.parked(session, "sandbox", event["event_id"], "waybill_unknown")
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await place.call("GET", f"/v1/inbox?limit=2&after={after}", Role.OPERATOR)).json()
        assert len(page["events"]) <= 2
        seen += [one["event_id"] for one in page["events"]]
        after = page["next"]
    assert seen == sorted(set(seen)) and {event["event_id"] for event in events} <= set(seen)
