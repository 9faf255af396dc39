"""Money without goods coming back: offers (4.7), the refund alone (X29), evidence first (X2), and reopened requests."""

from __future__ import annotations

from datetime import timedelta

import pytest

from activities.steps.opening import judge_facts
from backhaul.facts import CaseFacts, MerchantFacts, Reason, RemedyKind, Risk, digest
from backhaul.ledger import CaseRef
from backhaul.messages import OpenReturn
from backhaul.policy.eligibility import eligibility
from backhaul.policy.library import load_library
from backhaul.policy.refunds import partial_refund
from tests.unit.policy.build import BOOK, REQUESTED, SIGNED, consumer, facts, fen, line, yuan

OLD = load_library().by_version("2024-09")
CASE = CaseRef(merchant_id="m1", order_id="o1", rma_id="r1", consumer_ref="c1")
MONEY = {"remedy": RemedyKind.REFUND_ONLY}
OFFERS = MerchantFacts(merchant_id="m1", offers=True)


@pytest.mark.parametrize(
    ("signed", "shipped", "outcome", "reasons"),
    [
        (None, None, "authorized", ("not_shipped",)),
        (None, REQUESTED + timedelta(seconds=1), "authorized", ("not_shipped",)),
        (None, REQUESTED, "declined", ("goods_under_way",)),
        (SIGNED, None, "merchant_review", ("merchant_decides",)),
        (SIGNED - timedelta(days=30), None, "declined", ("window_over",)),
    ],
)
def test_the_money_alone(signed: object, shipped: object, outcome: str, reasons: tuple[str, ...]) -> None:
    judged = judge_facts(CASE, facts(**MONEY, signed_at=signed, shipped_at=shipped), BOOK)
    assert (judged.outcome, judged.reasons, judged.platform, judged.offer) == (outcome, reasons, False, None)
    assert judged.may_decline
    assert judged.refundable == (yuan("0.00") if outcome == "declined" and signed else judged.refundable)


def test_the_same_facts_by_the_book_before_may_2025() -> None:
    same = facts(**MONEY)
    old, new = judge_facts(CASE, same, OLD), judge_facts(CASE, same, BOOK)
    assert (old.outcome, old.platform, old.reasons) == ("merchant_review", True, ("platform_may_force",))
    assert (new.outcome, new.platform, new.reasons) == ("merchant_review", False, ("merchant_decides",))
    assert {one.text.en for one in old.verdicts} - {one.text.en for one in new.verdicts} == {
        "The platform may grant a refund without return."
    }


@pytest.mark.parametrize(("risk", "outcome"), [(Risk.DENY, "declined"), (Risk.REFER, "referred")])
def test_risk_counts_once_the_goods_were_received(risk: Risk, outcome: str) -> None:
    received, never_left = (
        facts(**MONEY, consumer=consumer(risk=risk)),
        facts(**MONEY, consumer=consumer(risk=risk), signed_at=None),
    )
    assert judge_facts(CASE, received, BOOK).outcome == outcome
    assert judge_facts(CASE, never_left, BOOK).outcome == "authorized"


def test_goods_that_never_left_have_no_excluded_category() -> None:
    custom = (line(category="custom_made"),)
    assert eligibility(facts(**MONEY, signed_at=None, lines=custom), BOOK).yes
    assert eligibility(facts(signed_at=None, lines=custom), BOOK).reasons == ("not_signed", "category_excluded")


def test_an_offer_is_judged_for_merchants_who_opted_in() -> None:
    judged = judge_facts(CASE, facts(merchant=OFFERS), BOOK)
    # 1500 g of coat: 12.00 + 2.00 of freight, x 1.2; 15 % of the coat would be 180.00.
    assert judged.offer == yuan("16.80")
    assert [one.decision for one in judged.verdicts][-1] == "retention_offer"
    assert judge_facts(CASE, facts(), BOOK).offer is None
    assert judge_facts(CASE, facts(merchant=OFFERS, reason=Reason.WRONG_ITEM), BOOK).offer is None
    assert judge_facts(CASE, facts(merchant=OFFERS, **MONEY), BOOK).offer is None


def test_a_partial_refund_by_line_never_drifts() -> None:
    lines = (
        line(line_id="l1", paid=yuan("100.00"), ordered=1),
        line(line_id="l2", paid=yuan("50.00"), ordered=1, refunded_before=yuan("20.00"), commission_bps=333),
    )
    value = partial_refund(facts(lines=lines), fen(1_001))
    assert [part.amount.minor for part in value.lines] == [770, 231]  # 100.00 and 30.00 are left; 1001 x 10/13
    assert value.total == fen(1_001)
    # l1: floor(500 x 770 / 10000) = 38; l2: floor(166 x 2231 / 5000) - floor(166 x 2000 / 5000) = 74 - 66
    assert [part.commission.minor for part in value.lines] == [38, 8]
    assert partial_refund(facts(lines=lines), yuan("999.00")).total == yuan("130.00")
    spent = (line(paid=yuan("50.00"), refunded_before=yuan("50.00")),)
    assert partial_refund(facts(lines=spent), fen(100)).total == fen(0)


def test_evidence_first_only_where_a_book_says_so() -> None:
    strict = BOOK.model_copy(
        update={"authorization": BOOK.authorization.model_copy(update={"evidence_reasons": (Reason.QUALITY,)})}
    )
    without, brought = facts(reason=Reason.QUALITY), facts(reason=Reason.QUALITY, evidence=1)
    assert judge_facts(CASE, without, strict).outcome == "info_requested"
    assert judge_facts(CASE, brought, strict).outcome != "info_requested"
    assert judge_facts(CASE, facts(), strict).outcome == "authorized"
    assert all(book.authorization.evidence_reasons == () for book in load_library().books)
    denied = facts(reason=Reason.QUALITY, consumer=consumer(risk=Risk.DENY))
    assert judge_facts(CASE, denied, strict).outcome == "info_requested"  # a denial takes the cover, not the return


def test_what_was_said_before_keeps_its_digest() -> None:
    """A request without the later fields is the same request: a client of this release opens no second case."""
    body = {"merchant_id": "m1", "rma_id": "r1", "order_id": "o1", "reason": "quality", "address_ref": "a1"}
    request = OpenReturn.model_validate(body | {"lines": [{"line_id": "l1", "quantity": 1}]})
    plain = request.model_dump(mode="json")
    assert not {"remedy", "reopens"} & plain.keys()
    assert digest(request) != digest(request.model_copy(update={"reopens": "r0"}))
    assert digest(request) != digest(request.model_copy(update={"remedy": RemedyKind.REFUND_ONLY}))
    assert not {"remedy", "shipped_at", "evidence"} & facts().model_dump(mode="json").keys()
    again = facts(**MONEY, shipped_at=SIGNED, evidence=2)
    assert CaseFacts.model_validate(again.model_dump(mode="json")) == again
