"""One service of an ICAP server: what it offers, which versions of it are live, and how it is asked.

Its options count for as long as it says (Options-TTL), and are asked for anew when an answer carries an
ISTag that they do not have. A statement gets the ISTag of the scan's own answer where that one was seen
before the scan began; else the one that was known then, for it may have been the old signatures.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ostiary.engines.icap.connection import IcapConnection
from ostiary.engines.icap.pool import IcapPool, Slot
from ostiary.engines.icap.seen import SeenVersions
from ostiary.engines.interface import Sample
from ostiary.errors import EngineError
from ostiary.model import Finding
from ostiary.wire.icap.options import Options
from ostiary.wire.icap.presets import PRESETS, Preset
from ostiary.wire.icap.request import Method, Service, options_request, scan_request
from ostiary.wire.icap.session import Question, ScanExchange
from ostiary.wire.icap.url import IcapUrl

OPTIONS_SECONDS: Final = 5.0
"""Patience for an answer to OPTIONS."""

_C_ICAP: Final = "C-ICAP"  # how its Service begins

T = TypeVar("T")
Ask = Callable[[Callable[[IcapConnection], Awaitable[T]]], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class Habits:
    """How an engine asks, whichever service: see the keys of the same names."""

    preset: Preset
    max_size: int | None
    preview: bool
    page_is_infected: bool


class IcapService:
    """The service behind `url`, over the connections of `pool`."""

    def __init__(self, url: IcapUrl, pool: IcapPool, habits: Habits) -> None:
        self.pool = pool
        self._habits = habits
        self._url = url
        self._path = url.path
        self._options: Options | None = None
        self._until = 0.0  # by the loop's clock, as the next one
        self._failed = float("-inf")  # when it was last asked in vain
        self._failure = ""
        self._seen = SeenVersions()
        self._asking = asyncio.Lock()  # one question for all who want to know

    async def options(self) -> Options:
        """Return what it offers, as far as it is known; asked for where that is too old."""
        known, began = self._fresh(), _now()
        if known is not None:
            return known
        async with self._asking:
            if self._failed >= began:  # while we waited: nobody asks a silent server one after the other
                raise EngineError(self._failure)
            return self._fresh() or await self._ask_options()

    async def refreshed(self) -> Options:
        """Return what it offers now."""
        async with self._asking:
            return await self._ask_options()

    def live(self, method: Method) -> frozenset[str]:
        """Return the versions of it that decide now, where it is asked by this method."""
        return frozenset(self._version(method, seen) for seen in self._seen.live(_now()))

    async def scan(self, method: Method, sample: Sample, slot: Slot) -> tuple[Finding, str]:
        """Have the sample scanned in a slot; return the finding, and the version that answers for it."""
        options = await self.options()
        known = self._seen.live(_now())
        blob, preset = sample.blob, self._habits.preset
        preview = self._preview(options, blob.size)
        question = Question(
            method, preset, blob.size, blob.sha256, preview, options.allow_204, self._habits.page_is_infected
        )
        request = scan_request(
            method,
            self._asked(options),
            sample.detected_type,
            blob.size,
            preview=preview,
            allow_204=options.allow_204,
        )

        async def scanned(connection: IcapConnection) -> ScanExchange:
            return await connection.scan(request, question, blob)

        exchange = await self.pool.ask(scanned, slot)
        if exchange.finding is None:
            raise EngineError("ended without an outcome")
        seen = options.istag if exchange.istag is None else exchange.istag
        self._note(self._name(seen, options))
        return exchange.finding, self._version(method, self._credited(seen, options, known))

    def _preview(self, options: Options, size: int) -> int | None:
        """Return how many bytes go ahead: never the last one, for then a server that skips the file shows it.

        It lets the file pass without asking for the rest; were there none, that would look like a scan.
        """
        if options.preview is None or not self._habits.preview:
            return None
        return min(options.preview, max(0, size - 1))

    def _credited(self, istag: str, options: Options, known: frozenset[str]) -> str:
        name = self._name(istag, options)
        if istag != options.istag:
            self._until = 0.0  # RFC 3507, 4.7: the options may have changed, too
        return name if name in known else self._name(options.istag, options)

    def _fresh(self) -> Options | None:
        return self._options if _now() < self._until else None

    async def _ask_options(self) -> Options:
        request = options_request(self._asked(None))

        async def asked(connection: IcapConnection) -> Options:
            return await connection.options(request)

        began = _now()
        try:
            async with asyncio.timeout(OPTIONS_SECONDS):
                options = await self.pool.ask(asked)
        except (EngineError, TimeoutError) as error:
            self._failed, self._failure = _now(), str(error) or "did not answer OPTIONS"
            raise
        self._options, self._until = options, began + options.ttl
        self._note(self._name(options.istag, options))
        return options

    def _asked(self, options: Options | None) -> Service:
        """Return the service with the arguments that it needs; those of a c-icap also where nobody named it.

        Without them it may let files pass that it did not scan, and say nothing of it.
        """
        preset = self._habits.preset
        arguments = preset.arguments
        if preset is PRESETS["generic"] and options is not None and options.service.startswith(_C_ICAP):
            arguments = PRESETS["c-icap"].arguments
        url = self._url.with_arguments(arguments)
        return Service(str(url), str(url.address).partition("://")[2])

    def _note(self, name: str) -> None:
        self._seen.note(name, _now())

    @staticmethod
    def _name(istag: str, options: Options) -> str:
        return f"ISTag {istag} {options.service}".rstrip()

    def _version(self, method: Method, name: str) -> str:
        limit = "" if self._habits.max_size is None else f", max_size {self._habits.max_size}"
        return f"{method} {self._path}: {name}{limit}"


def _now() -> float:
    return asyncio.get_running_loop().time()
