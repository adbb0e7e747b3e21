"""What walks through archives, fed with archives that were tampered with: a cut or none, nothing else.

Whatever is done to a file, and however its bytes are cut into pieces, the walk ends, and never unpacks
more than it may. What another reader gets out of a file that was not cut, the walk has seen, too.
"""

import io
import zipfile
import zlib
from typing import ClassVar, Final

from hypothesis import given
from hypothesis import strategies as st

from ostiary.engines.unpacking.account import Account, Bounds
from ostiary.engines.unpacking.archive import Cut
from ostiary.engines.unpacking.member import Stream
from ostiary.engines.unpacking.walk import Walker
from ostiary.wire import cabinet, sevenzip
from ostiary.wire import zip_records as wire
from tests.engines.clamd_cases import CASES, MARKER
from tests.engines.hidden_cases import HIDDEN, lying
from tests.engines.sevens import sevenzip as seven
from tests.fuzz.mutations import mutated

FILES: Final = [
    *(data for case in CASES if len(data := case.data()) < 6000),
    *(make() for make in HIDDEN.values()),
    *(lying(method, "true", "true", form) for method in (0, 8, 12) for form in ("", "signed", "unsigned")),
    seven(MARKER * 9, pack_header="lzma"),
]
WORDS: Final = (
    *(b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x1f\x8b\x08", b"BZh9"),
    *(b"MSCF\0\0\0\0", b"\xfd7zXZ\0", b"\x08\0", b"\x0c\0", b"\1\0", b"\0" * 40, FILES[3], FILES[3][:60]),
    *(b"PK\6\7", b"PK\7\x08", b"7z\xbc\xaf\x27\x1c", MARKER),
)
SEVENS: Final = [data[32 + len(MARKER) :] for data in (seven(MARKER), seven(MARKER, pack_header="lzma2"))]
BOUNDS: Final = Bounds(100_000, 400_000, 50, 17)


def outcome(data: bytes, chunk: int) -> str:
    """Return what the walk comes to."""
    seen = 0

    def going_on() -> None:
        nonlocal seen
        seen += 1
        assert seen < 100_000, "it does not end"

    account = Account(BOUNDS, going_on)
    walker = Walker(account)
    try:
        for at in range(0, len(data), chunk):
            walker.feed(data[at : at + chunk])
        walker.finish()
    except Cut as cut:
        return cut.detail
    return ""


@given(mutated(st.sampled_from(FILES), WORDS))
def test_archives(data: bytes) -> None:
    """A file that somebody tampered with is walked through to its end, or cut."""
    outcome(data, 1 << 18)
    outcome(data, 61)


@given(mutated(st.sampled_from(FILES), WORDS))
def test_records(data: bytes) -> None:
    """Records are read from any bytes."""
    if len(data) >= wire.LOCAL_SIZE:
        assert wire.local_header(data).length == wire.local_length(data)
    if len(data) >= wire.ENTRY_SIZE:
        assert wire.entry(data).length == wire.entry_length(data)
    if len(data) >= wire.END_SIZE:
        wire.end(data)
    if len(data) >= wire.END_64_SIZE:
        wire.end_64(data)
    if len(data) >= wire.LOCATOR_SIZE:
        wire.locator(data)
    if len(data) >= wire.DESCRIPTOR_LIMIT:
        assert wire.descriptor_length(data, 5, 6) in {None, 12, 16, 20, 24}
    try:
        if cabinet.file_count(data):
            assert all(size < 1 << 32 for size in cabinet.file_sizes(data))
    except (cabinet.IncompleteError, ValueError):
        return


@given(mutated(st.sampled_from(SEVENS), WORDS))
def test_7z_headers(header: bytes) -> None:
    """A header names methods, or can't be read."""
    try:
        streams = sevenzip.packed_header(header)
        methods = {b""} if streams is not None else sevenzip.methods(header)
    except ValueError:
        return
    assert all(isinstance(method, bytes) for method in methods)


def extracted(data: bytes) -> bool:
    """Whether Python's zipfile gets the marker out of a file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            for member in file.infolist():
                with file.open(member) as stream:
                    stream._expected_crc = None  # type: ignore[attr-defined]  # others don't check
                    if MARKER in stream.read(100_000):
                        return True
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zlib.error):
        return False
    except zipfile.BadZipFile:
        return False
    return False


class _Watching(Walker):
    """Keeps what it is fed with, and what lies in that."""

    seen: ClassVar[list[bytes]] = []

    def __init__(self, account: Account, depth: int = 0) -> None:
        super().__init__(account, depth)
        self._fed = b""

    def feed(self, data: bytes) -> None:
        self._fed += data
        super().feed(data)

    def finish(self) -> None:
        self.seen.append(self._fed)
        super().finish()

    def _inside(self) -> Stream:
        return _Watching(self._account, self._depth + 1)


@given(mutated(st.sampled_from(FILES), WORDS))
def test_other_readers_get_nothing_else(data: bytes) -> None:
    """What zipfile gets out of a file that was not cut came by in the walk."""
    walker = _Watching(Account(BOUNDS))
    _Watching.seen.clear()
    try:
        walker.feed(data)
        walker.finish()
    except Cut:
        return
    if extracted(data):
        assert any(MARKER in each for each in _Watching.seen)
