"""Findings at the door and at the receipt, and parcels that never arrive."""

from __future__ import annotations

from sandbox.samples.build import Json, answers, closed, confirm, door, line, moves, objects, order, returned, row


def rows() -> list[Json]:
    """All rows of this module."""
    return [*_damage(), *_other_findings(), *_without_cover(), *_on_arrival(), *_answers(), *_at_receipt(), *_lost()]


def _damage() -> list[Json]:
    """RDV pays the merchant the loss; the same is withheld from the consumer and goes to the insurer."""
    late = [{"match": "{merchant}.{rma}.", "decision": "pending", "after_ms": 1200}]
    cases = (
        # name, merchant, paid, percent, refunded, loss
        ("lamp-10", "oak-and-home", 25_000, 10, 22_500, 2500),
        ("shoe-10", "quick-shoes", 33_333, 10, 30_000, 3333),
        ("coat-30", "north-coats", 120_000, 30, 84_000, 36_000),
        ("globe-30", "paper-moon", 9999, 30, 7000, 2999),
        ("phone-50", "pearl-phones", 199_900, 50, 99_950, 99_950),
        ("table-50", "oak-and-home", 88_001, 50, 44_001, 44_000),
        ("boot-80", "quick-shoes", 50_000, 80, 10_000, 40_000),
        ("tablet-80", "pearl-phones", 299_999, 80, 60_000, 239_999),
        ("vase-100", "oak-and-home", 16_000, 100, 0, 16_000),
        ("frame-100", "paper-moon", 4500, 100, 0, 4500),
    )
    rows = []
    for name, merchant, paid, percent, refunded, loss in cases:
        made = order(name, merchant, line("item", paid), tier=3)
        rows.append(
            row(
                name,
                f"doorstep_damage_{percent}",
                made,
                opened=returned(name, made),
                expect=closed(
                    "refunded" if refunded else "not_refunded",
                    refunded=refunded,
                    withheld=loss,
                    indemnified=loss,
                    recovered=loss,
                ),
                actors=[confirm()],
                courier=door("item", "damage", severity=percent),
                insurer=late if name == "phone-50" else None,
            )
        )
    return rows


def _other_findings() -> list[Json]:
    """A mismatch is the line's whole value; missing units are worth their own."""
    cases = (
        # name, finding, units found, refunded, loss; three units at 90.00 and one other line at 45.00
        ("wrong-socks", "mismatch", 1, 10_500, 3000),
        ("all-wrong-socks", "mismatch", 3, 4500, 9000),
        ("sock-gone", "missing", 1, 10_500, 3000),
        ("socks-gone", "missing", 2, 7500, 6000),
    )
    rows = []
    for name, finding, units, refunded, loss in cases:
        made = order(name, "quick-shoes", line("socks", 9000, quantity=3, grams=100), line("belt", 4500), tier=2)
        rows.append(
            row(
                name,
                f"doorstep_{finding}",
                made,
                opened=returned(name, made),
                expect=closed(refunded=refunded, withheld=loss, indemnified=loss, recovered=loss),
                actors=[confirm()],
                courier=door("socks", finding, quantity=units),
            )
        )
    return rows


def _without_cover() -> list[Json]:
    """Without RDV the merchant is charged what is refunded: the price less the loss."""
    rows = []
    for name, paid, percent, refunded in (("bare-coat", 60_000, 30, 42_000), ("bare-case", 15_001, 50, 7501)):
        made = order(name, "north-coats", line("item", paid), tier=3, cover="RFI")
        rows.append(
            row(
                name,
                "doorstep_damage_without_rdv",
                made,
                opened=returned(name, made),
                actors=[confirm()],
                expect=closed(refunded=refunded),
                courier=door("item", "damage", severity=percent),
            )
        )
    return rows


