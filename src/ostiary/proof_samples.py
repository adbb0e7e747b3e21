"""What engines are put to the proof with: an operator's own samples, and archives around the bad one.

The archives are made as they are needed and written straight into the spool, so that a sample of
the size limit takes no more memory than any other file.
"""

import io
import os
import struct
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import DEFLATED, compressobj, crc32

from ostiary.blob import Blob
from ostiary.blocking import run_blocking
from ostiary.budget import Spool
from ostiary.config.engines.common import Proof, ProofSamples
from ostiary.engines.interface import Engine, Specimens
from ostiary.errors import ConfigError

SAMPLE_LIMIT: Final = 16 << 20
"""Bytes of an operator's own sample."""

_CHUNK: Final = 1 << 20
_SALT: Final = bytes(16)
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_CONTENT_TYPES: Final = (
    b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    b'<Default Extension="bin" ContentType="application/vnd.openxmlformats-officedocument.oleObject"/>'
    b'<Override PartName="/word/document.xml" ContentType='
    b'"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)


def specimens_of(proof: Proof, engine: Engine) -> Specimens | None:
    """Return what proves the engine under its `proof` key, None for nothing. Blocks; ConfigError."""
    if isinstance(proof, ProofSamples):
        bad, good = _read(proof.bad), _read(proof.good)
        own = engine.specimens
        return Specimens(bad, lambda: good, unpacks=own is not None and own.unpacks)
    return None if proof == "none" else engine.specimens


def zipped(bad: bytes) -> bytes:
    """Return the sample in a zip, compressed: who finds it has unpacked it."""
    return _archive((os.urandom(8).hex(), b"harmless"), ("sample.com", bad))


def document(bad: bytes) -> bytes:
    """Return the sample as an object that is embedded in a word processor's document (ECMA-376)."""
    return _archive(
        ("[Content_Types].xml", _CONTENT_TYPES),
        ("word/document.xml", b"<w:document/>" + os.urandom(8).hex().encode()),
        ("word/embeddings/oleObject1.bin", bad),
    )


Maker = Callable[[bytes, int, Spool], Awaitable[Blob]]
"""Makes a sample of so many bytes in the spool; the caller closes it."""


async def padded(bad: bytes, size: int, spool: Spool) -> Blob:
    """Return the bad sample with padding behind it; the caller closes it, and holds room for it."""
    with spool.writer() as writer:
        await writer.add(bad)
        for offset in range(len(bad), size, _CHUNK):
            await writer.add(bytes(min(_CHUNK, size - offset)))
        return await writer.finish()


async def large(bad: bytes, size: int, spool: Spool) -> Blob:
    """Return a zip of `size` bytes whose last member is the sample; the caller closes it.

    The caller holds room for it. The first member is stored, so that the archive is as large inside
    as outside (APPNOTE.TXT 4.3).
    """
    packed = _deflated(bad)
    last = _Member(b"sample.com", 8, crc32(bad), len(packed), len(bad))
    filler = _Member(b"filler", 0, 0, 0, 0)
    around = sum(map(len, (*_headers(filler, 0), *_headers(last, 0), packed, _end(2, 0, 0))))
    length = max(len(_SALT), size - around)
    salt = os.urandom(len(_SALT))
    checksum = await run_blocking(_checksum, salt, length)
    filler = _Member(b"filler", 0, checksum, length, length)
    with spool.writer() as writer:
        await writer.add(_headers(filler, 0)[0])
        for chunk in _filling(salt, length):
            await writer.add(chunk)
        offset = len(_headers(filler, 0)[0]) + length
        await writer.add(_headers(last, offset)[0] + packed)
        directory = _headers(filler, 0)[1] + _headers(last, offset)[1]
        start = offset + len(_headers(last, offset)[0]) + len(packed)
        await writer.add(directory + _end(2, len(directory), start))
        return await writer.finish()


@dataclass(frozen=True, slots=True)
class _Member:
    name: bytes
    method: int
    checksum: int
    packed: int
    size: int


def _headers(member: _Member, offset: int) -> tuple[bytes, bytes]:
    """Return a member's local header, and its entry in the directory."""
    common = struct.pack(
        "<HHHHHIIIHH",
        *(20, 0, member.method, 0, 0x21, member.checksum, member.packed, member.size, len(member.name), 0),
    )
    directory = struct.pack("<HHHII", 0, 0, 0, 0, offset)
    return b"PK\3\4" + common + member.name, b"PK\1\2\x14\0" + common + directory + member.name


def _end(members: int, length: int, offset: int) -> bytes:
    return b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, members, members, length, offset, 0)


def _filling(salt: bytes, length: int) -> Iterator[bytes]:
    """Yield the bytes of the stored member: never the same twice, or a cache would know them."""
    yield salt[:length]
    for offset in range(len(salt), length, _CHUNK):
        yield bytes(min(_CHUNK, length - offset))


def _checksum(salt: bytes, length: int) -> int:
    checksum = 0
    for chunk in _filling(salt, length):
        checksum = crc32(chunk, checksum)
    return checksum


def _deflated(data: bytes) -> bytes:
    packer = compressobj(9, DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def _archive(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(SAMPLE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"proof: {path}: {error.strerror}") from None
    if not data or len(data) > SAMPLE_LIMIT:
        raise ConfigError(f"proof: {path}: a sample has 1 to {SAMPLE_LIMIT} bytes")
    return data
