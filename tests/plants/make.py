"""The faults that are planted, in words, and how their patch files are made from the code as it is.

`python -m tests.plants.make` writes all, `python -m tests.plants.make NAME...` some.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from tests.plants.patches import FOLDER, Rotten, diff

ROOT = Path(__file__).parents[2]


class Plant(NamedTuple):
    """A fault: what is replaced by what, and the code with which the invariant's line must find it."""

    finds: str
    file: str
    changes: tuple[tuple[str, str], ...]

    @property
    def says(self) -> str:
        """What is wrong."""
        return f"{self.file}: {self.finds}"


PLANTS: dict[str, Plant] = {
    # A line is written with another amount than the entry has.
    "inv01_unbalanced": Plant(
        "unbalanced",
        "store/ledger.py",
        (
            (
                '"minor": line.amount.minor,\n        "currency"',
                '"minor": line.amount.minor + position,\n        "currency"',
            ),
        ),
    ),
    # What follows from a success is not posted with it.
    "inv02_success_without_entry": Plant(
        "effect_without_entry",
        "store/effects.py",
        (("await post(session, [] if entries is None else entries(row), at)", "await post(session, [], at)"),),
    ),
    # A line is refunded above what was paid for it.
    "inv03_refund_above_paid": Plant(
        "over_refund", "store/refunds.py", (("            after <= col(OrderLineRow.paid_minor),\n", ""),)
    ),
    # A claim takes nothing of what the cover has left.
    "inv04_limit_not_taken": Plant(
        "limit_differs",
        "store/claims.py",
        ((".values(remaining_minor=left)", ".values(remaining_minor=col(CoverageRow.remaining_minor))"),),
    ),
    # The merchant is not charged a loss that they are indemnified for.
    "inv05_uncharged_and_indemnified": Plant(
        "over_relief",
        "backhaul/policy/consequences.py",
        (
            ("if liable is Liable.CONSUMER and not indemnity:", "if liable is Liable.CONSUMER:"),
            ("if result.relieved + result.indemnify > result.loss:", "if result.indemnify > result.loss:"),
        ),
    ),
    # More is collected than there is to recover.
    "inv06_recovered_twice": Plant(
        "over_recovery",
        "store/recoveries.py",
        (
            ('    _check(row, after + row.written_off_minor, "collected")\n', ""),
            ("    if claim is not None and claim.approved_minor and others", "    if claim is None and others"),
        ),
    ),
    # A reservation is kept and the line is not taken.
    "inv07_credit_not_taken": Plant(
        "credit_miscounted",
        "store/credit.py",
        (('        {"used_minor": after},\n', '        {"used_minor": col(ConsumerRow.used_minor)},\n'),),
    ),
    # A denial releases half of the reserve.
    "inv08_denied_and_reserved": Plant(
        "reserve_differs",
        "backhaul/ledger/loss.py",
        (("    amount = abs(change.minor)\n", "    amount = abs(change.minor) // 2\n"),),
    ),
    # A case closes over a refund that has not left.
    "inv09_closed_unpaid": Plant(
        "refund_owed",
        "activities/steps/ending.py",
        (("    if payable := sum(_net(entry, P.REFUND_PAYABLE) for entry in entries):", "    if payable := 0:"),),
    ),
    # Every case of a waybill gets all of its freight.
    "inv10_whole_freight_each": Plant(
        "shares_differ",
        "store/pickups.py",
        (("member.share_minor = share.minor if share else None", "member.share_minor = freight.minor"),),
    ),
    # The insurer's funding is posted in the insurer's book only.
    "inv11_one_book_only": Plant(
        "books_differ",
        "backhaul/ledger/loss.py",
        (
            (
                (
                    "        debit(P.BANK, amount),\n        credit(P.INSURER_RECEIVABLE, amount, claim_ref),\n    ]\n"
                    '    return entry("J32"'
                ),
                '    ]\n    return entry("J32"',
            ),
        ),
    ),
    # A batch counts a leg that it does not take.
    "inv12_leg_left_out": Plant(
        "batch_differs",
        "store/settlement.py",
        (
            (
                "    for leg in legs:\n        leg.batch = row.batch",
                "    for leg in legs[1:]:\n        leg.batch = row.batch",
            ),
        ),
    ),
    # One person is enough.
    "inv13_same_person": Plant(
        "same_person",
        "store/authority.py",
        (("    if row.prepared_by == approved_by:", "    if not approved_by:"),),
    ),
    # A new number needs no proof.
    "inv14_new_key_on_unknown": Plant(
        "key_after_unknown",
        "store/effects.py",
        (
            (
                "        if intent.numbered:\n            await _need_last_ended(session, intent)\n",
                "",
            ),
        ),
    ),
    # A second person's word is as good as the provider's.
    "inv14_new_key_on_given_up": Plant(
        "key_after_unknown", "store/effects.py", ((" and row.code != GIVEN_UP\n    got_a_part", "\n    got_a_part"),)
    ),
    # Who goes stays on the visit.
    "inv15_visit_left_open": Plant(
        "left_open",
        "activities/steps/ending.py",
        (("        await pickups.leave(work.session, member.pickup_id, work.key)\n", "        del member\n"),),
    ),
    # Amounts follow the book of the request.
    "inv16_book_of_the_day": Plant(
        "other_book",
        "activities/steps/desk.py",
        (
            (
                "return otherwise if cover is None else self.library.get(cover.book)",
                "return otherwise if cover is None else otherwise",
            ),
        ),
    ),
    # Commission that is reversed is rounded up.
    "inv17_rounded_up": Plant(
        "commission_drifts",
        "backhaul/policy/refunds.py",
        (
            (
                "line.paid.minor) - before\n    return max(",
                "line.paid.minor) - before + Money(minor=1)\n    return max(",
            ),
        ),
    ),
}


def patch_of(name: str) -> str:
    """The patch of a plant against the code as it is. Raises Rotten where its lines are not there, once."""
    plant = PLANTS[name]
    before = after = (ROOT / plant.file).read_text()
    for old, new in plant.changes:
        if after.count(old) != 1:
            raise Rotten(f"{name}: {old!r} is {after.count(old)} times in {plant.file}")
        after = after.replace(old, new)
    return diff(plant.file, before, after)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or sorted(PLANTS):
        (FOLDER / f"{wanted}.patch").write_text(patch_of(wanted))
        print(wanted)
