"""Where a clamd on this machine can be looked at: its configuration, and the signatures in its folder.

VERSION does not change with signatures in loose files. Where the folder that clamd loads them from can
be seen, a digest of its files is a part of the version, so that evidence is stale once one changes.
A folder changes before clamd takes notice: SelfCheck seconds later, or at a RELOAD. As long as that may
not have happened, what clamd says may come from the old signatures, and is kept for a short time only.

A clamd in a container has files of its own under the same names. So a configuration is found through
the process behind a Unix socket and only in our own namespace, or the operator names it. Blocks.
"""

import hashlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ostiary.engines.clamd.config import ClamdConfig, read_config

DEFAULT_FILES: Final = (
    Path("/etc/clamav/clamd.conf"),
    Path("/usr/local/etc/clamd.conf"),
    Path("/etc/clamd.conf"),
)
"""Where a clamd that was started without -c finds its configuration, as it was built."""

LOADING_SECONDS: Final = 180.0
"""How long clamd may take to load its signatures, from when it notices that they changed."""

_ENTRIES: Final = 4096  # files in a folder of signatures; the official ones are some ten
_FILE: Final = 1 << 30  # bytes of a file that are hashed; a larger one is known by its inode and times
_CMDLINE: Final = 1 << 16
_NOT_LOADED: Final = ("freshclam.dat", "mirrors.dat")  # freshclam's notes, written at each of its runs

_Identity = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen: the `config`, None where it can't be; the digest `mark` of the signatures, "" likewise.

    `changed` is when the newest of them changed, in seconds since 1970. `reason`: why something was
    not seen.
    """

    config: ClamdConfig | None
    mark: str = ""
    changed: float = 0.0
    reason: str = ""

    def settled(self, now: float) -> bool:
        """Whether clamd must have loaded what is in the folder by now."""
        if not self.mark or self.config is None or not self.config.self_check:
            return False
        return now > self.changed + self.config.self_check + LOADING_SECONDS


class Lookout:
    """Looks at one clamd; `config_file` as the operator named it, None: to be found."""

    def __init__(self, socket_path: str | None, config_file: Path | None) -> None:
        self._socket_path = socket_path
        self._config_file = config_file
        self._digests: dict[str, tuple[_Identity, bytes]] = {}

    def look(self, peer: int | None) -> Sight:
        """Return what can be seen now; `peer` is the process behind the socket, None if not known."""
        try:
            config, folder = self._config(peer)
        except (ValueError, OSError) as error:
            return Sight(None, reason=_reason(error))
        try:
            mark, changed = self._folder(folder or config.database_directory, config)
        except (ValueError, OSError) as error:
            return Sight(config, reason=f"{config.database_directory}: {_reason(error)}")
        return Sight(config, mark, changed)

    def _config(self, peer: int | None) -> tuple[ClamdConfig, str | None]:
        if self._config_file is not None:
            return read_config(self._config_file), None
        if self._socket_path is None:
            raise ValueError("over TCP a clamd does not show its configuration: name it in config_file")
        if not peer or _namespaces(peer) != _namespaces(os.getpid()):
            raise ValueError("it runs in a container, or can't be seen: name its clamd.conf in config_file")
        named, folder = _command_line(peer)
        path = named or next((file for file in DEFAULT_FILES if file.exists()), DEFAULT_FILES[0])
        config = read_config(path)
        here = os.path.realpath(self._socket_path)
        if here not in {os.path.realpath(path) for path in config.local_sockets}:
            raise ValueError(f"{path} names another socket")
        return config, folder

    def _folder(self, folder: str, config: ClamdConfig) -> tuple[str, float]:
        """Return a digest of the files, and when the newest change was made."""
        whole = hashlib.blake2b(repr(config).encode(), digest_size=8)
        status = os.stat(folder)  # noqa: PTH116  (a descriptor's kin)
        newest = max(status.st_ctime, status.st_mtime)
        fresh: dict[str, tuple[_Identity, bytes]] = {}
        for name, path, status in sorted(_files(folder)):
            newest = max(newest, status.st_ctime)
            fresh[name] = self._digest(name, path, status)
            whole.update(b"%d:%b%b" % (len(os.fsencode(name)), os.fsencode(name), fresh[name][1]))
        self._digests = fresh
        return whole.hexdigest(), newest

    def _digest(self, name: str, path: str, status: os.stat_result) -> tuple[_Identity, bytes]:
        """Return what the file is known by, and a digest of its content: the same on each machine."""
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = self._digests.get(name)
        if known is not None and known[0] == identity:
            return known
        digest = hashlib.blake2b(digest_size=16)
        if status.st_size > _FILE or not os.access(path, os.R_OK):
            digest.update(repr(identity).encode())
        else:
            with open(path, "rb") as file:  # noqa: PTH123
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        return identity, digest.digest()


def peer_of(connection: socket.socket) -> int | None:
    """Return the process at the other end of a Unix socket; None over TCP (unix(7), SO_PEERCRED)."""
    if connection.family != socket.AF_UNIX:
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", raw)[0]
    return pid or None


def _files(folder: str) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield the files that clamd might load, each with its path and status."""
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= _ENTRIES:
                raise ValueError("holds too many files")
            if entry.name.startswith(".") or entry.name in _NOT_LOADED:
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue  # it went just now
            if stat.S_ISREG(status.st_mode):
                yield entry.name, entry.path, status


def _namespaces(pid: int) -> int:
    """Return how many namespaces of processes deep it runs, seen from here (proc(5), NSpid)."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    line = next((line for line in status.splitlines() if line.startswith("NSpid:")), "NSpid: 0")
    return len(line.split())


def _command_line(pid: int) -> tuple[Path | None, str | None]:
    """Return the configuration and the folder of signatures that its command line names."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        words = file.read(_CMDLINE).decode("utf-8", "surrogateescape").split("\0")
    config, folder = _option(words, "--config-file", "-c"), _option(words, "--datadir", None)
    for path in (config, folder):
        if path is not None and not path.startswith("/"):
            raise ValueError("its command line names a relative path: name its configuration in config_file")
    return Path(config) if config is not None else None, folder


def _option(words: list[str], long: str, short: str | None) -> str | None:
    for word, after in zip(words[1:], [*words[2:], ""], strict=True):
        if word in {long, short}:
            return after
        if word.startswith(f"{long}="):
            return word.removeprefix(f"{long}=")
        if short is not None and word.startswith(short) and not word.startswith("--"):
            return word.removeprefix(short)
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error)
