"""What the way back costs, and who pays it. Rule 4.2; amounts follow the book at binding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from backhaul.facts import CaseFacts, CoverKind, Frozen, LineFacts, Method, Verdict
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import verdict


class FreightBenefit(Frozen):
    """One case's freight, who pays which part of it, and why.

    Exactly one of the last three is above zero when the reason's bearer owes something that must be posted."""

    freight: Money = Field(description="the case's share of the invoice; self-ship: what is proven, at most the tariff")
    insured: Money = Field(description="paid by the insurer: to the courier (J12), or self-ship to the consumer (J13)")
    above: Money = Field(description="the rest")
    bearer: Literal["merchant", "consumer"] = Field(description="who bears the rest, by the reason")
    merchant_owes: Money = Field(description="pickup, merchant's reason: J14 on P2000")
    consumer_owes: Money = Field(description="pickup, consumer's reason: J14 on P1110, taken by J56")
    merchant_reimburses: Money = Field(description="self-ship, merchant's reason: J16, then J21")
    verdict: Verdict


def chargeable_g(lines: Iterable[LineFacts], book: PolicyBook) -> int:
    """Chargeable weight of a parcel: max(sum of actual, sum of volume / divisor), in grams rounded up."""
    actual = volume = 0
    for line in lines:
        actual += line.weight_g * line.quantity
        volume += line.volume_cm3 * line.quantity
    return max(actual, -(-volume * 1000 // book.freight.volume_cm3_per_kg))


def freight_amount(chargeable: int, zone: str | None, book: PolicyBook) -> Money:
    """First weight, then every step begun. A zone without a row has the default one."""
    if chargeable < 0:
        raise ValueError(f"{chargeable} g is not a weight")
    rules = book.freight
    row = rules.zones.get(zone or rules.default_zone, rules.zones[rules.default_zone])
    steps = -(-max(0, chargeable - rules.first_g) // rules.step_g)
    return row.first + row.additional * steps


def share_freight(total: Money, cases: Sequence[tuple[str, int]]) -> dict[str, Money]:
    """Share one waybill's freight among its cases (rma_id, chargeable grams): largest remainder, ties by rma_id.

    The result is in order of rma_id, the order in which the cases use their cover."""
    ordered = sorted(cases)
    names = [rma_id for rma_id, _ in ordered]
    if len(set(names)) != len(names):
        raise ValueError("a case is on the waybill twice")
    return dict(zip(names, total.split([weight for _, weight in ordered]), strict=True))


class Share(Frozen):
    """A case's part of a shared waybill. `remaining`: what the RFI had left when the case's turn came."""

    share: Money
    remaining: Money


def share_out(
    on_board: Mapping[str, Sequence[LineFacts]], zone: str | None, left: Money, book: PolicyBook
) -> tuple[Money, dict[str, Share]]:
    """The freight of everything that went along (rma_id to its lines), and each case's share of it, in order of
    rma_id; each uses what the cover has `left` in its turn."""
    total = freight_amount(chargeable_g([line for lines in on_board.values() for line in lines], book), zone, book)
    shares = share_freight(total, [(rma, chargeable_g(lines, book)) for rma, lines in on_board.items()])
    out = {}
    for rma_id, share in shares.items():
        out[rma_id] = Share(share=share, remaining=left)
        left = left - share.at_most(left)
    return total, out


def freight_benefit(
    facts: CaseFacts,
    share: Money | None,
    cover_remaining: Money | None,
    book: PolicyBook,
    tariff: Money | None = None,
) -> FreightBenefit:
    """Split a case's freight into insured and borne.

    `share` is the case's part of the invoice at the scan; with self-ship the proven freight, None until it is
    proven. `cover_remaining` is what the RFI has left now, after the cases before this one on the waybill; None
    takes it from the facts. Without RFI nothing is insured. `tariff`: what a pickup of the same parcel would cost; a
    self-shipper who paid more bears the rest, so that self-shipping never earns."""
    zero = Money.zero(book.currency)
    cover = facts.cover(CoverKind.RFI)
    self_ship = facts.method is Method.SELF_SHIP
    freight = zero if share is None else share
    if freight.minor < 0:
        raise ValueError(f"{freight} is not a freight")
    own = zero if tariff is None or not self_ship else max(zero, freight - tariff)
    freight = freight - own
    insured = zero
    if cover is not None:
        left = cover.remaining if cover_remaining is None else cover_remaining
        most = freight.at_most(book.freight.self_ship_flat) if self_ship else freight
        insured = max(zero, most.at_most(left))
    above = freight - insured
    merchants = book.is_merchants(facts.reason)
    codes = _codes(share is None, cover is not None, insured, above, merchants)
    codes += [Code.FREIGHT_ABOVE_TARIFF] if own else []
    rules = ["4.2.self_ship" if self_ship else "4.2.door_pickup", "4.2.cap", "4.2.bearer"]
    why = verdict(
        "freight_benefit",
        "covered" if insured and not above else "partly" if insured else "not_covered",
        codes,
        rules,
        facts,
        book,
        freight=None if share is None else freight,
        insured=insured,
        above=above,
        remaining=None if cover is None else left,
        flat=book.freight.self_ship_flat if self_ship else None,
        above_tariff=own or None,
        bearer="merchant" if merchants else "consumer",
    )
    return FreightBenefit(
        freight=freight,
        insured=insured,
        above=above,
        bearer="merchant" if merchants else "consumer",
        merchant_owes=above if merchants and not self_ship else zero,
        consumer_owes=above if not merchants and not self_ship else zero,
        merchant_reimburses=above if merchants and self_ship else zero,
        verdict=why,
    )


def _codes(unproven: bool, covered: bool, insured: Money, above: Money, merchants: bool) -> list[Code]:
    if unproven:
        return [Code.FREIGHT_NOT_PROVEN]
    codes = [] if covered else [Code.FREIGHT_NOT_COVERED]
    if insured or (covered and not above):
        codes.append(Code.FREIGHT_COVERED)
    if covered and above:
        codes.append(Code.FREIGHT_ABOVE_CAP)
    if above:
        codes.append(Code.MERCHANT_BEARS_FREIGHT if merchants else Code.CONSUMER_BEARS_FREIGHT)
    return codes
