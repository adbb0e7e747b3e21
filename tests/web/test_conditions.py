"""Conditions and ranges as RFC 9110 has them; what is outside its grammar changes nothing."""

import re
from typing import Final

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ostiary.web.conditions import Span, span, unchanged

ETAG: Final = '"xyzzy"'
DATA: Final = bytes(range(256)) * 40
TAGS: Final = st.from_regex(r'\A(?:W/)?"[!#-~]{0,8}"\Z')

# RFC 9110, 13.1.2: the comparison is the weak one, the field is a list or "*".
NONE_MATCH: Final = [
    ('"xyzzy"', True),
    ('W/"xyzzy"', True),
    ('"xyzzy", "r2d2xxxx", "c3piozzzz"', True),
    ('W/"xyzzy", W/"r2d2xxxx", W/"c3piozzzz"', True),
    ('"r2d2xxxx" , "xyzzy"', True),
    ('"r2d2xxxx","xyzzy"', True),
    (', ,"xyzzy",', True),
    ("*", True),
    (" * ", True),
    ('"r2d2xxxx"', False),
    ('"XYZZY"', False),
    ("xyzzy", False),
    ("'xyzzy'", False),
    ('"xyzzy', False),
    ('xyzzy"', False),
    ('" xyzzy"', False),
    ('"*"', False),
    ("", False),
    (None, False),
    ("1", False),
]

# RFC 9110, 14.1.2: examples for a representation of 10000 bytes, and the edges of the grammar.
RANGES: Final = [
    ("bytes=0-499", (0, 500)),
    ("bytes=500-999", (500, 1000)),
    ("bytes=-500", (9500, 10000)),
    ("bytes=9500-", (9500, 10000)),
    ("bytes=0-0", (0, 1)),
    ("bytes=-1", (9999, 10000)),
    ("bytes=0-", (0, 10000)),
    ("bytes=0-9999", (0, 10000)),
    ("bytes=0-10000", (0, 10000)),
    ("bytes=9999-10000", (9999, 10000)),
    ("bytes=-10000", (0, 10000)),
    ("bytes=-10001", (0, 10000)),
    ("Bytes=1-1", (1, 2)),
    ("bytes= 1-1 ", (1, 2)),
    ("bytes=000000000000000001-1", (1, 2)),
]

UNSATISFIABLE: Final = ["bytes=10000-", "bytes=10000-20000", "bytes=999999999999999999-", "bytes=-0"]

IGNORED: Final = [
    "bytes=0-0,-1",  # several: we may send everything (14.2)
    "bytes=500-600,601-999",
    "bytes=0-1,",
    "bytes=2-1",
    "bytes=-",
    "bytes=",
    "bytes",
    "",
    "0-1",
    "items=0-1",
    "bytes 0-1",
    "bytes=0-1/10000",
    "bytes=0--1",
    "bytes=--1",
    "bytes=+1-2",
    "bytes=0x1-2",
    "bytes=1.0-2",
    "bytes=1_0-20",
    "bytes=1 -2",
    "bytes=\u0661-\u0662",  # digits, and no ASCII
    "bytes=\u00b2-",
    "bytes=0-1\n",
    "bytes=0-1\r\nX: y",
    "bytes=" + "9" * 5000 + "-",
    "bytes=0-" + "9" * 5000,
    "bytes=" + ",".join(["0-1"] * 1000),
]


@pytest.mark.parametrize(("field", "expected"), NONE_MATCH)
def test_if_none_match(field: str | None, *, expected: bool) -> None:
    """Any of the caller's copies, weak or strong, or `*`; what is no entity tag matches nothing."""
    assert unchanged(field, ETAG) is expected


@pytest.mark.parametrize(("field", "part"), RANGES)
def test_one_range(field: str, part: tuple[int, int]) -> None:
    """The examples of RFC 9110, 14.1.2, and an end behind the end."""
    assert span(field, None, ETAG, 10000) == Span(*part, 10000)
    assert str(Span(*part, 10000)) == f"bytes {part[0]}-{part[1] - 1}/10000"


