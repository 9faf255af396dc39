"""One suite over every adapter, against real servers over HTTP: what a gateway promises, whoever the provider is.

Every operation of every adapter is a row of OPERATIONS. Whatever goes wrong on the way, the error is of the right
kind, the provider's books answer by key, and asking again under the same key makes it happen once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from backhaul.errors import BackhaulError, Rejected, Transient, Unknown
from backhaul.facts import Text
from backhaul.money import Money
from gateways.ports import BookingRequest, ClaimKind, NoticeLetter, Parcel, Provider, Standing
from gateways.registry import Endpoint, GatewaySettings, build
from tests.gateways.outside import HOLD_MS, Outside

START, END = datetime(2026, 1, 5, 9, tzinfo=UTC), datetime(2026, 1, 5, 11, tzinfo=UTC)
AMOUNT = Money(minor=1400)
Call = Callable[[Outside, str], Awaitable[Any]]


def parcel(case: str, line: str = "l1") -> Parcel:
    return Parcel(ref=f"{case}/{line}", sku="coat", quantity=1, weight_g=1500, volume_cm3=3000)


def booking(*parcels: Parcel) -> BookingRequest:
    return BookingRequest(
        client_ref="pickup",
        address_ref="a1",
        destination_ref="m1",
        slot_start=START,
        slot_end=END,
        parcels=parcels,
    )


def case_of(key: str) -> str:
    return "m1/" + key.replace(":", ".").replace("/", ".")


def ref_of(key: str) -> str:
    return "claim." + key.replace(":", ".").replace("/", ".")


async def _nothing(world: Outside, key: str) -> None:
    return None


async def _hold(world: Outside, key: str) -> None:
    """A case whose courier does not come by itself."""
    await world.script("courier", case_of(key), hold=True)


async def _booked(world: Outside, key: str) -> None:
    await _hold(world, key)
    await world.gateways.courier("sandbox").book(f"{key}:booking", booking(parcel(case_of(key))))


async def _collected(world: Outside, key: str) -> None:
    await world.script("courier", case_of(key), visits=[{"after_ms": 0}], tracking=[])
    booked = await world.gateways.courier("sandbox").book(f"{key}:booking", booking(parcel(case_of(key))))
    while not await world.gateways.courier("sandbox").events(booked.waybill):
        pass


async def _captured(world: Outside, key: str) -> None:
    await world.capture(f"pay.{key}")


async def _covered(world: Outside, key: str) -> None:
    await world.cover(f"cov.{key}", f"order.{key}", "RFI", 2500)


async def _reserved(world: Outside, key: str) -> None:
    await _covered(world, key)
    insurer = world.gateways.insurer
    await insurer.reserve(f"{key}:reserve", ref_of(key), f"cov.{key}", ClaimKind.FREIGHT, AMOUNT)


async def _approved(world: Outside, key: str) -> None:
    await _reserved(world, key)
    await world.gateways.insurer.approve(f"{key}:approve", ref_of(key), AMOUNT)


async def _booking_id(world: Outside, key: str) -> str:
    found = await world.gateways.courier("sandbox").operation(f"{key}:booking")
    assert found is not None
    assert found.ref is not None
    return found.ref


async def _waybill(world: Outside, key: str) -> str:
    booked = await world.gateways.courier("sandbox").booking(await _booking_id(world, key))
    return booked.waybill


async def _book(world: Outside, key: str) -> Any:
    return await world.gateways.courier("sandbox").book(key, booking(parcel(case_of(key))))


async def _add(world: Outside, key: str) -> Any:
    courier = world.gateways.courier("sandbox-b")
    return await courier.add_parcels(key, await _booking_id(world, key), (parcel(case_of(key), "l2"),))


async def _remove(world: Outside, key: str) -> Any:
    refs = (f"{case_of(key)}/l1",)
    return await world.gateways.courier("sandbox").remove_parcels(key, await _booking_id(world, key), refs)


async def _cancel(world: Outside, key: str) -> Any:
    return await world.gateways.courier("sandbox").cancel(key, await _booking_id(world, key))


async def _send_back(world: Outside, key: str) -> Any:
    return await world.gateways.courier("sandbox").send_back(key, await _booking_id(world, key))


async def _demand(world: Outside, key: str) -> Any:
    courier = world.gateways.courier("sandbox")
    return await courier.demand(key, ref_of(key), await _waybill(world, key), AMOUNT, "damage")


async def _refund(world: Outside, key: str) -> Any:
    return await world.gateways.payments.refund(key, f"pay.{key}", AMOUNT, "c1")


async def _payout(world: Outside, key: str) -> Any:
    return await world.gateways.payments.payout(key, "m1", AMOUNT, key)


async def _charge(world: Outside, key: str) -> Any:
    return await world.gateways.payments.charge(key, "c1", AMOUNT, key)


async def _set_off(world: Outside, key: str) -> Any:
    return await world.gateways.courier("sandbox").set_off(key, ref_of(key), AMOUNT)


async def _demanded(world: Outside, key: str) -> None:
    await _collected(world, key)
    courier = world.gateways.courier("sandbox")
    await world.script("courier", case_of(key), visits=[{"after_ms": 0}], tracking=[], demand={"answer": "silent"})
    await courier.demand(f"{key}.demand", ref_of(key), await _waybill(world, key), AMOUNT, "damage")


async def _reserve(world: Outside, key: str) -> Any:
    return await world.gateways.insurer.reserve(key, ref_of(key), f"cov.{key}", ClaimKind.FREIGHT, AMOUNT)


async def _approve(world: Outside, key: str) -> Any:
    return await world.gateways.insurer.approve(key, ref_of(key), AMOUNT)


async def _pay(world: Outside, key: str) -> Any:
    return await world.gateways.insurer.pay(key, ref_of(key), AMOUNT, "courier:sandbox")


async def _remit(world: Outside, key: str) -> Any:
    return await world.gateways.insurer.remit(key, ref_of(key), AMOUNT)


async def _close(world: Outside, key: str) -> Any:
    return await world.gateways.insurer.close(key, ref_of(key))


async def _tell(world: Outside, key: str) -> Any:
    letter = NoticeLetter(recipient="consumer:c1", subject="m1/r1", about="offer", text=Text(en="an offer", zh="挽单"))
    return await world.gateways.notices.send(key, letter)


@dataclass(frozen=True)
class Operation:
    """One mutating call: what must be there before it, and the kind of its row in the statement, if money moves."""

    party: str
    route: str
    before: Call
    call: Call
    stated: str | None = None

    def __str__(self) -> str:
        return self.route.removeprefix("POST /v1/")


OPERATIONS = [
    Operation("courier", "POST /v1/bookings", _hold, _book),
    Operation("courier", "POST /v1/bookings/{booking_id}/items", _booked, _add),
    Operation("courier", "POST /v1/bookings/{booking_id}/items/remove", _booked, _remove),
    Operation("courier", "POST /v1/bookings/{booking_id}/cancel", _booked, _cancel),
    Operation("courier", "POST /v1/bookings/{booking_id}/return", _collected, _send_back),
    Operation("courier", "POST /v1/demands", _collected, _demand),
    Operation("psp", "POST /v1/refunds", _captured, _refund, "refund"),
    Operation("psp", "POST /v1/payouts", _nothing, _payout, "payout"),
    Operation("psp", "POST /v1/charges", _nothing, _charge, "charge"),
    Operation("courier", "POST /v1/set_offs", _demanded, _set_off, "set_off"),
    Operation("insurer", "POST /v1/claims", _covered, _reserve),
    Operation("insurer", "POST /v1/claims/*/approve", _reserved, _approve),
    Operation("insurer", "POST /v1/claims/*/pay", _approved, _pay, "payment"),
    Operation("insurer", "POST /v1/claims/*/close", _reserved, _close),
    Operation("insurer", "POST /v1/remittances", _approved, _remit, "recovery"),
    Operation("notices", "POST /v1/notices", _nothing, _tell),
]
FAULTS: list[tuple[dict[str, Any], type[BackhaulError], str, bool]] = [
    ({"kind": "unavailable_before"}, Transient, "provider_unavailable", False),
    ({"kind": "rate_limit", "retry_after": 3}, Transient, "provider_rate_limited", False),
    ({"kind": "error_after"}, Unknown, "provider_unknown", True),
    ({"kind": "timeout_after", "ms": HOLD_MS}, Unknown, "provider_unknown", True),
]
every_operation = pytest.mark.parametrize("op", OPERATIONS, ids=str)


@pytest.fixture(autouse=True)
async def _no_faults(world: Outside) -> AsyncIterator[None]:
    yield
    for party in world.servers:
        await world.faults(party)


def provider(world: Outside, party: str) -> Provider:
    known = {
        "courier": world.gateways.courier("sandbox"),
        "psp": world.gateways.payments,
        "insurer": world.gateways.insurer,
        "notices": world.gateways.notices,
    }
    return known[party]


@every_operation
@pytest.mark.parametrize(("fault", "kind", "code", "happened"), FAULTS, ids=lambda value: str(value))
async def test_a_fault_and_then_once(
    world: Outside, op: Operation, fault: dict[str, Any], kind: type[BackhaulError], code: str, happened: bool
) -> None:
    key = f"m1:r1:{fault['kind']}.{OPERATIONS.index(op)}:1"
    await op.before(world, key)
    await world.faults(op.party, {"match": op.route, "times": 1, **fault})
    with pytest.raises(kind) as caught:
        await op.call(world, key)
    assert caught.value.code == code
    assert caught.value.retry_after_s == fault.get("retry_after")
    found = await provider(world, op.party).operation(key)
    assert (found is not None) is happened
    if found is not None:
        assert found.standing is Standing.SUCCEEDED

    first = await op.call(world, key)
    assert await op.call(world, key) == first
    found = await provider(world, op.party).operation(key)
    assert found is not None
    assert (found.key, found.standing) == (key, Standing.SUCCEEDED)
    rows = await world.statement(op.party, key)
    assert [(row.kind, row.amount) for row in rows] == ([(op.stated, AMOUNT)] if op.stated else [])


@every_operation
async def test_a_wrong_token_is_refused(world: Outside, op: Operation) -> None:
    key = f"m1:r1:token.{OPERATIONS.index(op)}:1"
    await op.before(world, key)
    end = {party: Endpoint(server.url, "guess") for party, server in world.servers.items()}
    settings = GatewaySettings(
        {"sandbox": end["courier"], "sandbox-b": end["courier"]}, end["psp"], end["insurer"], end["notices"]
    )
    stranger = build(settings)
    try:
        with pytest.raises(Rejected) as caught:
            await op.call(Outside(world.servers, world.http, stranger), key)
        assert caught.value.code == "provider_rejected"
        assert "unauthorized" in caught.value.message
    finally:
        await stranger.aclose()


@pytest.mark.parametrize("party", ["courier", "psp", "insurer", "notices"])
async def test_an_unknown_key_is_none(world: Outside, party: str) -> None:
    assert await provider(world, party).operation("m1:r1:never/done:1") is None


@pytest.mark.parametrize("party", ["courier", "psp", "insurer", "notices"])
async def test_a_lookup_in_trouble_is_transient(world: Outside, party: str) -> None:
    """Even a 500: reading changes nothing."""
    await world.faults(party, {"match": "GET /v1/statement", "kind": "error_after"})
    with pytest.raises(Transient):
        await provider(world, party).statement()
