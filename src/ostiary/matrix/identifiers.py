"""Matrix identifiers of media: server names, media IDs, mxc URIs. Pure: strings in, MediaRef out.

What passes here goes into paths of requests to the homeserver, so nothing passes that could mean
another path there: the grammars are closed sets of characters, checked before anything else looks.
Everything is case-sensitive and kept as written (Matrix appendices, "Server Name").
"""

import ipaddress
import re
from typing import Final

from ostiary.errors import MalformedMediaError
from ostiary.model import MediaRef

MAX_LENGTH: Final = 255
"""Characters of a server name, port included, and again of a media ID."""

_SCHEME: Final = "mxc://"
_MAX_PORT: Final = 65535
_MAX_OCTET: Final = 255

# Matrix client-server API, "Content repository", security considerations: exactly these characters.
# Unreserved ones (MSC2703: `.`, `~` too) were never made part of the specification.
_MEDIA_ID: Final = re.compile(r"[0-9A-Za-z_-]+")

# Matrix appendices, "Server Name". A dns-name may hold any dots there; we want labels between them,
# as it asks for in its prose: `.` and `..` would be path segments, `example.org.` a second name.
_SERVER_NAME: Final = re.compile(
    r"""
    (?: (?P<ipv4> [0-9]{1,3} (?: \. [0-9]{1,3} ){3} )
      | \[ (?P<ipv6> [0-9A-Fa-f:.]{2,45} ) \]
      | [0-9A-Za-z-]+ (?: \. [0-9A-Za-z-]+ )*
    )
    (?: : (?P<port> [0-9]{1,5} ) )?
    """,
    re.VERBOSE,
)


def media_ref(server_name: str, media_id: str) -> MediaRef:
    """Return the reference of a media; MalformedMediaError unless both are in their grammar."""
    if not is_server_name(server_name):
        raise MalformedMediaError("the server name of this media is not a Matrix server name")
    if len(media_id) > MAX_LENGTH or not _MEDIA_ID.fullmatch(media_id):
        raise MalformedMediaError("this media ID is not a Matrix media ID")
    return MediaRef(server_name, media_id)


def parse_mxc(text: str) -> MediaRef:
    """Return what an `mxc://<server name>/<media ID>` URI refers to; MalformedMediaError otherwise."""
    if not text.startswith(_SCHEME):
        raise MalformedMediaError("this is not an mxc URI")
    server_name, _, media_id = text.removeprefix(_SCHEME).partition("/")
    return media_ref(server_name, media_id)


def is_server_name(text: str) -> bool:
    """Say whether the text is a Matrix server name, port included."""
    if len(text) > MAX_LENGTH:
        return False
    match = _SERVER_NAME.fullmatch(text)
    if match is None:
        return False
    port, ipv4, ipv6 = match["port"], match["ipv4"], match["ipv6"]
    if port is not None and not 0 < int(port) <= _MAX_PORT:
        return False
    if ipv4 is not None and any(int(number) > _MAX_OCTET for number in ipv4.split(".")):
        return False
    return ipv6 is None or _is_ipv6(ipv6)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
