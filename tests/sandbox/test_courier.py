"""The courier: bookings, visits, the scan, freight, tracking, self-ship."""

from __future__ import annotations

from datetime import datetime

import httpx2
import pytest

from sandbox.parties import Parties
from tests.sandbox.support import Api, Json, book, booking, events, hurry, item
from tests.waiting import eventually

DAMAGE: Json = {"finding": "damage", "severity": 30, "quantity": 1, "consumer": "agrees"}


async def state_of(courier: Api, booking_id: str, *states: str) -> Json:
    return await eventually(lambda: courier.json(f"/v1/bookings/{booking_id}"), lambda found: found["state"] in states)


async def test_the_straight_path_without_a_script(parties: Parties, courier: Api) -> None:
    made = await book(courier)
    assert made["state"] == "booked"
    pickup, moving, arrived = await events(courier, made["waybill"], 3)
    assert pickup["pickup"] == {
        "outcome": "picked_up",
        "reason": None,
        "collected_refs": ["m1/r1/l1"],
        "inspection": {
            "result": "ok",
            "items": [
                {
                    "ref": "m1/r1/l1", "finding": "ok", "severity": None, "quantity": 0, "photos": [],
                    "consumer": "agrees",
                }
            ],
        },
    }  # fmt: skip
    assert (pickup["type"], pickup["booking_id"]) == ("pickup", made["booking_id"])
    assert [one["tracking"]["status"] for one in (moving, arrived)] == ["in_transit", "delivered"]
    times = [datetime.fromisoformat(one["occurred_at"]) for one in (pickup, moving, arrived)]
    assert times == sorted(times)
    assert len(pickup["occurred_at"]) == len("2026-01-01T00:00:00.000000Z")
    assert (await courier.operation("pickup:1:1")).json()["state"] == "collected"


async def test_freight_is_invoiced_at_the_scan_for_collected_items_only(parties: Parties, courier: Api) -> None:
    await parties.courier_control.script("m1/r1", visits=[{"hold": True, "left_behind": ["l3"]}])
    items = (item(), item("m1/r1/l2", 2, 200, 9000), item("m1/r1/l3", 1, 90_000), item("m1/r1/l4", 1, 90_000))
    made = await book(courier, *items)
    gone = await courier.post(f"/v1/bookings/{made['booking_id']}/items/remove", {"refs": ["m1/r1/l4"]}, key="rm")
    assert gone.json()["state"] == "booked"
    assert await parties.courier_control.release(made["booking_id"]) == 1
    (pickup, *_) = await events(courier, made["waybill"], 1)
    assert pickup["pickup"]["collected_refs"] == ["m1/r1/l1", "m1/r1/l2"]
    (invoice,) = (await courier.json("/v1/invoices", waybill=made["waybill"]))["invoices"]
    # actual 1500 + 2 x 200 = 1900 g; volume 3000 + 2 x 9000 = 21000 cm3 = 3500 g: 12.00 and 3 started kilograms
    assert (invoice["chargeable_g"], invoice["amount"], invoice["currency"]) == (3500, 1800, "CNY")
    (row,) = await parties.courier_control.statement()
    assert (row["kind"], row["key"], row["ref"], row["amount"]) == (
        "freight_invoice", made["waybill"], made["waybill"], 1800,
    )  # fmt: skip


async def test_a_visit_that_fails_costs_nothing_and_the_rebooking_takes_the_next(
    parties: Parties, courier: Api
) -> None:
    visits = [
        {"after_ms": 50, "outcome": "missed"},
        {"after_ms": 50, "outcome": "no_show"},
        {"after_ms": 50, "outcome": "rejected", "reason": "unpacked"},
        {"after_ms": 50, "inspection": {"l1": DAMAGE}},
    ]
    await parties.courier_control.script("m1/r1", visits=visits)
    outcomes = []
    for number in range(1, 6):
        made = await book(courier, key=f"pickup:1:{number}")
        (pickup, *_) = await events(courier, made["waybill"], 1)
        outcomes.append((pickup["pickup"]["outcome"], pickup["pickup"]["reason"]))
        inspection = pickup["pickup"]["inspection"]
        assert (inspection is None) == (pickup["pickup"]["outcome"] != "picked_up")
        assert number != 4 or inspection["result"] == "finding"
    assert outcomes == [
        ("missed", None), ("no_show", None), ("rejected", "unpacked"), ("picked_up", None), ("picked_up", None),
    ]  # fmt: skip
    assert len(await parties.courier_control.statement()) == 2


