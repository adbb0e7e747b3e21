"""The real c-icap of the tests: what stands in FACTS and in docs/setup/icap.md, seen without our client."""

import pytest

from peers.c_icap import CIcap
from peers.clamd import Clamd
from peers.processes import PeerError

pytestmark = pytest.mark.peer("c_icap", "clamd")


def ask_options(server: CIcap, service: str) -> bytes:
    """Return the answer to OPTIONS."""
    return server.ask(
        f"OPTIONS {server.service(service)} ICAP/1.0\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )


def test_options_stay_good_with_a_dead_clamd() -> None:
    """Which is why only a proof of scan tells that it scans; a service that is not there is a 404."""
    with Clamd() as clamd, CIcap(clamd) as server:
        alive = ask_options(server, "virus_scan")
        assert alive.startswith(b"ICAP/1.0 200 OK\r\n")
        assert b"\r\nAllow: 204\r\n" in alive
        assert b"\r\nPreview: 1024\r\n" in alive
        clamd.kill()
        assert ask_options(server, "virus_scan").startswith(b"ICAP/1.0 200 OK\r\n")
        assert ask_options(server, "nothing").startswith(b"ICAP/1.0 404 ")


def test_it_starts_again_on_the_same_port(clamd: Clamd) -> None:
    """Killed and started anew, it is the same server."""
    with CIcap(clamd) as server:
        with pytest.raises(PeerError, match="running already"):
            server.start()
        server.kill()
        with pytest.raises(PeerError, match="not running"):
            _ = server.child
        server.start()
        assert ask_options(server, "virus_scan").startswith(b"ICAP/1.0 200 ")
    assert not server.folder.exists()
