"""The demo's own comparison finds each kind of planted difference, and nothing where there is none."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backhaul.ids import CaseId, claim_ref
from sandbox.common.book import Book
from sandbox.demo import plant
from sandbox.demo.__main__ import MARK, fresh, options
from sandbox.demo.board import _about
from sandbox.demo.books import Movement, balanced, compare, sums
from sandbox.demo.verdict import judge_case
from sandbox.samples.__main__ import FILE
from sandbox.samples.rows import load

REFUND = Movement("psp", "refund", "m:r:refund.p-1:1", 84_000, "CNY", "c-1")
PREMIUM = Movement("insurer", "premium", "rfi-1", 36, "CNY", "insurer")
BOTH = [REFUND, PREMIUM]


def test_the_same_in_any_order_is_no_difference() -> None:
    assert compare(BOTH, BOTH[::-1]) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "what"),
    [
        ([PREMIUM], BOTH, "missing"),
        (BOTH, [PREMIUM], "extra"),
        (BOTH, [PREMIUM, replace(REFUND, minor=84_001)], "amount"),
        (BOTH, [PREMIUM, replace(REFUND, currency="JPY")], "currency"),
        (BOTH, [PREMIUM, replace(REFUND, payee="c-2")], "payee"),
        ([*BOTH, REFUND], BOTH, "twice"),
        (BOTH, [*BOTH, REFUND], "twice"),
    ],
)
def test_each_planted_difference_is_found(ours: list[Movement], theirs: list[Movement], what: str) -> None:
    (found,) = compare(ours, theirs)
    assert (found.what, found.key) == (what, REFUND.key)
    assert REFUND.key in found.text()


def test_the_same_key_under_another_kind_is_something_else() -> None:
    assert [one.what for one in compare([REFUND], [replace(REFUND, kind="payout")])] == ["missing", "extra"]


@pytest.mark.parametrize(
    ("trial", "good"),
    [
        ({"P": {"1000": {"CNY": 5}, "2000": {"CNY": -5}}, "I": {"1000": {"CNY": 0}}}, True),
        ({"P": {"1000": {"CNY": 5}, "2000": {"CNY": -4}}, "I": {"1000": {"CNY": 0}}}, False),
        ({"P": {"1000": {"CNY": 5, "JPY": -5}}, "I": {}}, False),
        ({"P": {"1000": {"CNY": 0}}}, False),
        ({}, False),
    ],
)
def test_each_book_is_zero_in_each_currency(trial: Any, good: bool) -> None:
    assert balanced(trial) is good


def test_sums_of_a_trial_balance() -> None:
    assert sums({"P": {"1000": {"CNY": 5, "JPY": 1}, "2000": {"CNY": -5}}}) == {"P": {"CNY": 0, "JPY": 1}}


# ---- the verdict on one case -----------------------------------------------------------------------------------------

COAT = next(sample for sample in load(FILE) if sample.name == "coat-30")


def coat_view(**changes: int) -> dict[str, Any]:
    money = {"refunded": 84_000, "withheld": 36_000, "indemnified": 36_000, "freight": 1200} | changes
    return {"closed": True, "outcome": "refunded", "money": {name: {"minor": minor} for name, minor in money.items()}}


def coat_statement(refunded: int = 84_000, recovered: int = 36_000) -> list[Movement]:
    prefix = "north-coats:coat-30"
    return [
        Movement("psp", "refund", f"{prefix}:refund.pay-coat-30-1:1", refunded, "CNY", "c-coat-30"),
        Movement(
            "insurer",
            "recovery",
            f"{claim_ref(CaseId('north-coats', 'coat-30'), 'loss')}:remit",
            recovered,
            "CNY",
            "insurer",
        ),
    ]


def test_a_case_that_ended_as_declared() -> None:
    assert judge_case(COAT, coat_view(), None, coat_statement()) == []


@pytest.mark.parametrize(
    ("view", "parked", "theirs", "part"),
    [
        (coat_view(refunded=84_001), None, coat_statement(), "refunded"),
        (coat_view(withheld=0), None, coat_statement(), "withheld"),
        (coat_view(indemnified=0), None, coat_statement(), "indemnified"),
        (coat_view() | {"outcome": "expired"}, None, coat_statement(), "outcome"),
        (coat_view() | {"closed": False}, "ruling_needed", coat_statement(), "end"),
        (coat_view(), None, coat_statement(refunded=84_001), "payment provider"),
        (coat_view(), None, coat_statement(recovered=35_999), "recovered"),
        (None, None, coat_statement(), "does not know"),
    ],
)
def test_whatever_is_not_as_declared_is_named(
    view: dict[str, Any] | None, parked: str | None, theirs: list[Movement], part: str
) -> None:
    assert any(part in wrong for wrong in judge_case(COAT, view, parked, theirs))


# ---- falsifying a statement, and folders -----------------------------------------------------------------------------


def test_one_fen_is_planted_in_the_last_refund(tmp_path: Path) -> None:
    book = Book(tmp_path / "psp.db", "psp", "")
    for key, kind in (("first", "refund"), ("second", "refund"), ("third", "payout")):
        book.post(key=key, kind=kind, ref=key, amount=100, currency="CNY", payee="c", at_us=0)
    assert plant.one_fen(tmp_path) == "second"
    assert [row["amount"] for row in book.statement(0, 10)["rows"]] == [100, 101, 100]
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        book.run("UPDATE statement SET amount = 1")
    book.close()


def test_nothing_to_falsify_says_so(tmp_path: Path) -> None:
    Book(tmp_path / "psp.db", "psp", "").close()
    with pytest.raises(LookupError):
        plant.one_fen(tmp_path)


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(FileExistsError):
        fresh(tmp_path)
    assert (tmp_path / "precious").exists()


def test_an_earlier_demo_is_cleared_away(tmp_path: Path) -> None:
    folder = fresh(tmp_path / "demo")
    (folder / "temporal.db").touch()
    assert {path.name for path in fresh(folder).iterdir()} == {MARK, ".gitignore"}


def test_options() -> None:
    assert options([]).samples == FILE
    assert options(["--plant", "one-fen", "--twice", "--stay"]).plant == "one-fen"


def test_a_parked_dispute_counts_for_its_return() -> None:
    assert _about("dispute:m1:r-1.a:2") == "return:m1:r-1.a"
    assert _about("return:m1:r1") == "return:m1:r1"
    assert _about("recovery:m1.r1.loss.1") == "recovery:m1.r1.loss.1"
