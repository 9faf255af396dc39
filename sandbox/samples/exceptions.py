"""Reviews, missed visits, silences, cancellations, unknown answers, and the cases that wait for a human."""

from __future__ import annotations

from sandbox.samples.build import (
    Json,
    act,
    closed,
    confirm,
    door,
    line,
    order,
    parked,
    returned,
    row,
    visits,
    withdraws,
)


def rows() -> list[Json]:
    """All rows of this module."""
    return [*_review(), *_visits(), *_silence(), *_cancelled(), *_unknown(), *_refused(), *_parked()]


def _review() -> list[Json]:
    """X1, X13: Jade Studio looks at every request; a no-reason return inside the window it cannot refuse."""
    authorize = act("merchant", "authorize", {"note": "fine"}, after="open", delay_ms=300)
    decline = act("merchant", "decline", {"reason": "worn"}, after="open", delay_ms=300)
    statutory = act("merchant", "decline", {"reason": "worn"}, after="open", delay_ms=300, refused="statutory_return")
    rows = []
    for name, path, reason, paid, acts in (
        ("ring-reviewed", "review_authorized", "quality", 52_000, [authorize, confirm()]),
        (
            "ring-statutory",
            "review_authorized",
            "no_reason",
            21_000,
            [statutory, authorize | {"delay_ms": 900}, confirm()],
        ),
        ("ring-unread", "review_silence", "quality", 33_000, [confirm()]),
        ("ring-unread-too", "review_silence", "dont_like", 9100, [confirm()]),
        ("ring-refused", "review_declined", "quality", 47_000, [decline]),
        ("ring-refused-too", "review_declined", "wrong_item", 12_000, [decline]),
    ):
        made = order(name, "jade-studio", line("ring", paid, grams=80), tier=3)
        expect = closed("declined") if path == "review_declined" else closed(refunded=paid)
        rows.append(row(name, path, made, opened=returned(name, made, reason=reason), actors=acts, expect=expect))
    # A quality reason above 1000.00 goes to any merchant.
    made = order("dear-phone", "pearl-phones", line("phone", 100_001), tier=3)
    rows.append(
        row(
            "dear-phone",
            "review_authorized",
            made,
            opened=returned("dear-phone", made, reason="quality"),
            actors=[authorize, confirm()],
            expect=closed(refunded=100_001),
        )
    )
    return rows


def _visits() -> list[Json]:
    """X4, X5: a courier who does not come, a consumer who is not there."""
    rows = []
    for name, outcomes, path in (
        ("missed-once", ("missed", "picked_up"), "missed_then_picked_up"),
        ("missed-twice", ("missed", "missed", "picked_up"), "missed_then_picked_up"),
        ("away", ("no_show", "no_show"), "no_show_expired"),
        ("moved-house", ("no_show", "no_show"), "no_show_expired"),
    ):
        made = order(name, "paper-moon", line("book", 5600), tier=2)
        gone = path == "no_show_expired"
        rows.append(
            row(
                name,
                path,
                made,
                opened=returned(name, made),
                courier=visits(*outcomes),
                actors=[] if gone else [confirm()],
                expect=closed("expired") if gone else closed(refunded=5600),
            )
        )
    return rows


def _silence() -> list[Json]:
    """X11: the merchant says nothing, the timer accepts."""
    rows = []
    for name, tier, paid in (("unopened-parcel", 1, 13_000), ("unopened-phone", 3, 88_800)):
        made = order(name, "pearl-phones", line("phone", paid), tier=tier)
        rows.append(row(name, "receipt_silence", made, opened=returned(name, made), expect=closed(refunded=paid)))
    return rows


