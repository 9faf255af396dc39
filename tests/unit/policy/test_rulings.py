"""What a person ruled as a decision, and what the rules say beside it: no more than what counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from backhaul.disputes import AUTHORIZING, LIABLE
from backhaul.facts import BookRef, InspectionResult, Liable, Risk, Verdict
from backhaul.messages import Ruling
from backhaul.policy.rulings import About, ruled
from backhaul.policy.settling import (
    RETURNED,
    SILENCE,
    Heard,
    Judged,
    Liability,
    given_back,
    indemnity_decided,
    loss_of,
    uncovered,
    who_is_liable,
)
from backhaul.policy.texts import TEXTS, Code
from tests.unit.policy.build import BOOK, facts, fen, finding, inspection

COVERED = facts()
DAMAGE = finding(severity=50)
OWN = BookRef(version=BOOK.version, hash=BOOK.hash)


def a_ruling(outcome: str, decides: str = "liability", overrules: str | None = None) -> Ruling:
    return Ruling(
        ruling_id="rul-1",
        merchant_id="m1",
        rma_id="r1",
        decides=decides,
        outcome=outcome,
        reason="free words of a reviewer",
        ruled_by="reviewer-1",
        overrules=overrules,
        facts_hash="a" * 64,
        book=OWN,
    )


def _liability(judged: Judged) -> Verdict:
    return next(one for one in judged.verdicts if one.decision == "liability")


@pytest.mark.parametrize("outcome", sorted(LIABLE | AUTHORIZING | {"owed", "uncollectable"}))
def test_every_ruling_is_told(outcome: str) -> None:
    said = ruled(a_ruling(outcome), OWN)
    assert (said.decision, said.outcome, said.reasons) == ("ruling", outcome, (f"ruled_{outcome}",))
    assert said.numbers == {"ruling": "rul-1", "decides": "liability", "overrules": None}
    assert (said.book, said.facts_hash) == (OWN, "a" * 64)
    assert said.text == TEXTS[Code(f"ruled_{outcome}")]
    assert "free words" not in said.model_dump_json()


def test_a_ruling_on_an_appeal_names_what_it_overrules() -> None:
    said = ruled(a_ruling("carrier", overrules="rul-0"), OWN)
    assert said.reasons == ("ruled_carrier", "ruled_on_appeal")
    assert (said.rules, said.numbers["overrules"]) == (("4.5.ruling", "X15"), "rul-0")
    assert ruled(a_ruling("uphold", "authorization"), OWN).rules == ("X13",)


@pytest.mark.parametrize(("liable", "rule"), [("carrier", "X27"), ("consumer", "X28")])
def test_a_ruling_on_a_recovery_says_how_far_it_was(liable: str, rule: str) -> None:
    said = ruled(a_ruling("owed", "recovery"), OWN, About("m1.r1.loss.1", liable, 10_000, 26_000))
    assert (said.outcome, said.reasons, said.rules) == ("owed", ("ruled_owed",), ("4.5.ruling", rule))
    assert said.numbers == {
        "ruling": "rul-1",
        "decides": "recovery",
        "overrules": None,
        "recovery": "m1.r1.loss.1",
        "liable": liable,
        "collected": 10_000,
        "left": 26_000,
    }


def test_a_ruling_without_facts_is_hashed_by_its_numbers() -> None:
    bare = a_ruling("consumer").model_copy(update={"facts_hash": None, "book": None})
    assert len(ruled(bare, OWN).facts_hash) == 64
    assert ruled(bare, OWN).book == OWN


@pytest.mark.parametrize("who", [Liable.MERCHANT, Liable.CARRIER, Liable.NOBODY])
def test_beside_a_ruling_that_stands_the_rules_are_silent(who: Liable) -> None:
    at_door = Liability(liable=who, findings=(DAMAGE,), ruled=True)
    heard = Heard("received_ok", inspection(DAMAGE), None, None, at_door)
    judged = who_is_liable(heard, COVERED, Risk.ALLOW, BOOK)
    assert (judged.found, judged.reasons, judged.verdicts) == (at_door, ("ruled",), ())


def test_something_new_is_told_beside_a_ruling_at_the_door() -> None:
    at_door = Liability(liable=Liable.MERCHANT, findings=(DAMAGE,), ruled=True)
    clean = inspection(result=InspectionResult.OK)
    judged = who_is_liable(Heard("received_ok", inspection(DAMAGE), clean, None, at_door), COVERED, Risk.ALLOW, BOOK)
    assert [one.outcome for one in judged.verdicts] == ["unknown", "undetermined"]


def test_what_the_rules_alone_say_is_told_as_just_that() -> None:
    """A late objection, one that no cover pays for, a check that nobody made: a person rules."""
    door, late = inspection(result=InspectionResult.OK), inspection(DAMAGE)
    heard = Heard("receipt_issue", door, late, late.at - timedelta(hours=49), evidence=True)
    open_ = who_is_liable(heard, COVERED, Risk.ALLOW, BOOK)
    assert (open_.found.liable, open_.reasons) == (Liable.UNDETERMINED, ("late_objection",))
    said = _liability(open_)
    assert (said.outcome, said.numbers["by_rules"]) == ("undetermined", "carrier")
    assert said.reasons == ("found_at_receipt", "objected_late")

    bare = facts(covers=())
    judged = who_is_liable(replace(heard, delivered_at=late.at), bare, Risk.ALLOW, BOOK)
    assert [one.outcome for one in judged.verdicts] == ["in_transit", "carrier", "claim"]
    loss = loss_of(bare, judged.found, BOOK)
    open_ = uncovered(judged, loss, claimed=False)
    assert [one.outcome for one in open_.verdicts] == ["in_transit", "undetermined", "dispute"]
    assert _liability(open_).numbers["by_rules"] == "carrier"
    assert open_.reasons[0] == "no_cover" and "rdv_not_in_force" in open_.reasons

    unchecked = who_is_liable(Heard(SILENCE, door), COVERED, Risk.STEP_UP, BOOK)
    assert _liability(unchecked).reasons == ("nothing_found", "receipt_check_needed")
    assert _liability(unchecked).numbers["by_rules"] == "nobody"


@pytest.mark.parametrize(
    ("who", "due", "outcome", "paid", "reason"),
    [
        (Liable.CONSUMER, 60_000, "paid", 60_000, "loss_covered"),
        (Liable.CARRIER, 60_000, "paid", 60_000, "loss_covered"),
        (Liable.CARRIER, 20_000, "partly", 20_000, "insurer_decided"),
        (Liable.CONSUMER, 0, "denied", 0, "insurer_decided"),
        (Liable.MERCHANT, 0, "none", 0, "own_fault"),
        (Liable.NOBODY, 0, "none", 0, "no_loss"),
    ],
)
def test_an_indemnity_is_told_as_it_is_paid(who: Liable, due: int, outcome: str, paid: int, reason: str) -> None:
    found = Liability(liable=who, findings=(DAMAGE,))
    loss = loss_of(COVERED, found, BOOK)
    assert loss.payable == fen(60_000)
    said = indemnity_decided(found, loss, fen(due))
    assert said is not None
    assert (said.outcome, said.reasons) == (outcome, (reason,))
    assert said.numbers["indemnity"] == paid


def test_no_indemnity_is_decided_on_before_a_ruling_or_without_a_finding() -> None:
    zero = fen(0)
    undetermined = Liability(liable=Liable.UNDETERMINED, findings=(DAMAGE,))
    assert indemnity_decided(undetermined, loss_of(COVERED, undetermined, BOOK), zero) is None
    nothing = Liability(liable=Liable.NOBODY)
    assert indemnity_decided(nothing, loss_of(COVERED, nothing, BOOK), zero) is None


def test_goods_that_went_back_to_the_consumer_are_no_loss_to_a_cover() -> None:
    judged = who_is_liable(Heard(RETURNED), COVERED, Risk.ALLOW, BOOK)
    assert [(one.outcome, one.reasons) for one in judged.verdicts] == [("consumer", ("returned_to_consumer",))]
    loss = given_back(loss_of(COVERED, judged.found, BOOK))
    said = indemnity_decided(judged.found, loss, loss.payable)
    assert said is not None
    assert (said.outcome, said.reasons, said.numbers["indemnity"]) == ("none", ("returned_to_consumer",), 0)
