"""How messages become payloads, and errors become failures. Workers, the API and the command line use the same.

Bad input fails, never wedges (architecture 3.4): whatever arrives for a message is that message, or is refused with
`invalid_input`. The SDK's converter alone lets `null` and bytes through, and raises what fails the workflow task for
an encoding it does not know. This module is never imported by a workflow; its classes run beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.common import RawValue
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import DataConverter, DefaultFailureConverter, PayloadCodec, PayloadConverter
from temporalio.exceptions import ApplicationError, FailureError

MARK = "backhaul-refused"
"""Metadata with which the codec marks a payload that it could not decrypt."""
TEXT_LIMIT = 300
_FIELD = re.compile(r"^[a-z_][a-z0-9_]{0,60}$")


class Undecodable:
    """Stands for a value that could not be read where nobody said what it should be: fits no model, equals nothing."""

    def __init__(self, why: str) -> None:
        self.why = why

    def __repr__(self) -> str:
        return f"<undecodable: {self.why}>"


class BackhaulPayloadConverter(PydanticPayloadConverter):
    """Pydantic's JSON, and a refusal where the SDK would wedge the workflow.

    With a type: its instance, or Rejected(`invalid_input`), which fails a start and rejects an update. Without one
    (the results of activities, details of failures): Undecodable, which the caller's own check then refuses."""

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """See the class. More values than anybody declared are refused: the SDK would call a workflow with all of
        them, and fail its task for ever on the TypeError."""
        if type_hints is None and len(payloads) > 1:
            _refuse("too_many_values")
        hints: list[type | None] = [*(type_hints or []), *([None] * len(payloads))]
        return [self._read(payload, hint) for payload, hint in zip(payloads, hints, strict=False)]

    def _read(self, payload: Payload, hint: type | None) -> Any:
        if hint is RawValue:
            return RawValue(payload)
        why = payload.metadata.get(MARK, b"").decode(errors="replace")
        if not why and payload.metadata.get("encoding", b"") not in self.converters:
            why = "unknown_encoding"
        if why:
            return Undecodable(why) if hint is None else _refuse(why)
        try:
            value = super().from_payloads([payload], None if hint is None else [hint])[0]
        except ValidationError:
            if hint is None:  # the bytes are no JSON
                return Undecodable("malformed")
            raise
        except RuntimeError:  # what the SDK's converters raise for bytes that do not fit their encoding
            return Undecodable("malformed") if hint is None else _refuse("malformed")
        if isinstance(hint, type) and issubclass(hint, BaseModel) and not isinstance(value, hint):
            _refuse("not_the_message")
        return value


def _refuse(why: str) -> NoReturn:
    text = f"The payload cannot be read: {why}."
    details = {"code": "invalid_input", "message": text, "field": None}
    raise ApplicationError(text, details, type="Rejected", non_retryable=True)


class BackhaulFailureConverter(DefaultFailureConverter):
    """Failures that quote no input: a validation error says where and what kind, any other foreign error keeps its
    first line only (the further ones quote rows and parameters)."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """See the class."""
        if isinstance(exception, FailureError):
            super().to_failure(exception, payload_converter, failure)
            return
        plain = ApplicationError(safe_text(exception), type=type(exception).__name__)
        plain.__traceback__ = exception.__traceback__
        plain.__cause__ = exception.__cause__
        super().to_failure(plain, payload_converter, failure)


class EncodedFailureConverter(BackhaulFailureConverter):
    """The same, with message and stack trace where the codec encrypts them."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


def safe_text(error: BaseException) -> str:
    """One bounded line that quotes no input."""
    if isinstance(error, ValidationError):
        places = ", ".join(f"{_place(item['loc'], item['type'])}: {item['type']}" for item in _errors(error)[:10])
        return f"{error.error_count()} fields of {error.title} do not fit ({places})"[:TEXT_LIMIT]
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:TEXT_LIMIT]


def _errors(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False, include_context=False, include_input=False))


def _place(loc: tuple[int | str, ...], kind: str) -> str:
    """Where, without names that the input itself brought."""
    parts = list(loc[:-1] if kind == "extra_forbidden" else loc)
    shown = [str(part) if isinstance(part, int) or _FIELD.match(part) else "?" for part in parts]
    return ".".join([*shown, "?"] if kind == "extra_forbidden" else shown) or "body"


def data_converter(codec: PayloadCodec | None = None) -> DataConverter:
    """The converter of every process that speaks to Temporal; with a codec, failures are encrypted too."""
    return DataConverter(
        payload_converter_class=BackhaulPayloadConverter,
        failure_converter_class=BackhaulFailureConverter if codec is None else EncodedFailureConverter,
        payload_codec=codec,
    )
