"""The freight of a waybill: computed once, shared among the cases whose goods went along. Domain 4.2."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from activities.contract import FreightClaim, RecordPickup
from activities.steps.desk import Desk, Work, id_of
from activities.steps.facts import collected_facts
from activities.steps.opening import STEP as JUDGED
from backhaul.facts import CaseFacts, CoverKind, Frozen
from backhaul.ids import claim_ref, parse_case_key, parse_item_ref, payment_key
from backhaul.ledger import courier_paid, freight_above_cap, self_ship_borne_by_merchant
from backhaul.money import Money
from backhaul.policy.freight import FreightBenefit, Share, chargeable_g, freight_amount, freight_benefit, share_out
from store import cases, claims, pickups, waybills
from store.tables import ClaimRow, PickupRow

FREIGHT = "freight"


class Freight(Frozen):
    """What the way back of one case costs and who bears it. All but the claim is posted."""

    share: Money
    claim: FreightClaim | None = None
    consumer_owes: Money
    reimburse: Money


async def pickup_freight(desk: Desk, work: Work, argument: RecordPickup, pickup_id: str, facts: CaseFacts) -> Freight:
    """Mark the case's goods collected; share the freight with the first case of the waybill; post J14 and J15."""
    waybill = argument.report.waybill
    pickup, share = await _share(desk, work, argument, pickup_id, facts)
    book = desk.book_of_cover(facts, CoverKind.RFI, work.book)
    benefit = freight_benefit(facts, share.share, share.remaining, book)
    work.verdicts.append(benefit.verdict)
    work.post(
        freight_above_cap(work.case, benefit.above, bearer=benefit.bearer, courier=pickup.courier, waybill=waybill),
        courier_paid(work.case, benefit.above, courier=pickup.courier, waybill=waybill),
    )
    claim = await _claim(work, facts, benefit, f"courier:{pickup.courier}", waybill)
    return _freight(benefit, claim)


async def self_ship_freight(desk: Desk, work: Work, argument: RecordPickup, facts: CaseFacts) -> Freight:
    """The self-shipper's benefit by the book: paid by the insurer (J13), the rest by the merchant's reason (J16),
    in all no more than the tariff says for the parcel."""
    parcel = argument.self_ship
    proven = parcel.proven_freight if parcel is not None else None
    waybill = parcel.waybill if parcel is not None else argument.report.waybill
    book = desk.book_of_cover(facts, CoverKind.RFI, work.book)
    cover = facts.cover(CoverKind.RFI)
    freed = Money(minor=await _rebind(work, work.key, waybill), currency=book.currency)
    row = await cases.need(work.session, work.key)
    tariff = freight_amount(chargeable_g(facts.lines, book), row.request.get("zone"), book)
    benefit = freight_benefit(facts, proven, None if cover is None else cover.remaining + freed, book, tariff)
    work.verdicts.append(benefit.verdict)
    work.post(self_ship_borne_by_merchant(work.case, benefit.merchant_reimburses, waybill=waybill))
    claim = await _claim(work, facts, benefit, f"consumer:{work.case.consumer_ref}", waybill)
    return _freight(benefit, claim)


async def late_freight(desk: Desk, work: Work, waybill: str, scanned_at: datetime) -> None:
    """A scan after the case had ended: the visit was made, so that the courier is paid (J14, J15). No cover pays for a
    way back of nothing; the reason says who bears it. Nothing, where another case has the waybill's freight."""
    parcel = await waybills.get(work.session, waybill)
    facts = await cases.facts_of(work.session, work.key, JUDGED, CaseFacts)
    if parcel is None or parcel.pickup_id is None or facts is None:
        return
    pickup = await pickups.need(work.session, parcel.pickup_id)
    if pickup.freight_minor is not None:
        return
    book = desk.book_of_cover(facts, CoverKind.RFI, work.book)
    grams = chargeable_g(facts.lines, book)
    total = freight_amount(grams, pickup.zone, book)
    benefit = freight_benefit(facts, total, Money.zero(book.currency), book)
    work.verdicts.append(benefit.verdict)
    await pickups.scan(work.session, pickup.pickup_id, scanned_at, {work.key: grams})
    await pickups.set_freight(work.session, pickup.pickup_id, total, {work.key: total})
    work.post(
        freight_above_cap(work.case, benefit.above, bearer=benefit.bearer, courier=pickup.courier, waybill=waybill),
        courier_paid(work.case, benefit.above, courier=pickup.courier, waybill=waybill),
    )


def _freight(benefit: FreightBenefit, claim: FreightClaim | None) -> Freight:
    return Freight(
        share=benefit.freight,
        claim=claim,
        consumer_owes=benefit.consumer_owes,
        reimburse=benefit.merchant_reimburses,
    )


