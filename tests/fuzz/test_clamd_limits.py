"""What walks through archives, fed with archives that were tampered with: a cut or none, nothing else.

Whatever is done to a file, and however its bytes are cut into pieces, the walk ends, and never unpacks
more than it may.
"""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from ostiary.engines.unpacking.account import Account, Bounds
from ostiary.engines.unpacking.archive import Cut
from ostiary.engines.unpacking.walk import Walker
from ostiary.wire import cabinet
from ostiary.wire import zip_records as wire
from tests.engines.clamd_cases import CASES
from tests.fuzz.mutations import mutated

FILES: Final = [data for case in CASES if len(data := case.data()) < 6000]
WORDS: Final = (
    *(b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x1f\x8b\x08", b"BZh9"),
    *(b"MSCF\0\0\0\0", b"\xfd7zXZ\0", b"\x08\0", b"\x0c\0", b"\1\0", b"\0" * 40, FILES[-1], FILES[3][:60]),
)
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
    try:
        sizes = cabinet.file_sizes(data)
    except (cabinet.IncompleteError, ValueError):
        return
    assert sizes is None or all(size < 1 << 32 for size in sizes)
