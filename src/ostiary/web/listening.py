"""Listening on a port, and letting go of it in good order."""

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from typing import Final

from aiohttp import web

from ostiary.budget import Budget
from ostiary.errors import ConfigError
from ostiary.web.http_server import HttpServer

DRAIN: Final = 60.0
"""Seconds that requests in flight get to end after SIGTERM."""

CLOSING: Final = 1.0
"""Seconds that connections get to close once nothing is in flight."""


async def listen(
    stack: AsyncExitStack, server: HttpServer, host: str, port: int, requests: Budget | None = None
) -> str:
    """Listen, and return the URL. When the stack unwinds, the `requests` in flight get time to end."""
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=CLOSING)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        raise ConfigError(f"can't listen on {host}:{port}: {_reason(error)}") from None
    address = runner.addresses[0]
    if requests is not None:
        stack.push_async_callback(_drain, site, requests)
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{shown}:{address[1]}"


async def _drain(site: web.TCPSite, requests: Budget) -> None:
    """Take no new connections, and wait for the requests in flight; who takes no answer is cut after."""
    await site.stop()
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN):
            await requests.drained()


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
