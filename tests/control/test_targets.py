"""How commands name files: three ways, each strict."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.control.targets import FileDigest, KeyedDigest, parse_target
from ostiary.errors import MalformedMediaError, MalformedRequestError
from ostiary.model import MediaRef

DIGEST = bytes(range(32))


@given(st.binary(min_size=32, max_size=32))
def test_digests(digest: bytes) -> None:
    """64 hex digits in either case; a keyed digest is written as it is read."""
    for hexed in (digest.hex(), digest.hex().upper()):
        assert parse_target(f"enc:{hexed}") == KeyedDigest(digest)
        assert parse_target(f"sha256:{hexed}") == FileDigest(digest)
    assert parse_target(str(KeyedDigest(digest))) == KeyedDigest(digest)


def test_media() -> None:
    """An mxc URI, in the Matrix grammar."""
    assert parse_target("mxc://example.org:8448/abc-_") == MediaRef("example.org:8448", "abc-_")
    for bad in ("mxc://example.org", "mxc://example.org/", "mxc://ex ample/a", "mxc://example.org/../b"):
        with pytest.raises(MalformedMediaError):
            parse_target(bad)


@given(st.text())
@example("")
@example(DIGEST.hex())
@example(f"enc:{DIGEST.hex()[:-1]}")
@example(f"enc:{DIGEST.hex()}\n")
@example(f"enc: {DIGEST.hex()}")
@example(f"ENC:{DIGEST.hex()}")
@example(f"md5:{DIGEST.hex()}")
@example(f"sha256:{DIGEST.hex()}0")
@example("sha256:" + "\u0661" * 64)
def test_anything_else_is_refused(text: str) -> None:
    """No prefix, other digits, other lengths, other kinds: our error, no guess."""
    with pytest.raises((MalformedRequestError, MalformedMediaError)):
        parse_target(text)
