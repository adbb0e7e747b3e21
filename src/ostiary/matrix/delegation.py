"""What a server name, a well-known file or a redirect says about where to ask. Pure: text in, Endpoint out.

Below `ostiary.matrix.discovery`, which does the asking. Everything here was written by strangers: a URL
is https, in one closed grammar (no user name, fragment, backslash or odd host), with a port that no other
protocol is known for. Which address a host has, and whether it may be connected to, is not known here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

from ostiary.errors import HomeserverError
from ostiary.matrix.identifiers import is_server_name

FEDERATION_PORT: Final = 8448
"""The port of a server name that gives none (Matrix server-server API, "Resolving server names")."""

_LONGEST_BASE: Final = 512
_LONGEST_URL: Final = 2048
_LONGEST_AGE: Final = 9  # digits of a max-age
_HTTPS: Final = "https://"

_AUTHORITY: Final = r"(?P<authority>[^/?\\@#]{1,255})"
_BASE: Final = re.compile(rf"https://{_AUTHORITY}(?P<path>(?:/[0-9A-Za-z._~-]+)*)/*", re.IGNORECASE)
_URL: Final = re.compile(
    rf"https://{_AUTHORITY}(?:/[0-9A-Za-z._~!$&'()*+,;=:@%/-]*)?(?:\?[0-9A-Za-z._~!$&'()*+,;=:@%/?-]*)?",
    re.IGNORECASE,
)
_HOST_AND_PORT: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[0-9]{1,5}))?")
_IPV4: Final = re.compile(r"[0-9.]+")
_VISIBLE: Final = re.compile(r"[!-~]+")
_MAX_AGE: Final = re.compile(r"max-age *= *\"?([0-9]+)\"?")

# Those that browsers never connect to (WHATWG Fetch, "bad port"): whoever is there speaks something else,
# and must not hear from us because a stranger said so.
_BAD_PORTS: Final = frozenset({
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
    109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
    526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
    3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is asked: an https URL without a slash at its end.

    `host` is the Host header; None: what the URL says.
    """

    base: str
    host: str | None = None


def says_where(server_name: str) -> bool:
    """Say whether the name is an IP literal or has a port: then nothing delegates it (steps 1 and 2)."""
    host, port = _split(server_name)
    return port is not None or host.startswith("[") or _IPV4.fullmatch(host) is not None


def federation_endpoint(server_name: str) -> Endpoint:
    """Return where the name itself points (steps 1, 2, 5 of "Resolving server names", without SRV).

    HomeserverError for a port of another protocol.
    """
    host, port = _split(server_name)
    if port in _BAD_PORTS:
        raise HomeserverError("the media's server has a port that belongs to another protocol")
    return Endpoint(f"{_HTTPS}{host}:{port or FEDERATION_PORT}", server_name)


def client_endpoint(well_known: Mapping[str, object]) -> Endpoint | None:
    """Return what `/.well-known/matrix/client` names, None where it is unusable."""
    section = well_known.get("m.homeserver")
    base = section.get("base_url") if isinstance(section, dict) else None
    if not isinstance(base, str) or len(base) > _LONGEST_BASE:
        return None
    match = _BASE.fullmatch(base)
    if match is None or not _is_fine(match["authority"]) or {".", ".."} & set(match["path"].split("/")):
        return None
    return Endpoint(_HTTPS + match["authority"] + match["path"])


def server_endpoint(well_known: Mapping[str, object]) -> Endpoint | None:
    """Return what `/.well-known/matrix/server` names (step 3), None where it is unusable."""
    name = well_known.get("m.server")
    return federation_endpoint(name) if isinstance(name, str) and _is_fine(name) else None


def redirected(url: str, location: str | None) -> str:
    """Return where a redirect leads from the URL; HomeserverError where we don't follow."""
    if location and len(location) <= _LONGEST_URL and _VISIBLE.fullmatch(location):
        try:
            target = urljoin(url, location.partition("#")[0])
        except ValueError:
            target = ""
        match = _URL.fullmatch(target)
        if match is not None and _is_fine(match["authority"]):
            return target
    raise HomeserverError("the media's server redirects to where we do not follow")


def max_age(cache_control: str | None) -> float | None:
    """Return for how many seconds an answer may be kept (RFC 9111, 5.2.2); None where it does not say."""
    words = (cache_control or "").lower()
    if "no-store" in words or "no-cache" in words:
        return 0.0
    match = _MAX_AGE.search(words)
    return None if match is None else float(match[1][:_LONGEST_AGE])


def _is_fine(authority: str) -> bool:
    return is_server_name(authority) and _split(authority)[1] not in _BAD_PORTS


def _split(server_name: str) -> tuple[str, int | None]:
    """Split what is in the grammar of server names."""
    match = _HOST_AND_PORT.fullmatch(server_name)
    if match is None:
        raise AssertionError("the name was not checked")
    return match["host"], None if match["port"] is None else int(match["port"])
