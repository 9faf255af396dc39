"""The inbox of notices."""

from __future__ import annotations

from sandbox.parties import Parties
from tests.sandbox.support import Api, Json
from tests.waiting import eventually

NOTICE: Json = {"recipient": "consumer:c1", "subject": "m1/r1", "about": "offer", "en": "An offer.", "zh": "挽单。"}


async def told(notices: Api, **query: str) -> list[str]:
    return [one["key"] for one in (await notices.json("/v1/notices", **query))["notices"]]


async def test_a_notice_is_delivered_once_a_key(parties: Parties, notices: Api) -> None:
    first = await notices.post("/v1/notices", NOTICE | {"due": "2026-01-02T00:00:00Z"}, key="a")
    again = await notices.post("/v1/notices", NOTICE | {"due": "2026-01-02T00:00:00Z"}, key="a")
    assert (first.status_code, first.json()["state"]) == (201, "delivered")
    assert again.json() == first.json()
    assert (await notices.operation("a")).json()["state"] == "delivered"
    assert [one["due"] for one in await parties.notices_control.delivered("m1/r1")] == ["2026-01-02T00:00:00Z"]
    assert await parties.notices_control.statement() == []


async def test_who_and_what_case(notices: Api) -> None:
    await notices.post("/v1/notices", NOTICE, key="a")
    await notices.post("/v1/notices", NOTICE | {"recipient": "merchant:m1"}, key="b")
    await notices.post("/v1/notices", NOTICE | {"subject": "m1/r2"}, key="c")
    assert await told(notices, recipient="consumer:c1") == ["a", "c"]
    assert await told(notices, subject="m1/r1") == ["a", "b"]
    assert await told(notices, subject="m1/r1", recipient="consumer:c1") == ["a"]
    assert (await notices.get("/v1/notices")).status_code == 422


async def test_nothing_but_tokens(notices: Api) -> None:
    for wrong in ("13800000000", "consumer:Zhang San", "consumer:"):
        response = await notices.post("/v1/notices", NOTICE | {"recipient": wrong}, key=wrong or "none")
        assert (response.status_code, response.json()["field"]) == (422, "recipient")


async def test_scripts(parties: Parties, notices: Api) -> None:
    await parties.notices_control.script("late", state="pending", then="delivered", after_ms=50)
    await parties.notices_control.script("never", state="failed")
    await parties.notices_control.script("nobody", state="refuse")
    late = await notices.post("/v1/notices", NOTICE, key="late")
    assert (late.json()["state"], late.json()["delivered_at"]) == ("pending", None)
    never = await notices.post("/v1/notices", NOTICE, key="never")
    assert (never.json()["state"], never.json()["code"]) == ("failed", "undeliverable")
    nobody = await notices.post("/v1/notices", NOTICE, key="nobody")
    assert (nobody.status_code, nobody.json()["code"]) == (422, "recipient_unknown")
    assert (await notices.operation("nobody")).status_code == 404
    await eventually(lambda: told(notices, subject="m1/r1"), lambda keys: keys == ["late"])
