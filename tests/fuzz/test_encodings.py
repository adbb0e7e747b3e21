"""Compressed bodies: streams broken anywhere, against zlib used in one go; and bombs, which stay small."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from ostiary.errors import HomeserverError
from ostiary.matrix.content_encoding import PIECE, Decoder, coding_of
from tests.fuzz.mutations import cut, fewer, mutated

_MOST: Final = 4 << 20  # bytes that decoding a bomb may hold at a time


def _packed(bits: int, level: int, strategy: int, flush: int) -> Callable[[bytes], bytes]:
    def pack(data: bytes) -> bytes:
        packer = zlib.compressobj(level, zlib.DEFLATED, bits, 8, strategy)
        half = len(data) // 2
        return (
            packer.compress(data[:half]) + packer.flush(flush) + packer.compress(data[half:]) + packer.flush()
        )

    return pack


BITS: Final = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
FLUSHES: Final = st.sampled_from(
    [zlib.Z_NO_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH]
)


@st.composite
def streams(draw: st.DrawFn, coding: str) -> bytes:
    """Pack some bytes in one of the ways there are: stored, fixed, dynamic blocks, flushed in between."""
    bits = draw(st.sampled_from(BITS[coding]))
    strategy = draw(st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE]))
    pack = _packed(bits, draw(st.integers(0, 9)), strategy, draw(FLUSHES))
    return pack(draw(st.binary(max_size=200) | st.integers(0, 200_000).map(bytes)))


def in_one_go(coding: str, data: bytes) -> bytes | None:
    """Return what the bytes are if they are exactly one whole stream; None otherwise."""
    if not data:
        return b""
    raw = coding == "deflate" and data[0] & 0x0F != 8
    stream = zlib.decompressobj(-15 if raw else BITS[coding][0])
    try:
        out = stream.decompress(data)
    except zlib.error:
        return None
    return out if stream.eof and not stream.unused_data else None


def decoded(coding: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what ours makes of the chunks."""
    decoder = Decoder(coding)
    for chunk in chunks:
        yield from decoder.feed(chunk)
    yield from decoder.end()


@given(st.sampled_from(sorted(BITS)), st.data())
def test_spoilt_streams_are_whole_or_an_error(coding: str, data: st.DataObject) -> None:
    """However it was packed, spoilt and cut: the bytes that zlib finds in one go, or our error, in pieces."""
    packed = data.draw(
        mutated(streams(coding), (b"\x1f\x8b\x08", b"\x78\x9c", b"\x03\0", bytes(8), b"\0\0\xff\xff"))
    )
    expected = in_one_go(coding, packed)
    try:
        pieces = list(decoded(coding, cut(packed, data.draw)))
    except HomeserverError:
        assert expected is None
    else:
        assert b"".join(pieces) == expected
        assert all(0 < len(piece) <= PIECE for piece in pieces)


@fewer(10)
@given(
    st.sampled_from(sorted(BITS)), st.integers(1, 3), st.integers(20, 24), st.binary(max_size=3), st.data()
)
def test_bombs_stay_small(coding: str, times: int, power: int, piece: bytes, data: st.DataObject) -> None:
    """A stream of a few kilobytes that unpacks to megabytes never holds more than a piece or so of them."""
    bits = data.draw(st.sampled_from(BITS[coding]))
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    large = (piece or b"\0") * ((1 << power) // max(1, len(piece)))
    packed = b"".join([packer.compress(large) for _ in range(times)]) + packer.flush()
    size = len(large) * times
    del large
    chunks = cut(packed, data.draw)
    tracemalloc.start()
    try:
        assert sum(map(len, decoded(coding, chunks))) == size
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < _MOST


@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(["gzip", "GZIP", "identity", "br", "", " ", "\xff"])).map(",".join)
)
def test_any_header_is_a_coding_or_an_error(header: str) -> None:
    """Whatever the header says: nothing to undo, one coding that we know, or our error."""
    coding = coding_of(header)
    if coding is None:
        assert {word.strip().lower() for word in header.split(",")} <= {"", "identity"}
        return
    try:
        Decoder(coding)
    except HomeserverError:
        return
    assert coding in BITS


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3))
def test_several_members_are_not_one_file(files: list[bytes]) -> None:
    """Gzip may hold several members (RFC 1952, 2.2), which readers see or don't: more than one is refused."""
    packed = b"".join(map(gzip.compress, files))
    try:
        got = b"".join(decoded("gzip", [packed]))
    except HomeserverError:
        assert len(files) > 1
    else:
        assert [got] == files
