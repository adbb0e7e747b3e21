"""The `download` section: how media is fetched, and from whom. Also written `proxy`."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import Field, model_validator

from ostiary.config.fields import Flag, Whole
from ostiary.config.headers import HeaderNames, Headers
from ostiary.config.section import Section, complaint
from ostiary.config.urls import BaseUrl, HttpUrl
from ostiary.config.values import PositiveDuration


def _no_headers() -> Mapping[str, str]:
    return MappingProxyType({})


class DownloadSettings(Section):
    """How media is fetched. The section may also be called `proxy`."""

    base_homeserver_url: BaseUrl | None = None
    """The homeserver, as `http://synapse:8008`. `ostiary serve` needs it, or `allow_direct`."""

    proxy: Annotated[HttpUrl | None, Field(repr=False)] = None
    """An HTTP proxy on the way to the homeserver; refused in direct mode."""

    additional_headers: Headers = Field(default_factory=_no_headers, repr=False)
    """Headers that every request to the homeserver carries; in direct mode `user-agent` alone."""

    headers_to_forward: HeaderNames = ()
    """Headers of the caller that are passed on to the homeserver, by name; none in direct mode."""

    timeout: PositiveDuration = 60.0
    """The time for one whole fetch."""

    max_concurrent: Annotated[Whole, Field(ge=1, le=10_000)] = 100
    """Fetches at the same time."""

    allow_direct: Flag = False
    """Direct mode: without `base_homeserver_url`, ask the server that a media's URI names."""

    @property
    def direct(self) -> bool:
        """Whether there is no homeserver of ours, and those that media URIs name are asked."""
        return self.allow_direct and self.base_homeserver_url is None

    @model_validator(mode="after")
    def _no_proxy_to_strangers(self) -> Self:
        if self.direct and self.proxy is not None:
            text = (
                "in direct mode no proxy can be used: it would look names up itself, and nobody could check "
                "that it connects to public addresses only. Remove it, or set download.base_homeserver_url"
            )
            raise complaint(text, "proxy")
        return self


def ineffective(download: DownloadSettings) -> Iterator[str]:
    """Yield a line for each key that is set and does nothing beside the others."""
    if download.allow_direct and not download.direct:
        yield "download.allow_direct has no effect: download.base_homeserver_url is asked for all media"
    if download.direct and {name.lower() for name in download.additional_headers} - {"user-agent"}:
        yield "download.additional_headers: in direct mode strangers get user-agent, and no other header"
    if download.direct and download.headers_to_forward:
        yield "download.headers_to_forward has no effect in direct mode: strangers get nothing of a caller"
