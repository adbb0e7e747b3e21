"""Where a clamd listens: the addresses of the configuration, and connections to them.

Nothing is sent here. Over TCP whatever follows travels as plain text, media included: that is
for a clamd in the same pod or on a network that only we and it can listen to.
"""

import asyncio
import errno
import os
import re
import socket
from dataclasses import dataclass
from typing import Final

from ostiary.errors import ConfigError, EngineError

_LABEL: Final = r"[A-Za-z0-9_-]{1,63}"
_LITERAL: Final = r"[0-9A-Fa-f:.]+(?:%[0-9A-Za-z._-]+)?"  # IPv6, with a zone if need be
_TCP: Final = re.compile(
    rf"tcp:(?:\[(?P<literal>{_LITERAL})\]|(?P<host>{_LABEL}(?:\.{_LABEL})*\.?)):(?P<port>[0-9]{{1,5}})"
)
_MAX_PATH: Final = 107  # bytes that fit into sockaddr_un, before its NUL (unix(7))
_RETRY: Final = 0.02  # seconds until a full queue is tried again

_HINTS: Final = {
    errno.ENOENT: "is clamd running, and is this its LocalSocket?",
    errno.ECONNREFUSED: "is clamd running?",
    errno.EACCES: "may this user open the socket (LocalSocketGroup, LocalSocketMode)?",
    errno.EMFILE: "the limit of open files (LimitNOFILE, ulimit -n) is too low",
}


class UnreachableError(EngineError):
    """No connection could be made."""


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket: descriptors can be passed to who listens there."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP port of a host, named or numeric (IPv4, IPv6)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"


Address = UnixAddress | TcpAddress


def parse_address(text: str) -> Address:
    """Return the address that `unix:/path` or `tcp:host:port` (`tcp:[::1]:3310`) names, else ConfigError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path or len(os.fsencode(path)) > _MAX_PATH:
            raise ConfigError(f"{text!r}: a Unix socket's path begins with / and has at most 107 bytes")
        return UnixAddress(path)
    match = _TCP.fullmatch(text)
    if match is None or not 0 < int(match["port"]) < 1 << 16:
        raise ConfigError(f"{text!r} is no address of a clamd: write unix:/path or tcp:host:port")
    return TcpAddress(match["literal"] or match["host"], int(match["port"]))


async def connect(address: Address, seconds: float) -> socket.socket:
    """Return a connected, non-blocking socket, which the caller closes; else UnreachableError."""
    try:
        if isinstance(address, UnixAddress):
            async with asyncio.timeout(seconds):
                return await _connect_unix(address.path)
        return await _connect_tcp(address, seconds)
    except TimeoutError:
        raise UnreachableError(
            f"no connection within {seconds:g} s: is it overloaded, or a firewall between?"
        ) from None
    except OSError as error:
        hint = _HINTS.get(error.errno or 0)
        raise UnreachableError(f"{error.strerror or error}{f': {hint}' if hint else ''}") from None


async def _connect_unix(path: str) -> socket.socket:
    connection = _new_socket(socket.AF_UNIX)
    try:
        while True:
            try:
                connection.connect(path)
            except BlockingIOError:
                # Its queue is full. An event loop would take this for TCP's "in progress", and
                # the socket, writable at once, for connected.
                await asyncio.sleep(_RETRY)
            else:
                return connection
    except BaseException:
        connection.close()
        raise


async def _connect_tcp(address: TcpAddress, seconds: float) -> socket.socket:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    failure: OSError = OSError(errno.EADDRNOTAVAIL, "the name has no address")
    for family, _type, _protocol, _name, where in found:
        connection = _new_socket(family)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(
                seconds / len(found)
            ):  # one that swallows packets leaves time for the next
                await loop.sock_connect(connection, where)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure


def _new_socket(family: int) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setblocking(False)
    return connection
