"""Who is liable for what was found, or for what never arrived? Rule 4.5."""

from __future__ import annotations

from collections import Counter

from backhaul.facts import CaseFacts, Finding, Inspection, InspectionResult, Liable, Method, Verdict
from backhaul.policy.book import PolicyBook
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import verdict


def liability(
    facts: CaseFacts, doorstep: Inspection | None, receipt: Inspection | None, lost: bool, book: PolicyBook
) -> Verdict:
    """The outcome is a value of Liable; `undetermined` means that a human rules.

    `receipt` is None until the merchant reports on the goods, and where they accept without a word: silence
    is no clean finding. `lost` is after the scan. Outbound evidence counts only against a doorstep finding."""
    who, code = _judge(facts, doorstep, receipt, lost, book)
    return verdict(
        "liability",
        who.value,
        [code],
        [_RULES[code]],
        facts,
        book,
        doorstep=None if doorstep is None else doorstep.result.value,
        receipt=None if receipt is None else receipt.result.value,
        lost=lost,
        outbound_damage=facts.outbound_damage,
        self_ship=facts.method is Method.SELF_SHIP,
    )


_RULES = {
    Code.NOTHING_FOUND: "4.5.nothing",
    Code.FOUND_AT_DOOR: "4.5.doorstep",
    Code.ARRIVED_DAMAGED: "4.5.outbound",
    Code.FOUND_AT_RECEIPT: "4.5.receipt",
    Code.LOST_AFTER_SCAN: "4.5.lost",
    Code.NOT_INSPECTED: "4.5.not_inspected",
    Code.FINDINGS_DIFFER: "4.5.contradiction",
    Code.CLEAN_AFTER_FINDING: "4.5.contradiction",
    Code.LOST_AFTER_FINDING: "4.5.contradiction",
    Code.LOST_AND_RECEIVED: "4.5.contradiction",
}


def _judge(
    facts: CaseFacts, doorstep: Inspection | None, receipt: Inspection | None, lost: bool, book: PolicyBook
) -> tuple[Liable, Code]:
    at_door = doorstep is not None and has_finding(doorstep)
    seen = receipt is not None and receipt.result in (InspectionResult.OK, InspectionResult.FINDING)
    if lost:
        if at_door:
            return Liable.UNDETERMINED, Code.LOST_AFTER_FINDING
        if seen:
            return Liable.UNDETERMINED, Code.LOST_AND_RECEIVED
        return Liable.CARRIER, Code.LOST_AFTER_SCAN
    if doorstep is not None and at_door:
        if receipt is not None and seen:
            if not has_finding(receipt):
                return Liable.UNDETERMINED, Code.CLEAN_AFTER_FINDING
            if found(doorstep) != found(receipt):
                return Liable.UNDETERMINED, Code.FINDINGS_DIFFER
        if facts.outbound_damage and book.liability.outbound_evidence_counts:
            return Liable.MERCHANT, Code.ARRIVED_DAMAGED
        return Liable.CONSUMER, Code.FOUND_AT_DOOR
    if receipt is None or not has_finding(receipt):
        return Liable.NOBODY, Code.NOTHING_FOUND
    passed = doorstep is not None and doorstep.result is InspectionResult.OK
    if passed and facts.method is Method.PICKUP:
        return Liable.CARRIER, Code.FOUND_AT_RECEIPT
    return Liable.INSURER, Code.NOT_INSPECTED


def has_finding(inspection: Inspection) -> bool:
    """Did the inspection find anything? A finding on a line counts even under another result."""
    return inspection.result is InspectionResult.FINDING or bool(found(inspection))


def found(inspection: Inspection) -> Counter[tuple[str, Finding, int | None]]:
    """Units by line, finding and severity: two inspections agree when these are the same, in any order."""
    units: Counter[tuple[str, Finding, int | None]] = Counter()
    for one in inspection.findings:
        if one.finding is not Finding.OK:
            units[one.line_id, one.finding, one.severity] += max(1, one.quantity)
    return units
