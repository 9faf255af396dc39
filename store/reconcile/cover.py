"""Invariants 4, 6, 8, 10 and 17: covers, claims and their reserves, recoveries, freight and how amounts are split."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlmodel import col, select

from backhaul.ids import parse_case_key
from backhaul.money import Money
from backhaul.policy.freight import share_freight
from store.reconcile.look import Books, Finding, amount
from store.reconcile.returns import by_case
from store.tables import ClaimRow, CoverageRow, EntryLineRow, OrderLineRow, PickupMemberRow, PickupRow, RecoveryRow


async def indemnities_within_loss(books: Books) -> AsyncIterator[Finding]:
    """4: indemnity per loss <= loss and <= what the cover had left; no loss is paid under two coverages."""
    claims = """
        SELECT claim_ref, currency, reserved_minor + reserve_change_minor, approved_minor, paid_minor FROM claims
        WHERE claim_ref > :after AND claim_ref <= :upto
            AND (approved_minor > reserved_minor + reserve_change_minor OR paid_minor > approved_minor)"""
    async for ref, currency, reserved, approved, paid in books.found(ClaimRow.claim_ref, claims):
        said = f"{amount(approved, currency)} approved, {amount(paid, currency)} paid"
        yield Finding(4, "over_reserve", ref, f"<= {amount(reserved, currency)}", said)
    covers = """
        SELECT v.coverage_id, v.currency, v.sum_insured_minor, v.remaining_minor,
            coalesce((SELECT sum(CASE WHEN c.state IN ('planned', 'reserved')
                THEN c.reserved_minor + c.reserve_change_minor
                ELSE c.approved_minor - c.overturned_minor END) FROM claims c
                WHERE c.coverage_id = v.coverage_id AND c.state NOT IN ('denied', 'closed')), 0) AS used
        FROM coverages v WHERE v.coverage_id > :after AND v.coverage_id <= :upto"""
    async for cover, currency, insured, remaining, used in books.found(CoverageRow.coverage_id, covers):
        if insured - remaining != int(used) or not 0 <= remaining <= insured:
            wanted, said = amount(insured - int(used), currency), amount(remaining, currency)
            yield Finding(4, "limit_differs", cover, wanted, said, remaining - insured + int(used), currency)
    twice = """
        SELECT c.case_key, count(DISTINCT c.coverage_id) FROM claims c
        WHERE c.case_key > :after AND c.case_key <= :upto AND c.kind = 'loss' AND c.state <> 'denied'
        GROUP BY c.case_key HAVING count(DISTINCT c.coverage_id) > 1"""
    async for key, count in books.found(ClaimRow.case_key, twice):
        yield Finding(4, "two_coverages", key, "one coverage for the loss", f"{count}")
    async for case, sums, fixed in by_case(books):
        if case.closed_at is None and fixed is None:
            continue
        loss = 0 if fixed is None else fixed["result"]["loss"]["minor"]
        if sums["indemnified"] > loss:
            wanted, said = f"<= {amount(loss, case.currency)}", amount(sums["indemnified"], case.currency)
            yield Finding(4, "over_loss", case.case_key, wanted, said, sums["indemnified"] - loss, case.currency)


async def recoveries_within_indemnity(books: Books) -> AsyncIterator[Finding]:
    """6: recovered of a claim, less what was given back (J45), <= indemnity + expense (none); remitted <= recovered."""
    rows = """
        SELECT r.claim_ref, r.currency, sum(r.amount_minor), sum(r.accepted_minor),
            sum(r.collected_minor + r.in_hand_minor), sum(r.remitted_minor),
            coalesce(max(c.approved_minor), sum(r.amount_minor)) AS indemnity
        FROM recoveries r LEFT JOIN claims c ON c.claim_ref = r.claim_ref
        WHERE r.claim_ref > :after AND r.claim_ref <= :upto GROUP BY r.claim_ref, r.currency"""
    async for ref, currency, *sums in books.found(RecoveryRow.claim_ref, rows):
        *sides, indemnity = map(int, sums)
        most = max(sides)
        if most > indemnity:
            said = amount(most, currency)
            yield Finding(
                6, "over_recovery", ref, f"<= {amount(indemnity, currency)}", said, most - indemnity, currency
            )
    journal = """
        SELECT e.claim_ref, l.currency,
            sum(CASE WHEN l.account = 'P2040' AND e.template <> 'J42' THEN -({net}) ELSE 0 END) AS recovered,
            sum(CASE WHEN l.account = 'P2040' AND e.template = 'J42' THEN {net} ELSE 0 END) AS remitted,
            sum(CASE WHEN l.account = 'I5100' AND e.template = 'J45' THEN {net} ELSE 0 END) AS returned,
            sum(CASE WHEN l.account = 'P2000' AND e.template = 'J31' THEN -({net}) ELSE 0 END) AS indemnity
        FROM journal_entries e JOIN journal_lines l ON l.sequence = e.sequence
        WHERE e.claim_ref > :after AND e.claim_ref <= :upto AND l.account IN ('P2040', 'P2000', 'I5100')
        GROUP BY e.claim_ref, l.currency"""
    async for ref, currency, recovered, remitted, returned, indemnity in books.found(ClaimRow.claim_ref, journal):
        kept = recovered - returned
        if kept > indemnity:
            wanted, said = f"<= {amount(indemnity, currency)}", f"{amount(kept, currency)} in the journal"
            yield Finding(6, "over_recovery", ref, wanted, said, int(kept - indemnity), currency)
        if remitted > recovered:
            wanted, said = f"<= {amount(recovered, currency)}", f"{amount(remitted, currency)} remitted"
            yield Finding(6, "over_remitted", ref, wanted, said, int(remitted - recovered), currency)


async def reserves_open(books: Books) -> AsyncIterator[Finding]:
    """8: I2200 of a claim is never negative and equals its open reserve; nothing is paid without one (I2210 too)."""
    rows = """
        SELECT c.claim_ref, c.currency, CASE WHEN c.state = 'reserved'
                THEN c.reserved_minor + c.reserve_change_minor ELSE 0 END AS wanted,
            coalesce((SELECT -sum({net}) FROM journal_lines l WHERE l.party = c.claim_ref AND l.account = 'I2200'), 0),
            coalesce((SELECT -sum({net}) FROM journal_lines l WHERE l.party = c.claim_ref AND l.account = 'I2210'), 0)
        FROM claims c WHERE c.claim_ref > :after AND c.claim_ref <= :upto"""
    async for ref, currency, wanted, reserve, payable in books.found(ClaimRow.claim_ref, rows):
        if int(reserve) != wanted:
            said = amount(reserve, currency)
            yield Finding(8, "reserve_differs", ref, amount(wanted, currency), said, int(reserve) - wanted, currency)
        if payable < 0:
            yield Finding(
                8, "paid_unapproved", ref, f">= {amount(0, currency)}", amount(payable, currency), -int(payable)
            )
    stray = """
        SELECT DISTINCT l.party, l.account FROM journal_lines l WHERE l.party > :after AND l.party <= :upto
            AND l.account IN ('I2200', 'I2210') AND NOT EXISTS (SELECT 1 FROM claims c WHERE c.claim_ref = l.party)"""
    async for party, account in books.found(EntryLineRow.party, stray):
        yield Finding(8, "reserve_of_nobody", party, "a claim", f"only lines on {account}")


async def freight_shared(books: Books) -> AsyncIterator[Finding]:
    """10: one freight per waybill, its shares sum to it, and the journal pays no more than that."""
    rows = """
        SELECT p.pickup_id, p.waybill, p.currency, p.freight_minor,
            (SELECT coalesce(sum(m.share_minor), 0) FROM pickup_members m WHERE m.pickup_id = p.pickup_id) AS shares,
            (SELECT count(*) FROM pickups o WHERE o.waybill = p.waybill AND o.freight_minor IS NOT NULL) AS freights,
            (SELECT coalesce(-sum({net}), 0) FROM journal_entries e JOIN journal_lines l ON l.sequence = e.sequence
                WHERE e.waybill = p.waybill AND (e.template = 'J12' AND l.account = 'I1000'
                    OR e.template = 'J15' AND l.account = 'P1010' AND e.external_key = p.waybill)) AS paid
        FROM pickups p WHERE p.pickup_id > :after AND p.pickup_id <= :upto AND p.freight_minor IS NOT NULL"""
    async for pickup, waybill, currency, freight, shares, freights, paid in books.found(PickupRow.pickup_id, rows):
        whole = amount(freight, currency)
        if int(shares) != freight:
            yield Finding(10, "shares_differ", pickup, whole, amount(shares, currency), int(shares) - freight, currency)
        if freights > 1:
            yield Finding(10, "two_freights", waybill, "one freight", f"{freights}")
        if paid > freight:
            yield Finding(
                10, "freight_overpaid", waybill, f"<= {whole}", amount(paid, currency), int(paid) - freight, currency
            )


async def splits_round_down(books: Books) -> AsyncIterator[Finding]:
    """17: shares of a freight by largest remainder; commission reversed by cumulative floor, so that nothing drifts."""
    async for window in books.windows(PickupRow.pickup_id):
        inside = select(PickupMemberRow, PickupRow).where(
            col(PickupMemberRow.pickup_id) == col(PickupRow.pickup_id),
            col(PickupRow.pickup_id) > window["after"],
            col(PickupRow.pickup_id) <= window["upto"],
            col(PickupRow.freight_minor).is_not(None),
            col(PickupMemberRow.share_minor).is_not(None),
        )
        shared: dict[str, tuple[PickupRow, list[PickupMemberRow]]] = {}
        for member, pickup in await books.session.exec(inside):
            shared.setdefault(pickup.pickup_id, (pickup, []))[1].append(member)
        for pickup, members in shared.values():
            for finding in _shares(pickup, members):
                yield finding
    commission = """
        SELECT o.order_id, o.line_id, o.currency, o.paid_minor, o.commission_bps, o.refunded_minor,
            o.commission_reversed_minor FROM order_lines o WHERE o.order_id > :after AND o.order_id <= :upto"""
    async for order, line, currency, paid, bps, refunded, reversed_minor in books.found(
        OrderLineRow.order_id, commission
    ):
        due = paid * bps // 10_000 * refunded // paid if paid else 0
        if reversed_minor != due:
            said = amount(reversed_minor, currency)
            yield Finding(
                17, "commission_drifts", f"{order}/{line}", amount(due, currency), said, reversed_minor - due, currency
            )


def _shares(pickup: PickupRow, members: list[PickupMemberRow]) -> list[Finding]:
    if pickup.freight_minor is None or pickup.currency is None or any(one.chargeable_g is None for one in members):
        return []
    currency = pickup.currency
    weights = [(parse_case_key(one.case_key).rma_id, one.chargeable_g or 0) for one in members]
    due = share_freight(Money(minor=pickup.freight_minor, currency=currency), weights)
    return [
        Finding(
            17,
            "share_differs",
            f"{pickup.pickup_id} {one.case_key}",
            str(due[parse_case_key(one.case_key).rma_id]),
            amount(one.share_minor, currency),
            (one.share_minor or 0) - due[parse_case_key(one.case_key).rma_id].minor,
            currency,
        )
        for one in members
        if one.share_minor != due[parse_case_key(one.case_key).rma_id].minor
    ]
