"""The codec by itself: what it hides, what it notices, and that decoding never raises."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload

from worker.codec import ENCODING, KEY_ID, EncryptionCodec, Keyring, Refused, unmarked
from worker.converter import MARK

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"consumer_ref":"c-1"}')


def ring(**keys: bytes) -> Keyring:
    return Keyring(keys)


def mark(payload: Payload) -> str:
    return payload.metadata.get(MARK, b"").decode()


async def encoded(codec: EncryptionCodec, payload: Payload = PLAIN) -> Payload:
    return (await codec.encode([payload]))[0]


async def decoded(codec: EncryptionCodec, payload: Payload) -> Payload:
    return (await codec.decode([payload]))[0]


@given(st.binary(max_size=300), st.dictionaries(st.text(max_size=10), st.binary(max_size=20), max_size=3))
async def test_round_trip(data: bytes, metadata: dict[str, bytes]) -> None:
    codec = EncryptionCodec(ring(a=OLD))
    payload = Payload(metadata=metadata, data=data)
    assert await decoded(codec, await encoded(codec, payload)) == payload


async def test_nothing_of_the_content_is_readable() -> None:
    sealed = await encoded(EncryptionCodec(ring(a=OLD)))
    assert sealed.metadata["encoding"] == ENCODING
    assert sealed.metadata[KEY_ID] == b"a"
    whole = sealed.SerializeToString()
    assert b"consumer_ref" not in whole
    assert b"json/plain" not in whole


async def test_the_same_payload_never_looks_the_same() -> None:
    codec = EncryptionCodec(ring(a=OLD))
    assert (await encoded(codec)).data != (await encoded(codec)).data


async def test_rotation_new_key_encrypts_and_old_one_still_decrypts() -> None:
    before = await encoded(EncryptionCodec(ring(old=OLD)))
    rotated = EncryptionCodec(ring(new=NEW, old=OLD))
    assert await decoded(rotated, before) == PLAIN
    assert (await encoded(rotated)).metadata[KEY_ID] == b"new"
    assert await decoded(EncryptionCodec(ring(new=NEW)), await encoded(rotated)) == PLAIN


async def test_unknown_key_is_marked() -> None:
    sealed = await encoded(EncryptionCodec(ring(old=OLD)))
    found = await decoded(EncryptionCodec(ring(new=NEW)), sealed)
    assert mark(found) == Refused.UNKNOWN_KEY
    assert unmarked([found]) == [sealed]


async def test_another_key_under_the_same_id_is_marked() -> None:
    sealed = await encoded(EncryptionCodec(ring(a=OLD)))
    assert mark(await decoded(EncryptionCodec(ring(a=NEW)), sealed)) == Refused.DAMAGED


async def test_key_id_is_authenticated() -> None:
    """The same key under two ids: a payload cannot be moved from one id to the other."""
    codec = EncryptionCodec(ring(a=OLD, b=OLD))
    sealed = await encoded(codec)
    sealed.metadata[KEY_ID] = b"b"
    assert mark(await decoded(codec, sealed)) == Refused.DAMAGED


@given(st.binary(max_size=200))
async def test_any_bytes_as_ciphertext_are_marked(data: bytes) -> None:
    codec = EncryptionCodec(ring(a=OLD))
    payload = Payload(metadata={"encoding": ENCODING, KEY_ID: b"a"}, data=data)
    assert mark(await decoded(codec, payload)) == Refused.DAMAGED


@given(st.data())
async def test_every_flipped_bit_is_noticed(data: st.DataObject) -> None:
    codec = EncryptionCodec(ring(a=OLD))
    sealed = await encoded(codec)
    changed = bytearray(sealed.data)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    sealed.data = bytes(changed)
    assert mark(await decoded(codec, sealed)) == Refused.DAMAGED


@pytest.mark.parametrize("key_id", [None, b"", b"\xff\xfe", b"nobody"])
async def test_strange_key_ids_are_marked(key_id: bytes | None) -> None:
    codec = EncryptionCodec(ring(a=OLD))
    sealed = await encoded(codec)
    sealed.metadata.pop(KEY_ID)
    if key_id is not None:
        sealed.metadata[KEY_ID] = key_id
    assert mark(await decoded(codec, sealed)) == Refused.UNKNOWN_KEY


async def test_unencrypted_is_marked_unless_it_is_accepted() -> None:
    assert mark(await decoded(EncryptionCodec(ring(a=OLD)), PLAIN)) == Refused.UNENCRYPTED
    assert await decoded(EncryptionCodec(ring(a=OLD), accept_plain=True), PLAIN) == PLAIN


def test_keyring_is_read_in_order() -> None:
    text = ",".join(f"{name}:{base64.b64encode(key).decode()}" for name, key in (("new", NEW), ("old", OLD)))
    assert Keyring.parse(text).current == "new"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a:!!",
        "a:c2hvcnQ=",
        f"a b:{base64.b64encode(OLD).decode()}",
        f"a:{base64.b64encode(OLD).decode()},a:{base64.b64encode(NEW).decode()}",
    ],
)
def test_a_bad_keyring_is_refused_without_showing_a_key(text: str) -> None:
    with pytest.raises(ValueError) as raised:
        Keyring.parse(text)
    for part in text.split(","):
        encoded_key = part.partition(":")[2]
        assert not encoded_key or encoded_key not in str(raised.value)
