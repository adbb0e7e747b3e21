"""The requests of clients that can't run here, and how each of them reads an answer.

A row is one request as that client's HTTP library writes it. Its reader takes what the client's own
code takes, as strictly, and fails where that code would.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from peers.gateway import Answer
from peers.samples import png

PICTURE: Final = png()
PDF: Final = b"%PDF-1.4\n%%EOF\n"
CIPHERTEXT: Final = "the ciphertext as it was uploaded"

REASONS: Final = {
    "MCS_MALFORMED_JSON",
    "MCS_MEDIA_FAILED_TO_DECRYPT",
    "MCS_MEDIA_NOT_CLEAN",
    "MCS_MEDIA_REQUEST_FAILED",
    "MCS_MIME_TYPE_FORBIDDEN",
    "MCS_BAD_DECRYPTION",
    "M_MISSING_TOKEN",
    "M_UNKNOWN_TOKEN",
    "M_NOT_FOUND",
    "M_UNKNOWN",
}
"""All that the Rust crate can parse as `reason`."""


def element_x(answer: Answer) -> object:
    """Element X, BundesMessenger: a verdict needs both members, an error `info` and a known `reason`."""
    body = answer.json
    if answer.status == 200:
        assert isinstance(body["info"], str)
        assert isinstance(body["clean"], bool)
        return body["clean"]
    assert isinstance(body["info"], str)
    assert body["reason"] in REASONS
    return body["reason"]


def ios(answer: Answer) -> object:
    """matrix-ios-sdk and the legacy Android SDK: `clean`; and a 403 with one reason drops the cached key."""
    if answer.status == 200:
        return answer.json["clean"]
    drops_key = answer.status == 403 and answer.json["reason"] == "MCS_BAD_DECRYPTION"
    return "drops its key" if drops_key else answer.json["reason"]


def android(answer: Answer) -> object:
    """Element and Tchap on Android: `clean`, or any error, which leaves the file's state unknown."""
    return answer.json["clean"] if answer.status == 200 else "unknown"


def tchap_web(answer: Answer) -> object:
    """Tchap web: only `clean`, whatever the status, and only where CORS lets it read at all."""
    assert answer.headers["access-control-allow-origin"] == "*"
    return answer.json.get("clean", False)


def dart(answer: Answer) -> object:
    """FluffyChat and Famedly: of an error either spelling, which must agree."""
    body = answer.json
    assert body["reason"] == body["errcode"]
    assert body["info"] == body["error"]
    return body["reason"]


def media(answer: Answer) -> object:
    """Whatever downloads: on 200 the bytes, uncompressed and of the announced length."""
    assert answer.status == 200, answer.body
    assert "content-encoding" not in answer.headers
    assert int(answer.headers["content-length"]) == len(answer.body)
    return answer.body


def picture(answer: Answer) -> object:
    """Whatever shows thumbnails."""
    return answer.headers["content-type"] if media(answer) else None


def key(answer: Answer) -> object:
    """Whoever fetches the key: one string."""
    assert answer.status == 200
    return len(answer.json["public_key"])


@dataclass(frozen=True)
class Habit:
    """One request, with words of `Front.given` in braces; its reader, and what that sees in the answer."""

    client: str
    headers: str
    line: str
    read: Callable[[Answer], object]
    sees: object
    body: str = ""

    def __str__(self) -> str:
        return " ".join((self.client, self.line, self.read.__name__, self.body[:18]))


_Row = tuple[str, Callable[[Answer], object], object] | tuple[str, Callable[[Answer], object], object, str]


def habits(client: str, headers: str, *rows: _Row) -> list[Habit]:
    """Return a client's requests, which have its headers in common."""
    return [Habit(client, headers, *row) for row in rows]


TOKEN: Final = "\nAuthorization: Bearer {token}"
RUST: Final = "accept: */*\nauthorization: Bearer {token}"  # reqwest: a body gets no content-type
CFNETWORK: Final = "Accept: */*\nContent-Type: application/json\nAccept-Language: fr;q=1\nUser-Agent: Riot/1"
OKHTTP: Final = "Connection: Keep-Alive\nAccept-Encoding: gzip\nUser-Agent: okhttp/4.12.0" + TOKEN
RETROFIT: Final = OKHTTP + "\nContent-Type: application/json; charset=UTF-8"
BROWSER: Final = (
    "Origin: https://web.example\nReferer: https://web.example/\nSec-Fetch-Mode: cors\nAccept: */*"
)
DART: Final = "user-agent: Dart/3.5 (dart:io)\naccept-encoding: gzip\nauthorization: Bearer {token}"
PLAIN: Final = '{{"file": {file}}}'
PLAIN_INFECTED: Final = '{{"file": {infected_file}}}'
THUMBNAIL: Final = "GET thumbnail/{clean}?width=32&height=32"

