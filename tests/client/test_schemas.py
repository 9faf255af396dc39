"""The committed JSON Schemas are those of the messages, and a stale one is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from api.openapi import EXAMPLES
from backhaul import messages, schemas
from backhaul.facts import Frozen
from backhaul.names import INTERNAL, ROLE_OF, Update
from backhaul.schemas.__main__ import main


def test_none_is_stale() -> None:
    assert schemas.stale() == []


def test_a_stale_missing_or_foreign_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(schemas.write(tmp_path)) == len(schemas.PUBLIC)
    assert schemas.stale(tmp_path) == []
    (tmp_path / "Ack.json").write_text("{}", encoding="utf-8")
    (tmp_path / "Foreign.json").write_text("{}", encoding="utf-8")
    (tmp_path / "Ruling.json").unlink()
    assert schemas.stale(tmp_path) == ["Ack.json", "Foreign.json", "Ruling.json"]
    monkeypatch.setattr("backhaul.schemas.__main__.stale", lambda: schemas.stale(tmp_path))
    assert main(["--check"]) == 1
    assert "Ruling.json" in capsys.readouterr().err
    schemas.write(tmp_path)
    assert main(["--check"]) == 0


def test_every_update_has_a_body() -> None:
    assert schemas.UPDATE_PAYLOADS.keys() == ROLE_OF.keys() == set(Update) - INTERNAL


def test_every_message_a_caller_meets_is_published() -> None:
    """A message is published itself, or as part of one that is."""
    published = {model.__name__ for model in schemas.PUBLIC}
    inside = {name for text in schemas.texts().values() for name in json.loads(text).get("$defs", {})}
    ours = {
        name
        for name, value in vars(messages).items()
        if isinstance(value, type) and issubclass(value, Frozen) and value.__module__ == messages.__name__
    }
    assert ours - published - inside == set()


@pytest.mark.parametrize("update", list(EXAMPLES))
def test_examples_fit_their_schemas(update: Update) -> None:
    model = schemas.UPDATE_PAYLOADS[update]
    text = (schemas.FOLDER / f"{model.__name__}.json").read_text(encoding="utf-8")
    validator = Draft202012Validator(json.loads(text))
    validator.validate(EXAMPLES[update])
    model.model_validate(EXAMPLES[update])
    assert not validator.is_valid({**EXAMPLES[update], "unknown": 1})
