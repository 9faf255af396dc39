"""Evidence, rulings and appeals through the API, the whole product behind it. Parties speak HTTP only."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import update
from sqlmodel import col

from backhaul.cli.remote import Api
from backhaul.disputes import Question
from backhaul.errors import BackhaulError
from backhaul.facts import Party
from backhaul.messages import CreateAppeal, EvidenceRef, SubmitEvidence
from backhaul.names import Role
from store import corrections
from store.tables import RulingRow
from tests.api.place import MERCHANT, OTHER, Place, open_place, problem, token
from tests.servers.temporal import start_dev_server
from tests.waiting import eventually
from tests.workflows.world import Case, Plan, World, damage, world


@pytest.fixture(scope="module")
async def product(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """On a Temporal server of its own: the product's queues have fixed names."""
    folder = tmp_path_factory.mktemp("disputes")
    async with start_dev_server(folder) as environment, world(environment, folder) as running:
        yield running


@pytest.fixture(scope="module")
async def place(product: World) -> AsyncIterator[Place]:
    async with open_place(product.store, product.backhaul) as opened:
        yield opened


def piece(by: str, ref: str) -> dict[str, Any]:
    """One piece of evidence, as JSON."""
    return {"ref": ref, "sha256": hashlib.sha256(ref.encode()).hexdigest(), "by": by, "kind": "photo", "line_id": "L1"}


async def _disputed(product: World) -> tuple[Case, str]:
    """A finding that the consumer denied at the door; the case's path."""
    case = await product.open(Plan(merchant=MERCHANT))
    await case.waits_for("pickup")
    await case.pickup(findings=[damage(30, says="disputes")])
    await case.waits_for("evidence")
    return case, f"/v1/returns/{case.request.rma_id}"


