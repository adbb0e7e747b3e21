"""Blocking work in a thread, safe under cancellation.

A thread can't be stopped. If its caller is cancelled and closes the files that the thread still
reads, the kernel hands their descriptor numbers to somebody else's files. So the caller waits:
jobs given to `run_blocking` are short (one chunk, one small file). `to_its_end` does the same for
tasks that must not be left halfway, such as starting a process.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def run_blocking(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run the function in the loop's thread pool; when cancelled, end only after the thread has."""
    loop = asyncio.get_running_loop()
    return await to_its_end(loop.run_in_executor(None, lambda: function(*args, **kwargs)))


async def to_its_end(job: asyncio.Future[T]) -> T:
    """Wait for the job; when cancelled, go only after it is done, whatever it came to."""
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        while not job.done():
            try:
                await asyncio.wait([job])
            except asyncio.CancelledError:
                continue
        if not job.cancelled():
            job.exception()  # retrieved: nobody is left to hear of it
        raise
