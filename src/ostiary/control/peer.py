"""Who is at the other end of a unix socket: asked of the kernel, not of the peer."""

import socket
import struct
from typing import Final

_CREDENTIALS: Final = struct.Struct("3i")  # unix(7), SO_PEERCRED: process, user, group


def peer_user(connection: socket.socket) -> int:
    """Return the ID of the user who connected, or who listens there: as of that moment."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(data)
    return int(user)
