"""Puts the house together: builds the parts, starts them, stops them.

Only this file and the command line read the whole configuration and name concrete classes.
"""

import asyncio
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from ostiary import __version__
from ostiary.access import Access
from ostiary.background import Background
from ostiary.budget import Budget, Spool
from ostiary.config.engines import EngineSettings
from ostiary.config.settings import Settings, effective_engines, inert, shared_by
from ostiary.control.location import location
from ostiary.control.protocol import Actions
from ostiary.control.server import listen_control
from ostiary.control.verdicts import VerdictDesk
from ostiary.core_dumps import forbid_core_dumps
from ostiary.currency import LiveVersions
from ostiary.digests import Digests
from ostiary.engines.filetype.detector import TypeDetector, library_version
from ostiary.engines.registry import Circumstances, engine_of
from ostiary.engines.script.engine import ScriptEngine
from ostiary.errors import ConfigError
from ostiary.fetching import Bounds as FetchBounds
from ostiary.fetching import Fetcher
from ostiary.gateway import Gateway
from ostiary.gauges import watch_engines, watch_loads
from ostiary.inflight import Flights, Renewals
from ostiary.inspection import Station
from ostiary.judging import Bounds, Judge, Memory
from ostiary.library.memory import MemoryLibrary
from ostiary.matrix.direct import DirectServers
from ostiary.matrix.envelope import Envelope
from ostiary.matrix.homeserver import Homeserver
from ostiary.metrics import Metrics
from ostiary.model import Cause, Declared
from ostiary.policy import Rules
from ostiary.proof_samples import specimens_of
from ostiary.prover import Proofs, Prover, Schedule
from ostiary.secret_file import private_key
from ostiary.spool_directory import spool_directory
from ostiary.trust import Trust
from ostiary.verdicts.memory import MemoryVerdicts
from ostiary.web.bodies import json_room
from ostiary.web.health import Health, Load
from ostiary.web.http_server import HttpServer
from ostiary.web.listening import listen
from ostiary.web.metrics_page import MetricsPage
from ostiary.web.scanner_api import ScannerApi
from ostiary.web.server import Front

log = structlog.get_logger()

SPARE_CONNECTIONS: Final = 256
"""Connections beyond `limits.requests` that may be open, idle or waiting for their turn."""

_MOST_DESCRIPTORS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Parts:
    """What scans: shared by the server and the command line."""

    settings: Settings
    metrics: Metrics
    spool: Spool
    stations: tuple[Station, ...]
    proofs: Proofs
    judge: Judge
    memory: Memory
    homeserver: Homeserver | DirectServers
    access: Access
    library: MemoryLibrary
    gateway: Gateway


