"""Writes a new file whole or not at all, and never over another.

The file is written under another name beside its place and linked into it: unlike a rename, a link
never replaces what is there, so of two that write at once exactly one does.
"""

import os
import secrets
from pathlib import Path


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write the file with at most these rights; FileExistsError where something is there, else OSError."""
    name = path.with_name(f".ostiary-new-{secrets.token_hex(8)}")
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    finally:
        name.unlink()