HABITS: Final[list[Habit]] = [
    *habits(
        "Element X",
        RUST,
        ("GET scan/{clean}", element_x, True),
        ("GET scan/{infected}", element_x, False),
        ("GET scan/{pdf}", element_x, "MCS_MIME_TYPE_FORBIDDEN"),
        ("GET download/{clean}", media, PICTURE),
        ("GET download/{infected}", element_x, "MCS_MEDIA_NOT_CLEAN"),
        ("GET download/{missing}", element_x, "M_NOT_FOUND"),
        ("POST scan_encrypted", element_x, True, "{sealed}"),
        ("POST scan_encrypted", element_x, False, "{sealed_infected}"),
        ("POST download_encrypted", media, CIPHERTEXT, "{sealed}"),
        ("POST download_encrypted", element_x, "MCS_BAD_DECRYPTION", "{foreign}"),
        ("POST scan_encrypted", element_x, True, PLAIN),
        ("POST download_encrypted", media, CIPHERTEXT, PLAIN),
        ("POST download_encrypted", element_x, "MCS_MEDIA_NOT_CLEAN", PLAIN_INFECTED),
        ("POST scan_encrypted", element_x, True, "{both}"),  # the sealed one counts
        ("POST scan_encrypted", element_x, True, "{more}"),  # unknown members are ignored
    ),
    *habits(
        "Element X without a token",
        "accept: */*",
        ("GET public_key", key, 43),
        ("GET download/{clean}", element_x, "M_MISSING_TOKEN"),
        ("POST scan_encrypted", element_x, "M_MISSING_TOKEN", "{sealed}"),
    ),
    *habits(
        "BundesMessenger",
        RUST,
        ("GET public_key", key, 43),
        ("GET scan/{pdf}", element_x, "MCS_MIME_TYPE_FORBIDDEN"),
        ("GET scan/{missing}", element_x, "M_NOT_FOUND"),
        ("POST scan_encrypted", element_x, "MCS_BAD_DECRYPTION", "{foreign}"),
        ("POST scan_encrypted", element_x, "MCS_MIME_TYPE_FORBIDDEN", "{sealed_pdf}"),
    ),
    *habits(
        "matrix-ios-sdk",
        CFNETWORK + TOKEN,
        ("GET download/{clean}", media, PICTURE),
        ("GET download/{infected}", ios, "MCS_MEDIA_NOT_CLEAN"),
        ("POST scan_encrypted", ios, True, "{sealed}"),
        ("POST scan_encrypted", ios, "drops its key", "{foreign}"),
        ("POST download_encrypted", ios, "drops its key", "{foreign}"),
        ("POST download_encrypted", ios, "MCS_MEDIA_NOT_CLEAN", "{sealed_infected}"),
    ),
    *habits("matrix-ios-sdk without a token", CFNETWORK, ("GET scan/{clean}", ios, "M_MISSING_TOKEN")),
    *habits(
        "Element Android",
        OKHTTP,
        ("GET scan/{infected}", android, False),
        ("GET scan/{missing}", android, "unknown"),
        ("GET scan/{pdf}", android, "unknown"),
        (THUMBNAIL + "&method=scale", picture, "image/png"),
    ),
    *habits(
        "Element Android",
        RETROFIT,
        ("POST scan_encrypted", android, True, "{sealed}"),
        ("POST download_encrypted", media, CIPHERTEXT, "{sealed}"),
    ),
    *habits("legacy Android", RETROFIT, ("POST download_encrypted", ios, "drops its key", "{foreign}")),
    *habits(
        "Tchap web",
        BROWSER + TOKEN,
        ("GET scan/{clean}", tchap_web, True),
        ("GET scan/{missing}", tchap_web, False),
        ("POST scan_encrypted", tchap_web, False, "{sealed_infected}"),
        ("POST scan_encrypted", tchap_web, False, "{foreign}"),
    ),
    *habits("Tchap web", BROWSER, (THUMBNAIL + "&access_token={token}", picture, "image/png")),
    *habits(
        "matrix-dart-sdk",
        DART,
        ("GET download/{clean}", media, PICTURE),
        ("GET download/{infected}", dart, "MCS_MEDIA_NOT_CLEAN"),
        (THUMBNAIL + "&method=crop&animated=false", picture, "image/png"),
    ),
    *habits(
        "matrix-dart-sdk",
        DART + "\ncontent-type: application/json; charset=utf-8",
        ("POST download_encrypted", media, CIPHERTEXT, PLAIN),
        ("POST download_encrypted", dart, "MCS_MEDIA_NOT_CLEAN", PLAIN_INFECTED),
    ),
]
