"""A process that decodes images and compares them with the list, or makes the list's index.

Decoders of images are where hostile bytes win, so they run here: without settings or secrets,
without files to write or core dumps, in so much address space, first to go when the machine runs out
of memory, killed at the deadline. Ends when the gateway's end of its socket closes. One frame in,
one frame out; `ostiary.engines.perceptual.process` is the other end.
"""

import fcntl
import io
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from ostiary.core_dumps import forbid_core_dumps
from ostiary.engines.frames import Frame, FrameError, receive_frame, send_frame
from ostiary.engines.perceptual.image import FORMATS, hash_of, look_at, prepare
from ostiary.engines.perceptual.list import LONGEST_LINE, ListBuilder, ListError, PdqIndex

MEMORY: Final = 1 << 30
"""Bytes of address space beside the index: four times the pixels of the largest image, and the libraries."""

_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_OPEN_FILES: Final = 32
_NICENESS: Final = 10

Head = Mapping[str, Any]


def main() -> None:
    """Serve the socket that is our standard input until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the gateway, which lets requests end
    forbid_core_dumps()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with socket.socket(fileno=os.dup(0)) as connection:
        first = receive_frame(connection)
        if first is None or first.descriptor is None:
            return
        _silence(2)
        prepare()
        if first.head.get("job") == "index":
            _make_index(connection, first.descriptor, first.body)
        else:
            _serve(connection, first.descriptor, int(first.head["distance"]))


def _silence(descriptor: int) -> None:
    """Send what libraries print to nowhere: it can quote what they read."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _make_index(connection: socket.socket, source: int, canary: bytes) -> None:
    """Answer with a sealed memfd that holds the index, or with what is wrong with the list."""
    os.nice(_NICENESS)  # requests go first
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    builder = ListBuilder()
    try:
        with os.fdopen(source, "rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                builder.add(line)
    except ListError as error:
        send_frame(connection, {"error": str(error)})
        return
    entries, digest = builder.entries, builder.digest
    index = os.memfd_create("ostiary-pdq", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(index, "wb") as file:
        file.writelines(builder.index(hash_of(canary)))
        file.flush()
        fcntl.fcntl(index, fcntl.F_ADD_SEALS, _SEALS)
        send_frame(connection, {"entries": entries, "digest": digest}, descriptor=index)


def _serve(connection: socket.socket, descriptor: int, distance: int) -> None:
    """Map the index, then look at image after image."""
    size = os.fstat(descriptor).st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + size, MEMORY + size))
    turn = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)  # a lock of its own on the file we share
    with mmap.mmap(descriptor, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as data:
        os.close(descriptor)
        index = PdqIndex(memoryview(data), distance)
        send_frame(connection, {"ready": True, "formats": len(FORMATS)})
        while frame := receive_frame(connection):
            with _one_at_a_time(turn) as large:
                reply = _judged(frame, index, large)
            send_frame(connection, reply)
        os._exit(0)  # the index still borrows the mapping


@contextmanager
def _one_at_a_time(turn: int) -> Iterator[Callable[[], None]]:
    """Give what waits until no other process of the engine decodes a large image; the turn ends with us."""
    try:
        yield lambda: fcntl.flock(turn, fcntl.LOCK_EX)
    finally:
        fcntl.flock(turn, fcntl.LOCK_UN)


def _judged(frame: Frame, index: PdqIndex, large: Callable[[], None]) -> Head:
    """Look at the image; the reply repeats how many bytes there were."""
    file: BinaryIO
    if frame.descriptor is None:
        file, size = io.BytesIO(frame.body), len(frame.body)
    else:
        file, size = os.fdopen(frame.descriptor, "rb"), os.fstat(frame.descriptor).st_size
    with file:
        look = look_at(file, large)
    match = index.nearest(look.hashes) if look.hashes else None
    return {
        "size": size,
        "reason": look.reason,
        "match": None if match is None else [match.distance, match.name],
    }


if __name__ == "__main__":
    try:
        main()
    except FrameError:
        sys.exit(1)
