"""Every reason a decision can give has a text in both languages, and no decision gives any other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import backhaul.policy
from backhaul.facts import Text
from backhaul.policy.texts import TEXTS, Code
from backhaul.policy.verdicts import verdict
from tests.unit.policy.build import BOOK, facts

SOURCES = sorted(Path(backhaul.policy.__path__[0]).glob("*.py"))
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def problems(texts: dict[Code, Text]) -> list[str]:
    """What is wrong with a table of texts."""
    found = [f"{code}: no text" for code in Code if code not in texts]
    for code, text in texts.items():
        if not text.en.isascii() or not text.en.endswith("."):
            found.append(f"{code}: no English sentence")
        if not CHINESE.search(text.zh) or not text.zh.endswith("。"):
            found.append(f"{code}: no Chinese sentence")
    return found


def test_every_reason_has_both_languages() -> None:
    assert problems(TEXTS) == []


def test_a_missing_language_is_caught() -> None:
    planted = dict(TEXTS)
    planted[Code.NO_LOSS] = Text(en="没有。", zh="None.")
    del planted[Code.NOT_SIGNED]
    assert len(problems(planted)) == 3


def used() -> set[str]:
    """Names of codes that the decisions' sources mention, outside the table itself."""
    names = set()
    for source in SOURCES:
        if source.name == "texts.py":
            continue
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Code":
                names.add(node.attr)
    return names


def test_every_code_is_given_by_some_decision() -> None:
    assert used() == {code.name for code in Code}


def test_verdicts_are_built_in_one_place_only() -> None:
    makers = [source.name for source in SOURCES if re.search(r"\bVerdict\(", source.read_text(encoding="utf-8"))]
    assert makers == ["verdicts.py"]


def test_a_verdict_without_a_reason_is_refused_and_texts_follow_the_reasons() -> None:
    with pytest.raises(ValueError, match="reason"):
        verdict("x", "yes", [], [], facts(), BOOK)
    two = verdict("x", "no", [Code.NO_LOSS, Code.NOT_SIGNED, Code.NO_LOSS], ["1", "1"], facts(), BOOK)
    assert two.reasons == ("no_loss", "not_signed")
    assert two.rules == ("1",)
    assert two.text.en == f"{TEXTS[Code.NO_LOSS].en} {TEXTS[Code.NOT_SIGNED].en}"
    assert two.text.zh == TEXTS[Code.NO_LOSS].zh + TEXTS[Code.NOT_SIGNED].zh


def cited() -> set[str]:
    """Rule ids in the decisions' sources."""
    names = set()
    for source in SOURCES:
        names |= set(re.findall(r'"((?:4\.\d|6)\.[a-z_]+|X\d+)"', source.read_text(encoding="utf-8")))
    return names


def test_every_rule_id_is_in_the_reference() -> None:
    rules = (Path(__file__).parents[3] / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    missing = {name for name in cited() if f"`{name}`" not in rules and f"| {name} |" not in rules}
    assert len(cited()) > 30
    assert missing == set()
