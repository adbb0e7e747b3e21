"""What clients that can't run here put on the wire, line by line, and what each needs of the answer."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPResponse

import pytest

from peers.clamd import Clamd
from peers.gateway import API, HOST, Answer, Gateway
from peers.node import NodePeer
from peers.processes import free_port
from peers.samples import EICAR
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload
from tests.end_to_end.habits import (
    BROWSER,
    CFNETWORK,
    CIPHERTEXT,
    HABITS,
    PDF,
    PICTURE,
    RUST,
    TOKEN,
    Habit,
    element_x,
    key,
    media,
)


@dataclass(frozen=True)
class Front:
    """A gateway that lets no PDF through, what is uploaded behind it, and the words that requests use."""

    gateway: Gateway
    ciphertext: bytes
    given: dict[str, str]


@pytest.fixture(scope="module")
def front(synapse: Synapse, clamd: Clamd, upload: Upload, node: NodePeer, bob: User) -> Iterator[Front]:
    """The gateway, and media of every kind."""
    config = {
        "engines": [{"type": "clamd", "address": clamd.unix_address}],
        "scan": {"blocked_mimetypes": ["application/pdf"]},
    }
    with Gateway(synapse.url, config) as gateway:
        file, ciphertext = upload.encrypted(node, PICTURE)
        infected, _ = upload.encrypted(node, EICAR)
        ours = gateway.get("public_key").json["public_key"]
        sealed = node.seal(ours, {"file": file})
        foreign = node.seal(node.public_key(bytes(range(32))), {"file": file})
        bodies = {
            "file": file,
            "infected_file": infected,
            "sealed": {"encrypted_body": sealed},
            "sealed_pdf": {"encrypted_body": node.seal(ours, {"file": upload.encrypted(node, PDF)[0]})},
            "sealed_infected": {"encrypted_body": node.seal(ours, {"file": infected})},
            "foreign": {"encrypted_body": foreign},
            "both": {"encrypted_body": sealed, "file": infected},
            "more": {"file": {**file, "mimetype": "image/png", "size": 1}, "org.example": [None]},
        }
        given = {
            "token": bob.token,
            "clean": upload(PICTURE, "image/png"),
            "infected": upload(EICAR),
            "pdf": upload(PDF, "image/png"),
            "missing": f"{synapse.server_name}/doesNotExist",
            **{name: json.dumps(body) for name, body in bodies.items()},
        }
        yield Front(gateway, ciphertext, given)


def on_the_wire(
    gateway: Gateway, line: str, headers: str = "", body: str = "", *, version: str = "HTTP/1.1"
) -> Answer:
    """Send exactly these lines (the path under the API), a Host, and the body's length; read the answer."""
    method, path = line.split(" ")
    lines = [f"{method} {API}/{path} {version}", f"Host: {HOST}:{gateway.port}", *headers.splitlines()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    with socket.create_connection((HOST, gateway.port), timeout=60) as connection:
        connection.sendall("".join(line + "\r\n" for line in (*lines, "")).encode() + body.encode())
        response = HTTPResponse(connection, method=method)
        response.begin()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, received, response.read())


@pytest.mark.parametrize("habit", HABITS, ids=str)
def test_each_client_reads_what_it_needs(front: Front, habit: Habit) -> None:
    """The client's request, in its own spelling, gets an answer that its own strictness accepts."""
    line, headers, body = (text.format_map(front.given) for text in (habit.line, habit.headers, habit.body))
    answer = on_the_wire(front.gateway, line, headers, body)
    assert habit.read(answer) == (front.ciphertext if habit.sees is CIPHERTEXT else habit.sees)


@pytest.mark.parametrize("route", ["download", "scan", "thumbnail"])
def test_an_encoded_server_name_is_the_same(front: Front, route: str) -> None:
    """Clients that percent-encode path parts (the port's colon) mean the same media as those that don't."""
    place = front.given["clean"]
    size = "?width=32&height=32" if route == "thumbnail" else ""
    plain, encoded = (
        on_the_wire(front.gateway, f"GET {route}/{p}{size}", TOKEN.strip().format_map(front.given))
        for p in (place, place.replace(":", "%3A"))
    )
    assert plain.status == encoded.status == 200
    assert plain.body == encoded.body


