"""What the ICAP engine says of difficult files, before a real c-icap: the table of the documents.

A text and an unlisted type stand for what c-icap would let pass: it scans texts of up to a megabyte here.
"""

import io
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from ostiary.engines.icap.engine import IcapWays
from ostiary.engines.unpacking.account import CLAMAV
from ostiary.errors import EngineError
from ostiary.model import Clean, Finding, Unscannable
from peers.c_icap import CIcap
from peers.clamd import SIGNATURES, Clamd
from peers.samples import png
from tests.engines.asking import archive
from tests.engines.asking_icap import judge_at

ROOT: Final = Path(__file__).parents[2] / "docs" / "reference"
PAGES: Final = (ROOT / "engine-cases.md",)
"""Where the table may stand; in the first that has it."""

MARKER: Final = b"OSTIARY-MARKER-0123456789"
LIMIT: Final = 1 << 20

BOUNDS: Final = replace(CLAMAV, file_size=40 << 20)
"""What the clamd behind it looks at, as the keys `max_file_size` and `max_scan_size` tell."""

COLUMNS: Final = {
    "c-icap": IcapWays(preset="c-icap", bounds=BOUNDS),
    "no arguments": IcapWays(preset="squidclamav", max_size=LIMIT, bounds=BOUNDS),
}
"""The preset for c-icap (or `generic`, which knows it); and one that leaves all to virus_scan's settings."""


def text(size: int) -> bytes:
    """Return a text of that many bytes, the marker at its end."""
    return (b"some text\n" * (size // 10 + 1))[: size - len(MARKER)] + MARKER


def zipped(data: bytes, depth: int = 1) -> bytes:
    """Return a zip of it in a zip, so many in all."""
    for _ in range(depth):
        data = archive(data)
    return data


def many(count: int) -> bytes:
    """Return a zip with that many members, the marker in the last."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        for number in range(count):
            data = MARKER if number == count - 1 else b"x"
            members.writestr(str(number), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


CASES: Final = {
    "nothing": b"",
    "one byte": b"x",
    "a text of MaxObjectSize / 2": b"some text\n" * (LIMIT // 20),
    "the marker alone": MARKER,
    "a text, the marker in the preview": MARKER + b"some text\n" * 300,
    "a text, the marker behind the preview": b"some text\n" * 300 + MARKER + b"some text\n" * 300,
    "a text of MaxObjectSize - 1 bytes, the marker at its end": text(LIMIT - 1),
    "a text of MaxObjectSize bytes, the marker at its end": text(LIMIT),
    "a text of MaxObjectSize + 1 bytes, the marker at its end": text(LIMIT + 1),
    "30 MB, the marker at its end": os.urandom(30_000_000) + MARKER,
    "a type that ScanFileTypes does not have, the marker behind it": png(400, 10) + MARKER,
    "a zip of the marker": zipped(MARKER),
    "an encrypted zip": archive(MARKER, encrypted=True),
    "a zip 10 deep": zipped(MARKER, 10),
    "a zip 25 deep": zipped(MARKER, 25),
    "a zip of MaxFiles + 1 members": many(501),
    "a file over clamd's MaxFileSize": os.urandom(50_000_000) + MARKER,
    "a zip's member over clamd's MaxFileSize (clamd: OK)": zipped(bytes(41 << 20) + MARKER),
}


@pytest.fixture(scope="module")
def server() -> Iterator[CIcap]:
    """Return a c-icap that scans texts up to a megabyte, before a clamd with limits of its own."""
    signatures = {**SIGNATURES, "marker.ndb": f"Marker:0:*:{MARKER.hex()}\n"}
    limits = {"MaxFileSize": "40M", "MaxFiles": "500"}
    options = {"virus_scan.ScanFileTypes": "TEXT", "virus_scan.MaxObjectSize": "1M"}
    with Clamd(signatures=signatures, options=limits) as clamd, CIcap(clamd, options=options) as running:
        yield running


def word(found: Finding) -> str:
    """Return a finding as the table writes it."""
    if isinstance(found, Unscannable):
        return f"unscannable ({found.cause.value})"
    return "clean" if found == Clean() else "infected"


async def outcome(server: CIcap, data: bytes, ways: IcapWays) -> str:
    """Return what becomes of these bytes, as the table writes it."""
    try:
        return word(await judge_at(server.url, data, ways))
    except EngineError:
        return "error"


def documented() -> dict[str, list[str]]:
    """Return the rows of the table in the documents."""
    for page in PAGES:
        if page.exists() and "## ICAP" in page.read_text():
            part = page.read_text().partition("## ICAP")[2].partition("\n## ")[0]
            rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", part, re.MULTILINE)
            found = {case: [first, second] for case, first, second in rows}
            if found:
                return found
    return {}


@pytest.mark.parametrize("case", CASES)
async def test_the_table_says_what_happens(server: CIcap, case: str) -> None:
    """Each row is what the engine says; only what has no marker is clean."""
    outcomes = [await outcome(server, CASES[case], ways) for ways in COLUMNS.values()]
    assert documented().get(case) == outcomes, f"| {case} | {outcomes[0]} | {outcomes[1]} |"
    if MARKER in CASES[case] or case.startswith(("a zip", "an encrypted")):
        assert "clean" not in outcomes


def test_the_table_has_no_other_rows() -> None:
    """A case that is gone is gone from the documents."""
    assert set(documented()) - {"file", "---"} == set(CASES)
