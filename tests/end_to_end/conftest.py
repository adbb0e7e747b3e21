"""A gateway in front of the shared homeserver, with clamd and the built-in rules as its engines."""

from collections.abc import Iterator

import pytest

from peers.clamd import Clamd
from peers.gateway import Gateway
from peers.node import NodePeer
from peers.synapse import Synapse, User


@pytest.fixture(scope="session")
def gateway(synapse: Synapse, clamd: Clamd) -> Iterator[Gateway]:
    """A running gateway that both engines must let pass; shared: don't stop it."""
    engines = [{"type": "clamd", "address": clamd.unix_address}, {"type": "yara"}]
    with Gateway(synapse.url, {"engines": engines}) as running:
        yield running


@pytest.fixture(scope="session")
def public(clamd: Clamd) -> "Iterator[tuple[Gateway, Upload]]":
    """A gateway in front of a homeserver whose media needs no token, and a way to upload there."""
    with Synapse(authenticated_media=False) as synapse:
        engines = [{"type": "clamd", "address": clamd.unix_address}]
        with Gateway(synapse.url, {"engines": engines}) as running:
            yield running, Upload(synapse, synapse.register("carol"))


@pytest.fixture(scope="session")
def upload(synapse: Synapse, alice: User) -> "Upload":
    """Return a function that uploads as alice and says where the file is."""
    return Upload(synapse, alice)


class Upload:
    """Uploads as one user."""

    def __init__(self, synapse: Synapse, user: User) -> None:
        self._synapse = synapse
        self._user = user

    def __call__(
        self, data: bytes, content_type: str = "application/octet-stream", filename: str = "file"
    ) -> str:
        """Upload; return `server/mediaId`, as the API's paths want it."""
        return self.uri(data, content_type, filename).removeprefix("mxc://")

    def uri(self, data: bytes, content_type: str = "application/octet-stream", filename: str = "file") -> str:
        """Upload; return the mxc URI."""
        return self._synapse.upload(self._user.token, data, content_type, filename)

    def encrypted(self, node: NodePeer, data: bytes) -> tuple[dict[str, object], bytes]:
        """Encrypt as a real client does and upload; return the event's `file` and the ciphertext."""
        ciphertext, info = node.encrypt(data)
        return {**info, "url": self.uri(ciphertext)}, ciphertext
