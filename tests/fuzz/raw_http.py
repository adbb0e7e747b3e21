"""A client that sends whatever it is told and reads the answers by the letter of RFC 9112."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final

from tests.web.door import Door

PATIENCE: Final = 20  # seconds until a test that waits is a test that failed
_MOMENT: Final = 0.5
_NO_BODY: Final = {204, 304}
_FIRST_FINAL: Final = 200
_REFUSED: Final = 400


@dataclass(frozen=True)
class RawAnswer:
    """An answer as it came: header names in lower case, none may come twice."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def reason(self) -> Any:  # noqa: ANN401  (JSON)
        """The reason of a refusal, after a look at the rest of what every refusal has."""
        said = json.loads(self.body)
        assert said["errcode"]
        assert said["reason"]
        assert said["info"]
        assert said["info"] == said["error"]
        assert said["error"].isprintable()
        assert self.headers["content-type"] == "application/json"
        assert self.headers["cache-control"] == "no-store"
        assert self.headers["access-control-allow-origin"] == "*"
        return said["reason"]


async def asked(door: Door, data: bytes, *, head: bool = False, whole: bool = False) -> RawAnswer | None:
    """Send the bytes; return the first answer, None where there is none.

    What may not be a `whole` request is followed by an end of file a moment later, or nobody would speak.
    """
    async with door.connection() as (reader, writer), asyncio.timeout(PATIENCE):
        loop = asyncio.get_running_loop()
        timer = None if whole else loop.call_later(_MOMENT, writer.write_eof)
        try:
            writer.write(data)
            await writer.drain()
            return await _answer(reader, head=head)
        except ConnectionError:
            return None
        finally:
            if timer is not None:
                timer.cancel()


async def _answer(reader: asyncio.StreamReader, *, head: bool) -> RawAnswer | None:
    status = 0
    headers: dict[str, str] = {}
    while status < _FIRST_FINAL:
        try:
            block = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as cut:
            assert cut.partial == b"", "an answer that ends in its head"
            return None
        first, *lines = block[:-4].decode("ascii").split("\r\n")
        version, code, _ = first.split(" ", 2)
        status = int(code)
        assert (
            version in {"HTTP/1.1", "HTTP/1.0"} or status == _REFUSED
        )  # others are written back as they came
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), "a header that comes twice"
    if head or status in _NO_BODY:
        return RawAnswer(status, headers, b"")
    assert "transfer-encoding" not in headers
    return RawAnswer(status, headers, await reader.readexactly(int(headers["content-length"])))
