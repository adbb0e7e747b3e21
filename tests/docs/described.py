"""A running gateway in front of a homeserver that has one media for each answer of the OpenAPI file.

The media ID says what becomes of it: `clean`, `infected`, `forbidden`, `engine-error`, or a fault of
the homeserver (`FAULTS`). Only the token `TOKEN` is good; one media is there for everybody.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from ostiary.errors import EngineError
from ostiary.model import Clean, Finding, Infected
from ostiary.policy import Rules
from tests.flow.fakes import ScriptedEngine
from tests.flow.samples import PICTURE, encrypted
from tests.matrix.fake_homeserver import FakeHomeserver, answer, error, json_object, media
from tests.web.door import V1, V3, WHOAMI, Door, opened

TOKEN: Final = "good"
MALWARE: Final = PICTURE + b"malware, for this test"
BREAKS_ENGINE: Final = PICTURE + b"breaks the engine"

CONTENT: Final = {
    "clean": (PICTURE, "image/png"),
    "public": (PICTURE, "image/png"),
    "infected": (MALWARE, "image/png"),
    "forbidden": (b"<!DOCTYPE html><html><body>a page</body></html>", "text/html"),
    "engine-error": (BREAKS_ENGINE, "image/png"),
    "Vector_1-attachment": (
        base64.b64decode("qjXCHlItVzY5D5UypR11nnD7dz7/UcrjoSlvAi24P4abOkzYyS52Rg=="),
        "application/octet-stream",
    ),
    "sealed-clean": (encrypted(PICTURE), "application/octet-stream"),
    "sealed-infected": (encrypted(MALWARE), "application/octet-stream"),
    "sealed-forbidden": (encrypted(b"<!DOCTYPE html><html></html>"), "application/octet-stream"),
    "sealed-engine-error": (encrypted(BREAKS_ENGINE), "application/octet-stream"),
}

FAULTS: Final = {
    "hs-403": error(403, "M_FORBIDDEN"),
    "hs-413": error(413, "M_TOO_LARGE"),
    "hs-429": error(429, "M_LIMIT_EXCEEDED", retry_after_ms=2000).replace(
        b"\r\n\r\n", b"\r\nRetry-After: 2\r\n\r\n", 1
    ),
    "hs-502": error(502, "M_TOO_LARGE"),
    "hs-504": error(504, "M_NOT_YET_UPLOADED"),
    "hs-nonsense": answer(204),
}


@asynccontextmanager
async def described(directory: Path, **options: Any) -> AsyncIterator[Door]:  # noqa: ANN401  (the door's)
    """Open a door whose homeserver and engine know the media above; options are the door's."""
    rules = Rules(blocked_types=("text/html",))
    engines = [ScriptedEngine(_look)]
    async with opened(directory, engines, rules=rules, library=1 << 24, verdicts=1000, **options) as door:
        homeserver = door.homeserver
        del homeserver.replies[WHOAMI]

        async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(_closing(_said(homeserver)))
            await writer.drain()

        homeserver.otherwise = reply
        yield door


async def _look(sample: Any) -> Finding:  # noqa: ANN401  (an engine's Sample)
    data = b"".join([chunk async for chunk in sample.blob.chunks()])
    if data == BREAKS_ENGINE:
        raise EngineError("the engine broke")
    return Infected("Test-Signature") if data == MALWARE else Clean()


def _said(homeserver: FakeHomeserver) -> bytes:
    """Return the answer to the request that has just come in."""
    request = homeserver.received[-1]
    name = request.path.rpartition("/")[2]
    token = "".join(request.header("authorization"))
    if request.path.startswith(V3) and name == "public":
        return media(*CONTENT[name])
    if not request.path.startswith((V1, WHOAMI)):
        return error(404, "M_NOT_FOUND")
    if not token:
        return error(401, "M_MISSING_TOKEN")
    if token.startswith("Bearer hs-"):
        return FAULTS.get(token.removeprefix("Bearer "), error(404, "M_NOT_FOUND"))
    if token != f"Bearer {TOKEN}":
        return error(401, "M_UNKNOWN_TOKEN", soft_logout=True)
    if request.path == WHOAMI:
        return json_object(user_id="@alice:example.org")
    if name in FAULTS:
        return FAULTS[name]
    return media(*CONTENT[name]) if name in CONTENT else error(404, "M_NOT_FOUND")


def _closing(reply: bytes) -> bytes:
    """Say that the connection ends with this answer, as it does."""
    return reply.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
