"""Puts the house together: builds the parts, starts them, stops them.

Only this file and the command line read the whole configuration and name concrete classes.
"""

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from ostiary import __version__
from ostiary.budget import Budget, Spool
from ostiary.config.engines import ClamdSettings, EngineSettings, ScriptSettings, YaraSettings
from ostiary.config.operations import MetricsSettings
from ostiary.config.settings import Settings, effective_engines, inert
from ostiary.config.web import WebSettings
from ostiary.engines.clamd import ClamdEngine
from ostiary.engines.filetype import TypeDetector
from ostiary.engines.interface import Engine
from ostiary.engines.script import ScriptEngine
from ostiary.engines.yara import YaraEngine
from ostiary.errors import ConfigError
from ostiary.gateway import Bounds, Gateway
from ostiary.inspection import Station
from ostiary.matrix.envelope import Envelope
from ostiary.matrix.homeserver import Homeserver
from ostiary.metrics import Metrics
from ostiary.model import Cause
from ostiary.policy import Rules
from ostiary.secret_file import load_secret
from ostiary.spool_directory import spool_directory
from ostiary.web.health import Health, State
from ostiary.web.http_server import HttpServer
from ostiary.web.metrics_page import MetricsPage
from ostiary.web.scanner_api import ScannerApi
from ostiary.web.server import Front

log = structlog.get_logger()

DRAIN: Final = 60.0
"""Seconds that requests in flight get to end after SIGTERM."""

CLOSING: Final = 1.0
"""Seconds that connections get to close once nothing is in flight."""

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
    homeserver: Homeserver
    gateway: Gateway


@asynccontextmanager
async def parts(settings: Settings, *, patient: bool = False) -> AsyncIterator[Parts]:
    """Build everything that scans, with its engines started; ConfigError if that fails.

    Whoever is `patient` (the command line) waits for room as long as it takes.
    """
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        stations = tuple(_station(engine, settings) for engine in effective_engines(settings))
        for station in stations:
            stack.push_async_callback(station.engine.close)
            await station.engine.start()
        homeserver = homeserver_of(settings)
        stack.push_async_callback(homeserver.close)
        detector = TypeDetector()
        stack.callback(detector.close)
        spool = _spool(settings, None if patient else settings.limits.wait)
        gateway = Gateway(
            homeserver=homeserver,
            spool=spool,
            detector=detector,
            stations=stations,
            rules=rules(settings),
            bounds=Bounds(settings.scan.max_size, settings.scan.timeout),
            metrics=metrics,
            engine_copies=sum(isinstance(station.engine, ScriptEngine) for station in stations),
        )
        yield Parts(settings, metrics, spool, stations, homeserver, gateway)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then let the requests in flight end."""
    if settings.download.base_homeserver_url is None:
        raise ConfigError("download.base_homeserver_url is missing: write where the homeserver is")
    _prepare_process()
    secret_path = settings.crypto.request_secret_path
    secret, made = load_secret(secret_path)
    envelope = Envelope(secret)
    for line in inert(settings):
        log.warning("no effect", config=line)
    stop = _stop_signal()
    async with parts(settings) as built, AsyncExitStack() as stack:
        requests = Budget("requests", settings.limits.requests, settings.limits.wait)
        health = Health((requests, built.spool.memory, built.spool.disk))
        _watch(built.metrics, requests, built.spool)
        api = ScannerApi(
            gateway=built.gateway,
            homeserver=built.homeserver,
            envelope=envelope,
            headers_to_forward=settings.download.headers_to_forward,
            idle=settings.limits.idle,
        )
        front = Front(api.handle, health, requests, built.metrics)
        idle = settings.limits.idle
        most = settings.limits.requests + SPARE_CONNECTIONS
        metrics = await _listen(stack, HttpServer(MetricsPage(built.metrics), idle, most), settings.metrics)
        address = await _listen(stack, HttpServer(front, idle, most), settings.web, requests)
        health.state = State.READY
        log.info(
            "ready",
            version=__version__,
            address=address,
            metrics=metrics,
            engines=[station.engine.name for station in built.stations],
            public_key=envelope.public_key,
            secret=f"{'made' if made else 'read'}: {secret_path}",
        )
        await stop.wait()
        health.state = State.DRAINING
        log.info("stopping", in_flight=requests.used)
    log.info("stopped")


def _prepare_process() -> None:
    """Let no core dump hold keys and plaintexts, and have as many descriptors as we may."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def rules(settings: Settings) -> Rules:
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
    )


def _station(chosen: EngineSettings, settings: Settings) -> Station:
    return Station(engine_of(chosen, settings), chosen.required, chosen.shadow, chosen.timeout)


def engine_of(chosen: EngineSettings, settings: Settings) -> Engine:
    """Return the engine, not yet started."""
    name = chosen.name or chosen.type
    match chosen:
        case ClamdSettings():
            return ClamdEngine(name, chosen.address, concurrency=chosen.concurrency)
        case YaraSettings():
            threads = chosen.concurrency or os.cpu_count() or 1
            return YaraEngine(name, chosen.rules, concurrency=threads, timeout=chosen.timeout)
        case ScriptSettings():
            return ScriptEngine(
                name,
                chosen.path,
                temp_directory=settings.scan.temp_directory,
                error_exit_codes=settings.scan.error_exit_codes,
                concurrency=chosen.concurrency,
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


def _spool(settings: Settings, wait: float | None) -> Spool:
    limits = settings.limits
    memory = Budget("memory", limits.memory, wait)
    directory = spool_directory(settings.scan.temp_directory)
    if directory is None:
        log.warning("spooled files take memory", reason="every temporary directory is a tmpfs")
        return Spool(settings.scan.temp_directory, memory, memory)
    return Spool(directory, memory, Budget("disk", limits.disk, wait))


def _watch(metrics: Metrics, requests: Budget, spool: Spool) -> None:
    metrics.watch("requests_in_flight", "Requests being answered", lambda: requests.used)
    metrics.watch("memory_reserved_bytes", "Bytes of limits.memory in use", lambda: spool.memory.used)
    metrics.watch("disk_reserved_bytes", "Bytes of limits.disk in use", lambda: spool.disk.used)


async def _listen(
    stack: AsyncExitStack,
    server: HttpServer,
    place: WebSettings | MetricsSettings,
    requests: Budget | None = None,
) -> str:
    """Listen, and return the URL. When the stack unwinds, the `requests` in flight get time to end."""
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=CLOSING)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, place.host, place.port)
    try:
        await site.start()
    except OSError as error:
        raise ConfigError(f"can't listen on {place.host}:{place.port}: {_reason(error)}") from None
    address = runner.addresses[0]
    if requests is not None:
        stack.push_async_callback(_drain, site, requests)
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}"


async def _drain(site: web.TCPSite, requests: Budget) -> None:
    """Take no new connections, and wait for the requests in flight; who takes no answer is cut after."""
    await site.stop()
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN):
            await requests.drained()


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


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
