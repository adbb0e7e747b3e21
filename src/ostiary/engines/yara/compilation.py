"""A compilation as the event loop sees it: it may take a while, and ends at once when it is cancelled."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from ostiary.blocking import run_blocking, to_its_end
from ostiary.engines.yara.canary import Canary
from ostiary.engines.yara.process import CompiledRules, Process, compile_in
from ostiary.engines.yara.sources import RuleSource
from ostiary.errors import ConfigError


async def compiled(sources: Sequence[RuleSource], canary: Canary) -> CompiledRules:
    """Compile in a process of its own, which is gone afterwards; ConfigError names the file and line."""
    held = ExitStack()
    try:
        process = await run_blocking(lambda: held.enter_context(Process()))
        work = asyncio.get_running_loop().run_in_executor(None, compile_in, process, sources, canary)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            process.kill()
            with suppress(ConfigError):
                await to_its_end(work)
            raise
    except OSError as error:
        raise ConfigError(f"the YARA rules could not be compiled: {error}") from error
    finally:
        await run_blocking(held.close)
