"""ICAP over TLS: the server's certificate is verified, always, by name and by authority."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ostiary.engines.icap.engine import IcapEngine, IcapWays
from ostiary.errors import ConfigError
from ostiary.model import Clean, Infected
from tests.engines.asking_icap import engine_at, error_at, judge
from tests.engines.conftest import LoopRunner
from tests.engines.fake_icap import FakeIcap, answering, echoing
from tests.matrix.tls_homeserver import Authority
from tests.wire.icap_replies import INFECTED


def trusting(authority: Authority, folder: Path) -> IcapWays:
    """Return ways that trust this authority alone."""
    path = folder / "authority.pem"
    path.write_bytes(authority._certificate.public_bytes(Encoding.PEM))
    return IcapWays(ca_path=path, connect_seconds=2)


def test_scans_over_tls(run: LoopRunner, tmp_path: Path) -> None:
    """Small and large files, in both directions, on a connection that is used again."""
    authority = Authority(tmp_path)
    ways = trusting(authority, tmp_path)

    async def body(url: str) -> None:
        async with engine_at(url, ways) as engine:
            for size in (0, 1, 5000, 3_000_000):
                assert await judge(engine, os.urandom(size)) == Clean()

    with FakeIcap(echoing, context=authority.server("127.0.0.1")) as fake:
        run(body(fake.url.replace("icap:", "icaps:")))
        assert fake.connections == 1
    with FakeIcap(answering(INFECTED), context=authority.server("127.0.0.1")) as fake:

        async def infected(url: str) -> None:
            async with engine_at(url, ways) as engine:
                assert await judge(engine) == Infected("Eicar-Test.UNOFFICIAL")

        run(infected(fake.url.replace("icap:", "icaps:")))


@pytest.mark.parametrize("fault", ["another authority", "another name", "no certificate of ours", "no TLS"])
def test_certificates_that_do_not_count(run: LoopRunner, tmp_path: Path, fault: str) -> None:
    """Nothing of a file is sent to a server that can't prove who it is."""
    authority = Authority(tmp_path)
    ways = trusting(Authority(tmp_path) if fault == "another authority" else authority, tmp_path)
    if fault == "no certificate of ours":
        ways = IcapWays(connect_seconds=2)  # the system's authorities
    context = authority.server("other.example" if fault == "another name" else "127.0.0.1")
    with FakeIcap(context=None if fault == "no TLS" else context) as fake:
        error = run(error_at(fake.url.replace("icap:", "icaps:"), b"x", ways))
        assert fake.heads == []
    assert "TLS failed" in error or "no connection" in error


def test_a_file_of_certificates_that_is_none(run: LoopRunner, tmp_path: Path) -> None:
    """Named at start."""
    (tmp_path / "empty.pem").write_text("")
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        engine = IcapEngine("icap", "icaps://127.0.0.1/x", IcapWays(ca_path=path))
        with pytest.raises(ConfigError, match="no certificates can be read"):
            run(engine.start())
