"""The sections `result_cache`, `library`, `access` and `ledger`: what is kept, and for whom."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ostiary.config.fields import FilePath, Whole
from ostiary.config.section import NotYet, Section
from ostiary.config.urls import LedgerUrl, RedisUrl
from ostiary.config.values import Duration, PositiveDuration, Size

ExitCode = Annotated[Whole, Field(ge=-255, le=255)]


class ResultCacheSettings(Section):
    """The verdict cache. It may be lost at any time, and every file can be scanned without it."""

    type: Annotated[Literal["memory", "redis"], NotYet(unless=("memory",))] = "memory"
    """Where verdicts are kept; `redis` shares them between replicas."""

    redis_url: Annotated[RedisUrl, Field(repr=False), NotYet(quiet=True)] = "redis://localhost:6379/1"
    """The Redis server and database."""

    ttl: Duration = 3600.0
    """How long a verdict counts at most."""

    max_size: Annotated[Whole, Field(ge=0, le=1_000_000_000)] = 10_000
    """How many verdicts are kept in memory."""

    max_file_size: Size = 20_000_000
    """Larger clean files are not kept in the library."""

    exit_codes_to_ignore: tuple[ExitCode, ...] = ()
    """Exit codes of a script whose result is not kept."""

    grace: Duration = 0.0
    """How long an old clean verdict may serve after new signatures, while one rescan runs."""


class LibrarySettings(Section):
    """Stored clean copies."""

    memory: Size = 64 << 20
    """Bytes of stored copies in memory; 0: none."""

    disk: Annotated[Size, NotYet(unless=(0,))] = 1 << 30
    """Bytes of stored copies on disk; 0: none."""

    path: Annotated[FilePath, NotYet()] = Path("/var/lib/ostiary/library")
    """The folder of the copies on disk."""

    revalidate: Duration = 300.0
    """How often the homeserver is asked whether it still serves a stored copy."""


class AccessSettings(Section):
    """Whether a caller may read a stored copy."""

    check: Literal["token", "media", "none"] = "token"
    """`token`: the homeserver knows the caller's token; `media`: it would serve that media to the
    caller, asked each time; `none`: anybody."""

    ttl: Duration = 60.0
    """How long the homeserver's answer about a token counts."""


class LedgerSettings(Section):
    """What must never be lost: incidents, overrides, quarantine, a sweep's progress."""

    url: Annotated[LedgerUrl, Field(repr=False)] = "sqlite:////var/lib/ostiary/ledger.db"
    """The database: `sqlite:////FILE` or `postgresql://...`."""

    retention: PositiveDuration = 365 * 86400.0
    """How long incidents are kept."""
