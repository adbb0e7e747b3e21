"""Connections to the homeserver, kept between requests only while nothing comes on them unasked.

A homeserver that sends more than it announced, or answers twice, would give one caller what was
another's: aiohttp takes whatever lies on a kept connection for the answer to the next request.
"""

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace


class QuietConnector(aiohttp.TCPConnector):
    """Closes a kept connection on which something came before it was asked again."""

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None:
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()
        return None
