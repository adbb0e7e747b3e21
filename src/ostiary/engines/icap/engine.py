"""The ICAP engine: an antivirus server that speaks ICAP (RFC 3507), asked by a client of our own.

Downloads are asked about by RESPMOD, uploads by REQMOD where the service has it: then the two may be
told different things, and evidence on one says nothing about the other (`directional`).

A server that does not answer rests (`ostiary.engines.addresses`): nobody waits for it meanwhile, and
OPTIONS finds it again. What is clean is decided in `ostiary.wire.icap` alone; here is who is asked, over
which connection, and how long the word counts. Deadlines are the caller's, by cancellation.
"""

import asyncio
import os
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Final, TypeVar

from ostiary.background import Background
from ostiary.blob import Blob
from ostiary.blocking import run_blocking
from ostiary.engines.addresses import Addresses
from ostiary.engines.icap.connection import CutError, SilentError, UnreachableError
from ostiary.engines.icap.doubts import hard_samples
from ostiary.engines.icap.pool import IcapPool
from ostiary.engines.icap.service import Habits, IcapService
from ostiary.engines.interface import Sample, Specimens, Statement
from ostiary.engines.slots import Slots
from ostiary.engines.specimens import EICAR, harmless
from ostiary.engines.unpacking.account import Bounds
from ostiary.engines.unpacking.examiner import Examiner
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Cause, Clean, Unscannable
from ostiary.wire.icap.options import Options
from ostiary.wire.icap.presets import PRESETS
from ostiary.wire.icap.request import Method
from ostiary.wire.icap.url import IcapUrl, parse_url

CONCURRENCY: Final = 8
"""Scans at a time in one engine; fewer where the server's Max-Connections says so."""

CONNECT_SECONDS: Final = 5.0
"""Patience for a connection."""

IDLE_SECONDS: Final = 5.0
"""How long a connection is kept for the next scan."""

LINGER_SECONDS: Final = 60.0
"""How long a scan that nobody waits for keeps its slot while the server works on it."""

