"""To try by hand while everything stays up: files to send, and curl lines that work as they stand."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.media import PNG, Mailbag
from demo.stage import Stage
from peers.gateway import API, HOST

_JSON: Final = "-H", "Content-Type: application/json"


@dataclass(frozen=True, slots=True)
class Line:
    """A shell command and what it shows."""

    shows: str
    command: str


def write_files(folder: Path, bag: Mailbag) -> Path:
    """Put what the lines send into a folder and return it."""
    folder.mkdir()
    for sent in (bag.photo, bag.archive):
        (folder / sent.name).write_bytes(sent.plain)
    for name, sent in (("photo.json", bag.secret_photo), ("eicar.json", bag.secret_eicar)):
        (folder / name).write_text(json.dumps(sent.request))
    return folder


def lines(stage: Stage, bag: Mailbag, files: Path) -> Iterator[Line]:
    """Yield the commands, each complete in itself."""
    api, bob = stage.gateway.url + API, stage.bob.token
    download = f"{api}/download/"
    itself = f"{stage.synapse.url}/_matrix/client/v1/media/download/{bag.eicar.path}"
    yield Line(
        "The photo, through Ostiary, into a file here",
        _curl(download + bag.photo.path, "-sS", "-o", bag.photo.name, token=bob),
    )
    yield Line("EICAR, from Synapse itself: Bob gets the malware", _curl(itself, "-sS", token=bob))
    yield Line("EICAR, through Ostiary: 403", _curl(download + bag.eicar.path, "-i", token=bob))
    yield Line("The photo without a token: 401", _curl(download + bag.photo.path, "-i"))
    yield Line("Is the zip clean?", scan_line(stage, bag))
    for what, file in (("photo", "photo.json"), ("EICAR", "eicar.json")):
        command = _curl(f"{api}/scan_encrypted", "-i", *_JSON, "-d", f"@{files / file}", token=bob)
        yield Line(f"Is the encrypted {what} clean? The key is in the request", command)
    yield Line(
        "Is a file of yours clean? Name it after file=@",
        _curl(f"{api}/scan_file", "-i", "-F", f"file=@{files / bag.archive.name}", token=bob),
    )
    yield Line("Upload a file as Alice; what follows mxc:// goes behind /scan/", _upload(stage, bag, files))
    yield Line("Is Ostiary well?", _curl(f"{stage.gateway.url}/ready", "-i"))
    yield Line("What has it decided so far?", _curl(_metrics(stage), "-sS"))
    yield Line("Its log, one line per decision", shlex.join(["tail", str(stage.gateway.child.log)]))


def scan_line(stage: Stage, bag: Mailbag) -> str:
    """Return the command that has the zip judged."""
    return _curl(f"{stage.gateway.url}{API}/scan/{bag.archive.path}", "-i", token=stage.bob.token)


def places(stage: Stage, folder: Path) -> list[str]:
    """Return addresses, tokens and files, a line each."""
    return [
        f"Ostiary           {stage.gateway.url}{API}/",
        f"its metrics       {_metrics(stage)}",
        f"its configuration {stage.gateway.config_path}",
        f"Synapse           {stage.synapse.url}",
        f"Alice             {stage.alice.user_id}  access token {stage.alice.token}",
        f"Bob               {stage.bob.user_id}  access token {stage.bob.token}",
        f"all files         {folder}",
    ]


def _curl(url: str, *options: str, token: str | None = None) -> str:
    header = ["-H", f"Authorization: Bearer {token}"] if token else []
    return shlex.join(["curl", *options, *header, url])


def _upload(stage: Stage, bag: Mailbag, files: Path) -> str:
    url = f"{stage.synapse.url}/_matrix/media/v3/upload?filename={bag.photo.name}"
    options = "-sS", "-H", f"Content-Type: {PNG}", "--data-binary", f"@{files / bag.photo.name}"
    return _curl(url, *options, token=stage.alice.token)


def _metrics(stage: Stage) -> str:
    return f"http://{HOST}:{stage.gateway.metrics_port}/metrics"
