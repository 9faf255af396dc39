"""The door against the receipt, item by item: when did the goods change, and whose time was that? Rule 4.5.

What a human sees before a ruling. By the rules a case has one liability for all its lines (backhaul.policy.liability);
here each line stands for itself, and a ruling may follow it line by line.
"""

from __future__ import annotations

from collections.abc import Sequence

from backhaul.disputes import Interval, ItemCompared, Seen
from backhaul.facts import CaseFacts, Finding, Inspection, InspectionResult, Liable, LineFinding, Method, Verdict
from backhaul.ids import CaseId
from backhaul.markdown import table
from backhaul.policy.book import PolicyBook
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import verdict

DECISION = "comparison"

_INTERVALS: dict[Code, tuple[Interval, Liable]] = {
    Code.NOTHING_FOUND: (Interval.UNCHANGED, Liable.NOBODY),
    Code.FOUND_AT_DOOR: (Interval.BEFORE_PICKUP, Liable.CONSUMER),
    Code.ARRIVED_DAMAGED: (Interval.BEFORE_PICKUP, Liable.MERCHANT),
    Code.FOUND_AT_RECEIPT: (Interval.IN_TRANSIT, Liable.CARRIER),
    Code.LOST_AFTER_SCAN: (Interval.IN_TRANSIT, Liable.CARRIER),
    Code.FOUND_LATE: (Interval.AFTER_RECEIPT, Liable.MERCHANT),
    Code.NOT_INSPECTED: (Interval.UNKNOWN, Liable.INSURER),
    Code.FINDINGS_DIFFER: (Interval.UNKNOWN, Liable.UNDETERMINED),
    Code.CLEAN_AFTER_FINDING: (Interval.UNKNOWN, Liable.UNDETERMINED),
    Code.LOST_AFTER_FINDING: (Interval.UNKNOWN, Liable.UNDETERMINED),
    Code.LOST_AND_RECEIVED: (Interval.UNKNOWN, Liable.UNDETERMINED),
}
"""What each state of a line says of when it changed, and who is liable for that time."""


def compare(
    facts: CaseFacts,
    door: Inspection | None,
    receipt: Inspection | None,
    lost: bool,
    late: bool,
    book: PolicyBook,
) -> tuple[ItemCompared, ...]:
    """Every line of the case, in the order of the facts.

    `receipt` None: the merchant has not looked, or accepted without a word. `late`: their finding came past its window
    (X10), when the goods had lain with them: it does not show that the way back did it."""
    return tuple(_item(facts, line.line_id, door, receipt, lost, late, book) for line in facts.lines)


def comparison(facts: CaseFacts, items: Sequence[ItemCompared], book: PolicyBook) -> Verdict:
    """The same as a decision that explains itself: one reason a kind of line, what was seen of each."""
    numbers: dict[str, str] = {}
    for item in items:
        numbers[f"{item.line_id}.door"] = told(item.door)
        numbers[f"{item.line_id}.receipt"] = told(item.receipt)
        numbers[f"{item.line_id}.interval"] = item.interval.value
        numbers[f"{item.line_id}.liable"] = item.liable.value
    intervals = {item.interval for item in items} - {Interval.UNCHANGED}
    outcome = intervals.pop() if len(intervals) == 1 else (Interval.UNKNOWN if intervals else Interval.UNCHANGED)
    codes = [Code(item.code) for item in items]
    return verdict(DECISION, outcome.value, codes, [f"4.5.item.{code.value}" for code in codes], facts, book, **numbers)


def told(seen: tuple[Seen, ...] | None) -> str:
    """What was seen, in words."""
    if seen is None:
        return "not looked at"
    return ", ".join(str(one) for one in seen) or "in order"


def compared(items: Sequence[ItemCompared]) -> str:
    """The comparison as a markdown table."""
    rows = [
        (item.line_id, told(item.door), told(item.receipt), item.interval.value.replace("_", " "), item.liable.value)
        for item in items
    ]
    return table(("line", "at the door", "at the receipt", "changed", "points to"), rows)