def _cancelled() -> list[Json]:
    """X23 to X25: before the scan, after it, and while the scan is not reported yet. Facts decide."""
    rows = []
    waits = {"hold": True}
    races = {"visits": [{"after_ms": 600, "outcome": "picked_up", "reported_after_ms": 3500}]}
    for name, path, script, acts, expect in (
        ("changed-mind", "withdrawn_before_scan", waits, [withdraws("booked")], closed("withdrawn")),
        (
            "changed-mind-later",
            "withdrawn_before_scan",
            waits,
            [withdraws("booked", delay_ms=1500)],
            closed("withdrawn"),
        ),
        (
            "too-late",
            "withdraw_refused_after_scan",
            None,
            [withdraws("transit", "already_picked_up"), confirm(1500)],
            closed(refunded=7700),
        ),
        (
            "far-too-late",
            "withdraw_refused_after_scan",
            None,
            [withdraws("transit", "already_picked_up"), confirm(1500)],
            closed(refunded=7700),
        ),
        ("race-lost", "withdraw_races_scan", races, [withdraws("scan"), confirm()], closed(refunded=7700)),
        (
            "race-lost-too",
            "withdraw_races_scan",
            races,
            [withdraws("scan", delay_ms=300), confirm()],
            closed(refunded=7700),
        ),
    ):
        made = order(name, "quick-shoes", line("shoe", 7700), tier=2)
        rows.append(row(name, path, made, opened=returned(name, made), courier=script, actors=acts, expect=expect))
    return rows


def _unknown() -> list[Json]:
    """X18: the refund happened, the answer did not come. It is looked up under its key and never sent under another."""
    rows = []
    for name, tier, paid in (("echo", 1, 19_900), ("echo-lightning", 3, 24_900)):
        made = order(name, "north-coats", line("coat", paid), tier=tier)
        held = {"match": "POST /v1/refunds", "key_contains": ":{rma}:", "kind": "timeout_after", "times": 1, "ms": 9000}
        rows.append(
            row(
                name,
                "refund_answer_unknown",
                made,
                opened=returned(name, made),
                actors=[confirm()],
                expect=closed(refunded=paid),
                faults={"psp": [held]},
            )
        )
    return rows


def _refused() -> list[Json]:
    """Declined by the rules: the window is over, or the goods were sold in a currency that the book does not know."""
    rows = []
    for name, signed in (("nine-days", "now-9d"), ("three-weeks", "now-21d")):
        made = order(name, "north-coats", line("coat", 30_000), tier=5, signed=signed)
        rows.append(row(name, "ineligible", made, opened=returned(name, made), expect=closed("declined")))
    made = order(
        "yen",
        "sakura-import",
        line("kimono", 12_800, currency="JPY"),
        line("fan", 980, currency="JPY"),
        tier=3,
        cover="",
    )
    rows.append(row("yen", "foreign_currency", made, opened=returned("yen", made), expect=closed("declined")))
    return rows


def _parked() -> list[Json]:
    """On purpose: an account that takes no money and a consumer who names no other, so that it is kept for them; and
    findings that only a human can rule on."""
    rows = []
    for name, tier in (("dead-card", 1), ("dead-card-lightning", 3)):
        made = order(name, "quick-shoes", line("shoe", 26_000), tier=tier)
        rows.append(
            row(
                name,
                "account_void_unclaimed",
                made,
                opened=returned(name, made),
                actors=[confirm()],
                accounts=[made["consumer"]["consumer_ref"]],
                expect=closed("unclaimed"),
            )
        )
    rule = {
        "as": "approver",
        "send": "ruling",
        "body": {"decides": "liability", "outcome": "consumer", "reason": "the photos show it"},
    }
    for name in ("not-my-scratch", "not-my-stain"):
        made = order(name, "north-coats", line("coat", 56_000), tier=3)
        rows.append(
            row(
                name,
                "parked_disputed_finding",
                made,
                opened=returned(name, made),
                courier=door("coat", "damage", severity=50, consumer="disputes"),
                expect=parked("ruling_needed", [rule], refunded=28_000),  # what nobody disputes leaves at once
            )
        )
    return rows