def _on_arrival() -> list[Json]:
    """Outbound evidence shows that the goods came damaged: the merchant's own fault, a whole refund, no indemnity."""
    evidence = {"ref": "photo-1", "sha256": "5f" * 32, "by": "consumer", "shows_arrival_damage": True}
    rows = []
    for name, merchant, paid, percent in (("cracked", "pearl-phones", 79_900, 50), ("torn", "paper-moon", 2350, 10)):
        made = order(name, merchant, line("item", paid), tier=3)
        rows.append(
            row(
                name,
                "arrival_damage",
                made,
                opened=returned(name, made, reason="arrived_damaged", evidence=[evidence]),
                expect=closed(refunded=paid),
                actors=[confirm()],
                courier=door("item", "damage", severity=percent),
            )
        )
    return rows


def _answers() -> list[Json]:
    """X7, X8: said later, never said, or the goods taken back at the door."""
    rows = []
    for name, path, said, acts in (
        ("agreed-later", "finding_answered_later", "silent", [answers("accept"), confirm()]),
        ("agreed-slowly", "finding_answered_later", "silent", [answers("accept", 1500), confirm()]),
        ("said-nothing", "finding_not_answered", "silent", [confirm()]),
        ("still-silent", "finding_not_answered", "silent", [confirm()]),
        ("kept-the-coat", "finding_withdrawn", "withdraws", []),
        ("kept-after-all", "finding_withdrawn", "silent", [answers("withdraw")]),
    ):
        made = order(name, "north-coats", line("coat", 40_000), tier=3)
        kept = path == "finding_withdrawn"
        script = door("coat", "damage", severity=30, consumer=said)
        if kept:
            # The parcel must not be at the merchant's before the consumer has taken it back.
            script["tracking"] = [
                {"after_ms": 300, "status": "in_transit"},
                {"after_ms": 60_000, "status": "delivered"},
            ]
        expect = closed(refunded=28_000, withheld=12_000, indemnified=12_000, recovered=12_000)
        rows.append(
            row(
                name,
                path,
                made,
                opened=returned(name, made),
                courier=script,
                actors=acts,
                expect=closed("withdrawn") if kept else expect,
            )
        )
    return rows


def _at_receipt() -> list[Json]:
    """Clean at the door, bad at the receipt: the carrier is liable, the merchant is paid at once, the carrier pays.

    The objection must come within the book's few seconds: here the courier's webhooks come twice and are never lost."""
    told_twice = {"match": "webhook", "key_contains": "{merchant}/{rma}/", "kind": "duplicate_webhook"}
    rows = []
    for name, tier, merchant, paid, severity, loss in (
        ("dented-kettle", 4, "oak-and-home", 20_000, 30, 6000),
        ("wet-novel", 2, "paper-moon", 2800, 50, 1400),
        ("crushed-boot", 1, "quick-shoes", 89_900, 50, 44_950),
        ("scratched-phone", 0, "pearl-phones", 150_001, 10, 15_000),
    ):
        made = order(name, merchant, line("item", paid), tier=tier)
        rows.append(
            row(
                name,
                f"receipt_damage_after_{'lightning' if tier >= 2 else 'ordinary'}",
                made,
                opened=returned(name, made),
                actors=[objects("item", "damage", 1, severity)],
                expect=closed(refunded=paid, indemnified=loss, recovered=loss),
                faults={"courier": [told_twice]},
            )
        )
    return rows


def _lost() -> list[Json]:
    """X9: by the timer, or by the courier's own word. RDV pays the whole value, the carrier pays it back."""
    rows = []
    for name, tier, merchant, paid, by in (
        ("vanished", 3, "north-coats", 70_000, "timer"),
        ("vanished-quietly", 1, "quick-shoes", 12_345, "timer"),
        ("fell-off", 3, "paper-moon", 6600, "word"),
        ("burnt", 1, "pearl-phones", 230_000, "word"),
    ):
        made = order(name, merchant, line("item", paid), tier=tier)
        script = moves("in_transit") if by == "timer" else moves("in_transit", "lost")
        rows.append(
            row(
                name,
                f"lost_by_{by}",
                made,
                opened=returned(name, made),
                courier=script,
                expect=closed(refunded=paid, indemnified=paid, recovered=paid),
            )
        )
    return rows
