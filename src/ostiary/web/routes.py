"""Which handler a request is for. Pure: a method and a raw request target in, a Call out.

The raw target is split before it is percent-decoded, so an encoded slash never makes a segment,
and media references are checked against the Matrix grammar here, before anybody else sees them.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, unquote

from ostiary.errors import InvalidParameterError, MalformedMediaError, NoSuchRouteError, WrongMethodError
from ostiary.matrix.identifiers import media_ref
from ostiary.model import MediaRef, ResizeMethod, Thumbnail

PREFIX: Final = "/_matrix/media_proxy/unstable/"

_ABSOLUTE: Final = re.compile(r"https?://[^/?]*(?=/)", re.IGNORECASE)  # RFC 9112, 3.2.2
_LONGEST_QUERY: Final = 8192
_MOST_PARAMETERS: Final = 32
_LARGEST_SIDE: Final = 1 << 14  # pixels of a thumbnail


class Route(StrEnum):
    """What can be asked on the web port."""

    PUBLIC_KEY = "public_key"
    DOWNLOAD = "download"
    THUMBNAIL = "thumbnail"
    SCAN = "scan"
    DOWNLOAD_ENCRYPTED = "download_encrypted"
    SCAN_ENCRYPTED = "scan_encrypted"
    SCAN_FILE = "scan_file"
    HEALTH = "health"
    READY = "ready"


_POST: Final = frozenset({Route.DOWNLOAD_ENCRYPTED, Route.SCAN_ENCRYPTED, Route.SCAN_FILE})
_OF_MEDIA: Final = frozenset({Route.DOWNLOAD, Route.THUMBNAIL, Route.SCAN})
_BY_NAME: Final = {route.value: route for route in Route if route not in {Route.HEALTH, Route.READY}}
_METHODS: Final = {method.value: method for method in ResizeMethod}
_PROBES: Final = {"/health": Route.HEALTH, "/ready": Route.READY}


@dataclass(frozen=True, slots=True)
class Call:
    """A request's route and what its target says; `token` is the deprecated `?access_token=`."""

    route: Route
    ref: MediaRef | None = None
    filename: str | None = None
    thumbnail: Thumbnail | None = None
    token: str | None = field(default=None, repr=False)


def match(method: str, raw_target: str) -> Call:
    """Return the call, or raise what is wrong with it (a subclass of OstiaryError)."""
    path, _, query = _ABSOLUTE.sub("", raw_target).partition("?")
    route, segments = _route(path)
    allowed = ("POST",) if route in _POST else ("GET", "HEAD")
    if method not in allowed:
        raise WrongMethodError(f"{route} answers {' and '.join(allowed)} only", allowed)
    parameters = _parameters(query)
    token = parameters.get("access_token") or None
    if route not in _OF_MEDIA:
        return Call(route, token=token)
    server_name, media_id, *names = segments
    return Call(
        route,
        ref=media_ref(server_name, media_id),
        filename=names[0] if names else None,
        thumbnail=_thumbnail(parameters) if route is Route.THUMBNAIL else None,
        token=token,
    )


def _route(path: str) -> tuple[Route, list[str]]:
    if path in _PROBES:
        return _PROBES[path], []
    if not path.startswith(PREFIX):
        raise NoSuchRouteError("there is nothing here: the API lives under " + PREFIX)
    name, *raw = path.removeprefix(PREFIX).removesuffix("/").split("/")
    route = _BY_NAME.get(name)
    if route is None:
        raise NoSuchRouteError("no such route under " + PREFIX)
    segments = [_decoded(segment) for segment in raw]
    wanted = {Route.DOWNLOAD: {2, 3}, Route.THUMBNAIL: {2}, Route.SCAN: {2}}.get(route, {0})
    if len(segments) not in wanted or (route is Route.DOWNLOAD and not segments[-1]):
        if route in _OF_MEDIA:
            raise MalformedMediaError(f"write /{route}/<server name>/<media ID>")
        raise NoSuchRouteError(f"nothing follows {PREFIX}{route}")
    return route, segments


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise MalformedMediaError("the path is not UTF-8") from None


def _parameters(query: str) -> dict[str, str]:
    """Return each parameter's first value; what we do not know is of no consequence."""
    if not query:
        return {}
    if len(query) > _LONGEST_QUERY:
        raise InvalidParameterError("the query is too long")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise InvalidParameterError("the query has too many parameters") from None
    return dict(reversed(pairs))


def _thumbnail(parameters: dict[str, str]) -> Thumbnail:
    method = parameters.get("method")
    if method is not None and method not in _METHODS:
        raise InvalidParameterError("method: crop or scale")
    animated = parameters.get("animated")
    if animated not in {None, "true", "false"}:
        raise InvalidParameterError("animated: true or false")
    return Thumbnail(
        _side(parameters, "width"),
        _side(parameters, "height"),
        None if method is None else _METHODS[method],
        None if animated is None else animated == "true",
    )


def _side(parameters: dict[str, str], name: str) -> int:
    value = parameters.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(_LARGEST_SIDE))):
        raise InvalidParameterError(f"{name}: a number of pixels is needed")
    if not 1 <= int(value) <= _LARGEST_SIDE:
        raise InvalidParameterError(f"{name}: from 1 to {_LARGEST_SIDE} pixels")
    return int(value)