async def _claim(
    work: Work, facts: CaseFacts, benefit: FreightBenefit, payee: str, waybill: str
) -> FreightClaim | None:
    cover = facts.cover(CoverKind.RFI)
    if cover is None or not benefit.insured:
        return None
    return FreightClaim(
        claim_ref=await _plan(work, work.key, cover.coverage_id, benefit.insured, payee, waybill),
        coverage_id=cover.coverage_id,
        amount=benefit.insured,
        payee=payee,
        waybill=waybill,
        payment_key=payment_key(id_of(work.case), f"freight.{cover.coverage_id}"),
    )


async def _plan(work: Work, case_key: str, coverage_id: str, amount: Money, payee: str, waybill: str) -> str:
    """Take the amount of the cover for a case's freight on this waybill; the claim's name."""
    rows = await _freight_claims(work, case_key)
    ref = next((row.claim_ref for row in rows if row.waybill == waybill), None)
    ref = ref or claim_ref(parse_case_key(case_key), FREIGHT, len(rows) + 1)
    await claims.plan(work.session, ref, FREIGHT, coverage_id, case_key, amount, payee, waybill=waybill, at=work.at)
    return ref


async def _rebind(work: Work, case_key: str, waybill: str) -> int:
    """Claims that were planned for another waybill, on which the goods did not go, are free again: minor units."""
    freed = 0
    for row in await _freight_claims(work, case_key):
        if row.waybill != waybill and row.state == "planned":
            await claims.deny(work.session, row.claim_ref, "rebound", work.at)
            freed += claims.reserve_of(row)
    return freed


async def _freight_claims(work: Work, case_key: str) -> tuple[ClaimRow, ...]:
    return tuple(row for row in await claims.of_case(work.session, case_key) if row.kind == FREIGHT)


async def _share(
    desk: Desk, work: Work, argument: RecordPickup, pickup_id: str, facts: CaseFacts
) -> tuple[PickupRow, Share]:
    """This case's share. The first case of the waybill computes and keeps all of them, and plans every claim."""
    book = desk.book_of_cover(facts, CoverKind.RFI, work.book)
    on_board = {**await _on_board(work, argument, pickup_id), work.key: facts}
    told = bool(argument.report.taken)
    grams = {key: chargeable_g(one.lines, book) for key, one in on_board.items() if told or key == work.key}
    await pickups.scan(work.session, pickup_id, argument.report.occurred_at, grams)
    pickup = await pickups.need(work.session, pickup_id)
    if pickup.freight_minor is None:
        await _share_out(desk, work, argument, facts, pickup, on_board)
    kept = await cases.recorded(work.session, work.key, _step(pickup), Share)
    nothing = Money.zero(book.currency)
    return pickup, kept or Share(share=nothing, remaining=nothing)


def _step(pickup: PickupRow) -> str:
    return f"freight_share:{pickup.pickup_id}"


async def _on_board(work: Work, argument: RecordPickup, pickup_id: str) -> dict[str, CaseFacts]:
    """Facts of the goods that went under the waybill, by case: those that the courier names. Where its report is lost,
    those of every case that had not left."""
    taken: dict[str, list[str]] = {}
    for ref in argument.report.taken:
        case, line = parse_item_ref(ref)
        taken.setdefault(case.key, []).append(line)
    found = {}
    for member in await pickups.members(work.session, pickup_id):
        key = member.case_key
        if key not in taken and (taken or member.state == "left"):
            continue
        judged = await cases.facts_of(work.session, key, JUDGED, CaseFacts)
        if judged is not None:
            found[key] = collected_facts(judged, tuple(taken.get(key, ())), self_ship=False)
    return found


async def _share_out(
    desk: Desk,
    work: Work,
    argument: RecordPickup,
    facts: CaseFacts,
    pickup: PickupRow,
    on_board: Mapping[str, CaseFacts],
) -> None:
    """Freight of everything that went along, shared by chargeable weight; then each uses the cover, by rma_id."""
    book = desk.book_of_cover(facts, CoverKind.RFI, work.book)
    cover = facts.cover(CoverKind.RFI)
    left = Money.zero(book.currency)
    if cover is not None:
        freed = [await _rebind(work, key, argument.report.waybill) for key in on_board]
        left = cover.remaining + Money(minor=sum(freed), currency=book.currency)
    keys = {parse_case_key(key).rma_id: key for key in on_board}
    total, shares = share_out({rma: on_board[key].lines for rma, key in keys.items()}, pickup.zone, left, book)
    for rma_id, part in shares.items():
        key = keys[rma_id]
        await cases.record(work.session, key, _step(pickup), argument.report, part, work.at)
        insured = part.share.at_most(part.remaining)
        if cover is not None and insured:
            await _plan(work, key, cover.coverage_id, insured, f"courier:{pickup.courier}", argument.report.waybill)
    await pickups.set_freight(
        work.session, pickup.pickup_id, total, {keys[rma]: part.share for rma, part in shares.items()}
    )
