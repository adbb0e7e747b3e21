"""The form of `scan_file`: a part `file` with the bytes, an optional part `body` with JSON.

The parts come in any order, others are ignored. The file goes straight into a blob; nothing is
decided before the last boundary has been seen, so that a cut request is never judged; only a
file that has outgrown `scan.max_size` needs no more reading.
"""

from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Final

from ostiary.blob import Blob, BlobWriter
from ostiary.errors import MalformedRequestError, RequestTooLargeError
from ostiary.model import Declared
from ostiary.web.bodies import JSON_LIMIT
from ostiary.wire.multipart import MultipartReader, PartBegin, PartData
from ostiary.wire.strict_json import JsonValue, parse_object

OVERHEAD: Final = 2 * JSON_LIMIT
"""Bytes that a form may have beyond its file: the `body` part, headers, boundaries, other parts."""


@dataclass(frozen=True, slots=True)
class Form:
    """A whole form. `file` belongs to whoever asked for the form; None: larger than `max_size`."""

    file: Blob | None
    declared: Declared
    body: dict[str, JsonValue] | None


class _Collector:
    """Sorts the parser's events into the two parts that count."""

    def __init__(self, writer: BlobWriter) -> None:
        self.writer = writer
        self.declared: Declared | None = None
        self.json: bytearray | None = None
        self._part: str | None = None

    async def take(self, event: object) -> None:
        match event:
            case PartBegin(name=name):
                self._part = name
                self._begin(event)
            case PartData(data=data) if self._part == "file":
                await self.writer.add(data)
            case PartData(data=data) if self._part == "body" and self.json is not None:
                self.json += data
                if len(self.json) > JSON_LIMIT:
                    raise RequestTooLargeError(f"the form's body part is larger than {JSON_LIMIT} bytes")

    def _begin(self, part: PartBegin) -> None:
        if part.name == "file":
            if self.declared is not None:
                raise MalformedRequestError("the form has two parts named file")
            self.declared = Declared(part.content_type, part.filename)
        elif part.name == "body":
            if self.json is not None:
                raise MalformedRequestError("the form has two parts named body")
            self.json = bytearray()


async def read_form(pieces: AsyncIterable[bytes], boundary: bytes, writer: BlobWriter, max_size: int) -> Form:
    """Read the form; the caller closes its file. MalformedRequestError, RequestTooLargeError."""
    reader = MultipartReader(boundary)
    with writer:
        collector = _Collector(writer)
        async for piece in pieces:
            for event in reader.feed(piece):
                await collector.take(event)
            if writer.size > max_size:
                return Form(None, collector.declared or Declared(), None)
        for event in reader.eof():
            await collector.take(event)
        if collector.declared is None:
            raise MalformedRequestError("the form has no part named file")
        body = None if collector.json is None else parse_object(bytes(collector.json))
        return Form(await writer.finish(), collector.declared, body)
