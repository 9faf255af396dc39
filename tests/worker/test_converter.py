"""What arrives for a message is that message or is refused; failures quote no input."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from backhaul.messages import OpenReturn, Withdraw
from worker.codec import Refused, marked
from worker.converter import BackhaulPayloadConverter, Undecodable, data_converter, safe_text

CONVERTER = BackhaulPayloadConverter()
SECRET = "alice@example.com"


def payload(data: bytes, encoding: bytes = b"json/plain") -> Payload:
    return Payload(metadata={"encoding": encoding}, data=data)


UNREADABLE = {
    "null": payload(b"", b"binary/null"),
    "null as JSON": payload(b"null"),
    "bytes": payload(b"abc", b"binary/plain"),
    "no JSON": payload(b"{"),
    "another shape": payload(b'{"email": "alice@example.com"}'),
    "a list": payload(b"[1]"),
    "another codec's": payload(b"abc", b"binary/encrypted"),
    "no encoding": Payload(data=b"{}"),
    "strange encoding": payload(b"{}", b"\xff"),
    "bad protobuf": payload(b"{}", b"binary/protobuf"),
    "marked": marked(payload(b"{}"), Refused.UNENCRYPTED),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_message_is_itself_or_refused(name: str) -> None:
    """Only these two errors fail a start and reject an update; anything else would wedge the workflow."""
    with pytest.raises((ValidationError, ApplicationError)) as raised:
        CONVERTER.from_payloads([UNREADABLE[name]], [OpenReturn])
    if isinstance(raised.value, ApplicationError):
        assert raised.value.type == "Rejected"
        assert raised.value.non_retryable
        assert raised.value.details[0]["code"] == "invalid_input"


@pytest.mark.parametrize("name", UNREADABLE)
def test_without_a_type_nothing_raises(name: str) -> None:
    (value,) = CONVERTER.from_payloads([UNREADABLE[name]])
    if not isinstance(value, Undecodable):
        assert name in {"null", "null as JSON", "bytes", "another shape", "a list"}
    with pytest.raises(ValidationError):
        OpenReturn.model_validate(value)


def test_messages_pass() -> None:
    said = Withdraw(reason="不要了")
    assert CONVERTER.from_payloads(CONVERTER.to_payloads([said, None, b"x"]), [Withdraw]) == [said, None, b"x"]
    assert CONVERTER.from_payloads([]) == []
    raw = CONVERTER.from_payloads([marked(payload(b"{}"), Refused.DAMAGED)], [RawValue])[0]
    assert isinstance(raw, RawValue)


def test_more_values_than_declared_are_refused() -> None:
    with pytest.raises(ApplicationError):
        CONVERTER.from_payloads(CONVERTER.to_payloads([1, 2]))


class Strict(BaseModel):
    model_config = {"extra": "forbid"}
    name: int
    by: dict[str, int] = {}


def validation_error(value: Any) -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        Strict.model_validate(value)
    return raised.value


@pytest.mark.parametrize(
    "value", [{"name": SECRET}, {"name": 1, SECRET: 2}, {"name": 1, "by": {SECRET: "x"}}, SECRET, [SECRET]]
)
def test_validation_errors_do_not_quote_their_input(value: Any) -> None:
    error = validation_error(value)
    assert SECRET in str(error)  # what the SDK's own converter would have written into the history
    failure = Failure()
    data_converter().failure_converter.to_failure(error, CONVERTER, failure)
    assert SECRET not in str(failure)
    assert failure.application_failure_info.type == "ValidationError"
    assert "Strict" in failure.message


def test_causes_are_cleaned_too() -> None:
    try:
        try:
            Strict.model_validate({"name": SECRET})
        except ValidationError as error:
            raise ApplicationError("stored data cannot be read") from error
    except ApplicationError as outer:
        failure = Failure()
        data_converter().failure_converter.to_failure(outer, CONVERTER, failure)
    assert SECRET not in str(failure)
    assert failure.cause.application_failure_info.type == "ValidationError"


def test_foreign_errors_keep_one_bounded_line() -> None:
    assert safe_text(RuntimeError("duplicate key\nDETAIL: (alice@example.com)")) == "duplicate key"
    assert len(safe_text(RuntimeError("x" * 10_000))) == 300
    assert safe_text(RuntimeError()) == "RuntimeError"
