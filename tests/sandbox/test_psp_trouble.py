"""The payment provider's hard cases: look-ups, a short payer, what comes back, and its webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from sandbox.common.serve import serve
from sandbox.parties import Parties
from tests.sandbox.support import SECRET, Api, Json, Receiver
from tests.waiting import eventually

REFUND = {"payment_id": "pay-1", "amount": 500, "currency": "CNY", "payee": "consumer-1"}


@pytest.fixture(autouse=True)
async def captured(parties: Parties) -> None:
    await parties.psp_control.payment("pay-1", 1200, "CNY", payee="m1", payer="consumer-1")


@pytest.fixture
async def told(parties: Parties) -> AsyncIterator[Receiver]:
    """Where the payment provider's webhooks go."""
    receiver = Receiver()
    server = await serve(receiver.app())
    await parties.psp_control.webhook(f"{server.url}/hooks", SECRET)
    yield receiver
    await parties.psp_control.webhook(None)
    await server.stop()


async def rows(parties: Parties) -> list[tuple[object, object]]:
    return [(row["kind"], row["key"]) for row in await parties.psp_control.statement()]


async def state(psp: Api, key: str) -> Json:
    found: Json = (await psp.operation(key)).json()
    return found


async def test_pending_for_some_look_ups(parties: Parties, psp: Api) -> None:
    await parties.psp_control.script("slow", state="pending", then="succeeded", lookups=3)
    await psp.post("/v1/refunds", REFUND, key="slow")
    assert [(await state(psp, "slow"))["state"] for _ in range(4)] == ["pending", "pending", "succeeded", "succeeded"]
    assert await rows(parties) == [("capture", "pay-1"), ("refund", "slow")]


async def test_a_short_payer_is_topped_up_or_closed(parties: Parties, psp: Api) -> None:
    await parties.psp_control.payer("m1", "short")
    for key in ("a", "b"):
        made = (await psp.post("/v1/refunds", REFUND, key=key)).json()
        assert (made["state"], made["code"]) == ("pending", "insufficient_balance")
        await parties.psp_control.payer("m1", "funded" if key == "a" else "closed")
        if key == "a":
            assert (await state(psp, "a"))["state"] == "succeeded"
            await parties.psp_control.payer("m1", "short")
    ended = await state(psp, "b")
    assert (ended["state"], ended["code"]) == ("failed", "channel_closed")
    await parties.psp_control.payer("m1", "funded")
    assert (await psp.post("/v1/refunds", REFUND, key="c")).json()["state"] == "succeeded"
    assert await rows(parties) == [("capture", "pay-1"), ("refund", "a"), ("refund", "c")]


async def test_what_succeeded_comes_back_once(parties: Parties, psp: Api, told: Receiver) -> None:
    with pytest.raises(httpx2.HTTPStatusError, match="409"):
        await parties.psp_control.bounce("r")
    await psp.post("/v1/refunds", REFUND, key="r")
    for _ in range(2):
        await parties.psp_control.bounce("r")
    found = await state(psp, "r")
    assert (found["state"], "bounced_at" in found) == ("succeeded", True)
    assert await rows(parties) == [("capture", "pay-1"), ("refund", "r"), ("bounce", "r")]
    events = await told.wait_for(2)
    assert [(one["type"], one["transfer"]["key"]) for one in events] == [("settled", "r"), ("bounced", "r")]


async def test_a_scripted_bounce_waits_for_the_success(parties: Parties, psp: Api) -> None:
    await parties.psp_control.script("later", state="pending", then="succeeded", after_ms=300, bounce_ms=50)
    await psp.post("/v1/refunds", REFUND, key="later")

    async def seen() -> list[tuple[object, object]]:
        return await rows(parties)

    await eventually(seen, lambda found: ("bounce", "later") in found)
    assert (await rows(parties))[1:] == [("refund", "later"), ("bounce", "later")]


async def test_a_lost_and_a_doubled_webhook(parties: Parties, psp: Api, told: Receiver) -> None:
    await parties.psp_control.faults(
        {"kind": "lost_webhook", "match": "webhook bounced"}, {"kind": "duplicate_webhook", "match": "webhook settled"}
    )
    await psp.post("/v1/refunds", REFUND, key="r")
    await parties.psp_control.bounce("r")
    events = await told.wait_for(2)
    assert events[0] == events[1]
    assert [one["type"] for one in events] == ["settled", "settled"]
    states = [row["state"] for row in await parties.psp_control.webhooks()]
    assert states.count("lost") == 1
    assert ("bounce", "r") in await rows(parties)