def suggested(items: Sequence[ItemCompared], case: CaseId, appealed: str | None = None) -> str | None:
    """The ruling that the goods point to line by line, as a command; on an appeal against the ruling `appealed`. None
    where a line points to nobody that can be ruled liable, or where all of them point to one party."""
    liable: dict[Liable, list[str]] = {}
    for item in items:
        if item.liable is not Liable.NOBODY:
            seen = item.door if item.interval is Interval.BEFORE_PICKUP else item.receipt
            liable.setdefault(item.liable, []).extend(_option(item.line_id, one) for one in seen or ())
    if len(liable) < 2 or Liable.UNDETERMINED in liable or not all(liable.values()):
        return None
    (first, findings), *others = liable.items()
    words = [f"backhaul rule {case.key}", f"--outcome {first.value}", *(f"--finding {one}" for one in findings)]
    words += [f"--share {party.value}={one}" for party, each in others for one in each]
    words += [] if appealed is None else [f"--overrules {appealed}"]
    return " ".join([*words, '--reason "..."'])


def _option(line_id: str, seen: Seen) -> str:
    """What was seen on a line, as `backhaul rule` takes it: `1:damage:1:30`."""
    severity = "" if seen.severity is None else f":{seen.severity}"
    return f"{line_id}:{seen.finding.value}:{seen.units}{severity}"


def _item(
    facts: CaseFacts,
    line_id: str,
    door: Inspection | None,
    receipt: Inspection | None,
    lost: bool,
    late: bool,
    book: PolicyBook,
) -> ItemCompared:
    at_door, at_receipt = _seen(door, line_id), _seen(receipt, line_id)
    code = _code(facts, at_door, at_receipt, lost, late, book)
    interval, liable = _INTERVALS[code]
    return ItemCompared(
        line_id=line_id, door=at_door, receipt=at_receipt, interval=interval, liable=liable, code=code.value
    )


def _code(
    facts: CaseFacts,
    door: tuple[Seen, ...] | None,
    receipt: tuple[Seen, ...] | None,
    lost: bool,
    late: bool,
    book: PolicyBook,
) -> Code:
    if lost:
        if door:
            return Code.LOST_AFTER_FINDING
        return Code.LOST_AND_RECEIVED if receipt is not None else Code.LOST_AFTER_SCAN
    if door:
        if receipt is not None and receipt != door:
            return Code.FINDINGS_DIFFER if receipt else Code.CLEAN_AFTER_FINDING
        outbound = facts.outbound_damage and book.liability.outbound_evidence_counts
        return Code.ARRIVED_DAMAGED if outbound else Code.FOUND_AT_DOOR
    if not receipt:
        return Code.NOTHING_FOUND
    if door is None or facts.method is Method.SELF_SHIP:
        return Code.NOT_INSPECTED
    return Code.FOUND_LATE if late else Code.FOUND_AT_RECEIPT


def _seen(inspection: Inspection | None, line_id: str) -> tuple[Seen, ...] | None:
    """What was wrong with a line: the same findings are one, in a fixed order. None: nobody looked."""
    if inspection is None:
        return None
    units: dict[tuple[Finding, int | None], int] = {}
    for one in inspection.findings:
        if one.line_id == line_id and one.finding is not Finding.OK:
            units[one.finding, one.severity] = units.get((one.finding, one.severity), 0) + _units(one)
    if not units and inspection.result not in (InspectionResult.OK, InspectionResult.FINDING):
        return None
    found = sorted(units.items(), key=lambda each: (each[0][0].value, each[0][1] or 0))
    return tuple(Seen(finding=finding, units=count, severity=severity) for (finding, severity), count in found)


def _units(one: LineFinding) -> int:
    return max(1, one.quantity)
