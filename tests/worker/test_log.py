"""Log lines: no values of locals or inputs, and no traceback where an error is one of our kinds."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from temporalio.exceptions import ApplicationError

from activities.errors import failure_of
from backhaul.errors import Transient
from backhaul.messages import Withdraw
from worker import log
from worker.settings import LogFormat

SECRET = "alice@example.com"
logger = logging.getLogger("temporalio.worker._activity")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def _bug() -> None:
    consumer = SECRET
    Withdraw.model_validate({"reason": [consumer]})


@pytest.mark.parametrize("form", list(LogFormat))
def test_a_bug_has_a_traceback_without_values(capsys: pytest.CaptureFixture[str], form: LogFormat) -> None:
    log.configure(form, "INFO")
    try:
        _bug()
    except ValueError:
        logger.warning("Completing activity as failed", exc_info=True)
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "_bug" in said
    assert "reason: string_type" in said


def test_our_kinds_have_their_code(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LogFormat.JSON, "INFO")
    try:
        raise failure_of(Transient("provider_unavailable"), attempt=1)
    except ApplicationError:
        logger.warning("Completing activity as failed", exc_info=True, extra={"attempt": 1})
    line = json.loads(capsys.readouterr().err)
    assert (line["error_kind"], line["error_code"], line["attempt"]) == ("Transient", "provider_unavailable", 1)
    assert "exception" not in line


def test_causes_are_followed(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LogFormat.CONSOLE, "INFO")
    try:
        try:
            _bug()
        except ValueError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        logger.exception("failed")
    said = capsys.readouterr().err
    assert said.index("outer") < said.index("caused by") < said.index("string_type")
    assert SECRET not in said


def test_the_level_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LogFormat.CONSOLE, "ERROR")
    logger.warning("quiet")
    assert capsys.readouterr().err == ""
