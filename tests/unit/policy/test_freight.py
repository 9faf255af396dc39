"""Freight and its cover: rule 4.2."""

from __future__ import annotations

import pytest

from backhaul.facts import CoverKind, Method, Reason
from backhaul.policy.freight import chargeable_g, freight_amount, freight_benefit, share_freight
from tests.unit.policy.build import BOOK, cover, facts, fen, line, yuan

RFI = cover(CoverKind.RFI, sum_insured=yuan("25.00"), remaining=yuan("25.00"))


@pytest.mark.parametrize(
    ("lines", "grams"),
    [
        ([line(weight_g=1500, volume_cm3=6000)], 1500),
        ([line(weight_g=900, volume_cm3=6000)], 1000),
        ([line(weight_g=900, volume_cm3=6001)], 1001),
        ([line(weight_g=400, volume_cm3=0, ordered=3, quantity=3)], 1200),
        # max of the sums, not sum of the maxima
        ([line(weight_g=2000, volume_cm3=0), line(line_id="l2", weight_g=0, volume_cm3=6000)], 2000),
        ([], 0),
    ],
)
def test_chargeable_weight(lines: list[object], grams: int) -> None:
    assert chargeable_g(lines, BOOK) == grams  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("grams", "amount"),
    [(0, "12.00"), (1, "12.00"), (1000, "12.00"), (1001, "14.00"), (2000, "14.00"), (2001, "16.00"), (10_000, "30.00")],
)
def test_first_weight_then_every_step_begun(grams: int, amount: str) -> None:
    assert freight_amount(grams, "default", BOOK) == yuan(amount)
    assert freight_amount(grams, "far-away", BOOK) == yuan(amount)
    assert freight_amount(grams, None, BOOK) == yuan(amount)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="weight"):
        freight_amount(-1, None, BOOK)


def test_one_freight_is_shared_by_weight_ties_by_rma_id() -> None:
    assert share_freight(yuan("14.00"), [("r2", 500), ("r1", 1500)]) == {"r1": yuan("10.50"), "r2": yuan("3.50")}
    shares = share_freight(fen(100), [("c", 1), ("a", 1), ("b", 1)])
    assert list(shares.items()) == [("a", fen(34)), ("b", fen(33)), ("c", fen(33))]


@pytest.mark.parametrize("cases", [[], [("a", 1), ("a", 2)], [("a", -1)]])
def test_shares_need_each_case_once(cases: list[tuple[str, int]]) -> None:
    with pytest.raises(ValueError, match=r"twice|weights"):
        share_freight(fen(100), cases)


@pytest.mark.parametrize(
    ("reason", "share", "remaining", "insured", "merchant", "consumer", "codes"),
    [
        (Reason.NO_REASON, "14.00", "25.00", "14.00", "0.00", "0.00", ("freight_covered",)),
        (Reason.NO_REASON, "25.00", "25.00", "25.00", "0.00", "0.00", ("freight_covered",)),
        (
            Reason.NO_REASON,
            "25.01",
            "25.00",
            "25.00",
            "0.00",
            "0.01",
            ("freight_covered", "freight_above_cap", "consumer_bears_freight"),
        ),
        (
            Reason.QUALITY,
            "30.00",
            "25.00",
            "25.00",
            "5.00",
            "0.00",
            ("freight_covered", "freight_above_cap", "merchant_bears_freight"),
        ),
        (Reason.QUALITY, "14.00", "0.00", "0.00", "14.00", "0.00", ("freight_above_cap", "merchant_bears_freight")),
    ],
)
def test_door_pickup(
    reason: Reason, share: str, remaining: str, insured: str, merchant: str, consumer: str, codes: tuple[str, ...]
) -> None:
    result = freight_benefit(facts(reason=reason), yuan(share), yuan(remaining), BOOK)
    assert (result.insured, result.merchant_owes, result.consumer_owes) == (
        yuan(insured),
        yuan(merchant),
        yuan(consumer),
    )
    assert not result.merchant_reimburses
    assert result.verdict.reasons == codes


