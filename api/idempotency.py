"""The caller's Idempotency-Key: a header of printable ASCII."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

from backhaul.errors import Refusal

MAX_LENGTH = 255

Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="up to 255 printable ASCII characters, chosen by the caller"),
]


def optional(key: str | None) -> str | None:
    """The key where one is welcome and not required; a blank one is none. Raises Refusal(`invalid_input`)."""
    return checked(key) if key else None


def checked(key: str | None) -> str:
    """The key, if it is one. Raises Refusal(`idempotency_key_required`, `invalid_input`)."""
    if not key:
        raise Refusal("idempotency_key_required", field="Idempotency-Key")
    if len(key) > MAX_LENGTH or not key.isascii() or not key.isprintable():
        raise Refusal("invalid_input", "a key has up to 255 printable ASCII characters", field="Idempotency-Key")
    return key
