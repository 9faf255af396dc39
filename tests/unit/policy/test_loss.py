"""Loss and indemnity: rule 4.3."""

from __future__ import annotations

from typing import Any

import pytest

from backhaul.facts import CoverFacts, Finding, LineFinding
from backhaul.money import Money
from backhaul.policy.indemnity import IndemnityResult, indemnity, payout_authority
from backhaul.policy.losses import LineLoss, case_losses, line_loss, lost_losses, total_loss
from tests.unit.policy.build import BOOK, book_with, cover, facts, finding, line, yuan


@pytest.mark.parametrize(
    ("findings", "loss"),
    [
        ([finding()], "360.00"),
        ([finding(severity=10)], "120.00"),
        ([finding(severity=100)], "1200.00"),
        ([finding(Finding.MISSING)], "1200.00"),
        ([finding(Finding.MISMATCH)], "1200.00"),
        ([finding(Finding.MISMATCH, salvage=yuan("200.00"))], "1000.00"),
        ([finding(Finding.COUNTERFEIT, salvage=yuan("1300.00"))], "0.00"),
        ([finding(Finding.MISSING, salvage=yuan("200.00"))], "1200.00"),
        ([finding(salvage=yuan("200.00"))], "360.00"),
        ([finding(severity=30), finding(severity=50)], "960.00"),
        ([finding(severity=80), finding(severity=50)], "1200.00"),
        ([finding(Finding.MISSING, quantity=7)], "1200.00"),
        ([finding(quantity=7)], "360.00"),
        ([finding(Finding.MISSING, quantity=0)], "0.00"),
        ([finding(Finding.OK)], "0.00"),
        ([finding(line_id="other")], "0.00"),
        ([], "0.00"),
    ],
)
def test_loss_of_a_line(findings: list[LineFinding], loss: str) -> None:
    assert line_loss(line(), findings, BOOK).loss == yuan(loss)


@pytest.mark.parametrize("severity", [None, 0, 31, -30])
def test_damage_without_a_known_severity_counts_nothing_and_says_so(severity: int | None) -> None:
    one = line_loss(line(), [finding(severity=severity)], BOOK)
    assert (one.loss, one.severity_unknown) == (yuan("0.00"), True)


def test_unverifiable_counts_nothing_and_says_so() -> None:
    one = line_loss(line(), [finding(Finding.UNVERIFIABLE)], BOOK)
    assert (one.loss, one.unverifiable) == (yuan("0.00"), True)


@pytest.mark.parametrize(
    ("units", "severity", "loss"), [(1, 100, "33.33"), (2, 100, "66.67"), (1, 30, "10.00"), (2, 50, "33.33")]
)
def test_the_loss_rounds_down_once(units: int, severity: int, loss: str) -> None:
    # Units 2 and 3 of a line of 100.00: worth 66.67 together, so that all of them lost is all of the refund.
    of = line(paid=yuan("100.00"), ordered=3, quantity=2, already_returned=1)
    assert line_loss(of, [finding(quantity=units, severity=severity)], BOOK).loss == yuan(loss)


def test_lost_is_everything_less_salvage() -> None:
    case = facts(lines=(line(), line(line_id="l2", paid=yuan("33.33"))))
    assert total_loss(lost_losses(case), "CNY") == yuan("1233.33")
    assert total_loss(lost_losses(case, {"l1": yuan("200.00"), "l2": yuan("99.00")}), "CNY") == yuan("1000.00")


def claim(
    *findings: LineFinding,
    rdv: CoverFacts | None = None,
    rfi: bool = True,
    section: dict[str, Any] | None = None,
    **over: Any,
) -> IndemnityResult:
    case = facts(**over)
    book = book_with("rdv", **(section or {}))
    losses = case_losses(case, findings or (finding(),), book)
    return indemnity(case, losses, rdv or cover(), rfi, book)


def test_the_coat() -> None:
    result = claim()
    assert (result.loss, result.indemnity) == (yuan("360.00"), yuan("360.00"))
    assert (result.verdict.outcome, result.verdict.reasons) == ("paid", ("loss_covered",))


def test_it_needs_both_covers() -> None:
    case = facts()
    losses = case_losses(case, [finding()], BOOK)
    assert claim(rfi=False).verdict.reasons == ("rfi_not_in_force",)
    none = indemnity(case, losses, None, False, BOOK)
    assert (none.verdict.outcome, none.verdict.reasons) == ("denied", ("rdv_not_in_force", "rfi_not_in_force"))
    assert not none.indemnity


