"""The throwaway clamd starts, knows what it should, can be hurt, and leaves nothing behind."""

import signal
from pathlib import Path

import pytest

import peers.clamd
from peers.clamd import EICAR, TESTFILES, Clamd
from peers.processes import PeerError

pytestmark = pytest.mark.peer("clamd")


def test_it_answers_on_both_sockets() -> None:
    """After the start it answers on the Unix socket and on the port, and has our signatures alone."""
    with Clamd() as clamd:
        assert clamd.ask("PING") == clamd.ask("PING", tcp=True) == "PONG"
        assert clamd.ask("VERSION").startswith("ClamAV ")
        sample = clamd.folder / "sample"
        for content, verdict in ((EICAR, "Eicar-Test.UNOFFICIAL FOUND"), (b"hello", "OK")):
            sample.write_bytes(content)
            assert clamd.ask(f"SCAN {sample}") == f"{sample}: {verdict}"
    assert not clamd.folder.exists()
    clamd.stop()


@pytest.mark.skipif(not TESTFILES.is_dir(), reason="Debian's clamav-testfiles are not here")
def test_it_knows_the_testfiles() -> None:
    """One signature is in all of Debian's test files."""
    with Clamd() as clamd:
        found = clamd.ask(f"CONTSCAN {TESTFILES}").split("\0")
    assert len(found) == len(list(TESTFILES.iterdir()))
    assert all(line.endswith(": Clamav.Test.File.UNOFFICIAL FOUND") for line in found)


def test_killed_and_started_again() -> None:
    """Killed, it is gone; started again, it is back at the same addresses."""
    with Clamd() as clamd:
        addresses = clamd.unix_address, clamd.tcp_address
        with pytest.raises(PeerError, match="running already"):
            clamd.start()
        clamd.kill()
        with pytest.raises(OSError, match="refused"):
            clamd.ask("PING")
        with pytest.raises(PeerError, match="not running"):
            clamd.child.send_signal(signal.SIGSTOP)
        clamd.start()
        assert addresses == (clamd.unix_address, clamd.tcp_address)
        assert clamd.ask("PING") == "PONG"


def test_options_and_signatures() -> None:
    """Options and signature files can be chosen."""
    with Clamd(options={"MaxThreads": "3"}, signatures={"own.ndb": f"Own:0:*:{b'needle'.hex()}\n"}) as clamd:
        assert "max 3 " in clamd.ask("STATS")
        sample = clamd.folder / "sample"
        sample.write_bytes(b"a needle in a haystack")
        assert clamd.ask(f"SCAN {sample}") == f"{sample}: Own.UNOFFICIAL FOUND"


def test_what_does_not_start_says_why() -> None:
    """The error holds clamd's own words, and the folder is gone."""
    clamd = Clamd(options={"NoSuchOption": "1"})
    with pytest.raises(PeerError, match="Unknown option NoSuchOption"), clamd:
        pass
    assert not clamd.folder.exists()


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the binary it says which package brings it."""
    monkeypatch.setattr(peers.clamd, "binary", lambda: None)
    assert not peers.clamd.available()
    with pytest.raises(PeerError, match="clamav-daemon"), Clamd():
        pass


def test_found_outside_of_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a user without /usr/sbin in PATH finds it."""
    monkeypatch.setenv("PATH", "/nonexistent")
    found = peers.clamd.binary()
    assert found is None or found.parent in {Path("/usr/sbin"), Path("/usr/local/sbin")}