async def _rule(place: Place, case: Case, outcome: str, **more: Any) -> str:
    body = {
        "merchant_id": MERCHANT,
        "rma_id": case.request.rma_id,
        "decides": "liability",
        "outcome": outcome,
        "reason": "seen",
        **more,
    }
    answer = await place.call("POST", "/v1/rulings", Role.APPROVER, body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert (made["ruled_by"], made["book"]["version"], len(made["facts_hash"])) == ("approver-1", "2025-09", 64)
    return str(made["ruling_id"])


async def _applied(place: Place, case: Case, ruling: str) -> httpx2.Response:
    path = f"/v1/returns/{case.request.rma_id}/apply_ruling?merchant_id={MERCHANT}"
    return await place.call("POST", path, Role.OPERATOR, {"ruling_id": ruling})


async def test_both_sides_give_evidence_in_their_own_name(place: Place, product: World) -> None:
    case, path = await _disputed(product)
    forged = {"evidence": [piece("merchant", "forged.jpg")]}
    problem(await place.call("POST", f"{path}/evidence", Role.CONSUMER, forged), 403, "forbidden")
    spoken = {"nothing_more": True, "by": "merchant"}
    problem(await place.call("POST", f"{path}/evidence", Role.CONSUMER, spoken), 403, "forbidden")
    mine = {"evidence": [piece("consumer", "box.jpg")]}
    problem(await place.call("POST", f"{path}/evidence", Role.CONSUMER, mine, merchant=OTHER), 404, "not_found")
    problem(await place.call("POST", f"{path}/evidence", Role.COURIER, mine), 403, "forbidden")
    problem(await place.call("POST", f"{path}/evidence", Role.CONSUMER, {"evidence": []}), 422, "invalid_input")
    given = await place.call("POST", f"{path}/evidence", Role.CONSUMER, mine)
    assert given.status_code == 201, given.text
    # The update's own route does the same, also for consumers.
    theirs = {"evidence": [piece("merchant", "outbound.mp4")]}
    assert (await place.call("POST", f"{path}/submit_evidence", Role.MERCHANT, theirs)).is_success
    await case.until(lambda s: s.attention is not None and s.attention.reason == "ruling_needed", "both are heard")
    listed = (await place.call("GET", f"{path}/evidence", Role.CONSUMER)).json()["evidence"]
    assert [(one["ref"], one["by"], one["given_by"], one["source"]) for one in listed] == [
        ("photo-1", "courier", None, "door"),
        ("box.jpg", "consumer", "consumer-1", "party"),
        ("outbound.mp4", "merchant", "merchant-1", "party"),
    ]
    problem(await place.call("GET", f"{path}/evidence", Role.MERCHANT, merchant=OTHER), 404, "not_found")


async def test_a_ruling_is_appealed_against_once(place: Place, product: World) -> None:
    case, path = await _disputed(product)
    await case.nothing_more("consumer", "merchant")
    await case.parks("ruling_needed")
    ruling = await _rule(place, case, "merchant")
    assert (await _applied(place, case, ruling)).is_success
    await case.waits_for("delivery")
    body = {"ruling_id": ruling, "reason": "another coat"}
    problem(await place.call("POST", f"{path}/appeals", Role.OPERATOR, body), 403, "forbidden")
    unknown = {"ruling_id": "rul-none", "reason": "x"}
    problem(await place.call("POST", f"{path}/appeals", Role.MERCHANT, unknown), 422, "ruling_unknown")
    taken = await place.call("POST", f"{path}/appeals", Role.MERCHANT, body)
    assert (taken.status_code, taken.json()["how"]) == (201, "dispute"), taken.text
    again = await place.call("POST", f"{path}/appeals", Role.MERCHANT, body)
    assert again.json() == taken.json()
    problem(await place.call("POST", f"{path}/appeals", Role.CONSUMER, body), 409, "appealed_before")
    await case.nothing_more("consumer", "merchant")
    # The only approver here ruled before: their own ruling they do not overrule.
    mine = {"merchant_id": MERCHANT, "rma_id": case.request.rma_id, "decides": "liability", "outcome": "consumer"}
    refused = await place.call("POST", "/v1/rulings", Role.APPROVER, {**mine, "reason": "x", "overrules": ruling})
    problem(refused, 403, "same_reviewer")
    last = await product.rule(case, "liability", "consumer", by="reviewer-2", overrules=ruling)

    await eventually(lambda: _applied(place, case, last), lambda answer: answer.is_success, "the ruling is asked for")
    listed = (await place.call("GET", f"{path}/rulings", Role.MERCHANT)).json()["rulings"]
    assert {(one["ruling_id"], one["ruled_by"], one["overrules"]) for one in listed} == {
        (ruling, "approver-1", None),
        (last, "reviewer-2", ruling),
    }


async def test_a_ruling_that_shares_a_loss_out(place: Place, product: World) -> None:
    """Each party with what they are liable for; what does not fit names its field."""
    case, path = await _disputed(product)
    mine = {"line_id": "L1", "finding": "damage", "quantity": 1, "severity": 30}
    more = [{"liable": "carrier", "findings": [{**mine, "severity": 50}]}]
    ruling = await _rule(place, case, "consumer", findings=[mine], shares=more)
    (kept,) = (await place.call("GET", f"{path}/rulings", Role.MERCHANT)).json()["rulings"]
    assert (kept["ruling_id"], kept["outcome"]) == (ruling, "consumer")
    assert [(one["liable"], one["findings"][0]["severity"]) for one in kept["shares"]] == [("carrier", 50)]
    body = {"merchant_id": MERCHANT, "rma_id": case.request.rma_id, "decides": "liability", "outcome": "consumer"}
    body |= {"reason": "seen"}
    for wrong in ({"shares": more}, {"findings": [mine], "shares": [{"liable": "carrier", "findings": []}]}):
        problem(await place.call("POST", "/v1/rulings", Role.APPROVER, body | wrong), 422, "invalid_input")
    stray = body | {"findings": [{**mine, "line_id": "L9"}]}
    problem(await place.call("POST", "/v1/rulings", Role.APPROVER, stray), 422, "line_unknown")


async def test_an_appeal_after_the_close_is_a_correction(place: Place, product: World) -> None:
    case, path = await _disputed(product)
    await case.nothing_more("consumer", "merchant")
    await case.parks("ruling_needed")
    ruling, other = await _rule(place, case, "merchant"), await _rule(place, case, "insurer")
    assert (await _applied(place, case, ruling)).is_success
    await case.waits_for("delivery")
    await case.track("delivered")
    await case.waits_for("receipt")
    assert (await place.call("POST", f"{path}/confirm_receipt", Role.MERCHANT, {})).is_success
    await case.end()
    unheeded = {"ruling_id": other, "reason": "no"}
    problem(await place.call("POST", f"{path}/appeals", Role.CONSUMER, unheeded), 409, "not_appealable")
    now = datetime.now(UTC)
    for ago, code in ((timedelta(days=7, minutes=1), "appeal_late"), (timedelta(0), "")):
        async with product.store.transaction() as session:
            await session.exec(update(RulingRow).where(col(RulingRow.ruling_id) == ruling).values(told_at=now - ago))
        if code:
            body = {"ruling_id": ruling, "reason": "no"}
            problem(await place.call("POST", f"{path}/appeals", Role.CONSUMER, body), 409, code)
    transport = httpx2.ASGITransport(app=place.app)
    async with Api("http://api", token(Role.CONSUMER, MERCHANT), transport=transport) as api:
        taken = await api.appeal(None, case.request.rma_id, CreateAppeal(ruling_id=ruling, reason="no"))
        assert (taken.how, taken.by) == ("correction", Party.CONSUMER)
        late_piece = EvidenceRef(ref=f"late-{uuid.uuid4()}.jpg", sha256="c" * 64, by=Party.CONSUMER)
        kept = await api.give(None, case.request.rma_id, SubmitEvidence(evidence=(late_piece,)))
        assert kept == await api.evidence(None, case.request.rma_id)
        assert kept.evidence[-1].ref == late_piece.ref
        assert {one.ruling_id for one in (await api.rulings(None, case.request.rma_id)).rulings} == {ruling, other}
        with pytest.raises(BackhaulError) as refused:
            await api.evidence(None, "R-never")
        assert refused.value.code == "not_found"
    async with product.store.read() as session:
        (opened,) = await corrections.of_case(session, f"{MERCHANT}/{case.request.rma_id}")
    assert (opened.kind, opened.event_id) == (Question.APPEAL.value, f"appeal:{ruling}")
