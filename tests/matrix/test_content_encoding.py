"""Content-Encoding: what comes out is the whole of what went in, a little at a time, or an error."""

import contextlib
import gzip
import itertools
import zlib
from collections.abc import Callable, Iterable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.errors import HomeserverError
from ostiary.matrix.content_encoding import PIECE, Decoder, coding_of

DATA = b"the quick brown fox " * 10_000


def raw_deflate(data: bytes) -> bytes:
    """Return deflate without its zlib header, as many servers send it."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw": raw_deflate,
}


def coding(packer: str) -> str:
    """Return what the header says of such a stream."""
    return "deflate" if packer == "raw" else packer


def decoded(packer: str, chunks: Iterable[bytes]) -> bytes:
    """Return what the chunks become; each piece is bounded."""
    decoder = Decoder(coding(packer))
    pieces = [piece for chunk in chunks for piece in decoder.feed(chunk)]
    pieces += decoder.end()
    assert all(0 < len(piece) <= PIECE for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("data", [b"", b"x", DATA, bytes(1 << 22)])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_what_went_in_comes_out(packer: str, data: bytes, step: int) -> None:
    """Each coding, however the network cuts it."""
    packed = PACKERS[packer](data)
    assert decoded(packer, [packed[at : at + step] for at in range(0, len(packed), step)]) == data


@pytest.mark.parametrize("packer", PACKERS)
def test_a_stream_that_is_cut_anywhere_is_an_error(packer: str) -> None:
    """A shorter file is never taken for a whole one, not even without its last byte."""
    packed = PACKERS[packer](DATA)
    for end in range(1, len(packed)):
        with pytest.raises(HomeserverError):
            decoded(packer, [packed[:end]])


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("apart", [True, False])
def test_nothing_may_follow(packer: str, *, apart: bool) -> None:
    """Bytes behind the end are an error, also a second stream: other readers would not see them."""
    packed = PACKERS[packer](DATA)
    for more in (b"x", packed):
        with pytest.raises(HomeserverError, match="goes on"):
            decoded(packer, [packed, more] if apart else [packed + more])


@pytest.mark.parametrize("packer", ["gzip", "deflate"])
def test_damage_is_noticed(packer: str) -> None:
    """A stream whose checksum is wrong is an error, though every byte could be unpacked."""
    packed = bytearray(PACKERS[packer](DATA))
    packed[-5 if packer == "gzip" else -1] ^= 1
    with pytest.raises(HomeserverError, match="can't be"):
        decoded(packer, [bytes(packed)])


def test_a_bomb_comes_out_a_piece_at_a_time() -> None:
    """A stream that would be terabytes costs no more than what is taken of it."""
    packer = zlib.compressobj(wbits=31)
    head = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    more = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    decoder = Decoder("gzip")
    chunks = itertools.chain([head], itertools.repeat(more))
    pieces = (piece for chunk in chunks for piece in decoder.feed(chunk))
    taken = [len(piece) for piece in itertools.islice(pieces, 2000)]
    assert max(taken) == PIECE
    assert sum(taken) > 100 << 20


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("identity", None),
        ("Identity, ", None),
        ("gzip", "gzip"),
        (" GZIP ", "gzip"),
        ("identity, gzip", "gzip"),
        ("gzip, gzip", "gzip, gzip"),
        ("br", "br"),
    ],
)
def test_what_the_header_says(header: str, expected: str | None) -> None:
    """Codings in any case; `identity` is none."""
    assert coding_of(header) == expected


@pytest.mark.parametrize("unknown", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "x", "chunked", "é"])
def test_a_coding_that_we_can_not_undo(unknown: str) -> None:
    """Rather no file than one whose bytes mean something else."""
    with pytest.raises(HomeserverError, match="nobody asked for"):
        Decoder(unknown)


@given(st.sampled_from(sorted(PACKERS)), st.lists(st.binary(max_size=200), max_size=5))
def test_hostile_bytes_are_bytes_or_our_error(packer: str, chunks: list[bytes]) -> None:
    """Whatever comes in, what comes out is bytes or a HomeserverError."""
    with contextlib.suppress(HomeserverError):
        decoded(packer, chunks)


@given(st.sampled_from(sorted(PACKERS)), st.binary(min_size=1, max_size=300), st.data())
def test_a_changed_byte_is_noticed_or_harmless(packer: str, data: bytes, draw: st.DataObject) -> None:
    """One changed byte in a checked stream never gives other bytes than went in."""
    packed = bytearray(PACKERS[packer](data))
    packed[draw.draw(st.integers(0, len(packed) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        result = decoded(packer, [bytes(packed)])
    except HomeserverError:
        return
    assert result == data or packer not in {"gzip", "x-gzip"}
