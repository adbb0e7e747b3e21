"""What Alice sends: a photo, malware test files, and a program under an image's name.

Everything is made here and now, so no scanner finds this repository. EICAR is the file that
antivirus programs agreed to call a virus; it does no harm. The program would only end at once.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from peers.node import JsonObject, NodePeer
from peers.samples import EICAR, zipped

PNG: Final = "image/png"

Upload = Callable[[bytes, str, str | None], str]
"""Sends bytes, their content type and file name to the homeserver; returns their mxc:// URI."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A media that lies on the homeserver, as `stored`; `plain` differs where it is encrypted."""

    name: str
    uri: str
    plain: bytes
    stored: bytes
    encrypted_file: JsonObject | None = None

    @property
    def path(self) -> str:
        """Server name and media ID, as they stand in a URL."""
        return self.uri.removeprefix("mxc://")

    @property
    def request(self) -> JsonObject:
        """The request body that asks for an encrypted attachment: where it is, and its key."""
        return {"file": self.encrypted_file}

    @classmethod
    def openly(cls, upload: Upload, name: str, content_type: str, data: bytes) -> Self:
        """Send a file as people do in unencrypted rooms."""
        return cls(name, upload(data, content_type, name), data, data)

    @classmethod
    def encrypted(cls, upload: Upload, node: NodePeer, name: str, data: bytes) -> Self:
        """Send an attachment of an encrypted room, made by the library that real clients use."""
        ciphertext, info = node.encrypt(data)
        uri = upload(ciphertext, "application/octet-stream", None)
        return cls(name, uri, data, ciphertext, {**info, "url": uri})


@dataclass(frozen=True, slots=True)
class Mailbag:
    """All that Alice sends."""

    photo: Sent
    eicar: Sent
    archive: Sent
    program: Sent
    secret_photo: Sent
    secret_eicar: Sent


def send_all(upload: Upload, node: NodePeer, photo: bytes) -> Mailbag:
    """Make everything and upload it."""
    return Mailbag(
        photo=Sent.openly(upload, "sunset.png", PNG, photo),
        eicar=Sent.openly(upload, "eicar.com", "application/octet-stream", EICAR),
        archive=Sent.openly(upload, "eicar.zip", "application/zip", zipped("eicar.com", EICAR)),
        program=Sent.openly(upload, "party.jpg", "image/jpeg", program()),
        secret_photo=Sent.encrypted(upload, node, "the photo, end-to-end encrypted", photo),
        secret_eicar=Sent.encrypted(upload, node, "EICAR, end-to-end encrypted", EICAR),
    )


def program() -> bytes:
    """Return a Windows program of one instruction (Microsoft, "PE Format"): it ends at once."""
    start = b"MZ" + bytes(58) + struct.pack("<I", 64)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x14C, 1, 0, 0, 0, 224, 0x102)
    optional = struct.pack("<HBBIIIIII", 0x10B, 14, 0, 512, 0, 0, 0x1000, 0x1000, 0x2000)
    optional += struct.pack(
        "<IIIHHHHHHIIIIHH", 0x400000, 0x1000, 512, 5, 1, 0, 0, 5, 1, 0, 0x2000, 512, 0, 3, 0
    )
    optional += struct.pack("<IIIIII", 1 << 20, 4096, 1 << 20, 4096, 0, 16) + bytes(16 * 8)
    section = struct.pack("<8sIIIIIIHHI", b".text", 1, 0x1000, 512, 512, 0, 0, 0, 0, 0x60000020)
    return (start + coff + optional + section).ljust(512, b"\0") + b"\xc3".ljust(512, b"\0")
