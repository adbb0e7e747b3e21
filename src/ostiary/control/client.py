"""A command's end of the control socket: connects, asks once, takes the answer. Blocks.

Commands of the command line have nothing else to do meanwhile, so there is no event loop here. "No server
runs" is told apart from "can't be asked": after the one, nothing is known that could be stale.
"""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ostiary.control.peer import peer_user
from ostiary.control.protocol import (
    ACTING,
    MAX_ANSWER,
    READING,
    WRITING,
    Arguments,
    ControlError,
    R,
    format_request,
    parse_answer,
)

PATIENCE: Final = READING + ACTING + WRITING + 5
"""Seconds until a command gives up: a little more than the server takes."""

_CHUNK: Final = 1 << 16
_HUNG_UP: Final = "the server hung up without an answer: it is stopping, or busy with other commands"


class NoServerError(ControlError):
    """Nobody listens at this path."""


def ask(path: Path, command: str, arguments: Arguments, gives: type[R]) -> R:
    """Return what the server at this path answers to the command.

    NoServerError where no server runs, ControlError where it can't be asked or refuses.
    """
    request = format_request(command, arguments)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            return parse_answer(_exchanged(connection, path, request), gives)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoServerError(f"no server runs here (there is none at {path})") from None
        except PermissionError:
            raise ControlError(
                f"{path} is for the server's user and root: run the command as one of them"
            ) from None
        except (ConnectionResetError, BrokenPipeError):
            raise ControlError(f"{path}: {_HUNG_UP}") from None
        except BlockingIOError:
            raise ControlError(f"{path}: the server is busy: try again") from None
        except OSError as error:  # a timeout is one, and so is a path that is too long
            raise ControlError(f"{path}: the server can't be asked: {error.strerror or error}") from None


def _exchanged(connection: socket.socket, path: Path, request: bytes) -> bytes:
    end = time.monotonic() + PATIENCE
    connection.settimeout(PATIENCE)
    connection.connect(os.fsencode(path))
    _check_owner(connection, path)
    with suppress(BrokenPipeError, ConnectionResetError):  # hung up early: perhaps with an answer
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
    answer = bytearray()
    with suppress(ConnectionResetError):  # where a request was not read to its end; what came before counts
        while chunk := connection.recv(_CHUNK):
            answer += chunk
            if len(answer) > MAX_ANSWER:
                raise ControlError(f"{path}: the answer does not end")
            connection.settimeout(max(0.001, end - time.monotonic()))
    if not answer:
        raise ConnectionResetError
    return bytes(answer)


def _check_owner(connection: socket.socket, path: Path) -> None:
    """Refuse to tell anything to a server of somebody who has no business there."""
    user = peer_user(connection)
    if user not in {0, os.geteuid(), path.parent.stat().st_uid}:
        raise ControlError(f"{path}: user {user} listens there, who is not root, you, or the folder's owner")
