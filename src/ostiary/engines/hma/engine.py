"""The engine that asks a Hasher-Matcher-Actioner (HMA) whether images and videos match its banks.

Two questions a file: `POST /h/hash` makes the hashes, `GET /m/lookup` compares each of them. What is
neither image nor video is clean, for it is none of HMA's business, whether it is there or not: such a
statement has no version. Its index changes without a word to us, banks are switched on and off: what it
said counts for `keep` seconds, and no longer than its index stays the one that `GET /m/index/status`
tells of.
"""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, Final, TypeVar

from ostiary.blob import Blob
from ostiary.blocking import run_blocking
from ostiary.engines.addresses import Addresses
from ostiary.engines.hma.answers import banks_of, hashes_of, index_of
from ostiary.engines.hma.client import FileTooLargeError, HmaClient, HmaUnreachableError
from ostiary.engines.hma.upload import Upload
from ostiary.engines.image_types import HEAD, is_surely_image
from ostiary.engines.interface import Sample, Specimens, Statement
from ostiary.engines.slots import Slots
from ostiary.errors import EngineError
from ostiary.model import Cause, Clean, Finding, Infected, Unscannable

PHOTO: Final = "photo"
VIDEO: Final = "video"
"""HMA's content types."""

VERSION_SECONDS: Final = 1.0
"""Patience for its version, where nobody scans."""

DOUBT: Final = 1.0
"""Seconds without an answer after which a caller's going away has HMA probed."""

_VIDEOS: Final = frozenset({"application/mp4", "application/ogg"})

T = TypeVar("T")


class HmaEngine:
    """Asks the HMA at `url` about media of the `content_types`; its word counts for `keep` seconds."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        content_types: Collection[str] = (PHOTO, VIDEO),
        concurrency: int = 8,
        keep: float = 60.0,
    ) -> None:
        self.name = name
        self._url = url
        self._content_types = frozenset(content_types)
        self._keep = keep
        self._client = HmaClient(url)
        self._addresses = Addresses(name, [url], self._probe)
        self._slots = Slots(concurrency)

    async def start(self) -> None:
        """Do nothing: the first file connects."""

    async def inspect(self, sample: Sample) -> Statement:
        """Ask about the sample; EngineError if there is no answer that counts."""
        content_type = content_type_of(sample.detected_type, await _head(sample.blob))
        if content_type not in self._content_types:
            return Statement(Clean(), "", self._keep)  # no index made it, so none can overtake it
        await self._slots.acquire(again=sample.again)
        try:
            version = await self.version()  # before the scan: what it finds is at least as new
            finding = await self._ask(self._matched(sample, content_type))
        finally:
            self._slots.release()
        return Statement(finding, version, self._keep)

    async def version(self) -> str:
        """Return when its indices were built, and how many hashes they have."""
        return await self._ask(self._index())

    async def versions(self) -> frozenset[str]:
        """Return the one version, none where it does not tell within a second."""
        try:
            async with asyncio.timeout(VERSION_SECONDS):
                return frozenset({await self.version()})
        except TimeoutError:
            self._addresses.doubt(self._url)
        except EngineError:
            pass
        return frozenset()

    @property
    def directional(self) -> bool:
        """Whether uploads and downloads are different questions: no."""
        return False

    @property
    def specimens(self) -> Specimens | None:
        """Return None: which media its banks know, nobody but its keeper can say."""
        return None

    async def signed_at(self) -> float | None:
        """Return None: an index has no date of its own."""
        return None

    async def close(self) -> None:
        """Close the connections. Safe to call twice."""
        await self._addresses.close()
        await self._client.close()

    async def _matched(self, sample: Sample, content_type: str) -> Finding:
        upload = Upload(content_type, sample.blob)
        try:
            hashes = hashes_of(await self._client.post("/h/hash", upload.headers, upload.body()))
        except FileTooLargeError:
            return Unscannable(Cause.LIMIT, "a larger file than HMA takes")
        found: set[str] = set()
        for signal_type, signal in hashes.items():
            if signal:
                found.update(await self._banks(signal_type, signal))
        return Infected(f"hma {min(found)}") if found else Clean()

    async def _banks(self, signal_type: str, signal: str) -> tuple[str, ...]:
        """Return the banks that match; the seed makes one of partly enabled banks say the same each time."""
        query = {"signal_type": signal_type, "signal": signal, "seed": signal}
        return banks_of(await self._client.get("/m/lookup", query))

    async def _index(self) -> str:
        return f"hma {index_of(await self._client.get('/m/index/status'))}"

    async def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        if not self._addresses.awake():
            question.close()
            raise EngineError(f"HMA at {self._url} does not answer")
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await question
        except HmaUnreachableError as error:
            self._addresses.doubt(self._url)
            raise EngineError(f"HMA at {self._url}: {error}") from error
        except EngineError as error:
            raise EngineError(f"HMA at {self._url}: {error}") from error
        except asyncio.CancelledError:  # also how a deadline arrives
            if loop.time() - began >= DOUBT:
                self._addresses.doubt(self._url)
            raise

    async def _probe(self, _url: str) -> None:
        await self._client.probe("/status")


async def _head(blob: Blob) -> bytes:
    try:
        return blob.read(0, HEAD) if blob.data is not None else await run_blocking(blob.read, 0, HEAD)
    except (OSError, ValueError) as error:
        raise EngineError(f"the bytes can't be read: {error}") from error


def content_type_of(detected_type: str, head: bytes = b"") -> str | None:
    """Return what HMA calls media of this type; None for what it has no hashes for."""
    if is_surely_image(detected_type, head):
        return PHOTO
    if detected_type.startswith("video/") or detected_type in _VIDEOS:
        return VIDEO
    return None
