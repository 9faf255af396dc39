"""Freight, indemnity and consequences: what must hold whatever the facts (invariants 4, 5, 10)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backhaul.facts import CaseFacts, CoverFacts, CoverKind, LiabilityShare, Liable
from backhaul.money import Money
from backhaul.policy.consequences import consequences, line_relief
from backhaul.policy.freight import freight_amount, freight_benefit, share_freight
from backhaul.policy.indemnity import indemnity
from backhaul.policy.losses import case_losses, lost_losses, total_loss
from backhaul.policy.refunds import refund_value
from backhaul.policy.settling import FIRST, fix, loss_of, ruled_liability
from tests.property.strategies import AMOUNTS, cases, covers, findings
from tests.unit.policy.build import BOOK, book_with, cover, fen


@given(
    total=AMOUNTS,
    weights=st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(0, 50_000), min_size=1, max_size=8),
    data=st.data(),
)
def test_freight_shares_sum_to_the_invoice_in_any_order(
    total: Money, weights: dict[str, int], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(list(weights.items())))
    shares = share_freight(total, shuffled)
    assert Money.sum(shares.values(), "CNY") == total
    assert shares == share_freight(total, list(weights.items()))
    assert list(shares) == sorted(weights)


@given(grams=st.integers(0, 200_000), more=st.integers(0, 50_000))
def test_freight_never_falls_with_weight(grams: int, more: int) -> None:
    assert freight_amount(grams, None, BOOK) <= freight_amount(grams + more, None, BOOK)


@given(case=cases(), share=st.none() | AMOUNTS, remaining=AMOUNTS, covered=st.booleans())
def test_every_fen_of_freight_has_one_payer(
    case: CaseFacts, share: Money | None, remaining: Money, covered: bool
) -> None:
    rfi = (cover(CoverKind.RFI, remaining=remaining),) if covered else ()
    result = freight_benefit(case.model_copy(update={"covers": rfi}), share, remaining, BOOK)
    freight = share or fen(0)
    assert result.insured + result.above == freight
    assert fen(0) <= result.insured <= remaining
    assert covered or not result.insured
    posted = result.merchant_owes + result.consumer_owes + result.merchant_reimburses
    self_ship_consumer = result.bearer == "consumer" and case.method.value == "self_ship"
    assert posted == (fen(0) if self_ship_consumer else result.above)


@given(
    case=cases(),
    rdv=st.none() | covers(),
    rfi=st.booleans(),
    lost=st.booleans(),
    deductible=st.integers(0, 5_000),
    data=st.data(),
)
def test_indemnity_is_at_most_loss_and_remaining(
    case: CaseFacts, rdv: CoverFacts | None, rfi: bool, lost: bool, deductible: int, data: st.DataObject
) -> None:
    book = book_with("rdv", deductible=fen(deductible))
    found = data.draw(findings([one.line_id for one in case.lines]))
    losses = lost_losses(case) if lost else case_losses(case, found, book)
    for one in losses:
        assert fen(0) <= one.loss <= one.value
    result = indemnity(case, losses, rdv, rfi, book)
    assert fen(0) <= result.indemnity <= result.covered_loss <= result.loss == total_loss(losses, "CNY")
    if rdv is None or not rfi:
        assert not result.indemnity
    else:
        assert result.indemnity <= rdv.remaining
    assert result.verdict.reasons


@given(
    case=cases(),
    liable=st.sampled_from(list(Liable)),
    already=st.booleans(),
    freight=AMOUNTS,
    share=st.integers(0, 100),
    data=st.data(),
)
def test_consequences_keep_conservation_and_remedy_exclusion(
    case: CaseFacts, liable: Liable, already: bool, freight: Money, share: int, data: st.DataObject
) -> None:
    losses = case_losses(case, data.draw(findings([one.line_id for one in case.lines])), BOOK)
    refund, loss = refund_value(case).total, total_loss(losses, "CNY")
    paid = loss.fraction(share, 100)
    result = consequences(case, refund, loss, paid, liable, already, freight, BOOK, losses)
    for amount in (
        result.merchant_charge,
        result.refund_now,
        result.withhold,
        result.consumer_receivable,
        result.uncharged,
        result.not_demanded,
        result.freight_withheld,
        result.pending,
        result.relieved,
    ):
        assert amount.minor >= 0
    # remedy exclusion, and nobody is paid for their own fault
    assert result.relieved + result.indemnify <= result.loss
    if liable in (Liable.MERCHANT, Liable.NOBODY, Liable.UNDETERMINED):
        assert not result.indemnify
    # the refund is charged to the merchant, left with the consumer, or waits
    assert result.merchant_charge + result.relieved + result.pending == refund
    if already:
        assert not result.refund_now
        assert result.uncharged == result.relieved
    else:
        assert result.refund_now + result.withhold + result.freight_withheld == result.merchant_charge
        assert result.freight_withheld <= freight
    # what the insurer pays comes back from the consumer, is left with them, or was somebody else's fault
    if liable is Liable.CONSUMER:
        taken_back = result.withhold + result.consumer_receivable
        left = result.not_demanded - (result.uncharged if result.uncharged < BOOK.recovery.waiver_below else fen(0))
        assert taken_back + left == result.indemnify
        assert not result.consumer_receivable or result.consumer_receivable >= BOOK.recovery.waiver_below
    else:
        assert not result.withhold
        assert not result.consumer_receivable
    # the charge can be posted line by line
    assert refund_value(case, line_relief(result, losses)).total == result.merchant_charge


@given(
    case=cases(),
    rdv=st.none() | covers(),
    parties=st.lists(st.sampled_from(FIRST), min_size=2, max_size=4, unique=True),
    agreed=st.integers(0, 100),
    granted=st.booleans(),
    data=st.data(),
)
def test_nobody_pays_for_the_part_of_another(
    case: CaseFacts, rdv: CoverFacts | None, parties: list[Liable], agreed: int, granted: bool, data: st.DataObject
) -> None:
    """Each for what the ruling names, whoever it names first; together not more than the loss."""
    given_ = data.draw(st.permutations(parties))
    lines = [one.line_id for one in case.lines]
    named = {party: tuple(data.draw(findings(lines).filter(bool))) for party in given_}
    shares = [LiabilityShare(liable=party, findings=named[party]) for party in given_]
    found = ruled_liability(given_[0], named[given_[0]], shares[1:])
    assert (found.liable, *(one.liable for one in found.shares)) == tuple(sorted(parties, key=FIRST.index))
    facts = case.model_copy(update={"covers": (cover(CoverKind.RFI), *((rdv,) if rdv else ()))})
    loss = loss_of(facts, found, BOOK)
    each = {one.liable: one.total for one in loss.parts}
    assert Money.sum(each.values(), "CNY") == loss.total
    assert Liable.MERCHANT not in each
    due = loss.payable.fraction(agreed, 100)
    paid = loss.apportion(due)
    assert Money.sum(paid.values(), "CNY") == due
    assert all(paid[party] <= each[party] for party in each)
    result, charge = fix(facts, found, loss, due, granted, fen(0), None, BOOK)
    assert (result.indemnify, charge.total) == (due, result.merchant_charge)
    assert result.relieved + result.indemnify <= loss.total
    of_consumer = result.withhold + result.consumer_receivable + result.relieved
    assert of_consumer <= each.get(Liable.CONSUMER, fen(0))
    assert result.from_carrier == paid.get(Liable.CARRIER, fen(0))
    assert result.consumer_receivable + result.withhold + result.from_carrier <= due
    assert result.merchant_charge + result.relieved == refund_value(facts).total


@given(case=cases(), share=st.integers(0, 100), freight=AMOUNTS, final=st.sampled_from(list(Liable)), data=st.data())
def test_a_ruling_only_ever_adds(
    case: CaseFacts, share: int, freight: Money, final: Liable, data: st.DataObject
) -> None:
    """What left while a human was asked is never more than what is due after the ruling."""
    losses = case_losses(case, data.draw(findings([one.line_id for one in case.lines])), BOOK)
    refund, loss = refund_value(case).total, total_loss(losses, "CNY")
    first = consequences(case, refund, loss, fen(0), Liable.UNDETERMINED, False, freight, BOOK, losses)
    paid = min(loss.fraction(share, 100), Money.sum((one.relief for one in losses), "CNY"))
    then = consequences(case, refund, loss, paid, final, False, freight, BOOK, losses)
    assert first.merchant_charge <= then.merchant_charge
    assert first.freight_withheld <= then.freight_withheld
    assert first.refund_now + first.freight_withheld <= then.refund_now + then.freight_withheld
