"""A download: an answer of a homeserver whose headers are here and whose body is still to come."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp

from ostiary.errors import HomeserverError
from ostiary.matrix.content_encoding import Decoder
from ostiary.matrix.response import body, content_type, decoder_of, header, says_its_end
from ostiary.model import MediaRequest

_LONGEST_ETAG: Final = 256


@dataclass(frozen=True, slots=True)
class Download:
    """An answer whose headers are here and whose body is still to come.

    `size` is None where the homeserver did not announce it, `etag` where it gave none that can be
    asked with. The body must be read inside the context that gave the Download.
    """

    size: int | None
    content_type: str | None
    content_disposition: str | None
    etag: str | None
    _response: aiohttp.ClientResponse
    _decoder: Decoder | None
    _deadline: float

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body, once; HomeserverError where it is cut short, damaged or comes too late."""
        return body(self._response, self._decoder, self._deadline)


class MediaSource(Protocol):
    """Whoever media is fetched from."""

    def media(
        self, request: MediaRequest, etag: str | None = None
    ) -> AbstractAsyncContextManager[Download | None]:
        """Open the media; with the ETag of a copy in hand, None says that the copy is what it is."""
        ...


def download_of(response: aiohttp.ClientResponse, deadline: float) -> Download:
    """Read the headers; the body has time until the deadline, a time of the event loop.

    HomeserverError for a body that could be cut short without anybody noticing.
    """
    decoder = decoder_of(response)
    if decoder is None and not says_its_end(response):
        raise HomeserverError("the homeserver's answer does not say where it ends: it may be cut short")
    return Download(
        # A compressed body's length says nothing about what comes out.
        size=response.content_length if decoder is None else None,
        content_type=content_type(response),
        content_disposition=header(response, "Content-Disposition"),
        etag=_etag(response),
        _response=response,
        _decoder=decoder,
        _deadline=deadline,
    )


def let_go(response: aiohttp.ClientResponse) -> None:
    """Keep the connection for the next request if this answer was read to its end, cut it if not."""
    if response.content.at_eof():
        response.release()
    else:
        response.close()


def _etag(response: aiohttp.ClientResponse) -> str | None:
    """Return the ETag as the homeserver wrote it (Synapse's has no quotes), to be sent back to it alone."""
    etag = header(response, "ETag")
    return etag if etag and etag.isascii() and len(etag) <= _LONGEST_ETAG else None
