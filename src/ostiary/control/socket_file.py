"""The control socket's place in the file system: whose it is, and how one server gets it from another.

The socket is bound under a name that nobody can guess, mode 0600 from its first moment, listens, and
only then is renamed to its path: nobody finds it half made, and nobody can take the path in between.
A lock file beside it, held as long as the server lives, decides between servers. What a dead server left is
replaced; where anybody answers, or where something is that is no socket, nothing is touched.
"""

import errno
import fcntl
import os
import secrets
import socket
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from ostiary.errors import ConfigError

MAX_PATH: Final = 107
"""Bytes of a unix socket's path (unix(7): sun_path has 108, the last is NUL)."""

_BACKLOG: Final = 16
_MODE: Final = 0o600
_TRIES: Final = 100  # locks that may be removed under our hands, one after the other

_ELSEWHERE: Final = "or set control.socket to another path"
_ADVICE: Final = {
    errno.ENOENT: f"make its folder, {_ELSEWHERE}",
    errno.EACCES: f"let Ostiary's user write into its folder, {_ELSEWHERE}",
    errno.EPERM: f"let Ostiary's user write into its folder, {_ELSEWHERE}",
    errno.EROFS: f"its file system is read-only: mount a writable folder there, {_ELSEWHERE}",
}


class SocketFile:
    """A listening socket at its path. `claim` makes it, `release` gives up both."""

    def __init__(self, path: Path, listener: socket.socket, lock: int, made: os.stat_result) -> None:
        self.listener = listener
        self._path = path
        self._lock = lock
        self._made = made

    @classmethod
    def claim(cls, path: Path) -> Self:
        """Take the path, and listen; ConfigError says what to do where it can't be had."""
        temporary = _names(path)
        try:
            with ExitStack() as undo:
                lock = _locked(path)
                undo.callback(os.close, lock)
                undo.callback(_unlink_lock, path, lock)
                _refuse_what_is_there(path)
                listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                os.fchmod(listener.fileno(), _MODE)  # bind gives the file these rights, less the umask
                listener.bind(os.fsencode(temporary))
                undo.callback(temporary.unlink, missing_ok=True)
                made = temporary.lstat()
                listener.listen(_BACKLOG)
                temporary.rename(path)
                undo.pop_all()
                return cls(path, listener, lock, made)
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, f"mend that, {_ELSEWHERE}")
            reason = error.strerror or str(error)
            raise ConfigError(f"can't make the control socket {path}: {reason}: {advice}") from None

    def release(self) -> None:
        """Stop listening, and remove the socket where it is still ours. Safe to call twice."""
        self.listener.close()
        lock, self._lock = self._lock, -1
        if lock < 0:
            return
        with suppress(OSError):
            if _same(self._path.lstat(), self._made):
                self._path.unlink()
        _unlink_lock(self._path, lock)
        os.close(lock)


def _names(path: Path) -> Path:
    """Return the name that the socket is made under; ConfigError where a name is no use."""
    if not path.name:
        raise ConfigError(
            f"the control socket can't be {path}, which is a folder: set control.socket to a path"
        )
    temporary = path.with_name(f".{secrets.token_hex(5)}")
    longest = max(len(os.fsencode(path)), len(os.fsencode(temporary)))
    if longest > MAX_PATH:
        raise ConfigError(
            f"the control socket's path {path} is too long: a unix socket's has at most {MAX_PATH} bytes. "
            "Set control.socket to a shorter one"
        )
    return temporary


def _refuse_what_is_there(path: Path) -> None:
    """Raise ConfigError unless the path is free, or a socket behind which nobody lives any more."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ConfigError(f"{path} is there already and is no socket: remove it, {_ELSEWHERE}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fsencode(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError:
            pass  # full, of another kind, or not for us: somebody is there
    raise _taken(path)


def _taken(path: Path) -> ConfigError:
    return ConfigError(
        f"the control socket {path} belongs to a server that runs: stop that one, {_ELSEWHERE}"
    )


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _locked(path: Path) -> int:
    """Return the descriptor that holds the lock; ConfigError where another server does."""
    name = _lock_of(path)
    for _ in range(_TRIES):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(name, flags, _MODE)
        with ExitStack() as undo:
            undo.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _taken(path) from None
            if _is_at(name, descriptor):  # or whoever held it has just removed it
                undo.pop_all()
                return descriptor
    raise _taken(path)


def _unlink_lock(path: Path, descriptor: int) -> None:
    """Remove the lock file while it is held; whoever opened it meanwhile sees that it is gone."""
    name = _lock_of(path)
    with suppress(OSError):
        if _is_at(name, descriptor):
            name.unlink()


def _is_at(name: Path, descriptor: int) -> bool:
    try:
        return _same(name.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
