"""The grammar of hash lists: what is an entry, what is not, and what is said of it."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from ostiary.engines.hashlist.lines import LINE_LIMIT, NAME_LIMIT, ListError, batches

A: Final = "aB" * 32
B: Final = "01" * 32


def reader(data: bytes, size: int = 1 << 30) -> Callable[[int], bytes]:
    """Return what reads the data, so many bytes at a time."""
    rest = memoryview(data)

    def read(limit: int) -> bytes:
        nonlocal rest
        chunk, rest = bytes(rest[: min(size, limit)]), rest[min(size, limit) :]
        return chunk

    return read


def entries(data: bytes, size: int = 1 << 30) -> list[tuple[str, str]]:
    """Return digest (hex) and name of each entry."""
    found: list[tuple[str, str]] = []
    for batch in batches(reader(data, size)):
        digests = [batch.digests[at : at + 32].hex() for at in range(0, len(batch.digests), 32)]
        names = list(batch.names) or [b""] * len(digests)
        found += zip(digests, [name.decode() for name in names], strict=True)
    return found


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (A, ""),
        (A.upper(), ""),
        (f"{A}  ", ""),
        (f"  {A}\t", ""),
        (f"{A} Win.Test-1", "Win.Test-1"),
        (f"{A}\tWin.Test-1", "Win.Test-1"),
        (f"{A}  two  words ", "two  words"),
        (f"{A} *binary.exe", "*binary.exe"),
        (f"{A} C#.Trojan", "C#.Trojan"),
        (f"{A} name # since May", "name"),
        (f"{A} name\t#", "name"),
        (f"{A} # no name", ""),
        (f"{A} #", ""),
        (f"{A} größer als", "größer als"),
        (f"{A} name # größer", "name"),
        (f"{A} {'n' * NAME_LIMIT}", "n" * NAME_LIMIT),
        (f"{A} {'ä' * NAME_LIMIT}", "ä" * NAME_LIMIT),
    ],
)
@pytest.mark.parametrize("around", ["", "plain", "named", "odd"])
def test_entries(text: str, name: str, around: str) -> None:
    """An entry is the same beside any others, with CRLF, with a BOM, and wherever the reading is cut."""
    other = {"": "", "plain": B, "named": f"{B} other", "odd": f"{B} ü"}[around]
    expected = [(B, other[65:])] if other else []
    for end in ("\n", "\r\n"):
        data = end.join([other, text, "", "  ", "# comment", " # C", text, ""]).encode()
        for whole in (data, b"\xef\xbb\xbf" + data, data.removesuffix(end.encode())):
            for size in (1, 7, 1 << 30):
                assert entries(whole, size) == [*expected, (A.lower(), name), (A.lower(), name)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (A[:-1].encode(), "expected a SHA-256"),
        (A.encode() + b"0", "expected a SHA-256"),
        (A.encode() + b"#", "expected a SHA-256"),
        (A.encode() + b"name", "expected a SHA-256"),
        (b"0x" + A.encode(), "expected a SHA-256"),
        (A.encode().replace(b"a", b"g"), "expected a SHA-256"),
        (b"name " + A.encode(), "expected a SHA-256"),
        (b"x", "expected a SHA-256"),
        (b"\xff" * 64, "expected a SHA-256"),
        (b"\0", "expected a SHA-256"),
        (b"\xef\xbb\xbf" * 2 + A.encode(), "expected a SHA-256"),
        (A[:32].encode(), "an MD5, where a SHA-256 is needed"),
        (A[:40].encode() + b"  name", "a SHA-1, where"),
        (A.encode() * 2, "a SHA-512, where"),
        (A.encode() + b" \xff", "the name is not UTF-8"),
        (A.encode() + b" a\0b", "printable"),
        (A.encode() + b" a\tb", "printable"),
        (A.encode() + b" a\rb", "printable"),
        (A.encode() + b" \x1b[31m", "printable"),
        (A.encode() + " a\u202eb".encode(), "printable"),
        (A.encode() + b" " + b"n" * (NAME_LIMIT + 1), "at most 200"),
        (A.encode() + b" #" + b"c" * LINE_LIMIT, "a line has at most 4096 bytes"),
        (b"#" * (LINE_LIMIT + 1), "a line has at most 4096 bytes"),
        (b" " * (LINE_LIMIT + 1), "a line has at most 4096 bytes"),
    ],
)
def test_what_is_no_entry(line: bytes, words: str) -> None:
    """Any other line is an error with its number, which quotes none of it."""
    for before in (b"", A.encode() + b"\n# c\n", A.encode() + b" n\r\n\n", b"\xef\xbb\xbf\n#\xff\n"):
        for after in (b"", b"\n", b"\r\n" + B.encode() + b"\n", b"\nworse\n"):
            for size in (5, 1 << 30):
                with pytest.raises(ListError) as caught:
                    entries(before + line + after, size)
                message = str(caught.value)
                assert message.startswith(f"line {before.count(10) + 1}: ")
                assert words in message
                assert line[:6].decode(errors="replace") not in message or line == b"x"


def test_nothing() -> None:
    """A file without entries has none."""
    for data in (b"", b"\n", b"\r\n", b"# x", b"\xef\xbb\xbf", b"\xef\xbb\xbf#\n", b"#", b" "):
        for size in (1, 1 << 30):
            assert entries(data, size) == []


def test_a_line_that_never_ends_is_not_collected() -> None:
    """A file without a line's end is given up early, not read to its end."""
    asked = 0

    def read(size: int) -> bytes:
        nonlocal asked
        asked += 1
        return b"a" * size

    with pytest.raises(ListError, match="line 1: a line has at most"):
        list(batches(read))
    assert asked == 1


def test_the_documented_list() -> None:
    """The example in the documentation is a list."""
    text = Path("docs/setup/hash-lists.md").read_text()
    (example,) = re.findall(r"```\n(# blocked.*?)```", text, re.DOTALL)
    expected = {b"test": "", b"test2": "Test.Two"}
    assert dict(entries(example.encode())) == {
        hashlib.sha256(data).hexdigest(): name for data, name in expected.items()
    }
