"""The sections `limits` and `rate_limit`: what bounds the whole process, and each caller."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from ostiary.config.fields import Whole
from ostiary.config.section import Section, complaint
from ostiary.config.values import Duration, PositiveDuration, PositiveSize, Size, format_size

_LEAST_MEMORY: Final = 8 << 20  # some requests with a blob of 1 MiB each, and their ciphertext


def _enough_memory(value: int) -> int:
    if value < _LEAST_MEMORY:
        raise complaint(f"{format_size(value)} is too little: at least {format_size(_LEAST_MEMORY)}")
    return value


class LimitsSettings(Section):
    """What the process holds at most, and how long it waits."""

    requests: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1000
    """Requests in flight."""

    memory: Annotated[Size, AfterValidator(_enough_memory)] = 256 << 20
    """Bytes of media in memory, all requests together; at least 8MiB."""

    disk: Size = 4 << 30
    """Bytes of spooled media on disk, all requests together; at least three times `scan.max_size`:
    a file, its decrypted copy and a script's copy."""

    wait: Duration = 5.0
    """How long a request waits to be admitted before it is refused with 503."""

    idle: PositiveDuration = 30.0
    """How long a client may take nothing, and how long it may need for each 64 KiB that it sends
    or for a whole JSON body."""


class RateLimitSettings(Section):
    """How fast one caller may fetch: a leaky bucket, bytes a second."""

    per_user: PositiveSize | None = None
    """Bytes a second for each user; null: no limit."""

    per_address: PositiveSize | None = None
    """Bytes a second for each client address; null: no limit."""
