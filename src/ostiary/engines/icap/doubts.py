"""What `ostiary check` puts to an ICAP server, since no OPTIONS tells its limits.

Samples with the known-bad file where many engines stop looking, and then say nothing of it: each that
passes as clean is a doubt. Made in a thread; nothing here asks a server.
"""

import io
import zipfile
from collections.abc import Iterator
from typing import Final

from ostiary.engines.specimens import EICAR

DEPTH: Final = 25
"""Zips within zips; clamd looks into 17."""

MEMBERS: Final = 10_001
"""Members of a zip; clamd looks at 10,000."""

_PIECE: Final = bytes(1 << 20)


def hard_samples(max_size: int) -> Iterator[tuple[str, bytes]]:
    """Yield what each sample is, and its bytes: far fewer than `max_size`, which they unpack to."""
    yield f"a zip {DEPTH} deep", _deep()
    yield f"a zip of {MEMBERS} members", _crowded()
    yield f"a zip with a member of {max_size} bytes", _large(max_size)


def _deep() -> bytes:
    data = EICAR
    for _ in range(DEPTH):
        data = _zipped([data])
    return data


def _crowded() -> bytes:
    return _zipped([b"x"] * (MEMBERS - 1) + [EICAR])


def _large(size: int) -> bytes:
    """Return a zip whose member is another zip, with the known-bad file, behind that many bytes in all."""
    inner = _zipped([EICAR])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("0", "w") as member:
        left = max(0, size - len(inner))
        while left:
            left -= member.write(_PIECE[:left])
        member.write(inner)
    return file.getvalue()


def _zipped(members: list[bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, data in enumerate(members):
            archive.writestr(zipfile.ZipInfo(f"{number:x}"), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()
