"""Envelopes: each byte of each part, and any strings, against an opener made from the definition."""

import base64
import hmac
import json
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import example, given
from hypothesis import strategies as st
from vodozemac import Curve25519PublicKey, PkEncryption

from ostiary.errors import BadEnvelopeError, MalformedRequestError
from ostiary.matrix.envelope import Envelope
from ostiary.matrix.request_body import encrypted_file
from ostiary.model import EncryptedFile
from ostiary.wire.strict_json import parse_object
from tests.fuzz.mutations import mutated, paths, replaced
from tests.web.clients import file_of, unpadded

SECRET: Final = bytes(range(32))
PRIVATE: Final = X25519PrivateKey.from_private_bytes(SECRET)
ENVELOPE: Final = Envelope(SECRET, most_failures=1 << 62)  # one ephemeral key for all tries
BODY: Final = file_of(b"the ciphertext")

Parts = tuple[bytes, bytes, bytes]


def seal(plaintext: bytes) -> Parts:
    """Return ciphertext, MAC and ephemeral key, sealed by the library that clients use."""
    message = PkEncryption.from_key(Curve25519PublicKey.from_base64(ENVELOPE.public_key)).encrypt(plaintext)
    return message.ciphertext, message.mac, message.ephemeral_key


WHOLE: Final = seal(json.dumps(BODY).encode())


def by_definition(ciphertext: bytes, mac: bytes, ephemeral: bytes) -> EncryptedFile | None:
    """Open an envelope with nothing of ours but the readers of what is in it."""
    if len(mac) != 8 or len(ephemeral) != 32 or not ciphertext or len(ciphertext) % 16:
        return None
    try:
        shared = PRIVATE.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    except ValueError:  # a point of low order
        return None
    derived = HKDF(hashes.SHA256(), 80, salt=None, info=b"").derive(shared)
    if hmac.digest(derived[32:64], b"", "sha256")[:8] != mac:
        return None
    padded = Cipher(AES256(derived[:32]), modes.CBC(derived[64:])).decryptor().update(ciphertext)
    unpadder = padding.PKCS7(128).unpadder()
    try:
        return encrypted_file(parse_object(unpadder.update(padded) + unpadder.finalize()))
    except (ValueError, MalformedRequestError):
        return None


def opened(ciphertext: str, mac: str, ephemeral: str) -> EncryptedFile | None:
    """Open it with ours; None where it is refused, in the one way there is.

    Nothing else may come out: a panic of the library is a BaseException and ends the run.
    """
    try:
        return ENVELOPE.open(ciphertext, mac, ephemeral)
    except BadEnvelopeError as error:
        assert (error.args, error.__cause__, error.__context__) == (BadEnvelopeError().args, None, None)
        return None


@given(st.data())
def test_spoilt_parts_are_what_the_definition_says(data: st.DataObject) -> None:
    """Bytes changed in any part of a sealed body: opened exactly where another opener opens it."""
    number = data.draw(st.integers(0, 2))
    parts = list(WHOLE)
    parts[number] = data.draw(mutated(st.just(WHOLE[number]), (bytes(16), b"\x10" * 16, WHOLE[0][-16:])))
    assert opened(*map(unpadded, parts)) == by_definition(*parts)


@given(st.data())
def test_spoilt_requests_are_what_the_definition_says(data: st.DataObject) -> None:
    """Any request, whole or spoilt before it was sealed: what comes out is what went in, or the one error."""
    body: Any = BODY
    for _ in range(data.draw(st.integers(0, 2))):
        path = data.draw(st.sampled_from(paths(body)[:-1] or [("file",)]))
        body = replaced(
            body, path, data.draw(st.sampled_from([..., None, "", "A" * 43, "mxc://a/b", True, {}, []]))
        )
    plaintext = data.draw(mutated(st.just(json.dumps(body).encode()), most=1))
    parts = seal(plaintext)
    try:
        expected = encrypted_file(parse_object(plaintext))
    except MalformedRequestError:
        expected = None
    assert opened(*map(unpadded, parts)) == by_definition(*parts) == expected


_TEXTS: Final = [unpadded(part) for part in WHOLE]
_BASE64: Final = "ABCxyz019+/"


def text_like(text: str) -> st.SearchStrategy[str]:
    """Return the text itself, or spoilt in ways in which decoders of base64 differ."""
    words = (b"=", b"==", b"-", b"_", b"\n", b" ", b"\r\n", b"A", b"+/", "\uff21".encode(), b"=A", b"A===")
    spoilt = mutated(st.just(text.encode()), words).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    return st.one_of(
        spoilt,
        spoilt,
        st.text(max_size=90),
        st.text(_BASE64, max_size=90),
        st.integers(0, 5).map(lambda count: text + "=" * count),
        st.integers(1, 70_000).map(lambda size: "A" * size),
        st.sampled_from(_TEXTS),
    )


def decoded(text: str) -> bytes:
    """Return what base64 holds, of which at most the padding may be odd."""
    digits = text.rstrip("=")
    return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)


@given(*(text_like(text) for text in _TEXTS))
@example(*_TEXTS)
@example("=" * 70_000, *_TEXTS[1:])
@example("\ud800", "\0", "\U0001f600")
def test_any_strings_are_the_request_or_the_one_error(ciphertext: str, mac: str, ephemeral: str) -> None:
    """Strings of any kind: what is opened was sealed, letter for letter but for base64's padding."""
    file = opened(ciphertext, mac, ephemeral)
    if file is not None:
        parts = [decoded(text) for text in (ciphertext, mac, ephemeral)]
        assert file == by_definition(*parts)


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=6), st.integers(0, 80))
def test_blocks_of_any_bytes_are_the_one_error(blocks: list[bytes], keep: int) -> None:
    """Ciphertexts under the right key whose blocks are noise or moved about: every padding, no difference."""
    real = [WHOLE[0][at : at + 16] for at in range(0, len(WHOLE[0]), 16)]
    ciphertext = b"".join([*real[:keep], *blocks])
    parts = (ciphertext, *WHOLE[1:])
    assert opened(*map(unpadded, parts)) == by_definition(*parts)
