"""What every store of verdicts is. It keeps Evidence, from which policy makes each request's verdict.

What a request declares is never in it. Whether the evidence still counts, under the engines of
now, is for `ostiary.judging` to say.
"""

from typing import Protocol

from ostiary.model import Evidence


class VerdictStore(Protocol):
    """Evidence by index: 32 bytes from `ostiary.digests`."""

    async def get(self, index: bytes) -> Evidence | None:
        """Return what is known; None where nothing is, or the store can't be asked."""
        ...

    async def put(self, index: bytes, evidence: Evidence, seconds: float) -> None:
        """Keep it until so many seconds after it was made, if the store can."""
        ...
