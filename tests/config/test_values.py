"""Durations and sizes: what is read, what is refused, and that what is written reads back."""

import math
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from pydantic_core import PydanticCustomError

from ostiary.config.values import (
    MAX_DURATION,
    MAX_SIZE,
    Duration,
    PositiveDuration,
    PositiveSize,
    Size,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)

PATTERNS = {
    kind: next(
        branch["pattern"] for branch in TypeAdapter(kind).json_schema()["anyOf"] if "pattern" in branch
    )
    for kind in (Duration, Size)
}

SPELLED_OUT = {
    "": 1,
    "kilo": 10**3, "mega": 10**6, "giga": 10**9, "tera": 10**12, "peta": 10**15,
    "kibi": 1 << 10, "mebi": 1 << 20, "gibi": 1 << 30, "tebi": 1 << 40, "pebi": 1 << 50,
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (90, 90.0),
        (0.25, 0.25),
        ("90", 90.0),
        ("90s", 90.0),
        ("500ms", 0.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1.1h", 3960.0),
        ("1d", 86400.0),
        ("1w", 604800.0),
        ("1 week", 604800.0),
        (" 2 Minutes ", 120.0),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    """A duration is seconds, or a number with a unit; 1.1h is exact, not 3960.0000000000005."""
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 0),
        (1048576, 1048576),
        (1e6, 1_000_000),
        ("5B", 5),
        ("100MB", 100_000_000),
        ("64MiB", 67_108_864),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("4GiB", 4_294_967_296),
        ("2 GB", 2_000_000_000),
        ("10mb", 10_000_000),
        ("10M", 10_000_000),
        ("1.5MiB", 1_572_864),
        ("3 PB", 3 * 10**15),
        ("1 PiB", 1 << 50),
        *((f"2 {unit}byte", 2 * size) for unit, size in SPELLED_OUT.items()),
        *((f"1{unit.title()}bytes", size) for unit, size in SPELLED_OUT.items()),
    ],
)
def test_sizes(value: object, size: int) -> None:
    """MB is 10^6 and MiB 2^20; either case, since no file of ours counts bits; units may be spelled out."""
    assert parse_size(value) == size


@pytest.mark.parametrize(
    "value",
    [
        -1, -0.5, math.nan, math.inf, -math.inf, True, False, None, [], {}, "", " ", "abc", "-5s", "1e3",
        "5 5", "5parsecs", "1h30m", "\u0663s", "0x10", "1_000", 10**40, pytest.param(10**5000, id="huge"),
        1.7e308, "1" * 21, "99999999999999999999w",
        pytest.param("9" * 100_000, id="long"),
    ],
)  # fmt: skip
def test_neither(value: object) -> None:
    """Negative, infinite, boundless and boolean values are neither durations nor sizes."""
    with pytest.raises(PydanticCustomError):
        parse_duration(value)
    with pytest.raises(PydanticCustomError):
        parse_size(value)


def test_no_half_bytes() -> None:
    """A bare number of bytes is whole; with a unit it is rounded down."""
    with pytest.raises(PydanticCustomError, match="whole number"):
        parse_size(10.5)
    assert parse_size("0.3KiB") == 307


@pytest.mark.parametrize("kind", [PositiveDuration, PositiveSize])
def test_more_than_nothing(kind: Any) -> None:  # noqa: ANN401  (a type form)
    """Where 0 would mean nothing at all, it is refused."""
    with pytest.raises(ValueError, match="more than 0"):
        TypeAdapter(kind).validate_python(0)


@given(st.floats(0, MAX_DURATION) | st.integers(0, int(MAX_DURATION)).map(float))
@example(0.0)
@example(5e-324)
@example(604800.0)
def test_durations_round_trip(seconds: float) -> None:
    """What is written for a duration reads as exactly that, from a millisecond up."""
    text = format_duration(seconds)
    if seconds == 0 or seconds > 1e-3:
        assert parse_duration(text) == seconds
        assert re.search(PATTERNS[Duration], text)


@given(st.integers(0, MAX_SIZE))
@example(100_000_000)
@example(1 << 53)
def test_sizes_round_trip(size: int) -> None:
    """What is written for a size reads as exactly that."""
    text = format_size(size)
    assert parse_size(text) == size
    assert re.search(PATTERNS[Size], text)


def test_the_shortest_text_is_written() -> None:
    """Defaults read in the reference as an operator would write them."""
    assert [format_size(100_000_000), format_size(64 << 20), format_size(0)] == ["100MB", "64MiB", "0B"]
    assert [format_duration(value) for value in (60.0, 0.5, 0.0, 90.0)] == ["1m", "0.5s", "0s", "90s"]


@given(
    st.from_regex(r"\s?[0-9]{0,22}\.?[0-9]{0,3} ?(|s|S|ms|[mM]in|weeks|MB|mib|k|B|x|kk)\s?", fullmatch=True)
    | st.text(max_size=20)
)
def test_the_schema_and_the_parser_agree(text: str) -> None:
    """An editor underlines what loading refuses, and nothing else but what is too large."""
    for kind, parse in ((Duration, parse_duration), (Size, parse_size)):
        try:
            parse(text)
        except PydanticCustomError as error:
            expected = "too l" in str(error) or "whole" in str(error)
        else:
            expected = True
        assert bool(re.fullmatch(PATTERNS[kind].strip("^$"), text)) is expected