@pytest.mark.parametrize(
    ("paid", "ordered", "free_at_boundary", "bought", "covered"),
    [
        ("2999.99", 1, False, False, True),
        ("3000.00", 1, False, False, False),
        ("3000.00", 1, True, False, True),
        ("3000.01", 1, True, False, False),
        ("3000.00", 1, False, True, True),
        # the tier looks at the unit price: three units of 2999.99 and a bit are still free
        ("8999.99", 3, False, False, True),
        ("9000.00", 3, False, False, False),
    ],
)
def test_the_tier_looks_at_the_unit_price(
    paid: str, ordered: int, free_at_boundary: bool, bought: bool, covered: bool
) -> None:
    result = claim(
        lines=(line(paid=yuan(paid), ordered=ordered),),
        rdv=cover(upper_tier=bought, remaining=yuan("9000.00")),
        section={"free_at_boundary": free_at_boundary},
    )
    assert bool(result.indemnity) is covered
    assert ("upper_tier_not_bought" in result.verdict.reasons) is not covered


def test_a_line_without_cover_takes_nothing_from_the_others() -> None:
    lines = (line(), line(line_id="l2", paid=yuan("3000.00")))
    result = claim(finding(), finding(line_id="l2"), lines=lines)
    assert (result.loss, result.covered_loss, result.indemnity) == (yuan("1260.00"), yuan("360.00"), yuan("360.00"))
    assert (result.verdict.outcome, result.verdict.reasons) == ("partly", ("loss_covered", "upper_tier_not_bought"))


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        ("600.00", None, "180.00"),
        ("1200.00", None, "360.00"),
        ("9000.00", None, "360.00"),
        ("0.00", None, "0.00"),
        ("600.00", "2400.00", "90.00"),
        ("1000.00", "1200.00", "300.00"),
    ],
)
def test_under_declared_goods_are_paid_by_share(declared: str, value: str | None, expected: str) -> None:
    rdv = cover(declared=yuan(declared), insured_value=None if value is None else yuan(value))
    assert claim(rdv=rdv).indemnity == yuan(expected)


def test_a_line_s_own_declaration_goes_first_and_rounds_down_last() -> None:
    rdv = cover(declared=yuan("1.00"))
    result = claim(lines=(line(paid=yuan("99.99"), declared=yuan("33.33")),), rdv=rdv, payments=())
    # loss floor(29.997) = 29.99, then floor(29.99 x 33.33 / 99.99) = 9.99
    assert (result.loss, result.indemnity) == (yuan("29.99"), yuan("9.99"))
    assert "under_declared" in result.verdict.reasons


@pytest.mark.parametrize(
    ("remaining", "deductible", "expected", "codes"),
    [
        ("360.00", "0.00", "360.00", ("loss_covered",)),
        ("359.99", "0.00", "359.99", ("loss_covered", "limit_reached")),
        ("0.00", "0.00", "0.00", ("limit_reached", "nothing_left_to_pay")),
        ("3000.00", "60.00", "300.00", ("loss_covered", "deductible_applied")),
        # the deductible comes off after the limit
        ("100.00", "60.00", "40.00", ("loss_covered", "limit_reached", "deductible_applied")),
        ("3000.00", "400.00", "0.00", ("deductible_applied", "nothing_left_to_pay")),
    ],
)
def test_limit_then_deductible(remaining: str, deductible: str, expected: str, codes: tuple[str, ...]) -> None:
    result = claim(rdv=cover(remaining=yuan(remaining)), section={"deductible": yuan(deductible)})
    assert result.indemnity == yuan(expected)
    assert result.verdict.reasons == codes


def test_unverifiable_is_denied_with_a_code_and_no_loss_is_none() -> None:
    denied = claim(finding(Finding.UNVERIFIABLE))
    assert (denied.verdict.outcome, denied.verdict.reasons) == ("denied", ("unverifiable",))
    unknown = claim(finding(severity=31))
    assert (unknown.verdict.outcome, unknown.verdict.reasons) == ("denied", ("severity_unknown",))
    nothing = claim(finding(Finding.OK))
    assert (nothing.verdict.outcome, nothing.verdict.reasons) == ("none", ("no_loss",))


def test_losses_of_foreign_lines_are_a_bug() -> None:
    stray = LineLoss(line_id="zz", value=yuan("1.00"), loss=yuan("1.00"))
    with pytest.raises(KeyError):
        indemnity(facts(), [stray], cover(), True, BOOK)


@pytest.mark.parametrize(
    ("amount", "before", "outcome"),
    [
        ("3000.00", "0.00", "auto"),
        ("3000.01", "0.00", "second_person"),
        ("1500.00", "1500.00", "auto"),
        ("1500.00", "1500.01", "second_person"),
    ],
)
def test_above_the_limit_a_second_person_approves(amount: str, before: str, outcome: str) -> None:
    assert payout_authority(facts(), yuan(amount), yuan(before), BOOK).outcome == outcome


def test_currencies_never_mix() -> None:
    with pytest.raises(ValueError, match="against"):
        line_loss(line(), [finding(Finding.MISMATCH, salvage=Money(minor=1, currency="USD"))], BOOK)
