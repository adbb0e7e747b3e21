"""What an operator writes decides: scripts, file types, sizes, old config files, and the way out."""

import signal
import socket
import threading
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from peers.gateway import Answer, Gateway, command
from peers.processes import ChildProcess, PeerError
from peers.samples import EICAR, png
from peers.synapse import Synapse, User
from tests.end_to_end.conftest import Upload

PICTURE = png()
SLOW = "#!/bin/sh\nsleep 1\n"
GREP = '#!/bin/sh\ngrep -q STANDARD-ANTIVIRUS "$1" && exit 1\nexit 0\n'


def script(folder: Path, text: str) -> Path:
    """Write an executable script."""
    path = folder / "scan.sh"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_existing_scanners_config_runs_unchanged(
    synapse: Synapse, upload: Upload, bob: User, tmp_path: Path
) -> None:
    """The sections that the Matrix Content Scanner knows, its script alone as the engine."""
    config = {
        "scan": {
            "script": script(tmp_path, GREP),
            "temp_directory": tmp_path,
            "removal_command": "rm",
            "allowed_mimetypes": ["image/png", "text/plain"],
        },
        "result_cache": {
            "max_size": 1000,
            "ttl": "1w",
            "exit_codes_to_ignore": [5],
            "max_file_size": "10MB",
        },
        "download": {"additional_headers": {"user-agent": "matrix-content-scanner"}},
    }
    with Gateway(synapse.url, config) as gateway:
        assert gateway.get(f"download/{upload(PICTURE, 'image/png')}", bob.token).body == PICTURE
        assert gateway.get(f"scan/{upload(EICAR)}", bob.token).json["clean"] is False
        pdf = upload(b"%PDF-1.4\n%%EOF\n", "image/png")
        for route in ("download", "scan"):
            refused = gateway.get(f"{route}/{pdf}", bob.token)
            assert (refused.status, refused.json["reason"]) == (403, "MCS_MIME_TYPE_FORBIDDEN")
            assert "application/pdf" in refused.json["info"]
    assert [path.name for path in tmp_path.iterdir()] == ["scan.sh"]


def test_a_program_under_an_images_name(synapse: Synapse, upload: Upload, bob: User) -> None:
    """The built-in default refuses a program that says it is a picture, by type or by name."""
    program = Path("/bin/true").read_bytes()
    with Gateway(synapse.url) as gateway:
        for content_type, filename in (("image/png", "a"), ("application/octet-stream", "cat.jpg")):
            place = upload(program, content_type, filename)
            assert gateway.get(f"scan/{place}", bob.token).json["clean"] is False
            assert gateway.get(f"download/{place}", bob.token).json["reason"] == "MCS_MEDIA_NOT_CLEAN"
        assert gateway.get(f"scan/{upload(program, filename='true')}", bob.token).json["clean"] is True


def test_a_file_over_the_limit(synapse: Synapse, upload: Upload, bob: User) -> None:
    """`max_size` is exact; beyond it `on_oversize` decides, and `scan` says what happened."""
    fits, beyond = upload(b"x" * 2_000_000), upload(b"x" * 2_000_001)
    with Gateway(synapse.url, {"scan": {"max_size": 2_000_000}}) as gateway:
        assert gateway.get(f"download/{fits}", bob.token).status == 200
        refused = gateway.get(f"download/{beyond}", bob.token)
        assert (refused.status, refused.json["reason"]) == (403, "MCS_MEDIA_NOT_CLEAN")
        assert gateway.get(f"scan/{beyond}", bob.token).json["clean"] is False
    with Gateway(synapse.url, {"scan": {"max_size": 2_000_000, "on_oversize": "serve"}}) as gateway:
        assert len(gateway.get(f"download/{beyond}", bob.token).body) == 2_000_001
        assert "not scanned" in gateway.get(f"scan/{beyond}", bob.token).json["info"]
        assert gateway.metrics()["content_scanner_unscanned_served_total"] == 2


