"""The grammar of a hash list: a SHA-256 in hex, then perhaps a name; `#` begins a comment.

Pure: bytes in, batches of entries out, in bounded memory. Whoever reads five million lines can't look
at each: batches that are plain, or hold ASCII names only, are taken whole, and what does not fit is
read again line by line, which is the rule that the other two must agree with. No message quotes a
line: somebody may have given us the wrong file.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

BATCH: Final = 4 << 20
"""Bytes of text in one batch, some 60,000 entries."""

LINE_LIMIT: Final = 4096
"""Bytes in one line."""

NAME_LIMIT: Final = 200
"""Characters of a name."""

DIGEST: Final = 32
"""Bytes of a SHA-256."""

_BOM: Final = b"\xef\xbb\xbf"
_PLAIN: Final = 2 * DIGEST + 1  # a line with nothing but a digest
_HEX: Final = re.compile(rb"[0-9A-Fa-f]*")
_OTHERS: Final = {32: "an MD5", 40: "a SHA-1", 96: "a SHA-384", 128: "a SHA-512"}  # by hex digits
_TOO_LONG: Final = f"a line has at most {LINE_LIMIT} bytes"
_LINE: Final = re.compile(
    rb"""^[ \t]*(?:
        ([0-9A-Fa-f]{64})
        (?:[ \t]+ ([!-"$-~][!-~]* (?:[ ]+[!-"$-~][!-~]*)*) )?
        (?:[ \t]+ (?:\#[\t -~]*)? )?
      | \#[\t -~]*
    )?\r?\n""",
    re.MULTILINE | re.VERBOSE,
)


class ListError(Exception):
    """A line that is none of a hash list; the message begins with its number."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Digests one behind the other, and their names: b"" where there is none, empty where no one has any."""

    digests: bytes
    names: Sequence[bytes] = ()


def batches(read: Callable[[int], bytes]) -> Iterator[Batch]:
    """Yield all entries in order; `read` gives up to so many bytes, none at the end. ListError."""
    line, rest, begun = 1, b"", False
    while chunk := read(BATCH):
        text = rest + chunk
        if not begun and len(text) < len(_BOM):
            rest = text
            continue
        if not begun:
            text, begun = text.removeprefix(_BOM), True
        end = text.rfind(b"\n") + 1
        yield batch_of(text[:end], line)
        line += text.count(b"\n")
        rest = text[end:]
        if len(rest) > LINE_LIMIT:
            raise ListError(f"line {line}: {_TOO_LONG}")
    if rest:
        yield batch_of(rest + b"\n", line)


def batch_of(text: bytes, line: int) -> Batch:
    """Return the entries of whole lines, each with its end; `line` is the number of the first."""
    return _plain(text) or _ascii(text) or by_line(text, line)


def by_line(text: bytes, line: int) -> Batch:
    """Return the same, looking at one line after the other."""
    digests, names = [], []
    for number, one in enumerate(text.split(b"\n")[:-1], start=line):
        try:
            found = _entry(one)
        except ValueError as error:
            raise ListError(f"line {number}: {error}") from None
        if found is not None:
            digests.append(found[0])
            names.append(found[1])
    return Batch(b"".join(digests), names)


def _plain(text: bytes) -> Batch | None:
    """Read lines that hold a digest and nothing else; None if one does."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    count, odd = divmod(len(text), _PLAIN)
    if odd or text[_PLAIN - 1 :: _PLAIN] != b"\n" * count:
        return None
    try:
        digests = bytes.fromhex(text.decode("ascii"))  # passes over white space, and only that
    except ValueError:
        return None
    return Batch(digests) if len(digests) == count * DIGEST else None


def _ascii(text: bytes) -> Batch | None:
    """Read lines that hold nothing but ASCII; None if one can't be read like that.

    Each match ends with the end of its line. So if there are as many, every line has matched whole.
    """
    found = _LINE.findall(text)
    if len(found) != text.count(b"\n"):
        return None
    entries = [entry for entry in found if entry[0]]
    names = [name for _, name in entries]
    if max(map(len, names), default=0) > NAME_LIMIT or max(map(len, text.split(b"\n"))) > LINE_LIMIT:
        return None
    return Batch(bytes.fromhex(b"".join([digest for digest, _ in entries]).decode("ascii")), names)


def _entry(line: bytes) -> tuple[bytes, bytes] | None:
    """Return the digest and the name of a line, None for one without; ValueError says what is wrong."""
    if len(line) > LINE_LIMIT:
        raise ValueError(_TOO_LONG)
    line = line.removesuffix(b"\r").strip(b" \t")
    if not line or line.startswith(b"#"):
        return None
    digest, name = line[: 2 * DIGEST], line[2 * DIGEST :]
    if _HEX.fullmatch(digest) is None or len(digest) < 2 * DIGEST or name[:1] not in {b"", b" ", b"\t"}:
        raise ValueError(_no_digest(line))
    return bytes.fromhex(digest.decode("ascii")), _name(name)


def _name(text: bytes) -> bytes:
    """Return the name in what follows a digest."""
    name = re.split(rb"[ \t]#", text, maxsplit=1)[0].strip(b" \t")
    try:
        shown = name.decode()
    except UnicodeDecodeError:
        raise ValueError("the name is not UTF-8") from None
    if not shown.isprintable() or len(shown) > NAME_LIMIT:
        raise ValueError(f"a name has at most {NAME_LIMIT} printable characters")
    return name


def _no_digest(line: bytes) -> str:
    found = _HEX.match(line)
    digits = found.end() if found and line[found.end() :][:1] in {b"", b" ", b"\t"} else 0
    if digits in _OTHERS:
        return f"{_OTHERS[digits]}, where a SHA-256 is needed (64 hex digits)"
    return "expected a SHA-256 (64 hex digits), then perhaps a space and a name"