async def test_a_finding_has_photos_and_what_the_consumer_says(parties: Parties, courier: Api) -> None:
    finding = {"finding": "missing", "quantity": 9, "consumer": "disputes", "photos": 2}
    await parties.courier_control.script("m1/*", visits=[{"after_ms": 50, "inspection": {"l1": finding, "l2": DAMAGE}}])
    made = await book(courier, item(quantity=3), item("m1/r1/l2"), item("m1/r1/l3"))
    (pickup, *_) = await events(courier, made["waybill"], 1)
    inspection = pickup["pickup"]["inspection"]
    assert inspection["result"] == "finding"
    missing, damaged, fine = inspection["items"]
    assert (missing["finding"], missing["quantity"], missing["consumer"]) == ("missing", 3, "disputes")
    assert len({photo["sha256"] for photo in missing["photos"]}) == 2
    assert (damaged["severity"], damaged["consumer"], fine["finding"]) == (30, "agrees", "ok")


async def test_an_inspection_may_be_waived(parties: Parties, courier: Api) -> None:
    await parties.courier_control.script("m1/r1", visits=[{"after_ms": 50, "inspection": "waived"}])
    made = await book(courier)
    (pickup, *_) = await events(courier, made["waybill"], 1)
    assert pickup["pickup"]["inspection"] == {"result": "waived", "items": []}
    assert pickup["pickup"]["collected_refs"] == ["m1/r1/l1"]


async def test_a_shared_booking_has_one_freight_and_each_cases_own_findings(parties: Parties, courier: Api) -> None:
    control = parties.courier_control
    await control.script("m1/r1", visits=[{"after_ms": 50, "inspection": {"l1": DAMAGE}}], hold=True)
    mismatch = {"finding": "mismatch", "consumer": "silent"}
    await control.script("m1/r2", visits=[{"outcome": "picked_up", "inspection": {"l1": mismatch}}])
    made = await book(courier)
    path = f"/v1/bookings/{made['booking_id']}/items"
    for case in ("r2", "r3"):
        joined = await courier.post(path, {"items": [item(f"m1/{case}/l1")]}, key=f"join:{case}")
        assert joined.status_code == 200
    assert joined.json()["refs"] == ["m1/r1/l1", "m1/r2/l1", "m1/r3/l1"]
    assert await control.release("m1/r3") == 1
    (pickup, *_) = await events(courier, made["waybill"], 1)
    found = {one["ref"]: one["finding"] for one in pickup["pickup"]["inspection"]["items"]}
    assert found == {"m1/r1/l1": "damage", "m1/r2/l1": "mismatch", "m1/r3/l1": "ok"}
    (invoice,) = (await courier.json("/v1/invoices", waybill=made["waybill"]))["invoices"]
    assert invoice["amount"] == 1200 + 4 * 200
    late = await courier.post(path, {"items": [item("m1/r4/l1")]}, key="late")
    assert (late.status_code, late.json()["code"]) == (409, "already_collected")


async def test_the_last_one_out_cancels_the_booking(parties: Parties, courier: Api) -> None:
    await parties.courier_control.script("m1/*", hold=True)
    made = await book(courier, item(), item("m1/r2/l1"))
    path = f"/v1/bookings/{made['booking_id']}/items/remove"
    first = await courier.post(path, {"refs": ["m1/r1/l1"]}, key="out:r1")
    assert (first.json()["state"], first.json()["refs"]) == ("booked", ["m1/r2/l1"])
    assert (await courier.post(path, {"refs": ["m1/r9/l1"]}, key="out:r9")).json()["code"] == "item_unknown"
    last = await courier.post(path, {"refs": ["m1/r2/l1"]}, key="out:r2")
    assert (last.json()["state"], bool(last.json()["cancelled_at"])) == ("cancelled", True)
    assert await parties.courier_control.release("*") == 0
    assert await parties.courier_control.statement() == []