def test_sigterm_lets_requests_end(synapse: Synapse, upload: Upload, bob: User, tmp_path: Path) -> None:
    """A request in flight gets its answer after SIGTERM, then the process ends with 0."""
    config = {"scan": {"script": script(tmp_path, SLOW), "temp_directory": tmp_path}}
    place = upload(PICTURE, "image/png")
    with Gateway(synapse.url, config) as gateway:
        answers: list[Answer] = []
        request = threading.Thread(target=lambda: answers.append(gateway.get(f"download/{place}", bob.token)))
        request.start()
        while not list(tmp_path.glob("ostiary-script-*/*/media")):
            time.sleep(0.01)
        gateway.child.send_signal(signal.SIGTERM)
        request.join()
        assert answers[0].body == PICTURE
        assert gateway.child.wait(timeout=10) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["scan.sh"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_idle_gateway_stops_at_once(synapse: Synapse, number: signal.Signals) -> None:
    """A signal ends an idle gateway with 0, whatever connections are open."""
    with Gateway(synapse.url) as gateway:
        gateway.child.send_signal(number)
        assert gateway.child.wait(timeout=5) == 0


def test_a_client_that_does_not_read_delays_no_stop(synapse: Synapse) -> None:
    """Connections whose answers nobody takes are no requests in flight."""
    with Gateway(synapse.url) as gateway, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((gateway.host, gateway.port))
        client.settimeout(1)
        with suppress(TimeoutError):
            while True:
                client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        gateway.child.send_signal(signal.SIGTERM)
        assert gateway.child.wait(timeout=10) == 0


def test_a_second_signal_waits_for_nobody(
    synapse: Synapse, upload: Upload, bob: User, tmp_path: Path
) -> None:
    """Whoever asks twice is not kept waiting by a request in flight, and still no file is left."""
    text = "#!/bin/sh\nsleep 50\n"
    config = {"scan": {"script": script(tmp_path, text), "temp_directory": tmp_path}}
    place = upload(PICTURE, "image/png")
    with Gateway(synapse.url, config) as gateway:
        request = threading.Thread(target=lambda: refused(gateway, place, bob))
        request.start()
        while not list(tmp_path.glob("ostiary-script-*/*/media")):
            time.sleep(0.01)
        gateway.child.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        gateway.child.send_signal(signal.SIGTERM)
        gateway.child.wait(timeout=20)
        request.join()
    assert [path.name for path in tmp_path.iterdir()] == ["scan.sh"]


def refused(gateway: Gateway, place: str, user: User) -> None:
    """Ask for what will not come."""
    with suppress(OSError, HTTPException):
        gateway.get(f"download/{place}", user.token)


def test_shadow_findings_are_recorded_and_decide_nothing(synapse: Synapse, upload: Upload, bob: User) -> None:
    """What an engine in shadow mode finds is in the log and in a counter, and the file is served."""
    engines = [{"type": "yara", "shadow": True}, {"type": "script", "path": "/bin/true"}]
    with Gateway(synapse.url, {"engines": engines}) as gateway:
        assert gateway.get(f"scan/{upload(EICAR)}", bob.token).json["clean"] is True
        assert gateway.metrics()['content_scanner_shadow_findings_total{finding="infected"}'] == 1
        (line,) = [line for line in gateway.log.splitlines() if "shadow" in line]
        assert "Ostiary_Eicar_TestFile" in line


def test_a_log_that_nobody_reads_stops_nothing(synapse: Synapse, upload: Upload, bob: User) -> None:
    """With standard error broken, verdicts are what they were, and the end is in order."""
    gateway = Gateway(synapse.url)
    wrapped = f'exec "{command()}" serve --config "{gateway.config_path}" 2>/dev/full'
    gateway.command = ("/bin/sh", "-c", wrapped)
    with gateway:
        assert gateway.get(f"scan/{upload(EICAR)}", bob.token).json["clean"] is False
        assert gateway.get("download/nonsense").json["reason"] == "M_NOT_FOUND"
        gateway.child.send_signal(signal.SIGTERM)
        assert gateway.child.wait(timeout=10) == 0


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        ({"web": {"prot": 1}}, "did you mean"),
        ({"scan": {"script": "/nonexistent/scan.sh"}}, "/nonexistent/scan.sh"),
        ({"engines": [{"type": "yara", "rules": ["/nonexistent.yar"]}]}, "/nonexistent.yar"),
        (
            {"engines": [{"type": "icap", "url": "icaps://x/y", "ca_path": "/nonexistent.pem"}]},
            "/nonexistent.pem",
        ),
        ({"crypto": {"request_secret_path": "/nonexistent/deep/secret"}}, "/nonexistent/deep"),
    ],
)
def test_a_broken_configuration_stops_the_start_with_a_clear_word(
    config: dict[str, object], hint: str
) -> None:
    """What can't be used is an error at start that says where and what, without a traceback."""
    with pytest.raises(PeerError) as failure, Gateway("http://127.0.0.1:1", config):
        pass
    assert hint in str(failure.value)
    assert "Traceback" not in str(failure.value)


def test_a_taken_port_is_a_clear_error(synapse: Synapse) -> None:
    """Two gateways on one port: the second says so and ends."""
    with Gateway(synapse.url) as first:
        second = ChildProcess(
            [command(), "serve", "--config", first.config_path], log=first.folder / "second.log"
        )
        assert second.wait(timeout=20) == 1
        assert "can't listen" in second.log_tail()
        second.stop()


def test_the_old_way_to_call_it(synapse: Synapse) -> None:
    """`ostiary -c FILE` serves, as the existing scanner is called."""
    gateway = Gateway(synapse.url)
    gateway.command = (str(command()), "-c", str(gateway.config_path))
    with gateway:
        assert gateway.get("/health").status == 200
