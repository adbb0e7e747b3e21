"""The gateway's end of a process that decodes images: start it, hand it work, kill it. All of this blocks.

One thread uses a process at a time; `kill` alone may be called from another, and makes every call
under way end at once with EngineError. What the process says is checked: it reads hostile bytes.
"""

import os
import socket
import stat
import subprocess
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ostiary.blob import Blob
from ostiary.engines.child_process import command, environment
from ostiary.engines.frames import Frame, FrameError, receive_frame, send_frame
from ostiary.engines.perceptual.reasons import WORDS, Reason
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Cause, Clean, Finding, Infected, Unscannable

LIST_BYTES: Final = 1 << 30
"""Bytes of a list."""

INDEX_SECONDS: Final = 120.0
"""Patience for an index to be made: a million lines take 2 s."""

START_SECONDS: Final = 30.0
"""Patience for a process to map an index."""

_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # each has a stack of its own
_LONGEST_NAME: Final = 250


class Index:
    """A list made ready to be mapped by the scan processes; closed when nobody holds it any more."""

    def __init__(self, descriptor: int, entries: int, digest: str) -> None:
        self.descriptor = descriptor
        self.entries = entries
        self.digest = digest
        self.close = weakref.finalize(self, os.close, descriptor)


class Process:
    """A process that is started with the first question to it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._killed = False
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self.index: Index | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs: the kernel may have ended it while it was idle, for want of memory."""
        return not self._killed and self._child is not None and self._child.poll() is None

    def make_index(self, source: int, canary: bytes) -> Index:
        """Have it read a list, lent by descriptor; ConfigError says which line is at fault."""
        reply = self._ask({"job": "index"}, canary, source, seconds=INDEX_SECONDS)
        head, descriptor = reply.head, reply.descriptor
        if descriptor is None:
            raise ConfigError(str(head.get("error", "the index could not be made")))
        return Index(descriptor, int(head["entries"]), str(head["digest"]))

    def load(self, index: Index, distance: int) -> None:
        """Have it map the index; matches differ by `distance` bits at most. EngineError."""
        reply = self._ask({"distance": distance}, b"", index.descriptor, seconds=START_SECONDS)
        if reply.descriptor is not None or reply.head.get("ready") is not True:
            _drop(reply)
            raise EngineError("the process did not take the list")
        self.index = index

    def judge(self, blob: Blob, seconds: float, *, image: bool) -> Finding:
        """Have it look at all bytes of the blob; TimeoutError, or EngineError if it fails."""
        if blob.data is not None:
            reply = self._ask({}, blob.data, None, seconds=seconds)
        else:
            descriptor = _descriptor(blob)
            try:
                reply = self._ask({}, b"", descriptor, seconds=seconds)
            finally:
                os.close(descriptor)
        if reply.descriptor is not None:
            _drop(reply)
            raise EngineError("the process sent a descriptor")
        return finding_of(reply.head, blob.size, image=image)

    def kill(self) -> None:
        """End it at once, whatever it does. Any thread may call this."""
        with self._guard:
            self._killed = True
            if self._child is not None:
                self._child.kill()

    def end(self) -> None:
        """Kill it, wait until it is gone, and close our end. Safe to call twice."""
        self.kill()
        self.index = None
        if self._child is not None:
            self._child.wait()
        if self._connection is not None:
            self._connection.close()

    def _ask(self, head: Mapping[str, Any], body: bytes, descriptor: int | None, *, seconds: float) -> Frame:
        try:
            connection = self._started()
            connection.settimeout(seconds)
            send_frame(connection, head, body, descriptor)
            reply = receive_frame(connection)
        except (FrameError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise EngineError(f"the process that decodes images failed: {error}") from error
        if reply is None:
            raise EngineError("the process that decodes images ended before it answered")
        return reply

    def _started(self) -> socket.socket:
        with self._guard:
            if self._connection is None and not self._killed:
                self._start()
            if self._connection is None:
                raise EngineError("the process that decodes images was ended")
            return self._connection

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._child = subprocess.Popen(  # noqa: S603  (our own module, by our own Python)
                    command("ostiary.engines.perceptual.worker"),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env={**environment(), **_ONE_THREAD},
                    process_group=0,
                )
            except BaseException:
                ours.close()
                raise
        self._connection = ours


def open_list(path: Path) -> int:
    """Return a descriptor of the list; ConfigError if it is no file that can be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not keep us
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size <= LIST_BYTES:
        return descriptor
    os.close(descriptor)
    raise ConfigError(f"{path}: is no file of up to {LIST_BYTES >> 20} MiB")


def finding_of(head: Mapping[str, Any], size: int, *, image: bool) -> Finding:
    """Read the reply to a look at `size` bytes; EngineError if it is none.

    `image`: somebody takes them for an image, so a format that is none of ours is no proof of absence.
    """
    if set(head) != {"size", "reason", "match"} or type(head["size"]) is not int or head["size"] != size:
        raise EngineError("the process that decodes images did not see all bytes")
    name, reason = _name_of(head["match"]), _reason_of(head["reason"])
    if name is not None:
        return Infected(name)
    if reason is None or (reason is Reason.FORMAT and not image):
        return Clean()
    return Unscannable(Cause.LIMIT, WORDS[reason])


def _descriptor(blob: Blob) -> int:
    try:
        return blob.open_descriptor()
    except (OSError, ValueError) as error:
        raise EngineError(f"the bytes can't be read: {error}") from error


def _name_of(match: object) -> str | None:
    """Return the name of the entry that matches, None where none does."""
    if match is None:
        return None
    if isinstance(match, list) and len(match) == 2:  # noqa: PLR2004  (a distance and a name)
        distance, name = match
        if type(distance) is int and isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME:
            return name
    raise EngineError("the process that decodes images named no match")


def _reason_of(reason: object) -> Reason | None:
    try:
        return None if reason is None else Reason(reason)  # type: ignore[arg-type]  # checked by the call
    except ValueError:
        raise EngineError("the process that decodes images gave no reason") from None


def _drop(reply: Frame) -> None:
    if reply.descriptor is not None:
        os.close(reply.descriptor)
