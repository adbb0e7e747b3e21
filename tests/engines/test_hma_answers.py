"""The grammar of a Hasher-Matcher-Actioner's answers."""

import pytest

from ostiary.engines.hma.answers import banks_of, hashes_of, index_of
from ostiary.errors import EngineError


@pytest.mark.parametrize(
    ("body", "banks"),
    [
        (b"[]", ()),
        (b"{}", ()),
        (b' \n["A", "B_C"] ', ("A", "B_C")),
        (b'{"A": [{"bank_content_id": 1, "distance": "0"}], "B": [1]}', ("A", "B")),
    ],
)
def test_banks(body: bytes, banks: tuple[str, ...]) -> None:
    """Two forms: a list of names before 2025, an object since."""
    assert banks_of(body) == banks


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"0", b'"A"', b"[1]", b"[null]", b'[""]', b'["a\\nb"]', b'["' + b"x" * 201 + b'"]',
        b'{"A": []}', b'{"A": {}}', b'{"A": null}', b'{"message": "no"}',
        b'{"A": [1], "A": [2]}', b'[] , "x": []', b"[]}", b"[] []",
        b'["A"', b"\xef\xbb\xbf[]", b'["\xff"]', b'["\\ud800"]', b"[NaN]", b"[" * 100 + b"]" * 100,
    ],
)  # fmt: skip
def test_what_names_no_banks(body: bytes) -> None:
    """None of it passes for "no match"."""
    with pytest.raises(EngineError):
        banks_of(body)


def test_hashes() -> None:
    """One for each signal type; an empty one where there is nothing to compare."""
    assert hashes_of(b'{"pdq": "d811", "video_md5": ""}') == {"pdq": "d811", "video_md5": ""}


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'{"pdq": null}',
        b'{"pdq": 1}',
        '{"pdq": "é"}'.encode(),
        b'{"pdq": "a\\nb"}',
        b'{"": "a"}',
    ],
)
def test_what_names_no_hashes(body: bytes) -> None:
    """An answer without a hash that can be looked up is an error, not a clean file."""
    with pytest.raises(EngineError):
        hashes_of(body)


def test_too_many_and_too_long_hashes() -> None:
    """Each becomes a request, and a part of its URL."""
    with pytest.raises(EngineError, match="names no hashes"):
        hashes_of(b"{" + b",".join(b'"t%d": "a"' % number for number in range(33)) + b"}")
    with pytest.raises(EngineError, match="its hash tmk is too long"):
        hashes_of(b'{"tmk": "' + b"a" * 2001 + b'"}')


def test_the_index() -> None:
    """Each type with the time of its last index, and its size."""
    body = b'{"video_md5": {"built_to": -1, "present": false, "size": 0}, "pdq": {"built_to": 17, "size": 3}}'
    assert index_of(body) == "pdq 17/3 video_md5 -1/0"


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b'{"pdq": []}', b'{"pdq": {"size": 3}}', b'{"pdq": {"built_to": true, "size": 3}}'],
)
def test_what_tells_of_no_index(body: bytes) -> None:
    """Without it nobody could say when an answer is out of date."""
    with pytest.raises(EngineError):
        index_of(body)
