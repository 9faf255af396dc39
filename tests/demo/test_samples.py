"""The samples: current, complete, and with expectations that can be true."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter

from backhaul.messages import ImportOrder, OpenReturn
from backhaul.names import ROLE_OF, Update
from backhaul.schemas import UPDATE_PAYLOADS
from sandbox.courier.wire import Script as CourierScript
from sandbox.demo.free import requests
from sandbox.insurer.wire import Script as InsurerScript
from sandbox.psp.app import Script as PspScript
from sandbox.samples.__main__ import FILE, text
from sandbox.samples.rows import Sample, at, by_order, load

SAMPLES = load(FILE)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)

PATHS = {
    "lightning", "ordinary_low_tier", "ordinary_high_amount", "ordinary_credit", "freight_above_cover",
    "doorstep_damage_10", "doorstep_damage_30", "doorstep_damage_50", "doorstep_damage_80", "doorstep_damage_100",
    "doorstep_mismatch", "doorstep_missing", "doorstep_damage_without_rdv", "arrival_damage", "finding_answered_later",
    "finding_not_answered", "finding_withdrawn", "receipt_damage_after_lightning", "receipt_damage_after_ordinary",
    "lost_by_timer", "lost_by_word", "self_ship", "self_ship_expired", "combined_pickup", "combined_pickup_one_leaves",
    "review_authorized", "review_silence", "review_declined", "missed_then_picked_up", "no_show_expired",
    "receipt_silence", "refund_answer_unknown", "withdrawn_before_scan", "withdraw_refused_after_scan",
    "withdraw_races_scan", "partial_quantities", "ineligible", "foreign_currency", "account_void_unclaimed",
    "parked_disputed_finding", "offer_accepted", "offer_refused", "offer_not_answered", "refund_only_not_shipped",
    "refund_only_granted", "refund_only_silence", "refund_only_declined", "question_answered", "question_not_answered",
}  # fmt: skip
ONCE_IS_ENOUGH = {"foreign_currency"}


def named(sample: Sample) -> str:
    return sample.name


def test_the_file_is_what_the_scripts_give() -> None:
    assert FILE.read_text(encoding="utf-8") == text()


def test_every_path_is_there_several_times() -> None:
    counts = Counter(sample.path for sample in SAMPLES)
    assert set(counts) == PATHS
    assert {path for path, count in counts.items() if count < 2} == ONCE_IS_ENOUGH
    assert len(SAMPLES) >= 64
    assert len({sample.merchant for sample in SAMPLES}) >= 6


def test_ids_are_unique_and_orders_are_the_same_in_every_row() -> None:
    assert len({sample.case for sample in SAMPLES}) == len(SAMPLES)
    for group in by_order(SAMPLES):
        assert all(sample.order == group[0].order for sample in group)
    for key in ("payments", "covers"):
        ids = [
            one[f"{key[:-1].replace('cover', 'coverage')}_id"]
            for group in by_order(SAMPLES)
            for one in group[0].order[key]
        ]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("sample", SAMPLES, ids=named)
def test_bodies_fit_the_contract(sample: Sample) -> None:
    order = TypeAdapter(ImportOrder).validate_python(at(sample.order, NOW))
    opened = TypeAdapter(OpenReturn).validate_python(at(sample.open, NOW))
    assert sum(line.paid.minor for line in order.lines) == sum(paid.amount.minor for paid in order.payments)
    ordered = {line.line_id: line.quantity for line in order.lines}
    assert all(line.quantity <= ordered[line.line_id] for line in opened.lines)
    for act in sample.actors:
        if act["send"] == "release":
            continue
        update = Update(act["send"])
        assert ROLE_OF[update].value == act["as"]
        UPDATE_PAYLOADS[update].model_validate(act["body"])


@pytest.mark.parametrize("sample", SAMPLES, ids=named)
def test_scripts_fit_the_parties(sample: Sample) -> None:
    told = sample.parties
    if "courier" in told:
        CourierScript.model_validate_json(_json({"match": sample.case, **told["courier"]}))
    for script in told.get("psp", ()):
        PspScript.model_validate_json(_json(script))
        assert "{" not in script["match"]
    for script in told.get("insurer", ()):
        InsurerScript.model_validate_json(_json(script))


@pytest.mark.parametrize("sample", SAMPLES, ids=named)
def test_expectations_add_up(sample: Sample) -> None:
    expect = sample.expect
    paid = {line["line_id"]: (line["paid"]["minor"], line["quantity"]) for line in sample.order["lines"]}
    # The dearest way to round the returned units: the next whole fen.
    refundable = sum(
        -(-paid[one["line_id"]][0] * one["quantity"] // paid[one["line_id"]][1]) for one in sample.open["lines"]
    )
    assert 0 <= expect["refunded"] + expect["withheld"] <= refundable
    assert expect["recovered"] <= expect["indemnified"] <= refundable
    assert expect["end"] in {"closed", "parked"}
    if expect["end"] == "parked":
        assert expect["attention"]
        assert requests(sample)


def test_the_coat() -> None:
    coat = next(sample for sample in SAMPLES if sample.name == "coat-30")
    assert coat.order["lines"][0]["paid"]["minor"] == 120_000
    assert (coat.expect["refunded"], coat.expect["withheld"], coat.expect["indemnified"]) == (84_000, 36_000, 36_000)


def test_one_order_returned_in_parts_adds_up() -> None:
    parts = [sample.expect["refunded"] for sample in SAMPLES if sample.path == "partial_quantities"]
    assert parts == [3333, 6667]
    shares = [sample.expect["freight"] for sample in SAMPLES if sample.path == "combined_pickup"]
    assert sum(shares) == 1600
    assert max(shares) - min(shares) == 1


def test_twice_shares_no_id_with_once() -> None:
    again = [sample for sample in load(FILE, twice=True) if sample.name.endswith("-again")]
    assert len(again) == len(SAMPLES)
    for one, other in zip(SAMPLES, again, strict=True):
        assert one.case != other.case
        assert one.expect == other.expect
        assert one.order["order_id"] != other.order["order_id"]
        assert one.order["consumer"]["consumer_ref"] != other.order["consumer"]["consumer_ref"]
        assert not {p["payment_id"] for p in one.order["payments"]} & {p["payment_id"] for p in other.order["payments"]}
        assert not {c["coverage_id"] for c in one.order["covers"]} & {c["coverage_id"] for c in other.order["covers"]}
        assert other.parties.get("accounts", []) == [f"{payee}-again" for payee in one.parties.get("accounts", [])]


def _json(value: object) -> str:
    return TypeAdapter(object).dump_json(value).decode()
