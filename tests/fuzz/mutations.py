"""Ways to spoil what was whole: bytes, texts and JSON, a few changes at a time.

Small steps from valid inputs reach the far ends of a parser, where random bytes fail at the first one.
All of it is drawn from hypothesis, so a failure shrinks to the change that matters.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st

INTERESTING: Final = (
    *(b"\0", b"\n", b"\r", b"\r\n", b"\t", b" ", b"\x7f", b"\x80", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"),
    *(b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\xc2\xa0", b"%", b"%00", b"%2e", b"/", b"\\", b'"', b"'", b"-1"),
    *(b"0", b"18446744073709551616", b"9" * 40, b"1e999", b":", b";", b",", b"=", b"{", b"}", b"[", b"]"),
)
"""Pieces at which parsers have been known to stumble."""

_LONGEST_RUN: Final = 64


def fewer(part: int) -> settings:
    """Return the settings for a test whose examples are slow: so many times fewer than the profile's."""
    current = settings.get_current_profile_name()
    examples = settings.get_profile(current).max_examples
    return settings(max_examples=max(1, examples // part))


def mutated(
    bases: st.SearchStrategy[bytes], words: Sequence[bytes] = (), most: int = 4
) -> st.SearchStrategy[bytes]:
    """Draw one of the bases, with up to `most` changes; `words` are the tokens of its language."""
    return _mutated(bases, (*words, *INTERESTING), most)


@st.composite
def _mutated(draw: st.DrawFn, bases: st.SearchStrategy[bytes], words: Sequence[bytes], most: int) -> bytes:
    data = draw(bases)
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, _LONGEST_RUN)))
        piece = draw(st.sampled_from(words) | st.binary(max_size=4))
        change = draw(st.integers(0, 6))
        if change == 0:  # one byte becomes another
            data = data[:start] + bytes([draw(st.integers(0, 255))]) + data[start + 1 :]
        elif change == 1:
            data = data[:start] + piece + data[start:]
        elif change == 2:
            data = data[:start] + piece + data[stop:]
        elif change == 3:
            data = data[:start] + data[stop:]
        elif change == 4:  # a run comes twice
            data = data[:stop] + data[start:stop] + data[stop:]
        elif change == 5:
            data = data[:start]
        else:  # the rest of another one
            data = data[:start] + draw(bases)[start:]
    return data


def cut(data: bytes, draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[bytes]:
    """Return the data in pieces, none of them empty, as a network may bring it."""
    if draw(st.integers(0, 9)) == 0:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=5)))
    return [data[start:stop] for start, stop in pairwise([0, *cuts, len(data)]) if start < stop]


def paths(value: object) -> list[tuple[str | int, ...]]:
    """Return the way to each member and element of a JSON value, the value itself last."""
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        return [()]
    return [(key, *rest) for key, member in inner for rest in paths(member)] + [()]


def replaced(value: Any, path: Sequence[str | int], new: object) -> Any:  # noqa: ANN401  (JSON)
    """Return the JSON value with another one at the path; `...` takes the member out."""
    if not path:
        return None if new is ... else new
    first, *rest = path
    if isinstance(value, list):
        index = int(first)
        kept = [] if new is ... and not rest else [replaced(value[index], rest, new)]
        return [*value[:index], *kept, *value[index + 1 :]]
    if new is ... and not rest:
        return {key: member for key, member in value.items() if key != first}
    return {**value, first: replaced(value.get(first), rest, new)}
