"""Policy books: what they refuse, how they are found, and that a released one never changes."""

from __future__ import annotations

import copy
import tomllib
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backhaul.facts import BookRef
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.library import Library, UnknownBook, load_library
from backhaul.policy.terms import Terms, terms_of
from backhaul.policy.values import parse_duration
from tests.unit.policy.build import BOOK

RELEASED = {
    "2024-09": "c55b443bcf387d0dcd516e3e3ada894dbe844196780d6a32ae814945084ce423",
    "2025-05": "af1c9b1d9ccaafa318f9ad435f482b1448be269c2e3dd821e61e9eee3da595f9",
    "2025-09": "d2773b97c7952edfddc8a2a265e77195c06d391be25aa3962b30f9104ee8ae42",
}


def document() -> dict[str, Any]:
    text = (resources.files("backhaul.policy") / "books" / "2024-09.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def changed(path: str, value: Any) -> dict[str, Any]:
    doc = copy.deepcopy(document())
    *parents, name = path.split(".")
    part = doc
    for parent in parents:
        part = part[parent]
    part[name] = value
    return doc


@pytest.mark.parametrize("version", sorted(RELEASED))
def test_a_released_book_never_changes(version: str) -> None:
    assert load_library().by_version(version).hash == RELEASED[version]


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("rdv.severities", [10, 30, 30], "ascend"),
        ("rdv.severities", [30, 10], "ascend"),
        ("rdv.severities", [10, 101], "ascend"),
        ("rdv.severities", [0, 10], "ascend"),
        ("rdv.deductible", "-1.00", "not negative"),
        ("rdv.deductible", "0.001", "more digits"),
        ("rdv.deductible", 12, "Input should be"),
        ("timers.merchant_reminder", "48h", "shorter"),
        ("timers.trace", "7d", "shorter"),
        ("timers.receipt_finding", "10d", "shorter"),
        ("timers.merchant_silence", 48, "duration"),
        ("timers.merchant_silence", "48", "duration"),
        ("timers.merchant_silence", "-48h", "duration"),
        ("timers.park", "0s", "zero"),
        ("timers.lookup_delays", ["5m", "1m"], "fall"),
        ("timers.lookup_delays", [], "at least 1"),
        ("timers.payer_alarms", ["3d", "1d"], "ascend"),
        ("timers.payer_alarms", ["1d", "7d"], "shorter"),
        ("freight.default_zone", "moon", "zone table"),
        ("freight.rfi_default_sum", "6000.00", "above"),
        ("freight.step_g", 0, "greater than or equal to 1"),
        ("pickup.slot_length", "0s", "zero"),
        ("pickup.couriers", ["a", "a"], "twice"),
        ("pickup.couriers", [], "at least 1"),
        ("pickup.no_show_total", "6h", "room"),
        ("settlement.cycle", "0s", "zero"),
        ("recovery.demand_answer", "0s", "zero"),
        ("eligibility.no_reason_days", -1, "greater than or equal to 0"),
        ("eligibility.merchant_reasons", ["whim"], "Input should be"),
        ("currency", "XXX", "not supported"),
        ("surprise", 1, "not permitted"),
        ("lightning.surprise", 1, "not permitted"),
    ],
)
def test_a_contradictory_book_is_refused(path: str, value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PolicyBook.from_document(changed(path, value))


def test_every_number_must_be_given() -> None:
    doc = document()
    del doc["recovery"]["waiver_below"]
    with pytest.raises(ValidationError, match="waiver_below"):
        PolicyBook.from_document(doc)


def test_amounts_of_another_currency_are_refused() -> None:
    doc = changed("rdv.deductible", Money(minor=1, currency="USD"))
    with pytest.raises(ValidationError, match="USD"):
        PolicyBook.from_document(doc)


def test_text_amounts_need_the_book_s_currency() -> None:
    with pytest.raises(ValidationError, match="from_document"):
        PolicyBook.model_validate(document())


def test_a_book_in_another_currency_reads_its_own_digits() -> None:
    doc = copy.deepcopy(document())
    doc["currency"] = "KWD"
    doc["rdv"]["free_below"] = "30.125"
    assert PolicyBook.from_document(doc).rdv.free_below == Money(minor=30125, currency="KWD")


def test_the_hash_follows_content_and_survives_a_round_trip() -> None:
    again = PolicyBook.model_validate(BOOK.model_dump(mode="json"))
    assert again == BOOK
    assert again.hash == BOOK.hash
    other = PolicyBook.from_document(changed("rdv.deductible", "0.01"))
    assert other.hash != PolicyBook.from_document(document()).hash


def test_a_changed_copy_has_another_hash() -> None:
    before = BOOK.hash
    assert BOOK.model_copy(update={"title": "another"}).hash != before


@pytest.mark.parametrize(
    ("at", "version"),
    [
        (datetime(2024, 8, 31, 16, 0, tzinfo=UTC), "2024-09"),
        (datetime(2025, 4, 30, 15, 59, 59, tzinfo=UTC), "2024-09"),
        (datetime(2025, 4, 30, 16, 0, tzinfo=UTC), "2025-05"),
        (datetime(2025, 8, 31, 15, 59, 59, tzinfo=UTC), "2025-05"),
        (datetime(2099, 1, 1, tzinfo=UTC), "2025-09"),
    ],
)
def test_the_book_in_force_follows_the_date_and_is_never_the_demo(at: datetime, version: str) -> None:
    assert load_library().current(at).version == version


def test_no_book_before_the_first() -> None:
    with pytest.raises(UnknownBook):
        load_library().current(datetime(2024, 8, 31, 15, 59, 59, tzinfo=UTC))


def test_a_moment_without_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        load_library().current(datetime(2025, 6, 1))  # noqa: DTZ001 - the planted mistake


def test_a_book_is_found_by_reference_only_with_its_content() -> None:
    library = load_library()
    assert library.get(BOOK.ref) is library.by_version("2025-05")
    for ref in (BookRef(version="2025-05", hash="0" * 64), BookRef(version="nope", hash=BOOK.hash)):
        with pytest.raises(UnknownBook) as caught:
            library.get(ref)
        assert caught.value.code == "unknown_book"
    with pytest.raises(UnknownBook):
        library.by_version("nope")


def test_the_library_is_read_once() -> None:
    assert load_library() is load_library()
    assert load_library().versions == ("2024-09", "2025-05", "2025-09", "demo")


def test_books_of_an_extra_folder_extend_the_packaged_ones(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'version = "own"\ntitle = "Own"\nextends = "2025-05"\n[pickup]\ncouriers = ["fast", "slow"]\n', encoding="utf-8"
    )
    for library in (load_library(tmp_path), Library.from_paths([tmp_path / "own.toml"])):
        own = library.by_version("own")
        assert own.pickup.couriers == ("fast", "slow")
        assert own.pickup.max_misses == BOOK.pickup.max_misses
        assert own.effective_from is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('version = "2025-05"\n', ValueError),
        ('version = "a"\nextends = "a"\n', ValueError),
        ('version = "a"\nextends = "nope"\n', UnknownBook),
        ('title = "without a version"\n', ValueError),
        ('version = "a"\ntitle = "A"\nextends = "2025-05"\neffective_from = 2025-05-01T00:00:00+08:00\n', ValueError),
    ],
)
def test_a_bad_extra_book_is_refused(tmp_path: Path, text: str, error: type[Exception]) -> None:
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    with pytest.raises(error):
        Library.from_paths([tmp_path])


