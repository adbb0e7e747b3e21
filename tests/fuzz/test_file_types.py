"""libmagic on spoilt heads of every format that people send: a sane word each time, and no crash.

It runs inside our own process: a crash here would end this run, as it would end the gateway.
"""

import re
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.engines.filetype.detector import TypeDetector
from ostiary.file_types.view import View
from tests.fuzz.mutations import mutated
from tests.rules.archives import encrypted_zip, gzip_bomb, overlapping_zip, streamed_zip
from tests.rules.formats import BENIGN

_SANE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
_HEAD: Final = 1 << 14

FILES: Final = (
    *(build()[:_HEAD] for build in BENIGN.values()),
    *(encrypted_zip("a", b"b"), streamed_zip("a", b"b"), overlapping_zip(3, 9), gzip_bomb(1 << 16)),
    b"\x7fELF\2\1\1"
    + bytes(9)
    + b"\2\0\x3e\0\1\0\0\0"
    + bytes(24)
    + b"\x40\0\x38\0\xff\xff\x40\0\xff\xff\1\0",
    b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0\x64\x86\xff\xff" + bytes(64),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    + bytes(16)
    + b">\0\3\0\xfe\xff\x09\0"
    + b"\xff" * 500,  # a compound file
    b"\xca\xfe\xba\xbe\0\0\0\x02" + bytes(40),  # a Mach-O of several architectures, or a Java class
)
WORDS: Final = (
    *(
        b"\x7fELF",
        b"MZ",
        b"PE\0\0",
        b"PK\3\4",
        b"PK\1\2",
        b"PK\5\6",
        b"\x1f\x8b",
        b"%PDF-",
        b"\x89PNG",
        b"GIF8",
        b"RIFF",
        b"ftyp",
    ),
    *(
        b"\xff" * 16,
        b"\0" * 64,
        b"\xff\xff\xff\x7f",
        b"\x80\0\0\0",
        b"#!/bin/sh\n",
        b"<?xml ",
        b"<svg",
        b"{\\rtf",
        b"\xff\xfe",
    ),
    *(
        b"{" * 200,
        b"[" * 200,
        b"a,b,c\n" * 20,
        b"II*\0",
        b"MM\0*",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"ustar",
        b"SQLite format 3\0",
    ),
)


@pytest.fixture(scope="module")
def detector() -> Iterator[TypeDetector]:
    """The detector, whose own threads are not used here."""
    made = TypeDetector()
    yield made
    made.close()


@given(mutated(st.sampled_from(FILES), WORDS, most=8))
def test_any_head_has_a_sane_type(detector: TypeDetector, head: bytes) -> None:
    """One MIME type in lower case, the same each time, whatever the bytes."""
    found = detector._of(View.of(head))
    assert all(_SANE.fullmatch(kind) for kind in (found.name, *found.embedded))
    assert found.name not in found.embedded
    assert detector._of(View.of(head)) == found
