"""What a clock tells: `python -m tests.attacks.timing` prints medians, for docs/topics/threat-model.md.

No test: a busy machine would fail it. The same requests are sent in turn over one connection, in random
order, so that both sides of a comparison meet the same noise.
"""

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from tests.attacks.house import PLACE, give, remembering
from tests.attacks.test_envelopes import changed, decrypts, parts
from tests.flow.samples import PICTURE
from tests.matrix.fake_homeserver import media
from tests.web.clients import file_of, sealed
from tests.web.door import Door

ROUNDS = 4000


async def compare(name: str, ways: Sequence[tuple[str, Callable[[], Awaitable[object]]]]) -> None:
    """Time the ways in turn, and print the median of each and their quartiles, in microseconds."""
    times: dict[str, list[float]] = {way: [] for way, _ in ways}
    for _ in range(ROUNDS):
        for way, act in random.sample(list(ways), len(ways)):
            started = time.perf_counter_ns()
            await act()
            times[way].append((time.perf_counter_ns() - started) / 1000)
    for way, taken in times.items():
        first, median, third = statistics.quantiles(taken, n=4)
        print(  # noqa: T201  (its purpose)
            f"{name:28} {way:24} median {median:8.1f} us, quartiles {first:.1f} to {third:.1f}"
        )


async def paddings(door: Door, more: int) -> None:
    """Compare good and bad padding, over HTTP and in the function itself."""
    body = {**file_of(b"x"), "more": "x" * more}
    sent = sealed(door.envelope.public_key, body)
    tries = [changed(sent, -17, value) for value in range(1, 256)]
    good = next(one for one in tries if decrypts(door, one))
    bad, control = random.sample([one for one in tries if one is not good], 2)
    names = {"good": good, "bad": bad, "bad, as a control": control}

    def over_http(one: dict[str, Any]) -> Callable[[], Awaitable[object]]:
        return lambda: door.ask("scan_encrypted", "POST", body=one)

    def inside(one: dict[str, Any]) -> Callable[[], Awaitable[object]]:
        async def act() -> None:
            door.envelope._opened(**parts(one))

        return act

    size = len(json.dumps(body))
    for where, way in (("HTTP", over_http), ("inside", inside)):
        await compare(f"padding, {size} B, {where}", [(name, way(one)) for name, one in names.items()])


async def copies(door: Door) -> None:
    """Compare a media that was judged lately with one that was not."""
    number = 0

    async def cold() -> None:
        nonlocal number
        number += 1
        give(door.homeserver, media(PICTURE + b"%d" % number), f"example.org/cold{number}")
        await door.ask(f"scan/example.org/cold{number}")

    give(door.homeserver, media(PICTURE))
    await compare("a scan", [("warm", lambda: door.ask(f"scan/{PLACE}")), ("cold", cold)])


async def main() -> None:
    """Measure all of it."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory() as folder:
        async with remembering(Path(folder)) as door:
            door.envelope._most_failures = 1 << 62
            for more in (0, 30_000):
                await paddings(door, more)
            await copies(door)


if __name__ == "__main__":
    asyncio.run(main())
