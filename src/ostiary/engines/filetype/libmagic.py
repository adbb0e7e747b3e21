"""libmagic, bound by hand: the newer of the system's library and the one from the wheel.

A distribution mends its library, and what it reads here is hostile; the wheel (pylibmagic) is for
machines that have none. Importing that wheel would patch `ctypes` and the environment of every
child process, so only its files are used. The C interface is libmagic(3); one handle belongs to
one thread at a time.
"""

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_MIME_TYPE: Final = 0x000010  # MAGIC_MIME_TYPE of magic.h
_REGEX_MAX: Final = 5  # MAGIC_PARAM_REGEX_MAX
_REGEX_BYTES: Final = 2048  # that a regular expression sees: with its own 8192, blank lines take 0.3 s a file


class Library:
    """A loaded libmagic and its database; None: where the library itself looks for it."""

    def __init__(self, path: str, database: Path | None) -> None:
        library = ctypes.CDLL(path)
        self.version = int(library.magic_version())
        self.database = None if database is None else str(database).encode()
        self._open = library.magic_open
        self._open.restype, self._open.argtypes = ctypes.c_void_p, [ctypes.c_int]
        self._load = library.magic_load
        self._load.restype, self._load.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]
        self._set = library.magic_setparam
        self._set.restype = ctypes.c_int
        self._set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        self._buffer = library.magic_buffer
        self._buffer.restype = ctypes.c_char_p
        self._buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
        self._close = library.magic_close
        self._close.restype, self._close.argtypes = None, [ctypes.c_void_p]

    def handle(self) -> int:
        """Return a new handle with the database loaded; OSError if there is none."""
        handle = self._open(_MIME_TYPE)
        if handle is None:
            raise OSError("libmagic gives no handle")
        if self._load(handle, self.database) != 0:
            self._close(handle)
            raise OSError("libmagic's database can't be loaded")
        self._set(handle, _REGEX_MAX, ctypes.byref(ctypes.c_size_t(_REGEX_BYTES)))
        return int(handle)

    def mime_type(self, handle: int, data: bytes) -> str | None:
        """Return the MIME type of the bytes, None where libmagic fails on them."""
        answer: bytes | None = self._buffer(handle, data, len(data))
        return None if answer is None else answer.decode("ascii", errors="replace")

    def close(self, handle: int) -> None:
        """Free a handle."""
        self._close(handle)


@cache
def library() -> Library:
    """Return the library to use, loaded once; OSError if there is none that works."""
    found = [candidate for candidate in (_of_the_system(), _of_the_wheel()) if candidate is not None]
    if not found:
        raise OSError("no libmagic: install the package pylibmagic, or the system's libmagic1")
    return max(found, key=lambda candidate: candidate.version)


def _of_the_system() -> Library | None:
    return _working("libmagic.so.1", None)


def _of_the_wheel() -> Library | None:
    spec = find_spec("pylibmagic")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return _working(str(folder / "libmagic.so.1"), folder / "magic.mgc")


def _working(path: str, database: Path | None) -> Library | None:
    try:
        candidate = Library(path, database)
        candidate.close(candidate.handle())
    except OSError:
        return None
    return candidate
