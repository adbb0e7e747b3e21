"""Where large files go: a directory on a disk, since one in memory would count as memory."""

import os
from pathlib import Path
from typing import Final

from ostiary.blob import anonymous_file
from ostiary.errors import ConfigError

_MEMORY_FILESYSTEMS: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})


def spool_directory(configured: Path) -> Path | None:
    """Return where large files go: the configured directory, unless it is made of memory.

    `/tmp` is a tmpfs on many machines: files there count as memory, which `limits.memory` bounds;
    then `/var/tmp` is used. None if that is no disk either. ConfigError if the configured one is
    of no use at all.
    """
    try:
        os.close(anonymous_file(configured))
    except OSError as error:
        raise ConfigError(f"scan.temp_directory: {configured} can't be used: {error.strerror}") from None
    fallback = Path("/var/tmp")  # noqa: S108  (anonymous files only)
    for directory in (configured, fallback):
        if os.access(directory, os.W_OK) and not takes_memory(directory):
            return directory
    return None


def takes_memory(directory: Path) -> bool:
    """Say whether files there live in memory, as in a tmpfs."""
    return _filesystem(directory) in _MEMORY_FILESYSTEMS


def _filesystem(directory: Path) -> str:
    """Return the type of the filesystem that a directory is on, by the longest mount point above it."""
    real = directory.resolve()
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _, mount, mount_kind, *_ = line.split(" ")
        if real.is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, mount_kind
    return kind
