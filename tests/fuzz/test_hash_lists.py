"""Hash lists of any shape: the three ways of reading one agree with each other and with the grammar."""

import re
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.engines.hashlist.lines import LINE_LIMIT, NAME_LIMIT, ListError, batch_of, by_line
from tests.engines.test_hashlist_lines import entries

DIGEST: Final = "0123456789abcdefABCDEF"
_HEX: Final = re.compile(r"[0-9A-Fa-f]{64}")

digests = st.text(DIGEST, min_size=64, max_size=64)
names = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=8) | st.sampled_from(
    ["Win.Test", "a b", "a # b", "#", "*f", "n" * NAME_LIMIT, "n" * (NAME_LIMIT + 1), "é", "\u202e", "\r"]
)
gaps = st.sampled_from(["", " ", "\t", "  ", " \t", "\r", "#", " #"])
lines = st.one_of(
    digests,
    st.builds("".join, st.tuples(gaps, digests, gaps, names, gaps)),
    st.text(DIGEST + " #\t\r", max_size=70),
    st.sampled_from(["", "#", " # c", "# ü", "\ufeff", "#" * (LINE_LIMIT + 1)]),
)
lists = st.builds(
    lambda parts, end, last: (end.join(parts) + (end if last else "")).encode(),
    st.lists(lines, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)


def model(data: bytes) -> list[tuple[str, str]] | None:
    """Return the entries as the documentation says; None where a line is none."""
    found: list[tuple[str, str]] = []
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        text = line.removesuffix(b"\r").decode(errors="surrogateescape").strip(" \t")
        if len(line) > LINE_LIMIT:
            return None
        if not text or text[0] == "#":
            continue
        digest, name = text[:64], re.split(r"[ \t]#", text[64:])[0].strip(" \t")
        if not _HEX.fullmatch(digest) or (text[64:] and text[64] not in " \t"):
            return None
        if not name.isprintable() or len(name) > NAME_LIMIT:
            return None
        found.append((digest.lower(), name))
    return found


@given(lists | st.binary(max_size=200), st.integers(1, 80))
@example(b"\xef\xbb\xbf", 1)
@example(b"0" * 64 + b"\r", 3)
def test_lists(data: bytes, size: int) -> None:
    """A list is read as documented, wherever the reading is cut, or refused with a line: nothing else."""
    expected = model(data)
    if expected is None:
        with pytest.raises(ListError, match=r"^line [0-9]+: "):
            entries(data, size)
    else:
        assert entries(data, size) == expected


@given(lists)
def test_fast_and_slow_agree(data: bytes) -> None:
    """What is read whole is what would be read line by line."""
    text = data + b"\n"
    try:
        slow = by_line(text, 1)
    except ListError as error:
        with pytest.raises(ListError, match=re.escape(str(error))):
            batch_of(text, 1)
        return
    fast = batch_of(text, 1)
    assert fast.digests == slow.digests
    assert list(fast.names) == list(slow.names) or not any(slow.names)
