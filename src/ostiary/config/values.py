"""Durations and sizes: numbers, or numbers with a unit. Pure.

A duration is float seconds, a size int bytes. "90s", "5m", "1h", "1d", "1w"; "100MB" is 10^8 and
"64MiB" 2^26. The longer spellings and the freedom of case and spaces ("1 week", "10 mb", "10M", "1
gigabyte") are those that the Matrix Content Scanner's files may hold; its sizes are humanfriendly's.
Nothing negative, infinite or boundless passes.
"""

import re
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from ostiary.config.section import Kind, complaint, shown

MAX_DURATION: Final = 100 * 365 * 86400.0
"""Seconds: a hundred years, beyond which no clock of ours can count."""

MAX_SIZE: Final = 1 << 53
"""Bytes: 8 PiB, the largest that JSON numbers hold exactly."""

_NUMBER: Final = r"[0-9]{1,20}(?:\.[0-9]{1,20})?"
_MEASURE: Final = re.compile(rf"\s*({_NUMBER})\s*([A-Za-z]*)\s*")

_DURATION_UNITS: Final = {
    "ms": ("millisecond", "milliseconds"),
    "s": ("sec", "secs", "second", "seconds"),
    "m": ("min", "mins", "minute", "minutes"),
    "h": ("hour", "hours"),
    "d": ("day", "days"),
    "w": ("week", "weeks"),
    "y": ("year", "years"),
}
_SECONDS: Final = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
    "w": Decimal(7 * 86400),
    "y": Decimal(365 * 86400),
}
_SIZE_UNITS: Final = {
    "B": ("byte", "bytes"),
    "kB": ("k", "kilobyte", "kilobytes"),
    "MB": ("m", "megabyte", "megabytes"),
    "GB": ("g", "gigabyte", "gigabytes"),
    "TB": ("t", "terabyte", "terabytes"),
    "PB": ("p", "petabyte", "petabytes"),
    "KiB": ("kibibyte", "kibibytes"),
    "MiB": ("mebibyte", "mebibytes"),
    "GiB": ("gibibyte", "gibibytes"),
    "TiB": ("tebibyte", "tebibytes"),
    "PiB": ("pebibyte", "pebibytes"),
}
_BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "PB": 10**15,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "PiB": 1 << 50,
}


def _spellings(units: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {spelling.lower(): unit for unit, others in units.items() for spelling in (unit, *others)}


_DURATION_SPELLINGS: Final = _spellings(_DURATION_UNITS)
_SIZE_SPELLINGS: Final = _spellings(_SIZE_UNITS)


def _pattern(spellings: dict[str, str]) -> str:
    """Return the JSON schema pattern, which knows no flag for either case."""
    either = ("".join(f"[{char.upper()}{char}]" for char in spelling) for spelling in spellings)
    return rf"^\s*{_NUMBER}\s*({'|'.join(either)})?\s*$"


def _measure(value: object, spellings: dict[str, str]) -> tuple[Decimal, str | None] | None:
    """Return the number and its unit (None: bare), or None where the value is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if not isinstance(value, str):
        number = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
        return (number, None) if number.is_finite() and number >= 0 else None
    found = _MEASURE.fullmatch(value)
    if found is None:
        return None
    number, unit = Decimal(found[1]), found[2].lower()
    if not unit:
        return number, None
    return (number, spellings[unit]) if unit in spellings else None


def parse_duration(value: object) -> float:
    """Return seconds; a complaint where the value is no duration from 0 to a hundred years."""
    measure = _measure(value, _DURATION_SPELLINGS)
    if measure is None:
        raise complaint(f"{shown(value)} is no duration: write a number of seconds, 90s, 5m, 1h, 1d or 1w")
    seconds = float(measure[0] * _SECONDS[measure[1] or "s"])
    if seconds > MAX_DURATION:
        raise complaint(f"{shown(value)} is too long: a hundred years at most")
    return abs(seconds)  # -0.0 is a number too


def parse_size(value: object) -> int:
    """Return bytes, rounded down; a complaint where the value is no size from 0 to 8 PiB."""
    measure = _measure(value, _SIZE_SPELLINGS)
    if measure is None:
        raise complaint(f"{shown(value)} is no size: write a number of bytes, 100MB or 64MiB")
    size = measure[0] * _BYTES[measure[1] or "B"]
    if size > MAX_SIZE:
        raise complaint(f"{shown(value)} is too large: {format_size(MAX_SIZE)} at most")
    if measure[1] is None and size % 1:
        raise complaint(f"{shown(value)} is no whole number of bytes")
    return int(size)


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads as exactly these seconds."""
    number = Decimal(repr(seconds))
    units = ("w", "d", "h", "m") if number else ()
    for unit in units:
        if number % _SECONDS[unit] == 0:
            return f"{int(number / _SECONDS[unit])}{unit}"
    return f"{number.normalize():f}s"


def format_size(size: int) -> str:
    """Return the shortest text that `parse_size` reads as exactly these bytes."""
    texts = [f"{size // count}{unit}" for unit, count in _BYTES.items() if size % count == 0]
    return min(texts, key=len) if size else "0B"


def _more_than_nothing(value: float) -> float:
    if value <= 0:
        raise complaint("must be more than 0")
    return value


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": _pattern(_DURATION_SPELLINGS)},
        ],
        "examples": ["90s", "5m", "1h", "1d", "1w", 90],
    }),
    Kind("duration"),
]  # fmt: skip
"""Seconds, 0 included."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": _pattern(_SIZE_SPELLINGS)},
        ],
        "examples": ["100MB", "64MiB", 1048576],
    }),
    Kind("size"),
]  # fmt: skip
"""Bytes, 0 included."""


PositiveDuration = Annotated[Duration, AfterValidator(_more_than_nothing)]
"""Seconds, more than 0."""

PositiveSize = Annotated[Size, AfterValidator(_more_than_nothing)]
"""Bytes, at least one."""
