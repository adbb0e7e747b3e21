"""The attachment decryptor against counter mode written out from its definition, block by block."""

import hashlib
from typing import Final

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from hypothesis import given
from hypothesis import strategies as st

from ostiary.errors import AttachmentError
from ostiary.matrix.attachment import Decryptor, verify
from tests.fuzz.mutations import cut, mutated

_LOW: Final = 1 << 64

KEYS: Final = st.binary(min_size=32, max_size=32)
COUNTERS: Final = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.tuples(st.binary(min_size=8, max_size=8), st.just(bytes(8))).map(b"".join),
    # Near the overflow of the low half, under a high half that would or wouldn't overflow with it.
    st.tuples(
        st.sampled_from([bytes(8), b"\xff" * 8, b"saltsalt"]),
        st.integers(1, 40).map(lambda left: (_LOW - left).to_bytes(8)),
    ).map(b"".join),
    st.sampled_from(
        [bytes(7) + b"\1" + b"\xff" * 8, bytes(8) + b"\x7f" + b"\xff" * 7, b"\xff" * 15 + b"\xfe"]
    ),
)
"""IVs as clients make them, and those that hit a boundary soon."""


def keystream(key: bytes, counter: bytes, size: int) -> bytes:
    """Return what is added to the file: each block is the encrypted counter, which goes up by one."""
    high, low = counter[:8], int.from_bytes(counter[8:])
    blocks = b"".join(high + ((low + n) % _LOW).to_bytes(8) for n in range(-(-size // 16)))
    return Cipher(AES256(key), modes.ECB()).encryptor().update(blocks)[:size]  # noqa: S305  (one block each)


@given(KEYS, COUNTERS, st.binary(max_size=900), st.data())
def test_any_file_in_any_pieces(key: bytes, counter: bytes, file: bytes, data: st.DataObject) -> None:
    """What comes out is the definition's plaintext, however it is cut; refused where clients differ."""
    room = (_LOW - int.from_bytes(counter[8:])) * 16
    decryptor = Decryptor(key, counter)
    plain = b""
    stream = keystream(key, counter, len(file))
    for piece in cut(file, data.draw):
        if len(plain) + len(piece) > room:
            with pytest.raises(AttachmentError, match="overflows"):
                decryptor.update(piece)
            with pytest.raises(AttachmentError):  # and it stays so, whatever comes
                decryptor.update(b"x")
            return
        plain += decryptor.update(piece)
    assert plain == bytes(a ^ b for a, b in zip(file, stream, strict=True))


@given(KEYS, st.integers(0, 30), st.integers(-33, 33))
def test_the_boundary_is_exact(key: bytes, blocks: int, offset: int) -> None:
    """The last byte before the low half overflows comes out, the next one does not, at any distance."""
    counter = b"saltsalt" + ((_LOW - 1 - blocks) % _LOW).to_bytes(8)
    size = max(0, (blocks + 1) * 16 + offset)
    decryptor = Decryptor(key, counter)
    if size > (blocks + 1) * 16:
        with pytest.raises(AttachmentError):
            decryptor.update(bytes(size))
    else:
        assert decryptor.update(bytes(size)) == keystream(key, counter, size)


@given(st.binary(max_size=300), st.data())
def test_only_the_very_hash_passes(file: bytes, data: st.DataObject) -> None:
    """A file passes under its own SHA-256 and under nothing that looks like it; so does no spoilt file."""
    digest = hashlib.sha256(file).digest()
    verify(digest, digest)
    other = data.draw(mutated(st.just(digest), (digest, bytes(32))))
    if other != digest:
        with pytest.raises(AttachmentError, match="hash"):
            verify(other, digest)
    spoilt = data.draw(mutated(st.just(file)))
    if spoilt != file:
        with pytest.raises(AttachmentError, match="hash"):
            verify(digest, hashlib.sha256(spoilt).digest())


@given(st.binary(max_size=70), st.binary(max_size=40))
def test_keys_and_ivs_of_other_sizes_are_no_keys(key: bytes, counter: bytes) -> None:
    """ValueError, and nothing of OpenSSL's."""
    if (len(key), len(counter)) == (32, 16):
        return
    with pytest.raises(ValueError, match=r"key|nonce|IV"):
        Decryptor(key, counter)
