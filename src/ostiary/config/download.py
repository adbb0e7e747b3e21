"""The `download` section: how media is fetched from the homeserver. Also written `proxy`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, Field

from ostiary.config.fields import Flag, Whole
from ostiary.config.headers import HeaderNames, Headers
from ostiary.config.section import NotYet, Section, complaint
from ostiary.config.urls import BaseUrl, HttpUrl
from ostiary.config.values import PositiveDuration


def _no_headers() -> Mapping[str, str]:
    return MappingProxyType({})


def _homeserver_only(value: bool) -> bool:  # noqa: FBT001  (pydantic passes the value)
    if value:
        raise complaint("not in this release: set download.base_homeserver_url instead")
    return value


class DownloadSettings(Section):
    """How media is fetched. The section may also be called `proxy`."""

    base_homeserver_url: BaseUrl | None = None
    """The homeserver, as `http://synapse:8008`. `ostiary serve` needs it."""

    proxy: Annotated[HttpUrl | None, Field(repr=False)] = None
    """An HTTP proxy on the way to the homeserver."""

    additional_headers: Headers = Field(default_factory=_no_headers, repr=False)
    """Headers that every request to the homeserver carries."""

    headers_to_forward: HeaderNames = ()
    """Headers of the caller that are passed on to the homeserver, by name."""

    timeout: PositiveDuration = 60.0
    """The time for one whole fetch."""

    max_concurrent: Annotated[Whole, Field(ge=1, le=10_000)] = 100
    """Fetches at the same time."""

    allow_direct: Annotated[Flag, AfterValidator(_homeserver_only), NotYet(unless=(False,), refused=True)] = (
        False
    )
    """Whether media is fetched from the server that its URI names."""
