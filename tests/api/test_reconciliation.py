"""Findings over the API: listed, explained under the caller's name, and the report as it was kept."""

from __future__ import annotations

from datetime import UTC, datetime

from backhaul.names import Role
from store.reconcile import Finding, findings
from tests.api.place import Place, problem


async def found(place: Place, *subjects: str) -> None:
    async with place.store.transaction() as session:
        some = [Finding(2, "not_in_journal", subject, "an entry", "CNY 1.00", 100, "CNY") for subject in subjects]
        await findings.keep(session, "c1", some, (), datetime.now(UTC))


async def test_findings_are_listed_and_explained(place: Place) -> None:
    await found(place, "psp refund a", "psp refund b", "psp refund c")
    first = (await place.call("GET", "/v1/findings?limit=2", Role.AUDITOR)).json()
    rest = (await place.call("GET", f"/v1/findings?after={first['next']}", Role.AUDITOR)).json()
    assert (len(first["findings"]), len(rest["findings"]), rest["next"]) == (2, 1, None)
    one = first["findings"][0]
    assert (one["code"], one["amount"]) == ("not_in_journal", {"minor": 100, "currency": "CNY"})
    path = f"/v1/findings/{one['finding_id']}/explanation"
    answer = await place.call("POST", path, Role.OPERATOR, {"note": "a test payment"})
    assert answer.json()["state"] == "explained"
    (explained,) = (await place.call("GET", "/v1/findings?state=explained", Role.OPERATOR)).json()["findings"]
    assert explained["note"] == "a test payment"
    assert explained["explained_by"]
    problem(await place.call("POST", path, Role.AUDITOR, {"note": "x"}), 403, "forbidden")
    problem(await place.call("POST", "/v1/findings/none/explanation", Role.OPERATOR, {"note": "x"}), 404, "not_found")
    await found(place)
    problem(await place.call("POST", path, Role.OPERATOR, {"note": "x"}), 409, "already_decided")


async def test_the_report_of_a_run(place: Place) -> None:
    problem(await place.call("GET", "/v1/reconciliation?cut=none", Role.AUDITOR), 404, "not_found")
    report = {"cut": "c9", "at": "2026-01-01T00:00:00Z", "lines": [], "totals": [], "open": 0, "in_flight": 0}
    async with place.store.transaction() as session:
        await findings.begin(session, "c9", "reconciliation:c9", datetime.now(UTC))
        await findings.end(session, "c9", {**report, "explained": 0}, datetime.now(UTC))
    assert (await place.call("GET", "/v1/reconciliation", Role.OPERATOR)).json()["cut"] == "c9"
    assert (await place.call("GET", "/v1/reconciliation?cut=c9", Role.AUDITOR)).json()["open"] == 0
    problem(await place.call("GET", "/v1/reconciliation", Role.MERCHANT), 403, "forbidden")
