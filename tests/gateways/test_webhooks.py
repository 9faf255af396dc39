"""A courier's webhook: signature on the raw bytes, the event, one report per case."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from backhaul.errors import Refusal
from backhaul.ids import CaseId
from backhaul.messages import PickupReport, TrackingReport
from gateways.webhooks import read_event, reports_for, verify

SECRET = "whsec_" + base64.b64encode(b"a secret of the courier").decode()
ONE, TWO, THREE = CaseId("m1", "r1"), CaseId("m1", "r2"), CaseId("m1", "r3")
SHA = "0" * 64

PICKUP: dict[str, Any] = {
    "event_id": "evt_1",
    "type": "pickup",
    "waybill": "SB1",
    "booking_id": "bk_1",
    "occurred_at": "2026-01-05T10:00:00Z",
    "news": "a field of tomorrow",
    "pickup": {
        "outcome": "picked_up",
        "reason": None,
        "collected_refs": ["m1/r1/l1", "m1/r1/l2", "m1/r2/l1"],
        "inspection": {
            "result": "finding",
            "items": [
                {
                    "ref": "m1/r1/l1",
                    "finding": "ok",
                    "severity": None,
                    "quantity": 0,
                    "photos": [],
                    "consumer": "agrees",
                },
                {
                    "ref": "m1/r1/l2",
                    "finding": "damage",
                    "severity": 30,
                    "quantity": 1,
                    "photos": [{"ref": "photo_1", "sha256": SHA}],
                    "consumer": "disputes",
                },
            ],
        },
    },
}
TRACKING: dict[str, Any] = {
    "event_id": "evt_2",
    "type": "tracking",
    "waybill": "SB1",
    "booking_id": None,
    "occurred_at": "2026-01-05T12:00:00+08:00",
    "tracking": {"status": "delivered", "location": "hub"},
}


def _raw(body: Any, **changes: Any) -> bytes:
    return json.dumps(body | changes).encode()


def _headers(raw: bytes, *, at: datetime | None = None, secret: str = SECRET) -> dict[str, str]:
    at = at or datetime.now(UTC)
    signature = Webhook(secret).sign("evt_1", at, raw.decode())
    return {"Webhook-Id": "evt_1", "Webhook-Timestamp": str(int(at.timestamp())), "Webhook-Signature": signature}


def test_a_signed_webhook_is_known_by_its_id() -> None:
    raw = _raw(PICKUP)
    assert verify(SECRET, _headers(raw), raw) == "evt_1"


def test_any_of_several_signatures_will_do() -> None:
    """While a secret is being replaced, the sender signs with both."""
    raw = _raw(PICKUP)
    headers = _headers(raw)
    other = _headers(raw, secret="whsec_" + base64.b64encode(b"the old one").decode())
    headers["Webhook-Signature"] = f"{other['Webhook-Signature']} {headers['Webhook-Signature']}"
    assert verify(SECRET, headers, raw) == "evt_1"


@pytest.mark.parametrize(
    "change",
    [
        {"Webhook-Id": "evt_2"},
        {"Webhook-Timestamp": "0"},
        {"Webhook-Timestamp": "nan"},
        {"Webhook-Timestamp": "soon"},
        {"Webhook-Timestamp": "1e400"},
        {"Webhook-Signature": ""},
        {"Webhook-Signature": "v1"},
        {"Webhook-Signature": "v1,not base64!"},
        {"Webhook-Signature": "v1,a"},
        {"Webhook-Signature": "v1,%C3%A9\u00e9"},
        {"Webhook-Signature": "v2,AAAA"},
        {"Webhook-Signature": "v1,AAAA"},
        {"Webhook-Signature": "a,b,c"},
    ],
)
def test_a_wrong_header_is_a_bad_signature(change: dict[str, str]) -> None:
    raw = _raw(PICKUP)
    with pytest.raises(Refusal) as caught:
        verify(SECRET, _headers(raw) | change, raw)
    assert caught.value.code == "bad_signature"


def test_no_headers_other_bytes_and_an_old_time_are_bad_signatures() -> None:
    raw = _raw(PICKUP)
    old = _headers(raw, at=datetime.now(UTC) - timedelta(minutes=6))
    for headers, body in (({}, raw), (_headers(raw), raw + b" "), (old, raw), (_headers(raw), b"\xff\xfe")):
        with pytest.raises(Refusal) as caught:
            verify(SECRET, headers, body)
        assert caught.value.code == "bad_signature"


def test_an_unusable_secret_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="whsec_"):
        verify("", _headers(b"{}"), b"{}")


def test_everyone_is_told_of_the_visit_and_each_of_its_own_findings() -> None:
    event = read_event(_raw(PICKUP))
    reports = reports_for(event, [ONE, TWO, THREE])
    assert list(reports) == [ONE, TWO, THREE]
    one, two, three = (reports[case] for case in (ONE, TWO, THREE))
    assert isinstance(one, PickupReport)
    assert isinstance(two, PickupReport)
    assert isinstance(three, PickupReport)
    assert one.collected == ("l1", "l2")
    assert [(found.line_id, found.severity, found.consumer) for found in one.findings] == [("l2", 30, "disputes")]
    assert one.findings[0].photos == (f"photo_1#sha256={SHA}",)
    assert (two.collected, two.findings) == (("l1",), ())
    assert (three.collected, three.findings) == ((), ())
    assert {report.event_id for report in (one, two, three)} == {"evt_1"}
    # Freight is shared among all that went along, so that each case is told of everything.
    assert {report.taken for report in (one, two, three)} == {("m1/r1/l1", "m1/r1/l2", "m1/r2/l1")}


@pytest.mark.parametrize(
    ("outcome", "word", "refusal"),
    [
        ("rejected", "unpacked", "unpacked"),
        ("rejected", "forbidden", "prohibited"),
        ("rejected", "nothing_to_collect", "other"),
        ("rejected", None, "other"),
        ("missed", "unsafe", None),
    ],
)
def test_a_refusal_is_one_of_our_words(outcome: str, word: str | None, refusal: str | None) -> None:
    visit = PICKUP["pickup"] | {"outcome": outcome, "reason": word, "collected_refs": [], "inspection": None}
    report = reports_for(read_event(_raw(PICKUP, pickup=visit)), [ONE])[ONE]
    assert isinstance(report, PickupReport)
    assert (report.refusal, report.reason, report.taken) == (refusal, word, ())


def test_goods_of_a_case_that_is_no_member_are_left_out() -> None:
    assert list(reports_for(read_event(_raw(PICKUP)), [TWO])) == [TWO]


def test_a_movement_goes_to_everyone() -> None:
    reports = reports_for(read_event(_raw(TRACKING)), [ONE, TWO])
    assert reports[ONE] == reports[TWO]
    assert isinstance(reports[ONE], TrackingReport)
    assert reports[ONE].occurred_at == datetime(2026, 1, 5, 4, tzinfo=UTC)


def test_a_waived_check_is_no_check() -> None:
    waived = PICKUP["pickup"] | {"inspection": {"result": "waived", "items": []}}
    report = reports_for(read_event(_raw(PICKUP, pickup=waived)), [ONE])[ONE]
    assert isinstance(report, PickupReport)
    assert not report.inspected


def _visit(**changes: Any) -> dict[str, Any]:
    return {"pickup": PICKUP["pickup"] | changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "weather"},
        {"type": "tracking"},
        {"occurred_at": "2026-01-05T10:00:00"},
        {"event_id": None},
        {"event_id": "has spaces"},
        {"waybill": "a/b"},
        _visit(outcome="abducted"),
        _visit(reason="Not A Code"),
        _visit(collected_refs=["m1/r1"]),
        _visit(collected_refs=["m1/r1/l 1"]),
        _visit(inspection={"result": "finding", "items": [{"ref": "m1/r1/l1", "finding": "haunted"}]}),
        _visit(inspection={"result": "finding", "items": [{"ref": "m1/r1/l1", "finding": "damage", "quantity": -1}]}),
    ],
)
def test_an_event_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        reports_for(read_event(_raw(PICKUP, **changes)), [ONE])
    assert caught.value.code == "invalid_input"


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{", b"\xff", b"1" * 10_000, b"[" * 100_000, b'{"a": NaN}'])
def test_bytes_that_are_no_event_are_refused(raw: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        read_event(raw)
    assert caught.value.code == "invalid_input"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.sampled_from(sorted(PICKUP)), json_values)
def test_no_field_can_break_the_reader(field: str, value: Any) -> None:
    """Whatever one field holds: reports, or a refusal. Any other error fails this test."""
    with suppress(Refusal):
        assert list(reports_for(read_event(_raw(PICKUP, **{field: value})), [ONE])) == [ONE]
