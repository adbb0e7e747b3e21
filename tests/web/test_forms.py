"""The form of scan_file: two parts in any order, whole or not at all."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ostiary.blob import BlobWriter
from ostiary.errors import MalformedRequestError, RequestTooLargeError
from ostiary.model import Declared
from ostiary.web.bodies import JSON_LIMIT
from ostiary.web.forms import Form, read_form

BOUNDARY = b"edge"


def part(name: str, data: bytes, more: str = "") -> bytes:
    """Return one part of a form."""
    return f'--edge\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"


END = b"--edge--\r\n"
FILE = part("file", b"bytes of the file", '; filename="a.png"\r\nContent-Type: image/png')
BODY = part("body", json.dumps({"file": {"v": "v2"}}).encode())


async def read(data: bytes, directory: Path, max_size: int = 1000) -> Form:
    """Read a form that arrives in pieces of 7 bytes."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 7):
            yield data[start : start + 7]

    return await read_form(pieces(), BOUNDARY, BlobWriter(directory), max_size)


@pytest.mark.parametrize("data", [FILE + BODY + END, BODY + FILE + END, part("x", b"?") + BODY + FILE + END])
async def test_parts_come_in_any_order(tmp_path: Path, data: bytes) -> None:
    """File and body are found wherever they stand, and what else there is is ignored."""
    form = await read(data, tmp_path)
    assert form.file is not None
    with form.file:
        assert form.file.data == b"bytes of the file"
    assert form.declared == Declared("image/png", "a.png")
    assert form.body == {"file": {"v": "v2"}}


async def test_the_body_is_optional(tmp_path: Path) -> None:
    """A form with a file alone is a plain file."""
    form = await read(FILE + END, tmp_path)
    assert form.file is not None
    form.file.close()
    assert form.body is None


@pytest.mark.parametrize(
    "data",
    [
        END,
        BODY + END,
        FILE + FILE + END,
        FILE + BODY + BODY + END,
        FILE + part("body", b"not JSON") + END,
        FILE + part("body", b"[]") + END,
        FILE,
        FILE[:-10],
        b"",
        b"no form at all",
    ],
)
async def test_anything_else_is_malformed(tmp_path: Path, data: bytes) -> None:
    """Missing, doubled, broken or cut parts are a clear error."""
    with pytest.raises(MalformedRequestError):
        await read(data, tmp_path)


async def test_a_file_that_is_too_large_is_not_read_on(tmp_path: Path) -> None:
    """As soon as the file has outgrown the limit nothing more is read, and there is no blob."""
    form = await read(part("file", bytes(2000)), tmp_path)  # no end: it is never asked for
    assert form.file is None


async def test_a_body_part_is_bounded(tmp_path: Path) -> None:
    """The JSON in a form has the same limit as everywhere."""
    with pytest.raises(RequestTooLargeError):
        await read(part("body", b" " * (JSON_LIMIT + 1)) + END, tmp_path)
