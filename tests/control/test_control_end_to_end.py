"""`ostiary verdicts` beside a real `ostiary serve`: what it remembers, and that forgotten means forgotten."""

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from peers.gateway import Gateway, command
from peers.processes import PeerError
from peers.samples import png
from peers.synapse import Synapse, User

SCRIPT = """#!/bin/sh
cd "$(dirname "$0")"
names=$(cat list)
if [ -e hold ]; then
    touch begun
    while [ -e hold ]; do sleep 0.05; done
fi
for name in $names; do
    grep -q "$name" "$1" && exit 1
done
exit 0
"""


class Guarded:
    """A gateway whose script knows bad files by a list beside it: nothing tells when that list changes."""

    def __init__(self, synapse: Synapse, folder: Path, **sections: Any) -> None:  # noqa: ANN401  (settings)
        self.list = folder / "list"
        self.list.write_text("")
        script = folder / "script"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        self.socket = folder / "control.sock"
        config = {
            "engines": [{"type": "script", "path": str(script)}],
            "control": {"socket": str(self.socket)},
            **sections,
        }
        self.gateway = Gateway(synapse.url, config)

    def verdicts(self, *arguments: str) -> str:
        """Run `ostiary verdicts`, and return what it prints."""
        words = [str(command()), "verdicts", *arguments, "--config", str(self.gateway.config_path)]
        return subprocess.check_output(words, encoding="utf-8")


@pytest.fixture(scope="module")
def guarded(synapse: Synapse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One that runs."""
    made = Guarded(synapse, tmp_path_factory.mktemp("guarded"))
    with made.gateway:
        yield made


def listed(guarded: Guarded) -> list[dict[str, Any]]:
    """Return what it remembers."""
    return [json.loads(line) for line in guarded.verdicts("list", "--json").splitlines()]


@pytest.mark.parametrize("how", ["--all", "one"])
def test_forgotten_means_inspected_again(
    guarded: Guarded, synapse: Synapse, alice: User, bob: User, how: str
) -> None:
    """A clean file is served on although the list names it by now; once forgotten it is refused."""
    name = f"needle-{'all' if how == '--all' else 'one'}"
    uri = synapse.upload(alice.token, png(20, 20) + name.encode(), "image/png", "picture.png")
    path = f"download/{uri.removeprefix('mxc://')}"
    assert guarded.gateway.get(path, bob.token).status == 200
    before = listed(guarded)
    assert any(entry["result"] == "clean" and entry["counts"] for entry in before)
    shown = json.loads(guarded.verdicts("show", uri, "--json"))
    assert shown["type"] == "image/png"
    assert [word["engine"] for word in shown["words"]] == ["script"]
    digest = shown["summary"]["digest"]
    assert json.loads(guarded.verdicts("show", digest, "--json"))["type"] is None

    guarded.list.write_text(f"{name}\n")
    assert guarded.gateway.get(path, bob.token).status == 200
    said = guarded.verdicts("forget", how if how == "--all" else digest)
    assert "forgot" in said
    assert guarded.gateway.get(path, bob.token).status == 403
    refused = [entry for entry in listed(guarded) if entry["digest"] == digest]
    assert [(entry["result"], entry["served"]) for entry in refused] == [("infected", False)]


def test_what_is_being_inspected_is_forgotten_too(
    guarded: Guarded, synapse: Synapse, alice: User, bob: User
) -> None:
    """An inspection that began under the old list finds nothing, and its word does not count any more."""
    uri = synapse.upload(alice.token, png(20, 20) + b"needle-late", "image/png", "picture.png")
    path = f"download/{uri.removeprefix('mxc://')}"
    hold, begun = guarded.list.with_name("hold"), guarded.list.with_name("begun")
    hold.touch()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(guarded.gateway.get, path, bob.token)
        try:
            while not begun.exists():
                time.sleep(0.02)
            guarded.list.write_text("needle-late\n")
            guarded.verdicts("forget", "--all")
        finally:
            hold.unlink()
        assert answer.result().status == 403


def test_the_socket_of_a_server(synapse: Synapse, tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, there once the server is ready, gone after SIGTERM."""
    made = Guarded(synapse, tmp_path)
    before = os.umask(0)
    try:
        with made.gateway as gateway:
            assert stat.S_IMODE(made.socket.lstat().st_mode) == 0o600
            gateway.child.send_signal(signal.SIGTERM)
            gateway.child.stop()
            assert not made.socket.exists()
    finally:
        os.umask(before)


def test_after_sigkill(synapse: Synapse, tmp_path: Path) -> None:
    """The next server takes the place of one that was killed."""
    made = Guarded(synapse, tmp_path)
    with made.gateway as gateway:
        gateway.child.send_signal(signal.SIGKILL)
        gateway.child.stop()
        assert made.socket.exists()
        gateway.start()
        assert made.verdicts("list") == ""


def test_two_servers_with_one_configured_socket(guarded: Guarded, synapse: Synapse, tmp_path: Path) -> None:
    """The second does not start and says what to do; the first is still asked."""
    second = Guarded(synapse, tmp_path, control={"socket": str(guarded.socket)})
    before = guarded.socket.lstat().st_ino
    try:
        with pytest.raises(PeerError, match=r"set control\.socket to another path"):
            second.gateway.start()
    finally:
        second.gateway.stop()
    assert guarded.socket.lstat().st_ino == before
    assert "forgot" in guarded.verdicts("forget", "--all")


def test_without_a_place_for_it(synapse: Synapse, tmp_path: Path) -> None:
    """At its default place it may be missing: a warning, and the server serves."""
    ledger = {"url": f"sqlite:///{tmp_path}/missing/ledger.db"}
    made = Guarded(synapse, tmp_path, control={}, ledger=ledger)
    with made.gateway as gateway:
        assert gateway.get("/ready").status == 200
        assert "no control socket" in gateway.log
