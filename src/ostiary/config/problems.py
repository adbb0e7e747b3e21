"""What is wrong with the values, in our own words: pydantic's errors become problems. Pure.

Repeats a value only where a word or a number was expected; what could be a URL, a header or a
passphrase is never shown.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ostiary.config.section import COMPLAINT, KeyPath, shown

Keys = Mapping[str, Sequence[str]]
"""The keys of each section, of each engine type ("engines=clamd"), and the sections' names ("")."""

MAX_PROBLEMS: Final = 100
"""Problems that one message lists; the rest is counted."""

_NEAR: Final = 0.6
_NEAR_ELSEWHERE: Final = 0.8
_LONGEST_KEY: Final = 64

_TEXTS: Final = {
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "string_type": "expected a text",
    "tuple_type": "expected a list",
    "frozen_set_type": "expected a list",
    "dict_type": "expected a mapping",
    "missing": "is missing",
}
_SECTION_TYPES: Final = frozenset({"model_type", "model_attributes_type"})
_BOUNDS: Final = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most")}


def problems_of(error: ValidationError, keys: Keys) -> Iterator[tuple[KeyPath, str]]:
    """Yield each problem's key and text, as many as one message lists."""
    for details in error.errors(include_url=False)[:MAX_PROBLEMS]:
        path = tuple(part for part in details["loc"] if not str(part).startswith("="))
        if details["type"] == COMPLAINT:
            yield from (((*path, *inner), text) for inner, text in details["ctx"]["problems"])
        elif details["type"] == "extra_forbidden":
            yield path, _no_such_key(details["loc"], keys)
        else:
            yield path, _text(details)


def _text(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind in _SECTION_TYPES:
        return "expected a section with keys"
    if kind == "literal_error":
        return f"{shown(details['input'])} is not one of {_words(context)}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{shown(details['input'])} is out of range: {words} {context[bound]}"
    text = _TEXTS.get(kind, "can't be used here")
    if kind == "string_type" and isinstance(details["input"], bool | int | float):
        text += "; put it in quotes"
    return text


def _words(context: dict[str, Any]) -> str:
    expected = str(context["expected"])
    return expected.replace("'", "").replace("True", "true").replace("False", "false")


def _no_such_key(location: KeyPath, keys: Keys) -> str:
    *around, key = (str(part) for part in location)
    if len(key) > _LONGEST_KEY:
        return "no such key"
    section = "engines" + around[-1] if around[:1] == ["engines"] else ".".join(around)
    near = difflib.get_close_matches(key, keys.get(section, ()), n=1, cutoff=_NEAR)
    if near:
        prefix = section.partition("=")[0] + "." if section and "=" not in section else ""
        return f"no such key; did you mean {prefix}{near[0]}?"
    elsewhere = _elsewhere(key, keys)
    return f"no such key; is it {' or '.join(elsewhere)}?" if elsewhere else "no such key"


def _elsewhere(key: str, keys: Keys) -> list[str]:
    """Return the keys of other sections that are called so, or nearly."""
    names = {f"{section}.{name}" if section else name: name for section in keys for name in keys[section]}
    names = {path: name for path, name in names.items() if "=" not in path}
    near = difflib.get_close_matches(key, set(names.values()), n=1, cutoff=_NEAR_ELSEWHERE)
    return [path for path, name in names.items() if name in near][:3]
