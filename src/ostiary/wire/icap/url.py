"""The URLs of ICAP services: `icap://host:port/service?arguments`, or `icaps://` over TLS. Pure.

The configuration and the engine read them here, so that both mean the same.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PORTS: Final = {"icap": 1344, "icaps": 11344}
"""The port of each scheme where the URL has none (RFC 3507, 4.2; over TLS by custom)."""

_LABEL: Final = r"[A-Za-z0-9_-]{1,63}"
_URL: Final = re.compile(
    rf"(?P<scheme>icaps?)://(?:\[(?P<literal>[0-9A-Fa-f:.]{{2,45}})\]|(?P<host>{_LABEL}(?:\.{_LABEL})*\.?))"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-\"$->@-~]{0,500})?(?:\?(?P<query>[!-\"$-~]{0,500}))?"
)
_LONGEST_HOST: Final = 253


@dataclass(frozen=True, slots=True)
class IcapAddress:
    """Where an ICAP server listens."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'icaps' if self.tls else 'icap'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class IcapUrl:
    """A service; `path` with the slash at its beginning, `query` without the question mark."""

    address: IcapAddress
    path: str
    query: str

    def __str__(self) -> str:
        return f"{self.address}{self.path}{f'?{self.query}' if self.query else ''}"

    def with_arguments(self, arguments: Sequence[tuple[str, str]]) -> "IcapUrl":
        """Return it with those arguments that its query does not have."""
        parts = [part for part in self.query.split("&") if part]
        known = {part.partition("=")[0] for part in parts}
        parts += [f"{name}={value}" for name, value in arguments if name not in known]
        return IcapUrl(self.address, self.path, "&".join(parts))


def parse_url(text: str) -> IcapUrl:
    """Return what the text names; ValueError, with a text for the operator, if it is no such URL."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("expected icap://host:port/service or icaps://host:port/service")
    if match["literal"] is not None:
        try:
            ipaddress.IPv6Address(match["literal"])
        except ValueError:
            raise ValueError("its IPv6 address can't be read") from None
    host = match["literal"] or match["host"]
    port = int(match["port"] or PORTS[match["scheme"]])
    if not 0 < port < 1 << 16 or len(host) > _LONGEST_HOST:
        raise ValueError("its host or port can't be read")
    return IcapUrl(
        IcapAddress(host, port, match["scheme"] == "icaps"), match["path"] or "/", match["query"] or ""
    )