VERSION_SECONDS: Final = 1.0
"""Patience for the version: a service that is slower does not count as live."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IcapWays:
    """How a server is asked; the keys of an `icap` engine explain each. `keep` is in seconds.

    `bounds` is what the engine behind it looks at of archives, where it cuts the rest in silence.
    """

    upload_url: str | None = None
    preset: str = "generic"
    max_size: int | None = None
    preview: bool = True
    reqmod: bool = True
    page_is_infected: bool = False
    ca_path: Path | None = None
    keep: float = inf
    bounds: Bounds | None = None
    connect_seconds: float = CONNECT_SECONDS
    idle_seconds: float = IDLE_SECONDS
    linger_seconds: float = LINGER_SECONDS


class IcapEngine:
    """Asks the service of `url`; about uploads, the one of `ways.upload_url` if there is one."""

    def __init__(
        self,
        name: str,
        url: str,
        ways: IcapWays | None = None,
        *,
        concurrency: int = CONCURRENCY,
        rest: float = 2.0,
    ) -> None:
        self.name = name
        self._ways = ways = ways or IcapWays()
        preset = PRESETS.get(ways.preset)
        if preset is None:
            raise ConfigError(f"engine {name}: there is no preset {ways.preset}")
        self.max_size = preset.max_size if ways.max_size is None else ways.max_size
        urls = [_url(name, text) for text in (url, ways.upload_url) if text is not None]
        pools = {one.address: self._pool(one) for one in urls}
        habits = Habits(preset, self.max_size, ways.preview, ways.page_is_infected)
        services = [IcapService(one, pools[one.address], habits) for one in urls]
        self._pools = tuple(pools.values())
        self._download, self._upload = services[0], services[-1]
        self._addresses = Addresses(name, self._pools, self._probe, rest=rest)
        self._concurrency = concurrency
        self._slots = Slots(concurrency)
        self._scanning = 0
        self._kept_free = 0  # slots that nobody gets, for Max-Connections
        self._most: dict[IcapService, int] = {}  # what each service allows, where it says so
        self._background = Background()
        self._examiner = Examiner(min(concurrency, os.cpu_count() or 1))

    def _pool(self, url: IcapUrl) -> IcapPool:
        ways = self._ways
        return IcapPool(
            url.address,
            connect_seconds=ways.connect_seconds,
            idle_seconds=ways.idle_seconds,
            linger_seconds=ways.linger_seconds,
        )

    async def start(self) -> None:
        """Read the certificates that are trusted; the first scan connects."""
        for pool in self._pools:
            await pool.trust(self._ways.ca_path)

    async def inspect(self, sample: Sample) -> Statement:
        """Have the server scan the sample; EngineError if it does not, or says what can't be believed."""
        service, method, options = await self._asked(sample)
        if self.max_size is not None and sample.blob.size >= self.max_size:
            text = f"the ICAP server is not shown files of {self.max_size} bytes and more (max_size)"
            return Statement(Unscannable(Cause.LIMIT, text), min(service.live(method)), self._ways.keep)
        await self._heed(service, options)
        await self._slots.acquire(again=sample.again)
        self._scanning += 1
        with ExitStack() as slot:
            slot.callback(self._release)
            finding, version = await self._watched(service, service.scan(method, sample, slot))
        bounds = self._ways.bounds
        if finding == Clean() and bounds is not None:
            if sample.reach is not None:
                bounds = replace(bounds, file_size=min(bounds.file_size, sample.reach))
            finding = await self._examiner.unseen(sample.blob, bounds) or finding
        return Statement(finding, version, self._ways.keep)

    async def version(self) -> str:
        """Return the ISTag and the name that the service for downloads tells now."""
        await self._watched(self._download, self._download.refreshed())
        return ", ".join(sorted(self._download.live(Method.RESPMOD)))

    async def versions(self) -> frozenset[str]:
        """Return the versions of both services, those that were told within a second."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._live(service)) for service in {self._download, self._upload}]
        return frozenset().union(*(task.result() for task in tasks))

    @property
    def directional(self) -> bool:
        """Whether uploads are asked about in another way than downloads."""
        return self._ways.reqmod or self._upload is not self._download

    @property
    def specimens(self) -> Specimens:
        """EICAR, which every antivirus knows."""
        return Specimens(EICAR, harmless, unpacks=True)

    async def signed_at(self) -> float | None:
        """Return None: ICAP has no field for it."""
        return None

    async def close(self) -> None:
        """Close the idle connections; one in use is closed when its scan ends or is cancelled."""
        await self._addresses.close()
        await self._background.end()
        for pool in self._pools:
            await pool.close()
        self._examiner.close()

    async def doubts(self, max_size: int) -> Sequence[str]:
        """Return what `ostiary check` should warn of; `max_size` is what files may have at most."""
        found = []
        if self.max_size is not None and self.max_size <= max_size:
            found.append(
                f"files of {self.max_size} bytes and more are not scanned (max_size); scan.max_size is larger"
            )
        if self._ways.keep == inf:
            found.append(
                "its ISTag is believed to follow its signatures (istag_follows_signatures): c-icap's does not"
            )
        try:
            options = await self._download.refreshed()
        except (EngineError, OSError) as error:
            return [*found, f"what it offers could not be read: {error}"]
        if options.preview is None or not self._ways.preview:
            found.append("there is no preview, in which a server shows that it skips a type or size of files")
        if not options.allow_204:
            found.append("it allows no 204: every clean file travels back whole")
        if Method.RESPMOD not in options.methods:
            found.append("it does not offer RESPMOD, by which downloads are asked about")
        return [*found, *await self._passed(max_size)]

    def _release(self) -> None:
        self._scanning -= 1
        self._slots.release()

    async def _passed(self, max_size: int) -> Sequence[str]:
        """Return which samples that are hard to look into pass as clean, with the known-bad file in them."""
        found = []
        for what, data in await run_blocking(lambda: list(hard_samples(max_size))):
            try:
                with Blob.of(data) as blob:
                    said = await self.inspect(Sample(blob, "application/zip"))
            except EngineError:
                continue  # it does not pass
            if said.finding == Clean():
                found.append(
                    f"{what} passes as clean, with the known-bad sample in it: have the engine behind it"
                    " report what exceeds its limits (clamd: AlertExceedsMax yes), and raise them"
                )
        return found

    async def _asked(self, sample: Sample) -> tuple[IcapService, Method, Options]:
        """Return which service is asked about the sample, and how."""
        service = self._upload if sample.upload else self._download
        options = await self._watched(service, service.options())
        wanted = Method.REQMOD if sample.upload and self._ways.reqmod else Method.RESPMOD
        method = wanted if wanted in options.methods else Method.RESPMOD
        if method not in options.methods:
            raise EngineError(
                f"the ICAP server at {service.pool} offers no {method}: check the path of the URL"
            )
        return service, method, options

    async def _watched(self, service: IcapService, answer: Awaitable[T]) -> T:
        """Wait for an answer; whoever gives none is doubted, and asked nothing while it rests."""
        pool = service.pool
        if pool not in self._addresses.awake():
            if asyncio.iscoroutine(answer):
                answer.close()
            raise EngineError(f"the ICAP server at {pool} rests: it did not answer")
        try:
            return await answer
        except (UnreachableError, CutError, TimeoutError, asyncio.CancelledError) as error:
            self._addresses.doubt(pool)
            if isinstance(error, TimeoutError):
                raise EngineError(f"the ICAP server at {pool} did not answer") from None
            if isinstance(error, EngineError):
                raise EngineError(f"the ICAP server at {pool}: {error}") from error
            raise
        except EngineError as error:
            raise EngineError(f"the ICAP server at {pool} {error}") from error
        except OSError as error:  # the spooled bytes can't be read
            raise EngineError(
                f"could not hand the bytes to the ICAP server: {error.strerror or error}"
            ) from error

    async def _live(self, service: IcapService) -> frozenset[str]:
        if service.pool not in self._addresses.awake():
            return frozenset()
        if not self._full(service):
            try:
                async with asyncio.timeout(VERSION_SECONDS):
                    await service.refreshed()
            except (EngineError, OSError) as error:  # a TimeoutError is an OSError
                if isinstance(error, UnreachableError | CutError | TimeoutError):
                    self._addresses.doubt(service.pool)
                return frozenset()
        methods = [Method.RESPMOD] if service is self._download else []
        methods += [Method.REQMOD, Method.RESPMOD] if service is self._upload else []
        return frozenset().union(*(service.live(method) for method in methods))

    def _full(self, service: IcapService) -> bool:
        """Say whether a question would take a connection too many: then what scans tell must do."""
        return self._most.get(service) == 1 and service.pool.used > 0

    async def _probe(self, pool: IcapPool) -> None:
        service = self._download if pool is self._download.pool else self._upload
        try:
            await service.refreshed()
        except SilentError as error:
            raise TimeoutError from error  # whoever waits for such a one waits long
        except (UnreachableError, CutError):
            raise
        except EngineError:
            return  # any answer is a sign of life

    async def _heed(self, service: IcapService, options: Options) -> None:
        """Keep slots free so that Max-Connections is enough, with one connection for our own questions.

        It does not wait: a slot that is in use is kept when its scan ends.
        """
        if options.max_connections is not None:
            self._most[service] = options.max_connections
        least = min(self._most.values(), default=self._concurrency + 1)
        free = max(0, self._concurrency - max(1, least - 1))
        while self._kept_free > free:
            self._kept_free -= 1
            self._slots.release()
        while self._kept_free < free:
            self._kept_free += 1
            if self._scanning + self._kept_free <= self._concurrency:
                await self._slots.acquire()
            else:
                self._background.start(self._slots.acquire())


def _url(name: str, text: str) -> IcapUrl:
    try:
        return parse_url(text)
    except ValueError as error:
        raise ConfigError(f"engine {name}: url: {error}") from None
