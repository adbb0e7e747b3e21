"""The section of an `icap` engine: an antivirus server that speaks ICAP (RFC 3507)."""

from typing import Annotated, Literal

from ostiary.config.engines.common import CommonSettings, Concurrency
from ostiary.config.section import Kind


class IcapSettings(CommonSettings):
    """An ICAP server."""

    type: Literal["icap"]
    """Which engine it is."""

    url: Annotated[str, Kind("URL")]
    """Its service: `icap://host:port/service`, or `icaps://` over TLS."""

    preset: Literal["c-icap", "generic"] = "generic"
    """Which headers of its answers mean infected."""

    concurrency: Concurrency = 8
    """Files that it scans at the same time."""