async def test_a_cancelled_booking_has_no_visit_and_spends_none(parties: Parties, courier: Api) -> None:
    await parties.courier_control.script("m1/r1", visits=[{"hold": True, "outcome": "missed"}])
    made = await book(courier)
    cancelled = await courier.post(f"/v1/bookings/{made['booking_id']}/cancel", key="cancel:1")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    twice = await courier.post(f"/v1/bookings/{made['booking_id']}/cancel", key="cancel:2")
    assert twice.json()["cancelled_at"] == cancelled.json()["cancelled_at"]
    rebooked = await book(courier, key="pickup:1:2")
    assert await parties.courier_control.release("m1/r1") == 1
    (pickup, *_) = await events(courier, rebooked["waybill"], 1)
    assert pickup["pickup"]["outcome"] == "missed"
    assert (await courier.json(f"/v1/waybills/{made['waybill']}/events"))["events"] == []


async def test_a_cancel_after_the_scan_is_refused(courier: Api) -> None:
    made = await book(courier)
    (pickup, *_) = await events(courier, made["waybill"], 1)
    refused = await courier.post(f"/v1/bookings/{made['booking_id']}/cancel", key="cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "already_collected")
    assert refused.json()["collected_at"] == pickup["occurred_at"]
    removal = {"refs": ["m1/r1/l1"]}
    removed = await courier.post(f"/v1/bookings/{made['booking_id']}/items/remove", removal, key="rm")
    assert removed.json()["code"] == "already_collected"


@pytest.mark.parametrize(
    "visit",
    [
        {"after_ms": 50, "reported_after_ms": 600_000},
        {"after_ms": 600_050, "occurred_at_offset_ms": -600_000},
    ],
)
async def test_a_scan_that_happened_beats_a_cancel_although_nobody_was_told(
    parties: Parties, courier: Api, visit: Json
) -> None:
    await parties.courier_control.script("m1/r1", visits=[visit])
    made = await book(courier)
    await eventually(parties.courier_control.statement)
    path = f"/v1/bookings/{made['booking_id']}"
    assert (await courier.json(path))["state"] == "booked"
    assert (await courier.json(f"/v1/waybills/{made['waybill']}/events"))["events"] == []
    refused = await courier.post(f"{path}/cancel", key="cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "already_collected")
    hurry(parties.courier)
    (pickup, *_) = await events(courier, made["waybill"], 1)
    assert pickup["occurred_at"] == refused.json()["collected_at"]
    assert (await courier.json(path))["state"] == "collected"


async def test_goods_go_back_after_the_scan(parties: Parties, courier: Api) -> None:
    tracking = [{"status": "in_transit", "hold": True}]
    await parties.courier_control.script("m1/r1", visits=[{"hold": True}], tracking=tracking, returned_after_ms=50)
    made = await book(courier)
    path = f"/v1/bookings/{made['booking_id']}/return"
    early = await courier.post(path, key="return:1")
    assert (early.status_code, early.json()["code"]) == (409, "not_collected")
    assert await parties.courier_control.release("m1/r1") == 1
    await events(courier, made["waybill"], 1)
    assert (await courier.post(path, key="return:2")).json()["state"] == "returning"
    told = await events(courier, made["waybill"], 2)
    assert [one["tracking"]["status"] for one in told[1:]] == ["returned"]
    await state_of(courier, made["booking_id"], "returned")
    assert await parties.courier_control.release("m1/r1") == 0


async def test_delivered_goods_do_not_go_back(courier: Api) -> None:
    made = await book(courier)
    await events(courier, made["waybill"], 3)
    refused = await courier.post(f"/v1/bookings/{made['booking_id']}/return", key="return")
    assert (refused.status_code, refused.json()["code"]) == (409, "already_delivered")


async def test_a_parcel_may_be_lost_and_found(parties: Parties, courier: Api) -> None:
    steps = [{"after_ms": 30, "status": "lost", "location": "hub-7"}, {"after_ms": 30, "status": "found", "hold": True}]
    await parties.courier_control.script("m1/r1", visits=[{"after_ms": 30}], tracking=steps)
    made = await book(courier)
    assert (await events(courier, made["waybill"], 2))[1]["tracking"] == {"status": "lost", "location": "hub-7"}
    assert await eventually(lambda: parties.courier_control.release(made["waybill"])) == 1
    assert (await events(courier, made["waybill"], 3))[2]["tracking"]["status"] == "found"


async def test_a_parcel_may_stand_still(parties: Parties, courier: Api) -> None:
    await parties.courier_control.script("m1/r1", visits=[{"after_ms": 30}], tracking=[])
    still = await book(courier)
    moving = await book(courier, item("m1/r2/l1"), key="pickup:2:1")
    await events(courier, moving["waybill"], 3)
    assert len(await events(courier, still["waybill"], 1)) == 1


async def test_a_parcel_that_the_consumer_posted(parties: Parties, courier: Api) -> None:
    steps = [{"after_ms": 30, "status": "in_transit"}, {"after_ms": 30, "status": "delivered"}]
    proven = {"amount": 1500, "currency": "CNY"}
    assert (await courier.get("/v1/waybills/SELF1/events")).status_code == 404
    await parties.courier_control.self_ship("SELF1", ["m1/r1/l1"], tracking=steps, proven_freight=proven)
    told = await events(courier, "SELF1", 2)
    assert [one["tracking"]["status"] for one in told] == ["in_transit", "delivered"]
    assert {one["booking_id"] for one in told} == {None}
    assert (await courier.json("/v1/waybills/SELF1/events"))["proven_freight"] == proven
    assert (await courier.json("/v1/invoices", waybill="SELF1")) == {"invoices": []}
    with pytest.raises(httpx2.HTTPStatusError, match="409"):
        await parties.courier_control.self_ship("SELF1", ["m1/r1/l1"])


async def test_a_booking_may_be_refused(parties: Parties, courier: Api) -> None:
    await parties.courier_control.script("m1/r1", refuse=["slot_unavailable", "area_not_served"])
    for number, code in ((1, "slot_unavailable"), (2, "area_not_served")):
        answer = await courier.post("/v1/bookings", booking(), key=f"pickup:1:{number}")
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await book(courier, key="pickup:1:3"))["state"] == "booked"


@pytest.mark.parametrize(
    "change",
    [
        {"slot_end": "2030-01-01T01:00:00Z"},
        {"slot_start": "2030-01-01T01:00:00"},
        {"items": []},
        {"items": [item("no-case")]},
        {"items": [item(quantity=0)]},
        {"declared": {"amount": 1.5, "currency": "CNY"}},
    ],
)
async def test_a_booking_that_makes_no_sense_is_refused(courier: Api, change: Json) -> None:
    answer = await courier.post("/v1/bookings", booking() | change, key="k")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_replayed_booking_is_one_booking(parties: Parties, courier: Api) -> None:
    first = await book(courier)
    again = await courier.post("/v1/bookings", booking(), key="pickup:1:1")
    assert (again.status_code, again.json(), again.headers["idempotent-replay"]) == (201, first, "true")
    await events(courier, first["waybill"], 3)
    assert len(await parties.courier_control.statement()) == 1


@pytest.mark.parametrize(
    "script",
    [
        {"visits": [{"outcome": "vanished"}]},
        {"visits": [{"inspection": {"l1": {"finding": "damage"}}}]},
        {"visits": [{"inspection": {"l1": {"finding": "mismatch", "severity": 30}}}]},
        {"visit": []},
    ],
)
async def test_a_script_that_cannot_be_played_is_refused(parties: Parties, script: Json) -> None:
    with pytest.raises(httpx2.HTTPStatusError, match="422"):
        await parties.courier_control.script("m1/r1", **script)
