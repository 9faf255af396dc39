"""Through the real server, with the real ReturnCase: nothing readable in the history, and bad input never wedges."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter

from backhaul.errors import Refusal
from backhaul.ids import return_id
from backhaul.messages import OpenReturn, ReturnLine, Withdraw
from backhaul.names import QUEUE
from tests.servers.temporal import start_dev_server
from tests.waiting import PATIENCE_S
from tests.worker.histories import payloads_of, raw_events
from tests.workflows.world import Plan, World, world
from worker.codec import ENCODING, EncryptionCodec, Keyring
from worker.converter import data_converter

KEYS = {"k1": bytes(range(32))}
CODEC = EncryptionCodec(Keyring(KEYS))
CORE_DATA = {
    "seq",
    "attempt",
    "activity_id",
    "activity_type",
    "complete_time",
    "backoff",
    "original_schedule_time",
    "activation_index",
}
SOON = timedelta(seconds=PATIENCE_S)
PLAIN = pydantic_data_converter.payload_converter


@pytest.fixture(scope="module")
async def secret(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The product with the codec on, on a server of its own."""
    folder = tmp_path_factory.mktemp("secret")
    async with (
        start_dev_server(folder, data_converter=data_converter(CODEC)) as environment,
        world(environment, folder) as running,
    ):
        yield running


@pytest.fixture(scope="module")
async def open_(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The product without a codec, on a server of its own."""
    folder = tmp_path_factory.mktemp("open")
    async with (
        start_dev_server(folder, data_converter=data_converter()) as environment,
        world(environment, folder) as running,
    ):
        yield running


async def stranger(of: World) -> Client:
    """Somebody who can reach the server and has no key."""
    return await of.env.connect_client(data_converter=data_converter())


# ---- what the server keeps -----------------------------------------------------------------------------------------


async def _one_case(of: World) -> tuple[list[Any], tuple[bytes, ...]]:
    case = await of.open(Plan())
    await case.pickup()
    await case.until(lambda status: status.money.refunded.minor > 0, "the lightning refund")
    handle = (await stranger(of)).get_workflow_handle(case.handle.id)
    order = case.request.order_id
    words = (f"c-{order}", f"addr-{order}", f"pay-{order}", "no_reason", "refundable")
    return await raw_events(handle), tuple(word.encode() for word in words)


async def test_no_plaintext_in_a_history(secret: World) -> None:
    events, words = await _one_case(secret)
    whole = b"".join(event.SerializeToString() for event in events)
    assert [word for word in words if word in whole] == []
    payloads = [payload for event in events for payload in payloads_of(event)]
    assert len(payloads) > 20
    readable = [payload.data for payload in payloads if payload.metadata["encoding"] != ENCODING]
    # What the SDK itself writes beside a local activity: its number, name and times.
    assert [data for data in readable if set(json.loads(data)) != CORE_DATA] == []


async def test_the_same_look_finds_plaintext_without_the_codec(open_: World) -> None:
    events, words = await _one_case(open_)
    whole = b"".join(event.SerializeToString() for event in events)
    assert [word for word in words if word not in whole] == []


async def test_failures_are_encrypted_and_still_coded(secret: World) -> None:
    request = _request("m-nobody", "R-unknown", "O-nobody")
    with pytest.raises(Refusal) as raised:
        await secret.backhaul.open(request)
    assert raised.value.code == "order_unknown"
    handle = (await stranger(secret)).get_workflow_handle(return_id("m-nobody", "R-unknown"))
    whole = b"".join(event.SerializeToString() for event in await raw_events(handle))
    assert b"Encoded failure" in whole
    assert b"order_unknown" not in whole


# ---- bad starts ----------------------------------------------------------------------------------------------------


def _request(merchant: str, rma: str, order: str) -> OpenReturn:
    return OpenReturn.model_validate(
        {
            "merchant_id": merchant,
            "rma_id": rma,
            "order_id": order,
            "reason": "no_reason",
            "lines": (ReturnLine(line_id="L1", quantity=1),),
            "address_ref": "addr-1",
        }
    )


def _json(text: bytes, encoding: bytes = b"json/plain") -> Payload:
    return Payload(metadata={"encoding": encoding}, data=text)


async def _sealed(payload: Payload, codec: EncryptionCodec = CODEC) -> Payload:
    return (await codec.encode([payload]))[0]


async def _damaged(payload: Payload) -> Payload:
    sealed = await _sealed(payload)
    sealed.data = sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])
    return sealed


BAD = {
    "nothing": [],
    "null": [Payload(metadata={"encoding": b"binary/null"})],
    "null as JSON": [_json(b"null")],
    "no JSON": [_json(b"{")],
    "another shape": [_json(b'{"merchant_id": 1}')],
    "bytes": [_json(b"abc", b"binary/plain")],
    "unknown encoding": [_json(b"abc", b"who/knows")],
    "two values": [_json(b"{}"), _json(b"{}")],
}


async def _start_fails_and_can_start_again(of: World, payloads: list[Payload]) -> None:
    order = await of.import_order(Plan())
    merchant, rma = order.merchant.merchant_id, "R-bad"
    handle = await (await stranger(of)).start_workflow(
        "ReturnCase", args=[RawValue(each) for each in payloads], id=return_id(merchant, rma), task_queue=QUEUE
    )
    with pytest.raises(WorkflowFailureError):
        async with asyncio.timeout(SOON.total_seconds()):
            await handle.result()
    first = await of.backhaul.open(_request(merchant, rma, order.order_id))
    assert first.outcome == "authorized"


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_start_fails_and_its_id_is_free(open_: World, name: str) -> None:
    await _start_fails_and_can_start_again(open_, BAD[name])


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_encrypted_start_fails_and_its_id_is_free(secret: World, name: str) -> None:
    await _start_fails_and_can_start_again(secret, [await _sealed(each) for each in BAD[name]])


@pytest.mark.parametrize("how", ["unencrypted", "unknown key", "damaged"])
async def test_a_start_that_is_not_ours_fails_and_its_id_is_free(secret: World, how: str) -> None:
    (good,) = PLAIN.to_payloads([_request("m", "R-bad", "O")])
    payload = {
        "unencrypted": good,
        "unknown key": await _sealed(good, EncryptionCodec(Keyring({"k2": bytes(32)}))),
        "damaged": await _damaged(good),
    }[how]
    await _start_fails_and_can_start_again(secret, [payload])


# ---- bad updates ---------------------------------------------------------------------------------------------------


async def _update_is_refused(of: World, payloads: list[Payload]) -> None:
    case = await of.open(Plan())
    handle = (await stranger(of)).get_workflow_handle(case.handle.id)
    with pytest.raises(WorkflowUpdateFailedError):
        async with asyncio.timeout(SOON.total_seconds()):
            await handle.execute_update("withdraw", args=[RawValue(each) for each in payloads])
    status = await case.status()
    assert status.regions["authorization"] == "authorized"
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    assert (await case.say("withdraw", Withdraw())).recorded


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_update_is_refused(open_: World, name: str) -> None:
    await _update_is_refused(open_, BAD[name])


@pytest.mark.parametrize("how", ["unencrypted", "unknown key", "damaged"])
async def test_an_update_that_is_not_ours_is_refused(secret: World, how: str) -> None:
    (good,) = PLAIN.to_payloads([Withdraw()])
    payload = {
        "unencrypted": good,
        "unknown key": await _sealed(good, EncryptionCodec(Keyring({"k2": bytes(32)}))),
        "damaged": await _damaged(good),
    }[how]
    await _update_is_refused(secret, [payload])