@asynccontextmanager
async def parts(
    settings: Settings, *, secret: bytes | None = None, observe: bool = False, patient: bool = False
) -> AsyncIterator[Parts]:
    """Build everything that scans, with its engines started; ConfigError if that fails.

    Without a `secret` nothing that is remembered means anything to another process. `observe`:
    nothing is refused. Whoever is `patient` (the command line) waits for room as long as it takes.
    """
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        chosen = effective_engines(settings)
        stations = tuple(_station(engine, settings) for engine in chosen)
        for station in stations:
            stack.push_async_callback(station.engine.close)
            await station.engine.start()
        homeserver = direct_servers(settings) if settings.download.direct else homeserver_of(settings)
        stack.push_async_callback(homeserver.close)
        background = await stack.enter_async_context(Background())
        spool = _spool(settings, None if patient else settings.limits.wait)
        decided = rules(settings, observe=observe)
        digests = Digests(secret or os.urandom(32), _scope(stations, decided, settings.scan.max_size))
        detector = TypeDetector()
        stack.callback(detector.close)
        live = LiveVersions([station.engine for station in stations], background)
        provers = _provers(settings, stations, chosen, live, metrics)
        proofs = Proofs(provers, spool, settings.scan.max_size)
        proofs.start(background, dear=not patient)
        memory = _memory(settings, live, digests)
        judge = Judge(
            detector=detector,
            stations=stations,
            rules=decided,
            bounds=Bounds(settings.scan.max_size, settings.scan.timeout),
            memory=memory,
            metrics=metrics,
        )
        # In direct mode every copy came without a token, and there is nobody to ask about one.
        check = "none" if settings.download.direct else settings.access.check
        access = Access(homeserver.whoami, check, settings.access.ttl, time.monotonic)
        largest = min(settings.result_cache.max_file_size, settings.limits.memory // 4)
        library = MemoryLibrary(settings.library.memory, largest)
        fetcher = Fetcher(
            source=homeserver,
            library=library,
            access=access,
            spool=spool,
            digests=digests,
            bounds=FetchBounds(
                max_size=settings.scan.max_size,
                serve_larger=decided.serves(Cause.TOO_LARGE),
                engine_copies=sum(isinstance(station.engine, ScriptEngine) for station in stations),
                revalidate=settings.library.revalidate,
            ),
            clock=time.monotonic,
        )
        gateway = Gateway(
            fetcher=fetcher,
            spool=spool,
            judge=judge,
            access=access,
            flights=Flights(background),
            renewals=Renewals(background),
            metrics=metrics,
        )
        yield Parts(
            settings, metrics, spool, stations, proofs, judge, memory, homeserver, access, library, gateway
        )


def _provers(
    settings: Settings,
    stations: Sequence[Station],
    chosen: Sequence[EngineSettings],
    live: LiveVersions,
    metrics: Metrics,
) -> list[Prover]:
    """Return what keeps each engine's trust up to date; ConfigError for samples that can't be read."""
    proof = settings.proof
    schedule = Schedule(proof.interval, proof.max_signature_age)
    provers = []
    for station, section in zip(stations, chosen, strict=True):
        try:
            specimens = specimens_of(section.proof, station.engine)
        except ConfigError as error:
            raise ConfigError(f"engine {station.engine.name}: {error}") from error
        trust = station.trust
        if specimens is None:
            trust.give()
        provers.append(Prover(station, specimens, schedule, live, metrics))
    return provers


def _memory(settings: Settings, live: LiveVersions, digests: Digests) -> Memory:
    cache = settings.result_cache
    return Memory(
        store=MemoryVerdicts(cache.max_size, time.monotonic),
        live=live,
        digests=digests,
        ttl=cache.ttl,
        clock=time.monotonic,
        grace=cache.grace,
    )


def _scope(stations: Sequence[Station], decided: Rules, max_size: int) -> str:
    """Return what else a verdict depends on: evidence found under other settings is not ours."""
    engines = sorted(f"{type(one.engine).__name__} {one.engine.name} {one.required}" for one in stations)
    served = sorted(decided.serve)
    types = decided.allowed_types, decided.blocked_types
    return repr((library_version(), engines, served, types, decided.observe, max_size))


async def serve(settings: Settings, *, observe: bool = False) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then let the requests in flight end.

    With `observe` nothing is refused; what would have been is logged and counted.
    """
    if settings.download.base_homeserver_url is None and not settings.download.direct:
        raise ConfigError(
            "download.base_homeserver_url is missing: write where the homeserver is "
            "(or set download.allow_direct)"
        )
    _prepare_process()
    key = private_key(settings.crypto, shared_by(settings))
    envelope = Envelope(key.secret)
    for line in inert(settings):
        log.warning("no effect", config=line)
    stop = _stop_signal()
    if observe:
        log.warning("observing only: everything is served", metric="content_scanner_observed_total")
    building = parts(settings, secret=key.secret, observe=observe)
    async with building as built, AsyncExitStack() as stack:
        requests = Budget("requests", settings.limits.requests, settings.limits.wait)
        bodies = json_room()
        loads = (*_loads(built, requests), bodies)
        health = Health(loads, built.proofs, gates=settings.proof.gates_readiness)
        watch_loads(built.metrics, built.spool, built.library, requests, loads)
        watch_engines(built.metrics, built.proofs)
        api = ScannerApi(
            gateway=built.gateway,
            access=built.access,
            envelope=envelope,
            headers_to_forward=settings.download.headers_to_forward,
            idle=settings.limits.idle,
            bodies=bodies,
        )
        front = Front(api.handle, health, requests, built.metrics)
        idle = settings.limits.idle
        most = settings.limits.requests + SPARE_CONNECTIONS
        page = HttpServer(MetricsPage(built.metrics), idle, most)
        metrics = await listen(stack, page, settings.metrics.host, settings.metrics.port)
        door = HttpServer(front, idle, most)
        address = await listen(stack, door, settings.web.host, settings.web.port, requests)
        where = location(settings.control, settings.ledger)
        await listen_control(stack, where.path, required=where.required, actions=_actions(built))
        health.loaded = True
        log.info(
            "ready",
            version=__version__,
            address=address,
            metrics=metrics,
            engines=[station.engine.name for station in built.stations],
            public_key=envelope.public_key,
            secret=f"{'made' if key.made else 'read'}: {key.path}",
        )
        await stop.wait()
        health.draining = True
        log.info("stopping", in_flight=requests.used)
    log.info("stopped")


def _actions(built: Parts) -> Actions:
    """Return what commands may have done by a running server."""
    memory, judge = built.memory, built.judge

    async def forget_all() -> None:
        memory.live.forget()

    return VerdictDesk(
        store=memory.store,
        digests=memory.digests,
        library=built.library,
        judge=lambda evidence: judge.verdict(evidence, Declared()),
        counts=judge.counts,
        forget_all=forget_all,
        clock=memory.clock,
    ).actions


def _prepare_process() -> None:
    """Let no core dump hold keys and plaintexts, and have as many descriptors as we may."""
    forbid_core_dumps()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def rules(settings: Settings, *, observe: bool = False) -> Rules:
    """Return what the operator decided about types and about what can't be scanned."""
    scan = settings.scan
    served = {
        Cause.ENCRYPTED_ARCHIVE: settings.policy.encrypted_archive,
        Cause.MACRO: settings.policy.macro,
        Cause.LIMIT: settings.policy.limit,
        Cause.TOO_LARGE: scan.on_oversize,
        Cause.ERROR: scan.scan_on_error,
        Cause.TIMEOUT: scan.scan_on_error,
        Cause.UNTRUSTED: scan.scan_on_error,
    }
    return Rules(
        allowed_types=scan.allowed_mimetypes,
        blocked_types=scan.blocked_mimetypes,
        serve=frozenset(cause for cause, choice in served.items() if choice == "serve"),
        observe=observe,
    )


def _station(chosen: EngineSettings, settings: Settings) -> Station:
    engine = engine_of(chosen, circumstances(settings))
    trust = Trust(engine.name, settings.proof.failures)
    return Station(engine, chosen.required, chosen.shadow, chosen.timeout, trust)


def circumstances(settings: Settings) -> Circumstances:
    """Return what engines are told beside their own section."""
    return Circumstances(
        temp_directory=settings.scan.temp_directory,
        removal_command=settings.scan.removal_command,
        error_exit_codes=settings.scan.error_exit_codes,
        fleeting_exit_codes=frozenset(settings.result_cache.exit_codes_to_ignore),
        proof_interval=settings.proof.interval,
    )


def homeserver_of(settings: Settings) -> Homeserver:
    """Return the client of the configured homeserver; no connection is made yet."""
    download = settings.download
    return Homeserver(
        download.base_homeserver_url or "",
        timeout=download.timeout,
        max_concurrent=download.max_concurrent,
        headers=download.additional_headers,
        proxy=download.proxy,
    )


def direct_servers(settings: Settings) -> DirectServers:
    """Return what asks the servers that media URIs name; no connection is made yet."""
    download = settings.download
    return DirectServers(
        timeout=download.timeout,
        max_concurrent=download.max_concurrent,
        headers=download.additional_headers,
    )


def _spool(settings: Settings, wait: float | None) -> Spool:
    limits = settings.limits
    memory = Budget("memory", limits.memory, wait)
    directory = spool_directory(settings.scan.temp_directory)
    if directory is None:
        log.warning("spooled files take memory", reason="every temporary directory is a tmpfs")
        return Spool(settings.scan.temp_directory, memory, memory)
    return Spool(directory, memory, Budget("disk", limits.disk, wait))


def _loads(built: Parts, requests: Budget) -> tuple[Load, ...]:
    """Return what can be full."""
    turns = (built.homeserver.turns,) if isinstance(built.homeserver, Homeserver) else ()
    return requests, built.spool.memory, built.spool.disk, *turns


def _stop_signal() -> asyncio.Event:
    """Return what is set by SIGTERM, SIGINT or SIGHUP; a second one no longer waits for anybody."""
    stop = asyncio.Event()
    serving = asyncio.current_task()

    def hear() -> None:
        if stop.is_set() and serving is not None:
            serving.cancel()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, hear)
    return stop
