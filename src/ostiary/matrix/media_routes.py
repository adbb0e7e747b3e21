"""Which routes of a homeserver give media, in which order they are asked, and their paths. Pure."""

from typing import Final
from urllib.parse import quote

from ostiary.errors import HomeserverRefusalError
from ostiary.model import MediaRequest

AUTHENTICATED: Final = "/_matrix/client/v1/media"
LEGACY: Final = ("/_matrix/media/v3", "/_matrix/media/r0")

PATIENCE_MS: Final = 5000
"""How long a homeserver waits for a media that is still to be uploaded (`timeout_ms`; 20 s if nobody says):
whoever asks for one holds a turn that long."""

_NOT_FOUND: Final = 404


def route_prefixes(*, authenticated: bool) -> tuple[str, ...]:
    """Return the route prefixes to ask, in order.

    With a token the authenticated one, and the old ones only for a homeserver that does not know
    it. Without one the old ones; where all say "not found", the authenticated one says whether a
    token is what was missing.
    """
    return (AUTHENTICATED, *LEGACY) if authenticated else (*LEGACY, AUTHENTICATED)


def try_next(refusal: HomeserverRefusalError, *, authenticated: bool) -> bool:
    """Say whether a refusal leaves it open that another route has the media."""
    if authenticated:
        return refusal.errcode == "M_UNRECOGNIZED"
    return refusal.status == _NOT_FOUND or refusal.errcode == "M_UNRECOGNIZED"


def path_of(route: str, request: MediaRequest) -> str:
    """Return the path; the reference is grammar-checked, so quoting only touches IPv6 brackets."""
    place = f"{quote(request.ref.server_name, safe=':')}/{quote(request.ref.media_id, safe='')}"
    size = request.thumbnail
    if size is None:
        return f"{route}/download/{place}?timeout_ms={PATIENCE_MS}"
    query = f"width={size.width}&height={size.height}"
    if size.method is not None:
        query += f"&method={size.method.value}"
    if size.animated is not None:
        query += f"&animated={str(size.animated).lower()}"
    return f"{route}/thumbnail/{place}?{query}&timeout_ms={PATIENCE_MS}"
