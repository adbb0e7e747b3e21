"""Legacy key files: spoilt in their text, their bytes, and under a good MAC."""

import base64
import hmac
from typing import Final

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.errors import ConfigError
from ostiary.matrix.legacy_key import read_pickle
from tests.fuzz.mutations import mutated

SECRET: Final = bytes(range(32))
CONTENT: Final = (
    b"\0\0\0\1" + X25519PrivateKey.from_private_bytes(SECRET).public_key().public_bytes_raw() + SECRET
)
PASSPHRASE: Final = b"a passphrase"
DERIVED: Final = HKDF(hashes.SHA256(), 80, salt=None, info=b"Pickle").derive(PASSPHRASE)


def sealed(padded: bytes) -> bytes:
    """Return a pickle around whole blocks, with a good MAC."""
    ciphertext = Cipher(AES256(DERIVED[:32]), modes.CBC(DERIVED[64:])).encryptor().update(padded)
    return ciphertext + hmac.digest(DERIVED[32:64], ciphertext, "sha256")[:8]


def in_blocks(content: bytes) -> bytes:
    """Pad to whole blocks."""
    padder = padding.PKCS7(128).padder()
    return padder.update(content) + padder.finalize()


GOOD: Final = sealed(in_blocks(CONTENT))
TEXT: Final = base64.b64encode(GOOD).rstrip(b"=")


def secret_in(text: bytes, passphrase: bytes = PASSPHRASE) -> bytes | None:
    """Return the key; None for our error, whose words are the same whatever the file holds."""
    try:
        return read_pickle(text, passphrase)
    except ConfigError as error:
        assert str(error).isprintable()
        assert error.__cause__ is None
        return None


@given(
    mutated(
        st.sampled_from([TEXT, TEXT + b"\n", TEXT + b"=="]),
        (b"=", b"\r\n", b"-", b"_", TEXT, b"A" * 43, b"A" * 5000),
    )
)
def test_spoilt_text_is_the_key_or_our_error(text: bytes) -> None:
    """Only the text itself, with blanks or padding around it, is the key."""
    got = secret_in(text)
    assert got in {None, SECRET}
    assert (got is not None) == (text.strip() in {TEXT, TEXT + b"=" * (-len(TEXT) % 4)})


def test_no_other_last_letter_is_the_key() -> None:
    """The bits that base64 has to spare at its end are no second way to write the key."""
    for letter in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/":
        text = TEXT[:-1] + bytes([letter])
        assert (secret_in(text) is not None) == (text == TEXT)


@given(mutated(st.just(GOOD)))
def test_spoilt_bytes_are_our_error(data: bytes) -> None:
    """The MAC covers every byte before it."""
    assert (secret_in(base64.b64encode(data)) is not None) == (data == GOOD)


@example(in_blocks(CONTENT[:36] + b"\1" + CONTENT[37:]))
@given(mutated(st.just(in_blocks(CONTENT)), (bytes(16), b"\x10" * 16, b"\1", SECRET)))
def test_spoilt_content_is_our_error(padded: bytes) -> None:
    """Nor does anything else pass that somebody who knows the passphrase put under a good MAC."""
    padded = padded[: len(padded) // 16 * 16]
    got = secret_in(base64.b64encode(sealed(padded)))
    if got is None:
        assert padded != in_blocks(CONTENT)
    else:  # X25519 ignores five bits of a private key (RFC 7748, 5): it is the same one
        assert X25519PrivateKey.from_private_bytes(got).public_key().public_bytes_raw() == CONTENT[4:36]


@given(mutated(st.just(PASSPHRASE)))
def test_no_other_passphrase_opens_it(passphrase: bytes) -> None:
    """Neither a longer one, nor one with a line break behind it."""
    assert (secret_in(TEXT, passphrase) is not None) == (passphrase == PASSPHRASE)
