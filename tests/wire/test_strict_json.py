"""Strict JSON: what is refused that Python would take, and that nothing but our error comes out."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.errors import MalformedRequestError
from ostiary.wire.strict_json import MAX_DEPTH, MAX_DIGITS, MAX_VALUES, JsonValue, parse_object

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False) | texts
values: st.SearchStrategy[JsonValue] = st.recursive(
    scalars.filter(lambda value: not isinstance(value, float) or math.isfinite(value)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(texts, values, max_size=4)


@given(value=objects, ascii_only=st.booleans())
def test_every_object_round_trips(*, value: dict[str, JsonValue], ascii_only: bool) -> None:
    """What `json` writes, escaped or not, is read as the same value."""
    assert parse_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary() | st.text('{}[]",:0123456789eE+-.\\u tfn').map(str.encode))
@example(b"")
@example(b"\x00")
@example(b'{"a":1e400}')
@example(b'{"a":-}')
def test_any_bytes_are_an_object_or_our_error(data: bytes) -> None:
    """No input raises anything but MalformedRequestError, and none is more than `json` would read."""
    try:
        value = parse_object(data)
    except MalformedRequestError:
        return
    assert value == json.loads(data)


@given(objects, st.data())
def test_a_cut_object_is_refused(value: dict[str, JsonValue], data: st.DataObject) -> None:
    """No proper prefix of an object is one."""
    text = json.dumps(value).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(MalformedRequestError):
        parse_object(text[:cut])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[]", "not an object"),
        (b'"secret"', "not an object"),
        (b"null", "not an object"),
        (b"", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b'{"a": secret}', "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 1,}', "not valid JSON"),
        (b'{"a": 01}', "not valid JSON"),
        (b'{"a": "se\ncret"}', "not valid JSON"),
        (b'{"a": "\\x41"}', "not valid JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),  # a surrogate, as CESU-8 writes it
        (b'{"a": "\xc0\xaf"}', "not UTF-8"),  # an overlong slash
        (b'{"secret": 1, "secret": 1}', "same key twice"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "same key twice"),
        (b'{"a": NaN}', "NaN or an Infinity"),
        (b'{"a": [Infinity]}', "NaN or an Infinity"),
        (b'{"a": -Infinity}', "NaN or an Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": -1e999}', "too large"),
        (b'{"a": ' + b"9" * 33 + b"}", "more than 32 characters"),
        (b'{"a": 0.' + b"9" * 33 + b"}", "more than 32 characters"),
        (b'{"a": "secret\\ud800"}', "surrogate"),
        (b'{"a": "\\ude00\\ud83d"}', "surrogate"),
        (b'{"a": ["\\udc00"]}', "surrogate"),
        (b'{"\\ud800": 1}', "surrogate"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    """Each fault has its own text, which never quotes what was read."""
    with pytest.raises(MalformedRequestError, match=reason) as caught:
        parse_object(data)
    assert "secret" not in str(caught.value)


def test_a_whole_surrogate_pair_is_text() -> None:
    """An escaped character beyond the basic plane is one character."""
    assert parse_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "\N{GRINNING FACE}"}


@pytest.mark.parametrize("opener", [b"[", b'{"a":'])
def test_depth_is_bounded_exactly(opener: bytes) -> None:
    """MAX_DEPTH levels pass, one more is refused, whether or not something stands in the last."""
    closer = b"]" if opener == b"[" else b"}"
    for innermost in (b"[]", b"[1]"):

        def nested(levels: int, innermost: bytes = innermost) -> bytes:
            return b'{"a":' + opener * (levels - 2) + innermost + closer * (levels - 2) + b"}"

        parse_object(nested(MAX_DEPTH))
        with pytest.raises(MalformedRequestError, match="levels deep"):
            parse_object(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("levels", [900, 5_000, 9_000])
def test_depth_that_overflows_the_decoder_is_our_error(levels: int) -> None:
    """Python's RecursionError does not come out."""
    with pytest.raises(MalformedRequestError, match="levels deep"):
        parse_object(b'{"a":' + b"[" * levels + b"]" * levels + b"}")


@pytest.mark.parametrize("item", [b"[],", b"{},", b"0,", b'"",'])
def test_a_megabyte_of_tiny_values_is_refused_before_it_is_built(item: bytes) -> None:
    """The number of values is bounded by the number of separators."""
    with pytest.raises(MalformedRequestError, match="values"):
        parse_object(b'{"a":[' + item * 300_000 + b"0]}")


def test_the_bound_of_values_is_exact() -> None:
    """An array with as many separators as MAX_VALUES passes, one more does not."""

    def separated(separators: int) -> bytes:
        return b'{"a":[' + b"1," * (separators - 2) + b"1]}"

    assert len(json.loads(separated(MAX_VALUES))["a"]) == MAX_VALUES - 1
    parse_object(separated(MAX_VALUES))
    with pytest.raises(MalformedRequestError, match="values"):
        parse_object(separated(MAX_VALUES + 1))


def test_the_longest_numbers_pass() -> None:
    """Numbers of MAX_DIGITS characters are read, whole ones exactly."""
    whole = "9" * MAX_DIGITS
    real = "-1." + "5" * (MAX_DIGITS - 3)
    assert parse_object(f'{{"a": {whole}, "b": {real}}}'.encode()) == {"a": int(whole), "b": float(real)}


def test_nothing_of_the_content_hangs_on_the_error() -> None:
    """The error shows no cause: a decoder's error would hold the whole text."""
    with pytest.raises(MalformedRequestError) as caught:
        parse_object(b'{"k": "secret"')
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
