"""One of three engines swallows everything: soon nobody waits for it, and it is taken back by itself."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from peers.clamd import EICAR, Clamd
from peers.gateway import Gateway
from peers.samples import png
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload
from tests.end_to_end.test_proof import until
from tests.engines.fake_clamd import FakeClamd

TIMEOUT = 3.0
"""Seconds that the engine may take for a file; far more than anything else takes here."""


class Hole:
    """A relay to a clamd that can be told to swallow: connections are taken, and nothing comes of them."""

    def __init__(self, port: int) -> None:
        self.swallowing = threading.Event()
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self._target))
            self._open += [ours, theirs]
            for one, other in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(1 << 16):
                if not self.swallowing.is_set():
                    other.sendall(data)
        except OSError:
            return
        if not self.swallowing.is_set():
            other.close()

    def close(self) -> None:
        """Close everything."""
        for one in (self._listener, *self._open):
            one.close()


@pytest.fixture
def hole(clamd: Clamd) -> Iterator[Hole]:
    """A relay that a test may tell to swallow."""
    relay = Hole(clamd.port)
    yield relay
    relay.close()


@pytest.mark.parametrize("required", [True, False])
def test_a_black_hole(
    synapse: Synapse, clamd: Clamd, hole: Hole, upload: Upload, bob: User, *, required: bool
) -> None:
    """Only the first requests wait for it. If it is required they are errors, at once; else served."""
    engines = [
        {"type": "clamd", "address": clamd.unix_address},
        {"type": "clamd", "name": "hole", "address": f"tcp:127.0.0.1:{hole.port}"}
        | {"timeout": f"{TIMEOUT}s", "required": required},
        {"type": "yara"},
    ]
    config = {"engines": engines, "proof": {"interval": "1h"}, "scan": {"max_size": "1MB"}}
    pictures = [upload(png(50 + number, 50), "image/png") for number in range(20)]
    bad = upload(EICAR + b" " * 9)
    with Gateway(synapse.url, config) as gateway:
        assert gateway.get(f"download/{pictures[0]}", bob.token).status == 200
        until(lambda: gateway.metrics()["content_scanner_disk_reserved_bytes"] == 0)
        hole.swallowing.set()
        gateway.get(f"download/{pictures[1]}", bob.token)
        until(lambda: "address rests" in gateway.log)
        began = time.monotonic()
        answers = [gateway.get(f"download/{one}", bob.token).status for one in pictures[2:12]]
        assert answers == [500 if required else 200] * 10
        assert time.monotonic() - began < TIMEOUT  # not one of the ten has waited for it
        assert gateway.get(f"scan/{bad}", bob.token).json["clean"] is False
        hole.swallowing.clear()
        until(lambda: "address is back" in gateway.log)
        until(lambda: gateway.get(f"download/{pictures[12]}", bob.token).status == 200)


def test_an_engine_that_never_answers_does_not_hold_up_the_start(
    synapse: Synapse, upload: Upload, bob: User
) -> None:
    """Files wait for its first proof for as long as it may take, and no longer."""
    with FakeClamd(lambda connection: connection.silence(), tcp=True) as silent:
        engines = [
            {"type": "yara"},
            {"type": "clamd", "address": silent.address, "required": False, "timeout": "1s"},
        ]
        with Gateway(synapse.url, {"engines": engines}) as gateway:
            place = upload(png(80, 50), "image/png")
            assert gateway.get(f"download/{place}", bob.token).status == 200
            assert gateway.get("/ready").status == 200