@pytest.mark.parametrize("field", UNSATISFIABLE)
def test_a_range_with_nothing_in_it(field: str) -> None:
    """It says how long the media is (RFC 9110, 15.5.17)."""
    part = span(field, None, ETAG, 10000)
    assert part is not None
    assert not part.satisfiable
    assert str(part) == "bytes */10000"


@pytest.mark.parametrize("field", [None, *IGNORED])
def test_what_is_no_range_is_ignored(field: str | None) -> None:
    """Several ranges, other units and nonsense: the whole media is sent (RFC 9110, 14.2)."""
    assert span(field, None, ETAG, 10000) is None


@pytest.mark.parametrize("field", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=5-", "bytes=-0", None])
def test_there_is_no_part_of_nothing(field: str | None) -> None:
    """An empty media is sent whole: no client can do anything with a 416 for it."""
    assert span(field, None, ETAG, 0) is None


@pytest.mark.parametrize(
    ("field", "counts"),
    [
        (None, True),
        (ETAG, True),
        (f" {ETAG} ", True),
        (f"W/{ETAG}", False),
        ('"other"', False),
        (f'{ETAG}, "other"', False),
        ("*", False),
        ("xyzzy", False),
        ("", False),
        ("Wed, 21 Oct 2015 07:28:00 GMT", False),
    ],
)
def test_if_range(field: str | None, *, counts: bool) -> None:
    """A part only for who has the rest of this very file: the strong comparison (RFC 9110, 13.1.5)."""
    assert span("bytes=0-1", field, ETAG, 10) == (Span(0, 2, 10) if counts else None)


@given(st.integers(1, len(DATA)), st.integers(0, 20000), st.integers(0, 20000))
def test_parts_are_what_python_cuts(size: int, first: int, last: int) -> None:
    """Every form of a range is the slice that it names, or is said to hold nothing."""
    data = DATA[:size]
    forms = {f"bytes={first}-": data[first:], f"bytes=-{last}": data[-last:] if last else b""}
    if first <= last:
        forms[f"bytes={first}-{last}"] = data[first : last + 1]
    for field, expected in forms.items():
        part = span(field, None, ETAG, size)
        assert part is not None
        assert part.satisfiable == bool(expected)
        if part.satisfiable:
            assert 0 <= part.start < part.stop <= size
            assert data[part.start : part.stop] == expected


@given(st.text(max_size=60), st.none() | st.text(max_size=20), st.integers(0, 1 << 40))
@example("bytes=0-18446744073709551616", None, 10)
def test_any_text_as_a_range(field: str, condition: str | None, size: int) -> None:
    """Whatever it says, it names no byte that is not there, and never raises."""
    part = span(field, condition, ETAG, size)
    if part is not None:
        assert part.size == size
        assert part.start >= 0
        assert not part.satisfiable or part.stop <= size
        assert re.fullmatch(r"bytes ([0-9]+-[0-9]+|\*)/[0-9]+", str(part))


@given(st.text(alphabet='0123456789-=, \tbytes"', max_size=30), st.integers(0, 100))
def test_almost_a_range(field: str, size: int) -> None:
    """The same near the grammar."""
    part = span("bytes=" + field, None, ETAG, size)
    assert part is None or (re.search("[0-9]", field) is not None and "," not in field)


@given(st.lists(TAGS, max_size=6), st.sampled_from([",", ", ", " ,\t", ",,"]))
def test_lists_of_tags(tags: list[str], between: str) -> None:
    """In a list in the grammar our tag is found exactly where it stands."""
    ours = [tag for tag in tags if tag.removeprefix("W/") == ETAG]
    assert unchanged(between.join(tags), ETAG) == bool(ours)
    assert unchanged(between.join([*tags, ETAG]), ETAG)


@given(st.text(max_size=80))
def test_any_text_as_a_condition(field: str) -> None:
    """Whoever doesn't write our tag is never told that it has the media."""
    assume(ETAG not in field and field.strip() != "*")
    assert not unchanged(field, ETAG)
