"""The text of a list of PDQ hashes, and the search in its index."""

import numpy as np
import pytest

from ostiary.engines.perceptual.list import CANARY, ListBuilder, ListError, Match, PdqIndex

ONE = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
TWO = "e64cc9d91c623882f8d1f1d9a398e78c9f199b3bd83924f2b7e11e0bf861b064"
CANARY_HASH = bytes(range(32))


def nearest(text: bytes, pdq: str, distance: int = 31) -> Match | None:
    """Return what an index of this list finds for a hash."""
    return PdqIndex.of(text.splitlines(keepends=True), CANARY_HASH, distance).nearest([bytes.fromhex(pdq)])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"{ONE}", "line 1 of the list"),
        (f"{ONE.upper()} Name", "Name"),
        (f"\ufeff{ONE} a b  c \t\r\n", "a b  c"),
        (f"\n  \n# comment\n\t{ONE}\tNäme\r\n", "Näme"),
        (f"{ONE} name # and why", "name"),
        (f"{ONE} # no name", "line 1 of the list"),
        (f"{ONE} a#b", "a#b"),
        (f"{ONE} {'x' * 200}", "x" * 200),
        (f"{TWO} other\n{ONE} name\n{ONE} again", "name"),
    ],
)
def test_lines(text: str, name: str) -> None:
    """A hash in either case, perhaps a name, comments, CRLF, a byte order mark."""
    assert nearest(text.encode(), ONE) == Match(0, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"x", "line 1: expected 64 hexadecimal digits and maybe a name"),
        (b"\n" + ONE[:-1].encode(), "line 2: expected 64 hexadecimal digits and maybe a name"),
        (ONE.encode() + b"0", "line 1: expected 64 hexadecimal digits and maybe a name"),
        (ONE.encode() + b",name", "line 1: expected 64 hexadecimal digits and maybe a name"),
        (ONE.encode() + b" \xff", "line 1: the name is not UTF-8"),
        (ONE.encode() + b" a\x07b", "line 1: a name has up to 200 printable characters"),
        (
            ONE.encode() + "\u202eb".encode().join([b" a", b"c"]),
            "line 1: a name has up to 200 printable characters",
        ),
        (ONE.encode() + b" " + b"x" * 201, "line 1: a name has up to 200 printable characters"),
        (b"#" + b"x" * 4096, "line 1: longer than 4096 bytes"),
        (b"\n\xef\xbb\xbf" + ONE.encode(), "line 2: expected 64 hexadecimal digits and maybe a name"),
    ],
)
def test_lines_that_are_none(text: bytes, message: str) -> None:
    """The message names the line and repeats nothing of it."""
    with pytest.raises(ListError) as caught:
        nearest(text, ONE)
    assert str(caught.value) == message


def test_too_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list ends somewhere."""
    monkeypatch.setattr("ostiary.engines.perceptual.list.MOST_ENTRIES", 2)
    with pytest.raises(ListError, match="line 3: more than 2 entries"):
        nearest(f"{ONE}\n{TWO}\n{ONE}".encode(), ONE)


def test_the_digest_tells_lists_apart() -> None:
    """It is that of the text alone: not of the canary."""
    builders = [ListBuilder() for _ in range(3)]
    for builder, text in zip(builders, (ONE, ONE, TWO), strict=True):
        builder.add(text.encode())
    list(builders[1].index(CANARY_HASH))
    assert builders[0].digest == builders[1].digest != builders[2].digest


def test_the_canary_is_the_last_entry() -> None:
    """An entry of the list that is as near goes before it."""
    assert nearest(b"", CANARY_HASH.hex()) == Match(0, CANARY)
    assert nearest(f"{CANARY_HASH.hex()} own".encode(), CANARY_HASH.hex()) == Match(0, "own")


def test_the_search_finds_what_a_plain_one_finds() -> None:
    """Over a list of several blocks, with a hash that differs in all bits, the nearest entry is found."""
    dice = np.random.default_rng(5)
    entries = [dice.bytes(32) for _ in range(70_000)]
    index = PdqIndex.of((f"{entry.hex()}\n".encode() for entry in entries), CANARY_HASH, 256)
    for at in (0, 32_767, 32_768, 69_999):
        pdq = int.from_bytes(entries[at]) ^ 0b1011 << 90
        assert index.nearest([dice.bytes(32), pdq.to_bytes(32)]) == Match(3, f"line {at + 1} of the list")
    for _ in range(3):
        pdq = int.from_bytes(dice.bytes(32))
        distance, line = min(
            ((int.from_bytes(entry) ^ pdq).bit_count(), line) for line, entry in enumerate(entries, 1)
        )
        assert index.nearest([pdq.to_bytes(32)]) == Match(distance, f"line {line} of the list")
    opposite = PdqIndex.of([ONE.encode()], bytes(a ^ 255 for a in bytes.fromhex(ONE)), 255)
    assert opposite.nearest([bytes(a ^ 255 for a in bytes.fromhex(ONE))]) == Match(0, CANARY)
    only = PdqIndex.of([], bytes(32), 255)
    assert only.nearest([b"\xff" * 32]) is None, "256 bits differ, and are not taken for none"


def test_what_is_no_index() -> None:
    """A process takes nothing else for one."""
    with pytest.raises(ValueError, match="no index"):
        PdqIndex(memoryview(bytes(64)), 31)
