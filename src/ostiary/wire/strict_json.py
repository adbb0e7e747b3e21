"""Strict JSON (RFC 8259): hostile bytes in, one object out, or MalformedRequestError.

Python's `json` takes more than the RFC and bounds less: the byte order mark, NaN, doubled keys,
numbers of any length, escaped lone surrogates, as many values as fit. Each is refused here, since
two readers of the same bytes must not come to two meanings. No message quotes the content: it may
be a plaintext.
"""

import json
import math
from typing import Final, NoReturn, TypeAlias

from ostiary.errors import MalformedRequestError

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""What JSON can hold."""

MAX_DEPTH: Final = 32
"""Levels of objects and arrays."""

MAX_VALUES: Final = 10_000
"""Values in all; a megabyte of `[],[],[]` would cost a tenth of a second to walk."""

MAX_DIGITS: Final = 32
"""Characters of a number: more than any 64-bit integer or double needs."""

_TOO_DEEP: Final = f"the JSON is nested more than {MAX_DEPTH} levels deep"


def parse_object(data: bytes) -> dict[str, JsonValue]:
    """Return the object that the bytes are, as UTF-8 JSON without a byte order mark.

    Every string in it can be written as UTF-8 again. The caller bounds the bytes: the time and
    memory are linear in them. MalformedRequestError says what is wrong, and never what was read.
    """
    text = _text(data)
    _bound_values(text)
    value = _decoded(text)
    if not isinstance(value, dict):
        raise MalformedRequestError("the JSON is not an object")
    _check(value)
    return value


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedRequestError(f"the JSON is not UTF-8 (at byte {error.start})") from None
    if text.startswith("\ufeff"):
        raise MalformedRequestError("the JSON begins with a byte order mark (RFC 8259, 8.1)")
    return text


def _bound_values(text: str) -> None:
    """Refuse too many values before they are built.

    A container holds at most one value more than it has commas, so openers and commas bound them
    all. Those inside strings count too, which no request of ours comes near.
    """
    if len(text) > MAX_VALUES and sum(map(text.count, ",[{")) > MAX_VALUES:
        raise MalformedRequestError(f"the JSON holds more than {MAX_VALUES} values")


def _decoded(text: str) -> JsonValue:
    try:
        value: JsonValue = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedRequestError(f"not valid JSON ({where})") from None
    except RecursionError:
        raise MalformedRequestError(_TOO_DEEP) from None
    return value


def _check(root: dict[str, JsonValue]) -> None:
    """Refuse what is nested too deep, and strings that are no Unicode text."""
    level: list[list[JsonValue] | dict[str, JsonValue]] = [root]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise MalformedRequestError(_TOO_DEEP)
        below: list[list[JsonValue] | dict[str, JsonValue]] = []
        for container in level:
            for value in _members(container):
                if isinstance(value, (dict, list)):
                    below.append(value)
                elif isinstance(value, str):
                    _check_text(value)
        level = below


def _members(container: list[JsonValue] | dict[str, JsonValue]) -> list[JsonValue]:
    """Return the values of a container; of an object also the keys."""
    return [*container, *container.values()] if isinstance(container, dict) else container


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MalformedRequestError("the JSON has a string with half a surrogate pair") from None


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedRequestError("the JSON has an object with the same key twice")
    return result


def _integer(digits: str) -> int:
    _bound_number(digits)
    return int(digits)


def _real(digits: str) -> float:
    _bound_number(digits)
    number = float(digits)
    if math.isinf(number):
        raise MalformedRequestError("the JSON has a number too large")
    return number


def _bound_number(digits: str) -> None:
    if len(digits) > MAX_DIGITS:
        raise MalformedRequestError(f"the JSON has a number of more than {MAX_DIGITS} characters")


def _constant(_name: str) -> NoReturn:
    raise MalformedRequestError("the JSON has a NaN or an Infinity, which JSON does not know")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant
)
