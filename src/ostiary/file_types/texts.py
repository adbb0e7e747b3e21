"""Texts in the encodings that Windows and browsers read: UTF-8 and UTF-16, with a mark or without.

Bytes beyond ASCII in other encodings become one character each: all that is looked for is ASCII.
"""

import codecs
import re
from typing import Final

_SAMPLE: Final = 256
_LEAST: Final = 8  # bytes that tell UTF-16 without a mark
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\f\x1a\x1b\x08")) + b"\x7f"
_TEXT_FIRST: Final = re.compile(rb"[\t\n\r\f -~]{6,}")
_MOSTLY: Final = 0.9


def text_of(head: bytes) -> str | None:
    """Return the text that these bytes are, None where they are none. UTF-32 is none: nothing runs it."""
    encoding = _encoding(head)
    if encoding is None:
        return None
    return head.decode(encoding, errors="replace")


def text_before_binary(head: bytes) -> str | None:
    """Return the text that stands before something else: a page or a batch file with an archive behind it."""
    match = _TEXT_FIRST.match(head)
    return None if match is None else match[0].decode("latin-1")


def is_wide(head: bytes) -> bool:
    """Say whether this is UTF-16."""
    return (_encoding(head) or "").startswith("utf-16")


def _encoding(head: bytes) -> str | None:
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None if head[2:4] == b"\0\0" else "utf-16"
    sample = head[:_SAMPLE]
    if len(sample) >= _LEAST and b"\0" in sample:
        return _wide_without_mark(sample)
    return None if len(sample.translate(None, _CONTROLS)) < len(sample) else "latin-1"


def _wide_without_mark(sample: bytes) -> str | None:
    even, odd = sample[::2], sample[1::2]
    for encoding, high, low in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if high.count(0) >= _MOSTLY * len(high) and not low.count(0):
            return encoding
    return None
