"""Homeservers behind TLS, an authority that vouches for them, and a small internet to find them in.

For direct mode, which asks names on ports 443 and 8448: the lookup of a test says which local server
stands at a name's port, so nothing here needs the network or a privileged port.
"""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.matrix.fake_homeserver import HOST, FakeHomeserver, Reply

INSIDE = "127.0.0.2"
"""The address that tests declare private: nobody may ever connect to it."""

_NOW = dt.datetime.now(dt.UTC)
_DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority of our own; `trust` is a client's context that knows no other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def trust(self) -> ssl.SSLContext:
        """Return a client's context that verifies names and trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=_pem(self._certificate).decode())
        return context

    def server(self, *names: str) -> ssl.SSLContext:
        """Return a server's context with a certificate for these names and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server")])
        certificate = (
            _builder(subject, self._name, key.public_key())
            .add_extension(x509.SubjectAlternativeName([_san(name) for name in names]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / "server.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + _pem(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


class TlsHomeserver(FakeHomeserver):
    """A fake homeserver that speaks TLS; `names` are those that clients asked for by SNI."""

    def __init__(self, tls: ssl.SSLContext, host: str = HOST) -> None:
        super().__init__()
        self.host = host
        self.names: list[str | None] = []
        self._tls = tls
        tls.sni_callback = lambda _socket, name, _context: self.names.append(name)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def place(self) -> tuple[str, int]:
        """Its address and port."""
        return self.host, self.port


def flood(head: bytes, piece: bytes) -> Reply:
    """Send the head and then the piece again and again, until the connection is lost.

    Under TLS asyncio goes on taking what is written to a lost connection, without a pause.
    """

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while writer.get_extra_info("socket").fileno() >= 0:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return reply


class Internet:
    """Says where names are: by name and port, the addresses of the first lookup, the second, ..."""

    def __init__(self) -> None:
        self.places: dict[tuple[str, int], list[list[tuple[str, int]]]] = {}
        self.asked: list[tuple[str, int]] = []

    def put(self, host: str, port: int, *answers: tuple[str, int] | list[tuple[str, int]]) -> None:
        """Say what lookups of a name's port find; the last answer stays."""
        self.places[host, port] = [[places] if isinstance(places, tuple) else places for places in answers]

    def look_up(self, host: str, port: int) -> Iterable[tuple[str, int]]:
        """Answer as a resolver does."""
        self.asked.append((host, port))
        answers = self.places.get((host, port))
        if answers is None:
            raise OSError(-2, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]


@asynccontextmanager
async def trap(host: str = INSIDE) -> AsyncIterator[tuple[tuple[str, int], list[object]]]:
    """Listen where nobody may ever come: yields the place, and the list of those who came."""
    visitors: list[object] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitors.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(note, host, 0)
    async with server:
        yield (host, server.sockets[0].getsockname()[1]), visitors


def allowed(address: str) -> bool:
    """Play the check of addresses: one loopback address stands for all that is public."""
    return address == HOST


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - _DAY)
        .not_valid_after(_NOW + _DAY)
    )


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
