"""Keyed digests: equal only for equal input, of no use without the key, apart from each other by purpose."""

import hashlib
from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from ostiary.digests import Digests

SECRET = b"s" * 32
PINNED_ETAG = '"4617c24132b09b72c9235d4f63f7aaa3"'
PINNED_CONTENT = "a66cbaec471c4d0e462ca3b7cf9208f0cc15d2ccd01e6a1e83a421f57e091c82"
SHA256 = st.binary(min_size=32, max_size=32)
KEY = st.binary(min_size=32, max_size=32)
IV = st.binary(min_size=16, max_size=16)
MATERIAL = st.tuples(SHA256, KEY, IV)
SCOPE = st.text(max_size=20)


def everything(digests: Digests, sha256: bytes) -> set[bytes]:
    """Return all that is ever said of a digest."""
    return {
        digests.content(sha256),
        digests.attachment(sha256, bytes(32), bytes(16)),
        bytes.fromhex(digests.etag(sha256).strip('"')),
    }


@given(MATERIAL, MATERIAL)
def test_another_key_iv_or_hash_is_another_attachment(
    one: tuple[bytes, bytes, bytes], other: tuple[bytes, bytes, bytes]
) -> None:
    """Evidence is found again under the same three values and under no others."""
    digests = Digests(SECRET)
    assert (digests.attachment(*one) == digests.attachment(*other)) == (one == other)


@given(MATERIAL, st.integers(0, 79), st.integers(1, 255))
def test_a_single_bit_is_another_attachment(
    material: tuple[bytes, bytes, bytes], at: int, change: int
) -> None:
    """No byte of hash, key and IV is left out."""
    sha256, key, iv = material
    changed = bytearray(sha256 + key + iv)
    changed[at] ^= change
    digests = Digests(SECRET)
    assert digests.attachment(sha256, key, iv) != digests.attachment(
        bytes(changed[:32]), bytes(changed[32:64]), bytes(changed[64:])
    )


@given(SHA256, SHA256)
def test_equal_content_is_equal(one: bytes, other: bytes) -> None:
    """One content has one digest and one ETag, another content has others."""
    digests = Digests(SECRET)
    assert (digests.content(one) == digests.content(other)) == (one == other)
    assert (digests.etag(one) == digests.etag(other)) == (one == other)


@given(SHA256)
def test_purposes_do_not_meet(sha256: bytes) -> None:
    """A content's digest is no attachment's and no ETag, so none can be passed off as another."""
    digests = Digests(SECRET)
    content = digests.content(sha256)
    assert len(everything(digests, sha256)) == 3
    assert digests.attachment(sha256, b"", b"") != content
    assert not content.hex().startswith(digests.etag(sha256).strip('"'))


@given(SHA256, SCOPE, SCOPE)
def test_scopes_do_not_meet(sha256: bytes, one: str, other: str) -> None:
    """What was found under other settings is not found again; an ETag says nothing of settings."""
    first, second = Digests(SECRET, one), Digests(SECRET, other)
    assert (first.content(sha256) == second.content(sha256)) == (one == other)
    same = first.attachment(sha256, SECRET, b"") == second.attachment(sha256, SECRET, b"")
    assert same == (one == other)
    assert first.etag(sha256) == second.etag(sha256)


@given(st.binary(max_size=2000), SHA256)
def test_nothing_can_be_said_without_the_secret(data: bytes, secret: bytes) -> None:
    """Neither plain digests of the file nor another secret's digests are in what caches and clients see."""
    sha256 = hashlib.sha256(data).digest()
    said = everything(Digests(SECRET), sha256)
    plain = {sha256, *(blake2b(it, digest_size=size).digest() for it in (data, sha256) for size in (16, 32))}
    plain |= {blake2b(sha256, key=SECRET, digest_size=size).digest() for size in (16, 32)}
    assert not any(known[:16] == digest[:16] for known in plain for digest in said)
    if secret != SECRET:
        assert not said & everything(Digests(secret), sha256)


def test_digests_last() -> None:
    """Processes of one secret agree, and stored values outlive a release: these are pinned."""
    digests = Digests(bytes(range(32)), "scope")
    sha256 = hashlib.sha256(b"").digest()
    again = Digests(bytes(range(32)), "scope")
    assert everything(digests, sha256) == everything(again, sha256)
    assert len(digests.content(sha256)) == len(digests.attachment(sha256, bytes(32), bytes(16))) == 32
    assert digests.etag(sha256) == PINNED_ETAG
    assert digests.content(sha256).hex() == PINNED_CONTENT


def test_the_secret_is_not_shown() -> None:
    """Neither the secret nor a key made of it is in a repr, which logs and tracebacks show."""
    digests = Digests(SECRET)
    assert SECRET.decode() not in repr(digests)
    assert not hasattr(digests, "__dict__")
