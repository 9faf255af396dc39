"""Payload encryption: AES-GCM under a keyring. What Temporal stores is unreadable without a key.

Decoding never raises: an exception here would fail the workflow task, for ever. A payload that is not encrypted, or
that cannot be decrypted, is marked and passed on as it is; the payload converter refuses it where it can be refused.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from worker.converter import MARK

ENCODING = b"binary/encrypted"
CIPHER = b"AES-256-GCM/1"
KEY_ID = "encryption-key-id"
KEY_BYTES = 32
NONCE_BYTES = 12
_KEY_ID_FORM = re.compile(r"^[A-Za-z0-9_.-]{1,100}$")


class Refused(StrEnum):
    """Why a payload is marked."""

    UNENCRYPTED = "unencrypted"
    UNKNOWN_KEY = "unknown_key"
    DAMAGED = "damaged"


class Keyring:
    """Named keys in order: the first encrypts, all decrypt."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ValueError("a keyring needs a key")
        for name, key in keys.items():
            if not _KEY_ID_FORM.match(name):
                raise ValueError(f"a key's id must match {_KEY_ID_FORM.pattern}")
            if len(key) != KEY_BYTES:
                raise ValueError(f"key {name!r} has {len(key)} bytes, not {KEY_BYTES}")
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self.current = next(iter(keys))

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """`id:base64,id:base64`. Raises ValueError, which never shows a key."""
        keys: dict[str, bytes] = {}
        for number, part in enumerate((part for part in text.split(",") if part.strip()), start=1):
            name, colon, encoded = part.strip().partition(":")
            if not colon or name in keys:
                raise ValueError(f"key {number}: expected id:base64 with an id of its own")
            try:
                keys[name] = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                raise ValueError(f"key {number} ({name}) is not base64") from None
        return cls(keys)

    def cipher(self, name: str) -> AESGCM | None:
        """The key of this id, if it is on the ring."""
        return self._ciphers.get(name)


def _bound(key_id: str) -> bytes:
    """What the ciphertext is bound to beside its content: how it says it is encoded, and under which key."""
    return b"\x00".join((ENCODING, CIPHER, key_id.encode()))


class EncryptionCodec(PayloadCodec):
    """Encrypts each payload as a whole, with its own metadata inside."""

    def __init__(self, keyring: Keyring, *, accept_plain: bool = False) -> None:
        self._keyring = keyring
        self._accept_plain = accept_plain

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt under the current key."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt; never raises."""
        return [self._decrypt(payload) for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        key_id = self._keyring.current
        cipher = self._keyring.cipher(key_id)
        assert cipher is not None  # noqa: S101 - the current key is on the ring, by construction
        nonce = os.urandom(NONCE_BYTES)
        sealed = cipher.encrypt(nonce, payload.SerializeToString(), _bound(key_id))
        metadata = {"encoding": ENCODING, "encryption-cipher": CIPHER, KEY_ID: key_id.encode()}
        return Payload(metadata=metadata, data=nonce + sealed)

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload if self._accept_plain else marked(payload, Refused.UNENCRYPTED)
        key_id = payload.metadata.get(KEY_ID, b"").decode(errors="replace")
        cipher = self._keyring.cipher(key_id)
        if cipher is None:
            return marked(payload, Refused.UNKNOWN_KEY)
        try:
            opened = cipher.decrypt(payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:], _bound(key_id))
            return Payload.FromString(opened)
        except (InvalidTag, ValueError, DecodeError):
            return marked(payload, Refused.DAMAGED)


def marked(payload: Payload, why: Refused) -> Payload:
    """The same payload with a mark that the payload converter refuses."""
    copy = Payload()
    copy.CopyFrom(payload)
    copy.metadata[MARK] = why.value.encode()
    return copy


def unmarked(payloads: Iterable[Payload]) -> list[Payload]:
    """The payloads as they came, for people: the codec server shows what it cannot decrypt unchanged."""
    copies = []
    for payload in payloads:
        copy = Payload()
        copy.CopyFrom(payload)
        copy.metadata.pop(MARK, None)
        copies.append(copy)
    return copies
