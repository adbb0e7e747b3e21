"""Proof of scan, as an operator sees it: who finds nothing is caught, and taken back when it finds again."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from peers.clamd import EICAR, Clamd
from peers.gateway import Answer, Gateway
from peers.samples import png
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload
from tests.engines.fake_clamd import Connection, FakeClamd

EICAR_FOUND = b"Eicar FOUND"


class Honesty:
    """A clamd that finds EICAR as long as it is `honest`, and calls everything else clean."""

    def __init__(self) -> None:
        self.honest = threading.Event()
        self.honest.set()
        self.delay = 0.0

    def __call__(self, connection: Connection) -> None:
        """Answer commands until the client goes."""
        number = 0
        connection.tells_version = False
        while command := connection.command():
            if command == b"zIDSESSION":
                continue
            number += 1
            if command == b"zVERSION":
                connection.send(b"%d: ClamAV 1.4.6\0" % number)
                continue
            data = bytearray()
            while size := int.from_bytes(connection.exactly(4), "big"):
                data += connection.exactly(size)
            time.sleep(self.delay)
            word = EICAR_FOUND if self.honest.is_set() and EICAR[:40] in data else b"OK"
            connection.send(b"%d: stream: %s\0" % (number, word))


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def ready(gateway: Gateway) -> tuple[int, str]:
    """Return the status of `/ready`, as HTTP and as a word."""
    answer = gateway.get("/ready")
    return answer.status, answer.json["status"]


def untrusted(answer: Answer) -> bool:
    """Say whether this is the answer to a scan by an engine that is not trusted."""
    return answer.status == 500 and "not trusted" in answer.json["info"] and "retry-after" in answer.headers


def test_an_engine_that_finds_nothing_is_caught_at_start(synapse: Synapse, upload: Upload, bob: User) -> None:
    """Nothing is served on its word, not even once, and it is taken back by itself."""
    place = upload(png(41, 41), "image/png")
    liar = Honesty()
    liar.honest.clear()
    with FakeClamd(liar, tcp=True) as clamd:
        config = {
            "engines": [{"type": "clamd", "address": clamd.address}],
            "proof": {"interval": "1h", "failures": 5},
        }
        with Gateway(synapse.url, config) as gateway:
            assert untrusted(gateway.get(f"download/{place}", bob.token))
            assert untrusted(gateway.get(f"scan/{place}", bob.token))
            assert ready(gateway) == (503, "untrusted")
            assert gateway.get("/health").status == 200
            assert gateway.metrics()['content_scanner_engine_trusted{engine="clamd"}'] == 0
            assert "the known-bad sample is not found" in gateway.log
            liar.honest.set()
            until(lambda: ready(gateway) == (200, "ready"))
            assert gateway.get(f"download/{place}", bob.token).status == 200


def test_an_engine_that_begins_to_lie_is_caught(synapse: Synapse, upload: Upload, bob: User) -> None:
    """After `proof.failures` in a row, and what it called clean before is served no more."""
    place = upload(png(42, 42), "image/png")
    liar = Honesty()
    with FakeClamd(liar, tcp=True) as clamd:
        config = {
            "engines": [{"type": "clamd", "address": clamd.address}],
            "proof": {"interval": "0.2s", "failures": 3, "gates_readiness": False},
        }
        with Gateway(synapse.url, config) as gateway:
            assert gateway.get(f"download/{place}", bob.token).status == 200
            liar.honest.clear()
            until(lambda: ready(gateway) == (200, "untrusted"), 5)
            assert untrusted(gateway.get(f"download/{place}", bob.token))
            assert gateway.metrics()['content_scanner_proofs_total{engine="clamd",result="failed"}'] >= 3


def test_requests_wait_for_the_first_proof(synapse: Synapse, upload: Upload, bob: User) -> None:
    """The gateway is loading until then, and whoever comes early waits and is served."""
    place = upload(png(43, 43), "image/png")
    slow = Honesty()
    slow.delay = 0.7
    with FakeClamd(slow, tcp=True) as clamd:
        config = {"engines": [{"type": "clamd", "address": clamd.address}]}
        gateway = Gateway(synapse.url, config)
        try:
            gateway.start(loaded=False)
            assert ready(gateway) == (503, "loading")
            assert gateway.get(f"download/{place}", bob.token).status == 200
            assert ready(gateway) == (200, "ready")
        finally:
            gateway.stop()


@pytest.mark.parametrize("proof", ["none", {"bad": "bad", "good": "good"}])
def test_proofs_of_the_operators_own(
    synapse: Synapse, upload: Upload, bob: User, tmp_path: Path, proof: object
) -> None:
    """`none` believes the engine; samples of one's own prove a script as they prove any engine."""
    script = tmp_path / "scan.sh"
    script.write_text('#!/bin/sh\n! grep -q evil "$1"\n')
    script.chmod(0o755)
    (tmp_path / "bad").write_text("evil")
    (tmp_path / "good").write_text("fine")
    if isinstance(proof, dict):
        proof = {name: str(tmp_path / file) for name, file in proof.items()}
    config = {
        "engines": [{"type": "script", "path": str(script), "proof": proof}],
        "proof": {"interval": "0.3s"},
    }
    good, bad = upload(png(44, 44), "image/png"), upload(b"this is evil")
    with Gateway(synapse.url, config) as gateway:
        assert gateway.get(f"download/{good}", bob.token).status == 200
        assert gateway.get(f"scan/{bad}", bob.token).json["clean"] is False
        if proof != "none":
            script.write_text("#!/bin/sh\nexit 0\n")
            until(lambda: ready(gateway) == (503, "untrusted"))
            assert untrusted(gateway.get(f"download/{good}", bob.token))


def test_large_files_that_clamd_does_not_look_at(synapse: Synapse, upload: Upload, bob: User) -> None:
    """A clamd that calls everything over its MaxFileSize clean is caught by the dear samples."""
    large = upload(b"\x89PNG" + bytes(3_000_000))
    with Clamd(options={"MaxFileSize": "1M", "AlertExceedsMax": "no"}) as clamd:
        config = {
            "engines": [{"type": "clamd", "address": clamd.tcp_address}],
            "scan": {"max_size": "8MiB"},
        }
        with Gateway(synapse.url, config) as gateway:
            until(lambda: gateway.metrics()['content_scanner_engine_largest_bytes{engine="clamd"}'] < 3e6)
            answer = gateway.get(f"scan/{large}", bob.token)
            assert (answer.status, answer.json["clean"]) == (200, False)
            assert ready(gateway) == (200, "ready")


def test_a_spare_that_finds_nothing_is_never_asked(synapse: Synapse, upload: Upload, bob: User) -> None:
    """Not even after the one that works was killed: then nothing is served, until it is back."""
    bad, good = upload(EICAR + b" " * 3), upload(png(45, 45), "image/png")
    with Clamd() as works, Clamd(signatures={"other.ndb": "Other:0:*:6f74686572\n"}) as blind:
        addresses = [works.unix_address, blind.unix_address]
        config = {
            "engines": [{"type": "clamd", "address": addresses}],
            "scan": {"max_size": "1MB"},
            "proof": {"interval": "0.5s", "failures": 100},
        }
        with Gateway(synapse.url, config) as gateway:
            assert "address is not trusted" in gateway.log
            works.kill()
            for _ in range(20):  # through several rounds of proof
                assert gateway.get(f"scan/{bad}", bob.token).status == 500
                time.sleep(0.1)
            works.start()
            until(lambda: gateway.get(f"download/{good}", bob.token).status == 200)
            assert gateway.get(f"scan/{bad}", bob.token).json["clean"] is False