def test_the_dated_books_differ_in_the_dated_rule() -> None:
    old, new = load_library().by_version("2024-09"), load_library().by_version("2025-05")
    assert old.refund_only.platform_may_force
    assert not new.refund_only.platform_may_force
    assert old.timers == new.timers


def test_terms_are_the_book_s_numbers() -> None:
    terms = terms_of(BOOK)
    assert terms.book == BOOK.ref
    assert (terms.merchant_silence_s, terms.merchant_reminder_s) == (172_800.0, 86_400.0)
    assert terms.lookup_delays_s == (60.0, 300.0, 600.0, 1200.0, 1800.0)
    assert (terms.max_misses, terms.max_no_shows, terms.no_show_total_s) == (3, 2, 604_800.0)
    assert (terms.trace_s, terms.lost_s, terms.receipt_silence_s) == (259_200.0, 604_800.0, 864_000.0)
    assert (terms.waiver_minor, terms.demand_answer_s, terms.park_s) == (500, 1_296_000.0, 86_400.0)
    assert Terms.model_validate_json(terms.model_dump_json()) == terms


def test_demo_waits_fit_a_two_minute_demonstration() -> None:
    terms = terms_of(load_library().by_version("demo"))
    spans = {
        name: value for name, value in terms if name.endswith("_s") and isinstance(value, float) and name != "park_s"
    }
    assert max(spans.values()) <= 40
    assert terms.lookup_delays_s == (0.5, 1.0, 1.0, 2.0, 2.0)
    assert terms.slot_lead_s == 0
    assert load_library().by_version("demo").rdv == BOOK.rdv


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("20s", 20), ("15m", 900), ("48h", 172_800), ("10d", 864_000), ("0s", 0)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "1.5h", "10 d", "10D", "-1s", "1w", 5, None, "1h30m"])
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)
