"""Range, If-Range and If-None-Match: any header gives a part that lies inside, all of it, or 416.

A second reader, written from RFC 9110 with `split` alone, says which; over HTTP the bytes are compared.
"""

from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.web.conditions import Span, span, unchanged
from tests.flow.samples import PICTURE
from tests.fuzz.mutations import fewer, mutated
from tests.fuzz.raw_http import asked
from tests.matrix.fake_homeserver import media
from tests.web.door import API, Door

ETAG: Final = '"abc_DEF-123"'
_DIGITS: Final = frozenset("0123456789")
_LONGEST: Final = 18  # digits that we read

RANGES: Final = st.sampled_from(
    [b"bytes=0-3", b"bytes=5-", b"bytes=-7", b"bytes=0-0", b"bytes=0-99999", b"BYTES= 1-2 "]
)
RANGE_WORDS: Final = (
    *(
        b"bytes=",
        b"bytes",
        b"-",
        b"--",
        b",",
        b", 3-4",
        b"0",
        b"18446744073709551615",
        b"9" * 18,
        b"9" * 19,
        b"\t",
        b" ",
    ),
    *(b"items=", b"\xd9\xa1", b"\xe2\x88\x92", b"+1", b"0x1", b"1e1", b"*/*", b"0-0,-1", b"0-," * 300, b"\0"),
)
TAGS: Final = st.sampled_from(
    [ETAG.encode(), b"W/" + ETAG.encode(), b"*", b'"a", ' + ETAG.encode(), b'"x", W/"y"', b'""']
)
TAG_WORDS: Final = (
    b'"',
    b"W/",
    b"w/",
    b"*",
    b",",
    b" ",
    ETAG.encode(),
    b"abc_DEF-123",
    b'","',
    b"\\",
    b"\xff",
    b"\x7f",
    b'", "',
)


def number(text: str) -> int | None:
    """Return a number of ASCII digits that we would read."""
    return int(text) if text and set(text) <= _DIGITS and len(text) <= _LONGEST else None


def by_the_rfc(header: str, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one behind the last, None for all of it (14.1.2)."""
    unit, _, ranges = header.partition("=")
    if unit.lower() != "bytes" or size == 0:
        return None
    first_text, dash, last_text = ranges.strip(" \t").partition("-")
    first, last = number(first_text), number(last_text)
    if not dash or (first is None and first_text) or (last is None and last_text) or (first is last is None):
        return None
    if first is None:
        return max(0, size - (last or 0)), size
    if last is not None and last < first:
        return None
    return first, size if last is None else min(last + 1, size)


@given(mutated(RANGES, RANGE_WORDS), st.integers(0, 40) | st.integers(2**31, 2**63))
@example(b"bytes=-0", 10)
@example(b"bytes=10-", 10)
def test_any_range_lies_inside_or_is_none(raw: bytes, size: int) -> None:
    """A part is inside the file and what the RFC says; whatever is not one range means all of it."""
    header = raw.decode("utf-8", "surrogateescape")
    part = span(header, None, ETAG, size)
    expected = by_the_rfc(header, size)
    if expected is None:
        assert part is None
        return
    assert part is not None
    assert (part.start, part.stop, part.size) == (*expected, size)
    if part.satisfiable:
        assert 0 <= part.start < part.stop <= size
        assert str(part) == f"bytes {part.start}-{part.stop - 1}/{size}"
    else:
        assert str(part) == f"bytes */{size}"


@given(mutated(TAGS, TAG_WORDS))
@example(ETAG.encode())
def test_if_range_is_the_very_tag(raw: bytes) -> None:
    """Only the tag itself, strong and whole, lets a part be sent; anything else means all of it."""
    header = raw.decode("utf-8", "surrogateescape")
    part = span("bytes=0-0", header, ETAG, 9)
    assert part == (Span(0, 1, 9) if header.strip() == ETAG else None)


@given(
    tags=st.lists(st.tuples(st.sampled_from(["", "W/"]), st.text("ab,!~ *W/", max_size=4)), max_size=4),
    has=st.booleans(),
)
def test_if_none_match_finds_its_tag_in_any_list(tags: list[tuple[str, str]], *, has: bool) -> None:
    """Our tag is found wherever it stands in a list of tags, weak or strong, and only there."""
    written = [f'{weak}"{opaque.replace(" ", "")}"' for weak, opaque in tags] + ([ETAG] if has else [])
    for glue in (",", ", ", " ,\t", ",,"):
        assert unchanged(glue.join(written), ETAG) is has
        assert unchanged(glue.join(["W/" + one.removeprefix("W/") for one in written]), ETAG) is has


@given(mutated(TAGS, TAG_WORDS))
def test_any_if_none_match_is_yes_or_no(raw: bytes) -> None:
    """Yes only where our tag, or the star alone, stands in it."""
    header = raw.decode("utf-8", "surrogateescape")
    if unchanged(header, ETAG):
        assert ETAG in header or header.strip() == "*"


@fewer(2)
@given(
    st.sampled_from(["GET", "HEAD"]),
    mutated(RANGES, RANGE_WORDS),
    st.none() | mutated(TAGS, TAG_WORDS),
    st.none() | mutated(TAGS, TAG_WORDS),
)
async def test_over_http_a_part_is_that_part(
    door: Door, method: str, wanted: bytes, if_range: bytes | None, if_none_match: bytes | None
) -> None:
    """206 holds the bytes that Content-Range names, 200 all of them, 304 and 416 none."""
    door.homeserver.otherwise = media(PICTURE)
    lines = [f"{method} {API}/download/a/b HTTP/1.1".encode(), b"Host: x", b"Authorization: Bearer tok"]
    lines += [b"Connection: close", b"Range: " + wanted]
    lines += [b"If-Range: " + if_range] if if_range is not None else []
    lines += [b"If-None-Match: " + if_none_match] if if_none_match is not None else []
    answer = await asked(door, b"\r\n".join(lines) + b"\r\n\r\n", head=method == "HEAD")
    door.homeserver.received.clear()
    assert answer is not None
    assert answer.status in {200, 206, 304, 400, 416}
    if answer.status == 206:
        start, _, rest = answer.headers["content-range"].removeprefix("bytes ").partition("-")
        last, _, size = rest.partition("/")
        assert int(size) == len(PICTURE)
        assert answer.body == PICTURE[int(start) : int(last) + 1]
        assert answer.body
    elif answer.status == 200:
        assert answer.body == (PICTURE if method == "GET" else b"")
    elif answer.status in {400, 416}:
        assert answer.body == b"" or answer.reason
