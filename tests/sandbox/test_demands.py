"""Demands on the courier: accepted and paid, contested, silent, and never above what it owes."""

from __future__ import annotations

import pytest

from sandbox.parties import Parties
from tests.sandbox.support import Api, Json, book, events
from tests.waiting import eventually

QUICK = [{"after_ms": 30}]


async def demand(courier: Api, waybill: str, amount: int = 36_000, ref: str = "c1") -> Json:
    body = {"claim_ref": ref, "waybill": waybill, "amount": amount, "currency": "CNY", "reason": "lost"}
    answer = await courier.post("/v1/demands", body, key=f"demand:{ref}")
    assert answer.status_code == 202, answer.text
    received: Json = answer.json()
    return received


async def answered(courier: Api, state: str, ref: str = "c1") -> Json:
    return await eventually(lambda: courier.json(f"/v1/demands/{ref}"), lambda found: found["state"] == state)


async def collected(parties: Parties, courier: Api, script: Json | None, declared: int | None = 120_000) -> str:
    demand_script = {} if script is None else {"demand": script}
    await parties.courier_control.script("m1/r1", visits=QUICK, tracking=[], **demand_script)
    money = None if declared is None else {"amount": declared, "currency": "CNY"}
    waybill = str((await book(courier, declared=money))["waybill"])
    await events(courier, waybill, 1)
    return waybill


async def test_a_demand_is_accepted_and_paid_in_cash(parties: Parties, courier: Api) -> None:
    waybill = await collected(parties, courier, None)
    assert (await demand(courier, waybill))["state"] == "received"
    paid = await answered(courier, "paid")
    assert (paid["accepted_amount"], bool(paid["payment_ref"]), bool(paid["paid_at"])) == (36_000, True, True)
    row = (await parties.courier_control.statement())[-1]
    assert (row["kind"], row["key"], row["ref"], row["amount"]) == ("compensation", "c1", paid["payment_ref"], 36_000)
    looked_up = (await courier.operation("demand:c1")).json()
    assert (looked_up["kind"], looked_up["state"], looked_up["amount"]) == ("demand", "paid", 36_000)


async def test_a_demand_may_be_contested(parties: Parties, courier: Api) -> None:
    waybill = await collected(parties, courier, {"answer": "contest", "after_ms": 50})
    await demand(courier, waybill)
    assert (await answered(courier, "contested"))["accepted_amount"] is None
    assert [row["kind"] for row in await parties.courier_control.statement()] == ["freight_invoice"]


async def test_a_demand_may_be_accepted_and_not_paid(parties: Parties, courier: Api) -> None:
    waybill = await collected(parties, courier, {"after_ms": 50, "pay_after_ms": None, "accepted_amount": 100})
    await demand(courier, waybill)
    assert (await answered(courier, "accepted"))["accepted_amount"] == 100
    assert [row["kind"] for row in await parties.courier_control.statement()] == ["freight_invoice"]


async def test_silence_lasts(parties: Parties, courier: Api) -> None:
    waybill = await collected(parties, courier, {"answer": "silent"})
    await demand(courier, waybill)
    assert await parties.courier_control.release("*") == 0
    assert (await courier.json("/v1/demands/c1"))["state"] == "received"


async def test_a_held_answer_waits_for_its_release(parties: Parties, courier: Api) -> None:
    waybill = await collected(parties, courier, {"hold": True, "after_ms": 0})
    await demand(courier, waybill)
    assert await parties.courier_control.release("m1/r1") == 1
    await answered(courier, "paid")


@pytest.mark.parametrize(("declared", "accepted"), [(50_000, [36_000, 14_000]), (None, [4200])])
async def test_the_courier_owes_what_was_declared_or_three_freights(
    parties: Parties, courier: Api, declared: int | None, accepted: list[int]
) -> None:
    waybill = await collected(parties, courier, {"after_ms": 10, "pay_after_ms": 10}, declared)
    for number, amount in enumerate(accepted):
        await demand(courier, waybill, ref=f"c{number}")
        assert (await answered(courier, "paid", f"c{number}"))["accepted_amount"] == amount
    await demand(courier, waybill, ref="last")
    await answered(courier, "contested", "last")


async def test_demands_that_are_refused(parties: Parties, courier: Api) -> None:
    body = {"claim_ref": "c1", "waybill": "nowhere", "amount": 1, "currency": "CNY", "reason": "lost"}
    assert (await courier.post("/v1/demands", body, key="a")).json()["code"] == "waybill_unknown"
    assert (await courier.post("/v1/demands", body | {"amount": 0}, key="b")).json()["code"] == "invalid_request"
    waybill = await collected(parties, courier, {"answer": "silent"})
    await demand(courier, waybill)
    again = await courier.post("/v1/demands", body | {"waybill": waybill}, key="another key")
    assert (again.status_code, again.json()["code"]) == (409, "demand_exists")
    assert (await courier.get("/v1/demands/c9")).json()["code"] == "demand_unknown"
