"""The door against the receipt, item by item: rule 4.5, per line."""

from __future__ import annotations

import pytest

from backhaul.disputes import Interval
from backhaul.facts import Finding, Inspection, InspectionResult, Method
from backhaul.ids import CaseId
from backhaul.markdown import row
from backhaul.policy.comparison import compare, compared, comparison, suggested
from backhaul.policy.liability import liability
from tests.unit.policy.build import BOOK, book_with, facts, finding, inspection, line

OK = inspection()
DAMAGE = inspection(finding())
WORSE = inspection(finding(severity=50))
WAIVED = inspection(result=InspectionResult.WAIVED)
IMPOSSIBLE = inspection(result=InspectionResult.IMPOSSIBLE)

CASES = [
    (OK, None, False, "unchanged", "nobody", "nothing_found"),
    (OK, OK, False, "unchanged", "nobody", "nothing_found"),
    (None, None, False, "unchanged", "nobody", "nothing_found"),
    (WAIVED, None, False, "unchanged", "nobody", "nothing_found"),
    (DAMAGE, None, False, "before_pickup", "consumer", "found_at_door"),
    (DAMAGE, DAMAGE, False, "before_pickup", "consumer", "found_at_door"),
    (DAMAGE, WAIVED, False, "before_pickup", "consumer", "found_at_door"),
    (OK, DAMAGE, False, "in_transit", "carrier", "found_at_receipt"),
    (OK, None, True, "in_transit", "carrier", "lost_after_scan"),
    (WAIVED, None, True, "in_transit", "carrier", "lost_after_scan"),
    (WAIVED, DAMAGE, False, "unknown", "insurer", "not_inspected"),
    (IMPOSSIBLE, DAMAGE, False, "unknown", "insurer", "not_inspected"),
    (None, DAMAGE, False, "unknown", "insurer", "not_inspected"),
    (DAMAGE, WORSE, False, "unknown", "undetermined", "findings_differ"),
    (DAMAGE, OK, False, "unknown", "undetermined", "clean_after_finding"),
    (DAMAGE, None, True, "unknown", "undetermined", "lost_after_finding"),
    (OK, DAMAGE, True, "unknown", "undetermined", "lost_and_received"),
    (OK, OK, True, "unknown", "undetermined", "lost_and_received"),
]


@pytest.mark.parametrize(("door", "receipt", "lost", "interval", "who", "code"), CASES)
def test_when_a_line_changed(
    door: Inspection | None, receipt: Inspection | None, lost: bool, interval: str, who: str, code: str
) -> None:
    """Of a single line, what the comparison points to is who is liable for the case."""
    (item,) = compare(facts(), door, receipt, lost, False, BOOK)
    assert (item.interval.value, item.liable.value, item.code) == (interval, who, code)
    assert liability(facts(), door, receipt, lost, BOOK).outcome == who


def test_a_late_finding_points_to_the_time_after_the_receipt() -> None:
    (item,) = compare(facts(), OK, DAMAGE, False, True, BOOK)
    assert (item.interval, item.liable.value, item.code) == (Interval.AFTER_RECEIPT, "merchant", "found_late")
    (same,) = compare(facts(), DAMAGE, DAMAGE, False, True, BOOK)
    assert same.interval is Interval.BEFORE_PICKUP


def test_outbound_evidence_moves_a_doorstep_finding_to_the_merchant() -> None:
    (item,) = compare(facts(outbound_damage=True), DAMAGE, None, False, False, BOOK)
    assert (item.interval.value, item.liable.value) == ("before_pickup", "merchant")
    deaf = book_with("liability", outbound_evidence_counts=False)
    (item,) = compare(facts(outbound_damage=True), DAMAGE, None, False, False, deaf)
    assert item.liable.value == "consumer"


def test_self_shipped_goods_have_no_door() -> None:
    (item,) = compare(facts(method=Method.SELF_SHIP), OK, DAMAGE, False, False, BOOK)
    assert (item.interval.value, item.liable.value) == ("unknown", "insurer")


def test_each_line_stands_for_itself() -> None:
    """One line was damaged before the pickup, one in transit, one not at all: the case as a whole is for a human."""
    ours = facts(lines=(line(line_id="L1"), line(line_id="L2"), line(line_id="L3")))
    first, second = finding(line_id="L1"), finding(line_id="L2", severity=50)
    door, receipt = inspection(first), inspection(second, first)
    items = compare(ours, door, receipt, False, False, BOOK)
    assert [(one.line_id, one.interval.value) for one in items] == [
        ("L1", "before_pickup"),
        ("L2", "in_transit"),
        ("L3", "unchanged"),
    ]
    assert liability(ours, door, receipt, False, BOOK).outcome == "undetermined"
    told = comparison(ours, items, BOOK)
    assert (told.decision, told.outcome) == ("comparison", "unknown")
    assert told.numbers["L2.door"] == "in order"
    assert told.numbers["L2.receipt"] == "damage 50 % x 1"
    assert told.numbers["L2.liable"] == "carrier"
    assert told.text.zh
    shown = compared(items).splitlines()
    assert row("L1", "damage 30 % x 1", "damage 30 % x 1", "before pickup", "consumer") in shown
    assert row("L3", "in order", "in order", "unchanged", "nobody") in shown


def test_what_the_lines_point_to_is_a_ruling_to_send() -> None:
    """Each party with its lines, as the command line takes it; nothing where a human has to weigh a line first."""
    ours, case = facts(lines=(line(line_id="L1"), line(line_id="L2"))), CaseId("m1", "r1")
    first, second = finding(line_id="L1"), finding(Finding.MISSING, line_id="L2", quantity=2)
    items = compare(ours, inspection(first), inspection(second, first), False, False, BOOK)
    rule = "backhaul rule m1/r1 --outcome consumer --finding L1:damage:1:30 --share carrier=L2:missing:2"
    assert suggested(items, case) == f'{rule} --reason "..."'
    assert suggested(items, case, "rul-1") == f'{rule} --overrules rul-1 --reason "..."'
    late = compare(ours, inspection(first), inspection(second, first), False, True, BOOK)
    assert "--share merchant=L2:missing:2" in str(suggested(late, case))
    differ = compare(ours, inspection(first), inspection(second), False, False, BOOK)
    same = compare(ours, OK, inspection(first, second), False, False, BOOK)
    gone = compare(ours, inspection(first), None, True, False, BOOK)
    assert [suggested(one, case) for one in (differ, same, gone, ())] == [None] * 4


def test_findings_agree_in_any_order_and_grouping() -> None:
    missing = finding(Finding.MISSING, quantity=2)
    one = finding(Finding.MISSING)
    (item,) = compare(facts(), inspection(finding(), missing), inspection(one, finding(), one), False, False, BOOK)
    assert item.interval is Interval.BEFORE_PICKUP


def test_one_interval_of_all_changed_lines_is_the_outcome() -> None:
    ours = facts(lines=(line(line_id="L1"), line(line_id="L2")))
    items = compare(ours, OK, inspection(finding(line_id="L2")), False, False, BOOK)
    assert comparison(ours, items, BOOK).outcome == "in_transit"