def test_the_cover_s_own_remaining_is_the_default() -> None:
    case = facts(covers=(RFI.model_copy(update={"remaining": yuan("3.00")}),))
    assert freight_benefit(case, yuan("14.00"), None, BOOK).insured == yuan("3.00")


@pytest.mark.parametrize(("reason", "bearer"), [(Reason.NO_REASON, "consumer"), (Reason.WRONG_ITEM, "merchant")])
def test_without_cover_the_reason_decides(reason: Reason, bearer: str) -> None:
    result = freight_benefit(facts(reason=reason, covers=()), yuan("14.00"), yuan("25.00"), BOOK)
    assert not result.insured
    assert result.bearer == bearer
    assert result.merchant_owes + result.consumer_owes == yuan("14.00")
    assert result.verdict.reasons[0] == "freight_not_covered"


@pytest.mark.parametrize(
    ("reason", "proven", "covered", "insured", "reimbursed"),
    [
        (Reason.NO_REASON, "8.00", True, "8.00", "0.00"),
        (Reason.NO_REASON, "10.00", True, "10.00", "0.00"),
        (Reason.NO_REASON, "18.00", True, "10.00", "0.00"),
        (Reason.QUALITY, "18.00", True, "10.00", "8.00"),
        (Reason.QUALITY, "18.00", False, "0.00", "18.00"),
        (Reason.NO_REASON, "18.00", False, "0.00", "0.00"),
        (Reason.QUALITY, None, True, "0.00", "0.00"),
    ],
)
def test_self_ship_never_earns(
    reason: Reason, proven: str | None, covered: bool, insured: str, reimbursed: str
) -> None:
    case = facts(reason=reason, method=Method.SELF_SHIP, covers=(RFI,) if covered else ())
    result = freight_benefit(case, None if proven is None else yuan(proven), yuan("25.00"), BOOK)
    assert (result.insured, result.merchant_reimburses) == (yuan(insured), yuan(reimbursed))
    assert not result.merchant_owes
    assert not result.consumer_owes
    if proven is None:
        assert result.verdict.reasons == ("freight_not_proven",)


@pytest.mark.parametrize(
    ("reason", "proven", "tariff", "insured", "reimbursed", "own"),
    [
        (Reason.QUALITY, "14.00", "14.00", "10.00", "4.00", None),
        (Reason.QUALITY, "14.01", "14.00", "10.00", "4.00", 1),
        (Reason.QUALITY, "99.00", "14.00", "10.00", "4.00", 8_500),
        (Reason.NO_REASON, "99.00", "14.00", "10.00", "0.00", 8_500),
        (Reason.QUALITY, "9.00", "8.00", "8.00", "0.00", 100),
    ],
)
def test_a_self_shipper_gets_no_more_than_the_tariff(
    reason: Reason, proven: str, tariff: str, insured: str, reimbursed: str, own: int | None
) -> None:
    case = facts(reason=reason, method=Method.SELF_SHIP, covers=(RFI,))
    result = freight_benefit(case, yuan(proven), yuan("25.00"), BOOK, yuan(tariff))
    assert (result.insured, result.merchant_reimburses) == (yuan(insured), yuan(reimbursed))
    assert result.verdict.numbers["above_tariff"] == own
    assert ("freight_above_tariff" in result.verdict.reasons) == (own is not None)


def test_the_tariff_is_no_limit_of_an_invoice() -> None:
    assert freight_benefit(facts(), yuan("20.00"), yuan("25.00"), BOOK, yuan("14.00")).insured == yuan("20.00")


def test_a_negative_freight_is_refused() -> None:
    with pytest.raises(ValueError, match="freight"):
        freight_benefit(facts(), yuan("-1.00"), None, BOOK)