@pytest.mark.parametrize("route", ["scan", "download", "thumbnail"])
def test_public_media_needs_no_token(public: "tuple[Gateway, Upload]", route: str) -> None:
    """matrix-ios-sdk scans without a token: in front of a homeserver with public media that works."""
    gateway, upload = public
    place = upload(PICTURE, "image/png")
    size = "?width=32&height=32" if route == "thumbnail" else ""
    assert on_the_wire(gateway, f"GET {route}/{place}{size}", CFNETWORK).status == 200


def test_a_web_clients_preflight(front: Front) -> None:
    """A browser's OPTIONS, on every route, allows the token and JSON: without it Tchap web sends nothing."""
    asks = "\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: authorization,content-type"
    for route in (
        "public_key",
        "scan_encrypted",
        "download_encrypted",
        "scan_file",
        "scan/x/y",
        "thumbnail/x/y",
    ):
        answer = on_the_wire(front.gateway, f"OPTIONS {route}", BROWSER + asks)
        assert answer.status in {200, 204}
        assert answer.headers["access-control-allow-origin"] == "*"
        assert {"authorization", "content-type"} <= listed(answer, "access-control-allow-headers")
        assert {"get", "post", "options"} <= listed(answer, "access-control-allow-methods")


def listed(answer: Answer, header: str) -> set[str]:
    """Return the members of a header that is a list, in lower case."""
    return {member.strip().lower() for member in answer.headers[header].split(",")}


def test_one_connection_serves_key_and_request(front: Front, node: NodePeer) -> None:
    """BundesMessenger fetches the key for each request: both go over one kept connection."""
    with socket.create_connection((HOST, front.gateway.port), timeout=60) as connection:
        for _ in range(3):
            fetched = str(kept(connection, "GET", "public_key", "")["public_key"])
            sealed = node.seal(fetched, {"file": json.loads(front.given["file"])})
            body = json.dumps({"encrypted_body": sealed})
            verdict = kept(connection, "POST", "scan_encrypted", body, RUST.format_map(front.given))
            assert verdict["clean"] is True


def kept(
    connection: socket.socket, method: str, path: str, body: str, headers: str = "accept: */*"
) -> dict[str, object]:
    """Ask on a connection that stays open; return the JSON object."""
    lines = [f"{method} {API}/{path} HTTP/1.1", "host: scanner.example", *headers.splitlines()]
    lines += [f"content-length: {len(body)}"] if body else []
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
    response = HTTPResponse(connection, method=method)
    response.begin()
    answer: dict[str, object] = json.loads(response.read())
    return answer


def test_probes_ask_for_the_key_without_a_homeserver() -> None:
    """Deployments probe `/public_key` with GET and HEAD: it answers while the homeserver is away."""
    with Gateway(f"http://{HOST}:{free_port()}") as gateway:
        probe = "User-Agent: kube-probe/1.34\nAccept: */*\nConnection: close"
        assert key(on_the_wire(gateway, "GET public_key", probe)) == 43
        assert on_the_wire(gateway, "HEAD public_key", probe).status == 200


def test_through_nginx_with_its_defaults(front: Front) -> None:
    """nginx passes `/_matrix/media_proxy` on as HTTP/1.0 with `Connection: close`; answers are whole."""
    proxied = "X-Forwarded-For: 192.0.2.1\nConnection: close" + TOKEN.format_map(front.given)
    fetched = on_the_wire(front.gateway, f"GET download/{front.given['clean']}", proxied, version="HTTP/1.0")
    assert media(fetched) == PICTURE
    sealed = front.given["sealed"]
    scanned = on_the_wire(front.gateway, "POST scan_encrypted", proxied, sealed, version="HTTP/1.0")
    assert element_x(scanned) is True
