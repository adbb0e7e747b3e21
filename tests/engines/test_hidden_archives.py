"""What two readers read differently is never clean: cases that an attacker made, with a real clamd."""

import bz2
import gzip
import io
import struct
import zipfile

import pytest

from ostiary.engines.clamd.engine import ClamdEngine
from ostiary.model import Clean, Infected
from peers.clamd import Clamd
from tests.engines.asking import judge
from tests.engines.clamd_cases import MARKER, SIGNATURES, tarred, zipped
from tests.engines.conftest import LoopRunner
from tests.engines.hidden_cases import CRC, EVIL, HIDDEN, deflated, end, entry, lies, local, wide
from tests.engines.test_clamd_limits import WIDE, unseen


class _Pipe(io.RawIOBase):
    """What can't be gone back in: whoever writes a zip there writes data descriptors."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        """Return that it is."""
        return True

    def write(self, data: object) -> int:
        """Keep the bytes."""
        piece = bytes(data)  # type: ignore[call-overload]  # a buffer, in a way that typeshed has no name for
        self.data += piece
        return len(piece)


def piped(method: int) -> bytes:
    """Return a zip of EVIL with a data descriptor."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", method) as file:
        file.writestr("evil", EVIL)
    return pipe.data


def framed(before: bytes = b"", between: bytes = b"", comment: bytes = b"") -> bytes:
    """Return a zip of EVIL with something in front of its member, of its directory, or behind it."""
    packed = deflated(EVIL)
    sizes = len(packed), len(EVIL)
    member = before + local(b"evil", 8, CRC, sizes) + packed + between
    directory = entry(b"evil", 8, CRC, sizes, len(before))
    return member + directory + end(1, len(directory), len(member), len(comment)) + comment


def signing_block(size: int) -> bytes:
    """Return an Android signing block."""
    length = struct.pack("<Q", size + 24)
    return length + bytes(size) + length + b"APK Sig Block 42"


USUAL = {
    "stored": zipped(EVIL, method=0),
    "deflated": zipped(EVIL),
    "a descriptor, stored": piped(0),
    "a descriptor, deflated": piped(8),
    "a descriptor, bzip2": piped(12),
    "a comment": framed(comment=b"hello " * 5000),
    "a signing block": framed(between=signing_block(4000)),
    "a member without a name, to fill": framed(before=local(b"", 0, 0, (0, 0), extra=bytes(300))),
    "a zip in a tar": tarred(zipped(EVIL)),
    "a zip in a tar.gz": gzip.compress(tarred(zipped(EVIL))),
    "a zip in a document": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000) + zipped(EVIL) + bytes(2000),
    "a zip in a zip": zipped(zipped(EVIL), method=0),
    "two gzip files": gzip.compress(b"hi") + gzip.compress(EVIL),
    "a bzip2 file": bz2.compress(EVIL),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_archives_are_refused(name: str) -> None:
    """Nothing that hides an archive is passed over, however the bytes are cut into pieces."""
    data = HIDDEN[name]()
    assert unseen(data, WIDE) == "limit"
    assert unseen(data, WIDE, chunk=13) == "limit"


@pytest.mark.parametrize("name", USUAL)
def test_usual_archives_pass(name: str) -> None:
    """What common tools write is in canonical form, however the bytes are cut into pieces."""
    assert unseen(USUAL[name], WIDE) == ""
    assert unseen(USUAL[name], WIDE, chunk=13) == ""


@pytest.mark.peer("clamd")
def test_nothing_hidden_is_clean(run: LoopRunner) -> None:
    """With a real clamd: no lie is clean, and what is canonical it does look into."""

    async def body(clamd: Clamd) -> None:
        engine = ClamdEngine("clamd", [clamd.unix_address])
        files = [*((name, data()) for name, data in HIDDEN.items()), *lies()]
        clean = [name for name, data in files if isinstance(await judge(engine, data), Clean)]
        assert clean == []
        for name, data in USUAL.items():
            assert isinstance(await judge(engine, data), Infected), name
        await engine.close()

    with Clamd(signatures=SIGNATURES) as clamd:
        run(body(clamd))


def test_a_comment_is_no_second_end() -> None:
    """An end record in a comment, and an entry's bytes that look like a locator, are refused."""
    assert unseen(framed(comment=end(0, 0, 0)), WIDE) == "limit"
    assert unseen(framed(comment=b"x")[:-1], WIDE) == "limit"
    assert unseen(framed() + b"x", WIDE) == "limit"
    assert unseen(framed(between=signing_block(40)[:-1]), WIDE) == "limit"
    assert unseen(framed(between=signing_block(2 << 20)), WIDE) == "limit"
    assert unseen(framed(before=local(b"", 0, 0, (3, 3)) + b"abc"), WIDE) == "limit"
    assert unseen(wide(header=False, directory=False, last=False), WIDE) == ""
    assert MARKER in EVIL
