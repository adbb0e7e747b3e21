"""Fetching: a media from the homeserver, or a stored copy of it where that is still what it serves.

The second and third step of the flow. A copy that is young enough is used as it is; an older one is
asked about with the caller's own token, which is also how the homeserver says whether this caller may
have it. What comes over the wire is spooled within its room, hashed while it arrives.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

from ostiary.access import Access
from ostiary.blob import Blob
from ostiary.blocking import run_blocking
from ostiary.budget import Room, Spool
from ostiary.digests import Digests
from ostiary.errors import HomeserverRefusalError
from ostiary.library.interface import Library, LibraryKey, StoredCopy
from ostiary.loans import Loans
from ostiary.matrix.content_disposition import filename_of
from ostiary.matrix.download import Download, MediaSource
from ostiary.model import Declared, MediaRequest

_STEP: Final = 1 << 26  # room taken at a time for a body that is larger than announced and served anyhow
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class Media:
    """What the homeserver gave: its bytes as they came, and what it says they are.

    `etag` is ours, `source_etag` the homeserver's own. `validated` is when the homeserver was asked for
    what it then gave or confirmed, in seconds of the fetcher's clock.
    """

    blob: Blob
    content_type: str | None
    content_disposition: str | None
    etag: str
    source_etag: str | None
    validated: float

    @property
    def declared(self) -> Declared:
        """What the uploader said they are."""
        return Declared(self.content_type, filename_of(self.content_disposition))


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes of one media, and whether larger ones are fetched all the same; copies that engines make.

    A stored copy is used for `revalidate` seconds before the homeserver is asked about it again.
    """

    max_size: int
    serve_larger: bool
    engine_copies: int
    revalidate: float


class Fetcher:
    """Gets media, and keeps what it is told to keep."""

    def __init__(
        self,
        *,
        source: MediaSource,
        library: Library,
        access: Access,
        spool: Spool,
        digests: Digests,
        bounds: Bounds,
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._library = library
        self._access = access
        self._spool = spool
        self._digests = digests
        self._bounds = bounds
        self._clock = clock
        self._loans = Loans(spool.memory)

    def stored(self, request: MediaRequest) -> Media | None:
        """Return a stored copy that the homeserver need not be asked about; whose it is must be asked."""
        copy = self._copy(request)
        if copy is None or self._clock() - copy.validated >= self._bounds.revalidate:
            return None
        return self._media_of(copy)

    def lent(self, media: Media) -> AbstractAsyncContextManager[None]:
        """Return a context that holds the bytes of a stored copy; OverloadedError where there is no room."""
        return self._loans.of(media.blob.data or b"")

    async def fetch(self, request: MediaRequest, held: AsyncExitStack) -> tuple[Media | None, Room]:
        """Return the media and its room, `held` both; no media where it is too large to be fetched.

        HomeserverRefusalError where the homeserver says no; what it no longer has is not kept either.
        """
        copy = self._copy(request)
        etag = None if copy is None else copy.etag
        asked = self._clock()
        try:
            async with self._source.media(request, etag) as download:
                if download is not None:
                    return await self._receive(request, download, asked, held)
                if copy is None:
                    raise AssertionError("nobody asked whether anything is unchanged")
                return await self._unchanged(request, copy, asked, held)
        except HomeserverRefusalError as refusal:
            if refusal.status == _NOT_FOUND and copy is not None:
                self._library.evict(copy.sha256, self._clock())
            raise

    async def keep(self, request: MediaRequest, media: Media) -> None:
        """Put the media into the library, if it takes files of that size."""
        blob = media.blob
        if blob.size > self._library.largest:
            return
        data = blob.data
        if data is None:
            memory = self._spool.memory
            if memory.waiting or memory.total - memory.used < blob.size:
                return  # requests need it more
            async with memory.share(blob.size):
                data = await run_blocking(blob.read, 0, blob.size)
            if len(data) != blob.size:
                return  # a spooled file became shorter: whoever sends it will notice
        copy = StoredCopy(
            data=data,
            sha256=blob.sha256,
            content_type=media.content_type,
            content_disposition=media.content_disposition,
            etag=media.source_etag,
            public=request.anonymous,
            validated=media.validated,
        )
        self._library.put(_key(request), copy)

    def room(self, size: int, *, encrypted: bool, resident: int = 0) -> Room:
        """Return a context that holds room for a media of at most `size` bytes, all the way."""
        return self._spool.room(size, 1 + encrypted + self._bounds.engine_copies, resident=resident)

    def _copy(self, request: MediaRequest) -> StoredCopy | None:
        copy = self._library.get(_key(request))
        if copy is None or not self._access.opens(request, public=copy.public):
            return None
        return copy

    def _media_of(self, copy: StoredCopy) -> Media:
        etag = self._digests.etag(copy.sha256)
        return Media(
            copy.blob(), copy.content_type, copy.content_disposition, etag, copy.etag, copy.validated
        )

    async def _unchanged(
        self, request: MediaRequest, copy: StoredCopy, asked: float, held: AsyncExitStack
    ) -> tuple[Media, Room]:
        encrypted = request.encrypted is not None
        room = self.room(len(copy.data), encrypted=encrypted, resident=len(copy.data))
        await held.enter_async_context(room)
        fresh = replace(copy, validated=asked, public=request.anonymous)
        media = self._media_of(fresh)
        held.callback(media.blob.close)
        self._library.put(_key(request), fresh)
        return media, room

    async def _receive(
        self, request: MediaRequest, download: Download, asked: float, held: AsyncExitStack
    ) -> tuple[Media | None, Room]:
        limit, serve = self._bounds.max_size, self._bounds.serve_larger
        encrypted = request.encrypted is not None
        expected = limit if download.size is None else download.size
        if expected > limit and not serve:
            return None, self.room(0, encrypted=encrypted)
        room = await held.enter_async_context(self.room(expected, encrypted=encrypted))
        writer = held.enter_context(self._spool.writer())
        received = expected
        async for chunk in download.chunks():
            if writer.size + len(chunk) > received:
                if not serve:
                    return None, room
                self._spool.disk.acquire_now(_STEP)
                held.callback(self._spool.disk.release, _STEP)
                received += _STEP
            await writer.add(chunk)
        blob = await writer.finish()
        held.callback(blob.close)
        room.shrink(blob.size, 1 + encrypted + self._bounds.engine_copies)
        etag = self._digests.etag(blob.sha256)
        labels = download.content_type, download.content_disposition
        return Media(blob, *labels, etag, download.etag, asked), room


def _key(request: MediaRequest) -> LibraryKey:
    return request.ref, request.thumbnail
