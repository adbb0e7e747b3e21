"""clamd killed, stopped, never there: "could not scan" is never "clean", and it heals by itself."""

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from peers.clamd import Clamd
from peers.gateway import Answer, Gateway
from peers.samples import EICAR, png
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload

PICTURE = png()


@pytest.fixture
def own_clamd() -> Iterator[Clamd]:
    """A clamd that this test may hurt."""
    with Clamd() as daemon:
        yield daemon


@pytest.fixture(params=["unix", "tcp"])
def behind(request: pytest.FixtureRequest, synapse: Synapse, own_clamd: Clamd) -> Iterator[Gateway]:
    """A gateway that has this clamd alone."""
    address = own_clamd.unix_address if request.param == "unix" else own_clamd.tcp_address
    engines = [{"type": "clamd", "address": address, "timeout": "3s"}]
    with Gateway(synapse.url, {"engines": engines}) as gateway:
        yield gateway


def refused_for_now(answer: Answer) -> bool:
    """Say whether this is the one answer to a scan that failed."""
    return (
        answer.status == 500
        and answer.json["reason"] == "M_UNKNOWN"
        and answer.headers["retry-after"].isdigit()
        and b"clean" not in answer.body
    )


def test_killed_and_back_again(behind: Gateway, own_clamd: Clamd, upload: Upload, bob: User) -> None:
    """Before, without, and after clamd: right, a clear 500, and right again with nobody's help."""
    for turn in range(2):  # with other bytes each time: what is known counts a few seconds longer
        pictures = [png(31 + turn, side) for side in (31, 32, 33)]
        good, unseen, later = [upload(picture, "image/png") for picture in pictures]
        bad, worse = (upload(EICAR + b" " * (80 + 2 * turn + more)) for more in (0, 1))
        assert behind.get(f"download/{good}", bob.token).body == pictures[0]
        assert behind.get(f"scan/{bad}", bob.token).json["clean"] is False
        own_clamd.kill()
        for route in ("download", "scan"):
            assert refused_for_now(behind.get(f"{route}/{unseen}", bob.token))
            assert refused_for_now(behind.get(f"{route}/{worse}", bob.token))
        own_clamd.start()
        assert behind.get(f"download/{unseen}", bob.token).body == pictures[1]
        assert behind.get(f"download/{later}", bob.token).body == pictures[2]


def test_a_clamd_that_hangs_meets_the_deadline(
    behind: Gateway, own_clamd: Clamd, upload: Upload, bob: User
) -> None:
    """Answering nothing at all is a timeout: 500. When it wakes up other files are right at once.

    Against the very bytes that it met a timeout is held for a minute, whoever asks for them.
    """
    good, other = upload(PICTURE, "image/png"), png(20, 20)
    own_clamd.child.send_signal(signal.SIGSTOP)
    assert refused_for_now(behind.get(f"download/{good}", bob.token))
    own_clamd.child.send_signal(signal.SIGCONT)
    assert behind.get(f"download/{upload(other)}", bob.token).body == other
    assert refused_for_now(behind.get(f"download/{good}", bob.token))
    assert behind.metrics()["content_scanner_cache_hits_total"] >= 1


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.4])
def test_killed_while_it_scans(
    behind: Gateway, own_clamd: Clamd, upload: Upload, bob: User, delay: float
) -> None:
    """SIGKILL at any point of a long scan: the infected file is never called clean."""
    place = upload(EICAR + bytes(60_000_000))
    answers: list[Answer] = []
    scan = threading.Thread(target=lambda: answers.append(behind.get(f"scan/{place}", bob.token)))
    scan.start()
    time.sleep(delay)
    own_clamd.kill()
    scan.join()
    (answer,) = answers
    assert refused_for_now(answer) or answer.json.get("clean") is False
    own_clamd.start()
    assert behind.get(f"scan/{upload(EICAR)}", bob.token).json["clean"] is False


def test_never_there(synapse: Synapse, upload: Upload, bob: User) -> None:
    """A gateway starts without its clamd, says so at each request, and serves nothing."""
    engines = [{"type": "clamd", "address": "unix:/nonexistent/clamd.ctl"}, {"type": "yara"}]
    with Gateway(synapse.url, {"engines": engines}) as gateway:
        assert refused_for_now(gateway.get(f"download/{upload(PICTURE)}", bob.token))
        assert gateway.get("/health").status == 200
        assert "/nonexistent/clamd.ctl" in gateway.log


def test_serving_on_error_is_the_operators_choice(synapse: Synapse, upload: Upload, bob: User) -> None:
    """`scan_on_error: serve` serves, and it is logged and counted."""
    config = {
        "engines": [{"type": "clamd", "address": "unix:/nonexistent/clamd.ctl"}],
        "scan": {"scan_on_error": "serve"},
    }
    with Gateway(synapse.url, config) as gateway:
        assert gateway.get(f"download/{upload(PICTURE, 'image/png')}", bob.token).body == PICTURE
        assert gateway.metrics()["content_scanner_unscanned_served_total"] == 1
        assert "error" in gateway.log
