"""Liability and what follows from it: rule 4.5 and the fixed readings."""

from __future__ import annotations

from typing import Any

import pytest

from backhaul.facts import Finding, Inspection, InspectionResult, Liable, Method
from backhaul.money import Money
from backhaul.policy.consequences import Consequences, RemedyExclusion, check_remedies, consequences, line_relief
from backhaul.policy.liability import liability
from backhaul.policy.losses import LineLoss, case_losses, total_loss
from backhaul.policy.refunds import refund_value
from tests.unit.policy.build import BOOK, book_with, facts, finding, inspection, line, yuan

OK = inspection()
DAMAGE = inspection(finding())
WORSE = inspection(finding(severity=50))
WAIVED = inspection(result=InspectionResult.WAIVED)
IMPOSSIBLE = inspection(result=InspectionResult.IMPOSSIBLE)


@pytest.mark.parametrize(
    ("doorstep", "receipt", "lost", "outbound", "who", "code"),
    [
        (OK, None, False, False, "nobody", "nothing_found"),
        (OK, OK, False, False, "nobody", "nothing_found"),
        (None, None, False, False, "nobody", "nothing_found"),
        (DAMAGE, None, False, False, "consumer", "found_at_door"),
        (DAMAGE, DAMAGE, False, False, "consumer", "found_at_door"),
        (DAMAGE, WAIVED, False, False, "consumer", "found_at_door"),
        (DAMAGE, None, False, True, "merchant", "arrived_damaged"),
        (DAMAGE, DAMAGE, False, True, "merchant", "arrived_damaged"),
        (DAMAGE, WORSE, False, False, "undetermined", "findings_differ"),
        (DAMAGE, WORSE, False, True, "undetermined", "findings_differ"),
        (DAMAGE, OK, False, False, "undetermined", "clean_after_finding"),
        (DAMAGE, None, True, False, "undetermined", "lost_after_finding"),
        (OK, DAMAGE, False, False, "carrier", "found_at_receipt"),
        # outbound evidence counts only against a doorstep finding
        (OK, DAMAGE, False, True, "carrier", "found_at_receipt"),
        (OK, None, True, False, "carrier", "lost_after_scan"),
        (WAIVED, None, True, True, "carrier", "lost_after_scan"),
        (None, None, True, False, "carrier", "lost_after_scan"),
        (OK, DAMAGE, True, False, "undetermined", "lost_and_received"),
        (OK, OK, True, False, "undetermined", "lost_and_received"),
        (WAIVED, DAMAGE, False, False, "insurer", "not_inspected"),
        (IMPOSSIBLE, DAMAGE, False, True, "insurer", "not_inspected"),
        (None, DAMAGE, False, False, "insurer", "not_inspected"),
        (WAIVED, OK, False, False, "nobody", "nothing_found"),
        (WAIVED, None, False, False, "nobody", "nothing_found"),
    ],
)
def test_who_is_liable(
    doorstep: Inspection | None, receipt: Inspection | None, lost: bool, outbound: bool, who: str, code: str
) -> None:
    verdict = liability(facts(outbound_damage=outbound), doorstep, receipt, lost, BOOK)
    assert (verdict.outcome, verdict.reasons) == (who, (code,))


@pytest.mark.parametrize(("lost", "receipt", "who"), [(False, DAMAGE, "insurer"), (True, None, "carrier")])
@pytest.mark.parametrize("doorstep", [None, IMPOSSIBLE, OK])
def test_self_ship(doorstep: Inspection | None, lost: bool, receipt: Inspection | None, who: str) -> None:
    assert liability(facts(method=Method.SELF_SHIP), doorstep, receipt, lost, BOOK).outcome == who


def test_findings_agree_in_any_order_and_grouping() -> None:
    missing = finding(Finding.MISSING, quantity=2)
    one = finding(Finding.MISSING)
    at_door = inspection(finding(), missing)
    assert liability(facts(), at_door, inspection(one, finding(), one), False, BOOK).outcome == "consumer"
    assert liability(facts(), at_door, inspection(finding(), one), False, BOOK).outcome == "undetermined"


def test_a_finding_counts_even_under_a_clean_result() -> None:
    odd = inspection(finding(), result=InspectionResult.OK)
    assert liability(facts(), odd, None, False, BOOK).outcome == "consumer"
    assert (
        liability(facts(), inspection(finding(Finding.OK), result=InspectionResult.OK), None, False, BOOK).outcome
        == "nobody"
    )


