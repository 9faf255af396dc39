"""What all parties share: tokens, idempotency, look-ups, statements, faults, the book."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx2
import pytest

from sandbox.common.book import Book
from sandbox.common.serve import serve
from sandbox.common.settings import PartySettings
from sandbox.control import PspControl
from sandbox.parties import Parties
from sandbox.psp import create_app
from tests.sandbox.support import CONTROL_TOKEN, TOKEN, Api
from tests.waiting import PATIENCE_S, eventually

REFUND = {"payment_id": "pay-1", "amount": 500, "currency": "CNY", "payee": "consumer-1"}


async def capture(parties: Parties, amount: int = 120_000) -> None:
    await parties.psp_control.payment("pay-1", amount, "CNY", payee="m1", payer="consumer-1")


async def test_every_call_but_livez_needs_its_own_token(parties: Parties) -> None:
    async with httpx2.AsyncClient(timeout=PATIENCE_S, trust_env=False) as anyone:
        for server in (parties.courier, parties.psp, parties.insurer):
            assert (await anyone.get(f"{server.url}/livez")).status_code == 200
            for path, token in (("/v1/statement", CONTROL_TOKEN), ("/_control/faults", TOKEN), ("/v1/statement", "x")):
                answer = await anyone.get(server.url + path, headers={"authorization": f"Bearer {token}"})
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_the_same_key_and_body_replays_the_first_answer(parties: Parties, psp: Api) -> None:
    await capture(parties)
    first = await psp.post("/v1/refunds", REFUND, key="m1:r1:refund:1")
    reordered = dict(reversed(REFUND.items()))
    again = await psp.post("/v1/refunds", reordered, key="m1:r1:refund:1")
    assert (first.status_code, first.text) == (again.status_code, again.text)
    assert "idempotent-replay" not in first.headers
    assert again.headers["idempotent-replay"] == "true"
    assert [row["kind"] for row in await parties.psp_control.statement()] == ["capture", "refund"]


async def test_the_same_key_with_another_body_is_refused(parties: Parties, psp: Api) -> None:
    await capture(parties)
    await psp.post("/v1/refunds", REFUND, key="k")
    other = await psp.post("/v1/refunds", REFUND | {"amount": 501}, key="k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    elsewhere = await psp.post("/v1/payouts", REFUND, key="k")
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (422, "idempotency_mismatch")


async def test_a_refusal_is_kept_and_made_nothing(parties: Parties, psp: Api) -> None:
    refused = await psp.post("/v1/refunds", REFUND, key="k")
    assert (refused.status_code, refused.json()["code"]) == (404, "payment_unknown")
    await capture(parties)
    again = await psp.post("/v1/refunds", REFUND, key="k")
    assert again.text == refused.text
    assert again.headers["idempotent-replay"] == "true"
    looked_up = await psp.operation("k")
    assert (looked_up.status_code, looked_up.json()["code"]) == (404, "unknown_key")


async def test_an_operation_is_found_by_a_key_with_colons_and_slashes(parties: Parties, psp: Api) -> None:
    await capture(parties)
    key = "m1:r1:refund/pay-1:1"
    made = (await psp.post("/v1/refunds", REFUND, key=key)).json()
    found = (await psp.operation(key)).json()
    assert found["key"] == key
    assert found["ref"] == found["refund_id"] == made["refund_id"]
    assert [found[name] for name in ("kind", "state", "amount", "currency", "payee")] == [
        "refund", "succeeded", 500, "CNY", "consumer-1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body", [{}, {"amount": "5"}, REFUND | {"amount": 0}, REFUND | {"amount": -1}, REFUND | {"x": 1}]
)
async def test_an_invalid_body_names_its_field(psp: Api, body: dict[str, object]) -> None:
    answer = await psp.post("/v1/refunds", body, key="k")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["field"]


async def test_a_mutating_call_needs_a_key_and_json(psp: Api) -> None:
    assert (await psp.post("/v1/refunds", REFUND, key="")).json()["code"] == "idempotency_key_required"
    headers = {"authorization": f"Bearer {TOKEN}", "idempotency-key": "k"}
    async with httpx2.AsyncClient(timeout=PATIENCE_S, trust_env=False, headers=headers) as client:
        assert (await client.post(f"{psp.url}/v1/refunds", content=b"{")).json()["code"] == "invalid_json"
        assert (await client.post(f"{psp.url}/v1/refunds", content=b" " * 300_000)).status_code == 413
    assert (await psp.get("/v1/nothing")).json()["code"] == "not_found"


async def test_the_statement_comes_in_pages_and_is_append_only(parties: Parties, psp: Api, tmp_path: Path) -> None:
    await capture(parties)
    for number in range(4):
        await psp.post("/v1/refunds", REFUND, key=f"k{number}")
    first = await psp.json("/v1/statement", limit=2)
    assert [row["seq"] for row in first["rows"]] == [1, 2]
    rest = await psp.json("/v1/statement", since=first["next"], limit=3)
    assert [row["key"] for row in rest["rows"]] == ["k1", "k2", "k3"]
    assert rest["next"] is None
    assert (await psp.get("/v1/statement", since="x")).status_code == 422
    book = sqlite3.connect(tmp_path / "psp.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        book.execute("UPDATE statement SET amount = 1")
    book.close()


async def test_unavailable_before_does_nothing(parties: Parties, psp: Api) -> None:
    await capture(parties)
    await parties.psp_control.faults({"kind": "unavailable_before", "match": "POST /v1/refunds", "times": 1})
    assert (await psp.post("/v1/refunds", REFUND, key="k")).status_code == 503
    assert (await psp.operation("k")).status_code == 404
    assert (await psp.post("/v1/refunds", REFUND, key="k")).status_code == 201


async def test_error_after_has_done_it(parties: Parties, psp: Api) -> None:
    await capture(parties)
    await parties.psp_control.faults({"kind": "error_after", "match": "POST /v1/refunds", "times": 1})
    assert (await psp.post("/v1/refunds", REFUND, key="k")).status_code == 500
    assert (await psp.operation("k")).json()["state"] == "succeeded"
    again = await psp.post("/v1/refunds", REFUND, key="k")
    assert (again.status_code, again.headers["idempotent-replay"]) == (201, "true")
    assert len(await parties.psp_control.statement()) == 2


async def test_timeout_after_has_done_it_and_holds_the_answer_back(parties: Parties, psp: Api) -> None:
    await capture(parties)
    await parties.psp_control.faults({"kind": "timeout_after", "match": "POST /v1/refunds", "times": 1, "ms": 600_000})
    with pytest.raises(httpx2.ReadTimeout):
        await psp.post("/v1/refunds", REFUND, key="k", timeout=httpx2.Timeout(60, read=1))
    done = await eventually(partial(psp.operation, "k"), lambda answer: answer.status_code == 200)
    assert done.json()["state"] == "succeeded"
    assert (await psp.post("/v1/refunds", REFUND, key="k")).status_code == 201


async def test_a_held_answer_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    settings = PartySettings(book=tmp_path / "psp.db", token=TOKEN, control_token=CONTROL_TOKEN)
    server = await serve(create_app(settings))
    api = Api(server)
    async with PspControl(server.url, CONTROL_TOKEN, TOKEN) as control:
        await control.payment("pay-1", 500, "CNY", payee="m1", payer="consumer-1")
        await control.faults({"kind": "timeout_after", "ms": 600_000, "match": "POST /v1/refunds"})
        held = asyncio.create_task(api.post("/v1/refunds", REFUND, key="k"))
        await eventually(lambda: control.fired(), bool)
        async with asyncio.timeout(PATIENCE_S):
            await server.stop()
    assert (await held).status_code == 201
    await api.aclose()


async def test_rate_limit_says_when_to_come_back(parties: Parties, psp: Api) -> None:
    await capture(parties)
    await parties.psp_control.faults({"kind": "rate_limit", "match": "POST *", "times": 1, "retry_after": 3})
    limited = await psp.post("/v1/refunds", REFUND, key="k")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert (await psp.post("/v1/refunds", REFUND, key="k")).status_code == 201


async def test_latency_delays_the_answer(parties: Parties, psp: Api) -> None:
    await parties.psp_control.faults({"kind": "latency", "match": "GET /v1/statement", "ms": 300})
    began = time.monotonic()
    assert (await psp.get("/v1/statement")).status_code == 200
    assert time.monotonic() - began >= 0.3


async def test_a_rule_looks_at_its_calls_and_keys_only(parties: Parties, psp: Api) -> None:
    await capture(parties)
    await parties.psp_control.faults(
        {"kind": "unavailable_before", "match": "POST /v1/refunds", "key_contains": "r2"},
        {"kind": "unavailable_before", "match": "GET /v1/operations/{key}"},
    )
    assert (await psp.post("/v1/refunds", REFUND, key="m1:r1:refund:1")).status_code == 201
    assert (await psp.post("/v1/refunds", REFUND, key="m1:r2:refund:1")).status_code == 503
    assert (await psp.operation("m1:r1:refund:1")).status_code == 503


async def test_a_fault_plan_repeats_with_its_seed_and_only_with_it(parties: Parties, psp: Api) -> None:
    async def run(seed: int, keys: list[str]) -> set[tuple[str, int]]:
        await parties.psp_control.reset()
        await capture(parties)
        rule = {"kind": "unavailable_before", "match": "POST /v1/refunds", "probability": 0.4}
        await parties.psp_control.faults(rule, seed=seed)
        for key in keys:
            await psp.post("/v1/refunds", REFUND, key=key)
        return {(one["key"], one["attempt"]) for one in await parties.psp_control.fired()}

    keys = [f"k{number}" for number in range(20)] * 2
    first = await run(7, keys)
    assert 0 < len(first) < len(keys)
    assert await run(7, list(reversed(keys))) == first
    assert await run(8, keys) != first


async def test_times_counts_per_key(parties: Parties, psp: Api) -> None:
    await capture(parties)
    await parties.psp_control.faults({"kind": "unavailable_before", "match": "POST /v1/refunds", "times": 2})
    for key in ("a", "b"):
        answers = [(await psp.post("/v1/refunds", REFUND, key=key)).status_code for _ in range(4)]
        assert answers == [503, 503, 201, 201]


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "lost_webhook", "match": "POST /v1/refunds"},
        {"kind": "latency", "match": "webhook"},
        {"kind": "gremlins"},
        {"kind": "latency", "probability": 1.5},
        {"kind": "latency", "probabilty": 0.5},
    ],
)
async def test_a_fault_that_cannot_fire_is_refused(parties: Parties, rule: dict[str, object]) -> None:
    with pytest.raises(httpx2.HTTPStatusError, match="422"):
        await parties.psp_control.faults(rule)


async def test_ids_come_from_the_seed_and_the_key(parties: Parties, psp: Api) -> None:
    async def refund_id(seed: int) -> str:
        await parties.psp_control.reset()
        await parties.psp_control.seed(seed)
        await capture(parties)
        return str((await psp.post("/v1/refunds", REFUND, key="k")).json()["refund_id"])

    assert await refund_id(1) == await refund_id(1)
    assert await refund_id(1) != await refund_id(2)


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.db", "psp", "")
    row = {"key": "k", "kind": "refund", "ref": "r", "amount": 1, "currency": "CNY", "payee": None, "at_us": 0}

    def post_twice() -> None:
        with book.transaction():
            book.plan("work", "k", {}, at_us=0)
            book.post(**row)  # type: ignore[arg-type]
            book.post(**row)  # type: ignore[arg-type]

    with pytest.raises(sqlite3.IntegrityError):
        post_twice()
    assert book.statement(0, 10) == {"rows": [], "next": None}
    assert book.number("SELECT count(*) FROM due") == 0
    book.close()


def test_a_book_belongs_to_one_party(tmp_path: Path) -> None:
    Book(tmp_path / "book.db", "psp", "").close()
    with pytest.raises(ValueError, match="book of the psp"):
        Book(tmp_path / "book.db", "insurer", "")


async def test_a_killed_process_forgets_nothing_it_answered(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sandbox.psp", "--port", "0", "--book", str(tmp_path / "psp.db")]
    command += ["--token", TOKEN, "--control-token", CONTROL_TOKEN]

    def start() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[1]

    headers = {"authorization": f"Bearer {TOKEN}", "idempotency-key": "k"}
    process, url = start()
    try:
        async with PspControl(url, CONTROL_TOKEN, TOKEN) as control:
            await control.payment("pay-1", 500, "CNY", payee="m1", payer="consumer-1")
            await control.script("k", state="pending", then="succeeded", after_ms=700)
        async with httpx2.AsyncClient(timeout=PATIENCE_S, trust_env=False, headers=headers) as client:
            first = await client.post(f"{url}/v1/refunds", json=REFUND)
        process.kill()
        process.wait()
        process, url = start()
        async with httpx2.AsyncClient(timeout=PATIENCE_S, trust_env=False, headers=headers) as client:
            again = await client.post(f"{url}/v1/refunds", json=REFUND)
        assert again.text == first.text
        assert again.json()["state"] == "pending"
        async with PspControl(url, CONTROL_TOKEN, TOKEN) as control:
            rows = await eventually(control.statement, lambda rows: len(rows) == 2)
        assert rows[1]["key"] == "k"
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
