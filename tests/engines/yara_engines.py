"""How the YARA engine's tests ask it, and what they ask about."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from ostiary.blob import Blob
from ostiary.engines.interface import Sample
from ostiary.engines.yara.engine import LARGE, YaraEngine
from ostiary.errors import EngineError
from ostiary.model import Finding

RULES: Final = """
rule first { strings: $a = "needle" condition: $a }
rule second { strings: $a = "needle" condition: $a }
private rule secret { strings: $a = "secret" condition: $a }
rule encrypted { meta: finding = "encrypted_archive" strings: $a = "locked" condition: $a }
rule macro { meta: finding = "macro" strings: $a = "macro!" condition: $a }
rule limit { meta: finding = "limit" strings: $a = "limit!" condition: $a }
rule policy { meta: finding = "forbidden" strings: $a = "policy" condition: $a }
rule endless {
    strings: $a = "endless"
    condition: $a and for any i in (0..1000000000) : (for any j in (0..1000000000) : (uint8(i) == j + 300))
}
"""
BIG: Final = LARGE + 5
"""A size above which files are scanned one at a time."""


@asynccontextmanager
async def running(*rules: str | Path, concurrency: int = 2, timeout: float = 30) -> AsyncIterator[YaraEngine]:  # noqa: ASYNC109
    """Give an engine that is closed on the way out, with all it started."""
    engine = YaraEngine("yara", rules, concurrency=concurrency, timeout=timeout)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()


async def judge(engine: YaraEngine, blob: Blob) -> Finding:
    """Have the engine inspect the blob and close it."""
    with blob:
        return (await engine.inspect(Sample(blob, "application/octet-stream"))).finding


def children() -> list[int]:
    """Return the process IDs of the scan processes that we started and that have not been waited for."""
    listed = [
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [int(child) for child in listed if b"yara.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


async def error_of(asking: Awaitable[Finding]) -> str:
    """Return the words of the EngineError that the asking has to end in."""
    with pytest.raises(EngineError) as caught:
        await asking
    return str(caught.value)