def test_a_book_may_disregard_outbound_evidence() -> None:
    book = book_with("liability", outbound_evidence_counts=False)
    assert liability(facts(outbound_damage=True), DAMAGE, None, False, book).outcome == "consumer"


R, L = "1200.00", "360.00"


def follow(
    liable: Liable,
    indemnity: str = "0.00",
    already: bool = False,
    freight: str = "0.00",
    loss: str = L,
    refund: str = R,
) -> dict[str, Any]:
    result = consequences(facts(), yuan(refund), yuan(loss), yuan(indemnity), liable, already, yuan(freight), BOOK)
    names = set(Consequences.model_fields) - {"liable", "refund", "loss"}
    shown = {name: getattr(result, name) for name in names}
    return {name: value.major() if isinstance(value, Money) else value for name, value in shown.items() if value}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # nothing found
        ({"liable": Liable.NOBODY}, {"merchant_charge": R, "refund_now": R}),
        ({"liable": Liable.NOBODY, "already": True}, {"merchant_charge": R}),
        # the consumer, without RDV
        ({"liable": Liable.CONSUMER}, {"merchant_charge": "840.00", "refund_now": "840.00"}),
        (
            {"liable": Liable.CONSUMER, "already": True},
            {"merchant_charge": "840.00", "uncharged": L, "recover_from": "consumer"},
        ),
        (
            {"liable": Liable.CONSUMER, "already": True, "loss": "4.99"},
            {"merchant_charge": "1195.01", "uncharged": "4.99", "not_demanded": "4.99"},
        ),
        (
            {"liable": Liable.CONSUMER, "already": True, "loss": "5.00"},
            {"merchant_charge": "1195.00", "uncharged": "5.00", "recover_from": "consumer"},
        ),
        # the consumer, with RDV
        (
            {"liable": Liable.CONSUMER, "indemnity": L},
            {"merchant_charge": R, "refund_now": "840.00", "indemnify": L, "withhold": L},
        ),
        (
            {"liable": Liable.CONSUMER, "indemnity": L, "already": True},
            {"merchant_charge": R, "indemnify": L, "consumer_receivable": L, "recover_from": "consumer"},
        ),
        # an indemnity below the loss: only that is withheld or claimed back
        (
            {"liable": Liable.CONSUMER, "indemnity": "100.00"},
            {"merchant_charge": R, "refund_now": "1100.00", "indemnify": "100.00", "withhold": "100.00"},
        ),
        (
            {"liable": Liable.CONSUMER, "indemnity": "4.99", "already": True},
            {"merchant_charge": R, "indemnify": "4.99", "not_demanded": "4.99"},
        ),
        (
            {"liable": Liable.CONSUMER, "indemnity": "5.00", "already": True},
            {"merchant_charge": R, "indemnify": "5.00", "consumer_receivable": "5.00", "recover_from": "consumer"},
        ),
        # withholding is no demand: it has no lower bound
        (
            {"liable": Liable.CONSUMER, "indemnity": "4.99", "loss": "4.99"},
            {"merchant_charge": R, "refund_now": "1195.01", "indemnify": "4.99", "withhold": "4.99"},
        ),
        # carrier, insurer, merchant
        (
            {"liable": Liable.CARRIER, "indemnity": L},
            {"merchant_charge": R, "refund_now": R, "indemnify": L, "recover_from": "carrier"},
        ),
        ({"liable": Liable.CARRIER}, {"merchant_charge": R, "refund_now": R}),
        (
            {"liable": Liable.CARRIER, "indemnity": R, "loss": R, "already": True},
            {"merchant_charge": R, "indemnify": R, "recover_from": "carrier"},
        ),
        (
            {"liable": Liable.INSURER, "indemnity": L},
            {"merchant_charge": R, "refund_now": R, "indemnify": L},
        ),
        ({"liable": Liable.MERCHANT, "indemnity": L}, {"merchant_charge": R, "refund_now": R}),
        # a human rules: the undisputed part leaves at once; after lightning nothing is charged yet
        (
            {"liable": Liable.UNDETERMINED, "indemnity": L},
            {"merchant_charge": "840.00", "refund_now": "840.00", "pending": L},
        ),
        ({"liable": Liable.UNDETERMINED, "indemnity": L, "already": True}, {"pending": R}),
        # freight comes off after J54, at most what is left, and never after lightning
        (
            {"liable": Liable.CONSUMER, "indemnity": L, "freight": "14.00"},
            {
                "merchant_charge": R,
                "refund_now": "826.00",
                "indemnify": L,
                "withhold": L,
                "freight_withheld": "14.00",
            },
        ),
        ({"liable": Liable.NOBODY, "already": True, "freight": "14.00"}, {"merchant_charge": R}),
        (
            {"liable": Liable.NOBODY, "freight": "14.00", "refund": "10.00"},
            {"merchant_charge": "10.00", "freight_withheld": "10.00"},
        ),
        # a loss above what is left of the refund
        ({"liable": Liable.CONSUMER, "refund": "100.00"}, {}),
    ],
)
def test_what_follows(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert follow(**given) == expected


def test_an_indemnity_above_the_loss_is_caught() -> None:
    with pytest.raises(RemedyExclusion):
        follow(Liable.CARRIER, indemnity="360.01")


@pytest.mark.parametrize(
    ("already", "planted"),
    [
        (False, {"merchant_charge": "840.00"}),
        (False, {"refund_now": "1200.00"}),
        (False, {"withhold": "360.01", "refund_now": "839.99"}),
        (False, {"uncharged": "0.01"}),
        (False, {"freight_withheld": "1.00"}),
        (True, {"merchant_charge": "840.00", "uncharged": "360.00"}),
        (True, {}),
    ],
)
def test_planted_breaches_of_conservation_are_caught(already: bool, planted: dict[str, str]) -> None:
    good = consequences(facts(), yuan(R), yuan(L), yuan(L), Liable.CONSUMER, False, yuan("0.00"), BOOK)
    bad = good.model_copy(update={name: yuan(value) for name, value in planted.items()})
    with pytest.raises(RemedyExclusion):
        check_remedies(bad, already)
    check_remedies(good, False)


@pytest.mark.parametrize("name", ["refund", "loss", "indemnity", "freight"])
def test_negative_amounts_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not negative"):
        follow(Liable.CARRIER, **{name: "-0.01"})  # type: ignore[arg-type]


def test_the_charge_is_less_by_each_line_s_loss() -> None:
    case = facts(lines=(line(), line(line_id="l2", paid=yuan("100.00"))))
    losses = [
        LineLoss(line_id="l1", value=yuan("1200.00"), loss=yuan("360.00")),
        LineLoss(line_id="l2", value=yuan("100.00"), loss=yuan("10.00")),
    ]
    result = consequences(
        case, yuan("1300.00"), yuan("370.00"), yuan("0.00"), Liable.CONSUMER, False, yuan("0.00"), BOOK
    )
    relief = line_relief(result, losses)
    assert relief == {"l1": yuan("360.00"), "l2": yuan("10.00")}
    charge = refund_value(case, relief)
    assert (charge.total, charge.commission) == (result.merchant_charge, yuan("46.50"))
    full = consequences(
        case, yuan("1300.00"), yuan("370.00"), yuan("370.00"), Liable.CARRIER, False, yuan("0.00"), BOOK
    )
    assert line_relief(full, losses) == {}


def test_a_line_s_loss_never_relieves_the_merchant_of_another_line() -> None:
    # Most of the first line was refunded before: its loss relieves the merchant of the 100.00 left of it, no more.
    case = facts(lines=(line(refunded_before=yuan("1100.00")), line(line_id="l2", paid=yuan("100.00"))))
    losses = case_losses(case, [finding(), finding(line_id="l2", severity=10)], BOOK)
    refund, loss = refund_value(case).total, total_loss(losses, "CNY")
    assert (refund, loss) == (yuan("200.00"), yuan("370.00"))
    zero = yuan("0.00")
    result = consequences(case, refund, loss, zero, Liable.CONSUMER, False, zero, BOOK, losses)
    assert result.merchant_charge == yuan("90.00")
    assert refund_value(case, line_relief(result, losses)).total == yuan("90.00")


def test_pending_after_lightning_is_all_of_every_line() -> None:
    case = facts(lines=(line(), line(line_id="l2", paid=yuan("100.00"))))
    losses = case_losses(case, [finding()], BOOK)
    zero = yuan("0.00")
    result = consequences(case, yuan("1300.00"), yuan("360.00"), zero, Liable.UNDETERMINED, True, zero, BOOK, losses)
    assert line_relief(result, losses) == {"l1": yuan("1200.00"), "l2": yuan("100.00")}
    assert refund_value(case, line_relief(result, losses)).total == zero
