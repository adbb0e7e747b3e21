"""Which 7z archives are looked into by clamd: the coders that their headers name decide."""

import gzip

import pytest

from ostiary.engines.clamd.engine import ClamdEngine
from ostiary.model import Clean, Infected
from ostiary.wire import sevenzip as wire
from peers.clamd import Clamd
from tests.engines.asking import judge
from tests.engines.clamd_cases import SIGNATURES, text, zipped
from tests.engines.conftest import LoopRunner
from tests.engines.sevens import LZMA2, raw, sevenzip
from tests.engines.test_clamd_limits import WIDE, unseen

DATA = text(5000)
LZMA2_CODER = (wire.LZMA2, b"\x10")
SEEN = {
    "copy": sevenzip(DATA),
    "lzma2": sevenzip(DATA, LZMA2_CODER, packed=raw(DATA, LZMA2)),
    "lzma2, header by lzma": sevenzip(DATA, LZMA2_CODER, packed=raw(DATA, LZMA2), pack_header="lzma"),
    "lzma2, header by lzma2": sevenzip(DATA, LZMA2_CODER, packed=raw(DATA, LZMA2), pack_header="lzma2"),
}
UNSEEN = {
    "deflate": (b"\4\1\x08", b""),
    "bzip2": (b"\4\2\2", b""),
    "ppmd": (b"\3\4\1", b"\6\0\0\0\1"),
    "delta": (b"\3", b"\0"),
    "ppc": (b"\3\3\2\5", b""),
    "bcj2": (b"\3\3\1\x1b", b""),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_clamd_unpacks_passes(name: str) -> None:
    """Archives that 7-Zip writes by default are not refused, in any pieces, nor in a zip or gzip file."""
    data = SEEN[name]
    for outer in (data, zipped(data, b"x"), gzip.compress(data)):
        assert unseen(outer, WIDE) == ""
        assert unseen(outer, WIDE, chunk=7) == ""


@pytest.mark.parametrize("name", UNSEEN)
@pytest.mark.parametrize("pack_header", ["", "lzma", "lzma2"])
def test_other_coders_are_refused(name: str, pack_header: str) -> None:
    """A coder that clamd does not know is refused, wherever it is in the chain."""
    for coders in ([UNSEEN[name]], [UNSEEN[name], LZMA2_CODER], [LZMA2_CODER, UNSEEN[name]]):
        data = sevenzip(DATA, *coders, pack_header=pack_header)
        assert unseen(data, WIDE) == "limit"
        assert unseen(zipped(data), WIDE) == "limit"


def test_encrypted() -> None:
    """An encrypted archive is called one."""
    assert unseen(sevenzip(DATA, (wire.AES, b"\x13")), WIDE) == "encrypted_archive"


def test_what_is_not_whole_is_refused() -> None:
    """An archive that is cut, spoiled, followed by bytes, or behind others."""
    data = SEEN["lzma2, header by lzma"]
    for spoiled in (data[:-1], data[:20], data + b"x", data[:-3] + b"xyz", b"MZ" + bytes(600) + data):
        assert unseen(spoiled, WIDE) == "limit"
    assert unseen(b"MZ" + bytes(600) + wire.SIGNATURE + bytes(100), WIDE) == ""


def test_a_header_without_substreams_is_refused() -> None:
    """clamd says OK to such an archive without a look into it."""
    assert unseen(sevenzip(DATA, LZMA2_CODER, packed=raw(DATA, LZMA2), substreams=b""), WIDE) == "limit"


@pytest.mark.parametrize("name", SEEN)
def test_no_cut_header_is_read(name: str) -> None:
    """Whatever is missing of a header, the reader says so."""
    data = SEEN[name]
    start = wire.start(data[: wire.START_SIZE])
    assert start is not None
    header = data[start.offset :]
    for size in range(20):
        with pytest.raises(ValueError, match=r"it|number|coder|folder"):
            wire.packed_header(header[:size]) or wire.methods(header[:size])


@pytest.mark.peer("clamd")
def test_clamd_sees_them(run: LoopRunner) -> None:
    """The marker is found where nothing was to complain of, and nothing else is clean."""

    async def body(clamd: Clamd) -> None:
        engine = ClamdEngine("clamd", [clamd.unix_address])
        for name, data in SEEN.items():
            assert isinstance(await judge(engine, data), Infected), name
        for name, coder in UNSEEN.items():
            assert not isinstance(await judge(engine, sevenzip(DATA, coder)), Clean), name
        await engine.close()

    with Clamd(signatures=SIGNATURES) as clamd:
        run(body(clamd))
