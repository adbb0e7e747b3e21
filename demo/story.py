"""What is asked, and what must come back: one Case a row of the table.

Cases come from generators, since some act between two questions (clamd dies and comes back):
ask each before taking the next.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

from demo.case import Case
from demo.checks import (
    Check,
    Tone,
    a_judgement,
    a_refusal,
    a_thumbnail,
    the_ciphertext,
    the_same_bytes,
)
from demo.media import Mailbag, Sent
from demo.photo import photo
from demo.stage import Stage
from peers.gateway import Answer

NOT_CLEAN: Final = "MCS_MEDIA_NOT_CLEAN"

_SIDE: Final = 96  # pixels of the thumbnail
_RECOVERY: Final = 20.0  # seconds; Ostiary looks for a lost clamd again after 2
_BOUNDARY: Final = "made-by-the-demo"


def all_cases(stage: Stage, bag: Mailbag) -> Iterator[Case]:
    """Yield every case, in the order of the story."""
    yield from _photo(stage, bag.photo)
    yield from _malware(stage, bag)
    yield from _encrypted_photo(stage, bag.secret_photo)
    yield from _encrypted_eicar(stage, bag.secret_eicar)
    yield from _before_upload(stage, bag)
    if stage.clamd is not None:
        yield from _without_scanner(stage)


def form(name: str, data: bytes) -> tuple[bytes, str]:
    """Return a file as the body of multipart/form-data, and its content type."""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + data + f"\r\n--{_BOUNDARY}--\r\n".encode(), (
        f"multipart/form-data; boundary={_BOUNDARY}"
    )


def _photo(stage: Stage, sent: Sent) -> Iterator[Case]:
    name = f"{sent.name}, a clean photo"
    get = partial(stage.gateway.get, token=stage.bob.token)
    clean = stage.found_nothing
    thumbnail = f"thumbnail/{sent.path}?width={_SIDE}&height={_SIDE}&method=crop"
    yield Case(name, "download", lambda: get(f"download/{sent.path}"), the_same_bytes(sent.plain, clean))
    again = the_same_bytes(sent.plain, "a stored copy: no fetch, no scan")
    yield Case(name, "download again", lambda: get(f"download/{sent.path}"), again)
    yield Case(name, "thumbnail", lambda: get(thumbnail), a_thumbnail(sent.plain, _SIDE, clean))
    yield Case(name, "scan", lambda: get(f"scan/{sent.path}"), a_judgement(clean=True))
    yield Case(
        name,
        "download, no token",
        lambda: stage.gateway.get(f"download/{sent.path}"),
        a_refusal(401, "M_MISSING_TOKEN"),
    )
    yield Case(
        name,
        "download, wrong token",
        lambda: stage.gateway.get(f"download/{sent.path}", "wrong"),
        a_refusal(401, "M_UNKNOWN_TOKEN"),
    )


def _malware(stage: Stage, bag: Mailbag) -> Iterator[Case]:
    get = partial(stage.gateway.get, token=stage.bob.token)
    name = f"{bag.eicar.name}, a malware test file"
    yield Case(
        name,
        "from Synapse itself",
        lambda: Answer(200, {}, stage.synapse.download(stage.bob.token, bag.eicar.uri)),
        the_same_bytes(bag.eicar.plain, "Synapse scans nothing: hence Ostiary", Tone.DANGEROUS),
    )
    for sent, text in ((bag.eicar, name), (bag.archive, f"{bag.archive.name}, the same in a zip")):
        path = sent.path
        yield Case(text, "download", partial(get, f"download/{path}"), a_refusal(403, NOT_CLEAN, "Eicar"))
        yield Case(text, "scan", partial(get, f"scan/{path}"), a_judgement(clean=False, because="Eicar"))
    yield Case(
        f"{bag.program.name}, a Windows program",
        "download",
        lambda: get(f"download/{bag.program.path}"),
        a_refusal(403, NOT_CLEAN, "a program"),
    )


def _encrypted_photo(stage: Stage, sent: Sent) -> Iterator[Case]:
    name = f"{sent.name}"
    yield Case(
        name,
        "download_encrypted",
        lambda: _post(stage, "download_encrypted", sent),
        the_ciphertext(
            sent.stored,
            sent.plain,
            lambda data: stage.node.decrypt(data, sent.encrypted_file or {}),
            "decrypted to be scanned, sent as it was",
        ),
    )
    yield from _scans(stage, sent, name, a_judgement(clean=True))


def _encrypted_eicar(stage: Stage, sent: Sent) -> Iterator[Case]:
    name = f"{sent.name}"
    yield Case(
        name,
        "download_encrypted",
        lambda: _post(stage, "download_encrypted", sent),
        a_refusal(403, NOT_CLEAN, "Eicar"),
    )
    yield from _scans(stage, sent, name, a_judgement(clean=False, because="Eicar"))


def _scans(stage: Stage, sent: Sent, name: str, check: Check) -> Iterator[Case]:
    """Yield both ways to send the key: plain, and sealed so that no proxy in between can read it."""
    yield Case(name, "scan_encrypted", lambda: _post(stage, "scan_encrypted", sent), check)
    yield Case(
        name,
        "scan_encrypted, key sealed",
        lambda: _post(stage, "scan_encrypted", sent, sealed=True),
        check,
    )


def _before_upload(stage: Stage, bag: Mailbag) -> Iterator[Case]:
    name = "files before their upload"
    for sent, check in (
        (bag.photo, a_judgement(clean=True)),
        (bag.archive, a_judgement(clean=False, because="Eicar")),
    ):
        body, content_type = form(sent.name, sent.plain)
        send = partial(stage.gateway.post, "scan_file", body, stage.alice.token, content_type)
        yield Case(name, f"scan_file, {sent.name}", send, check)


def _without_scanner(stage: Stage) -> Iterator[Case]:
    """Kill clamd and bring it back: in between nothing may pass, not even a clean photo."""
    if stage.clamd is None:
        return
    data = photo(seed=2)
    path = stage.synapse.upload(stage.alice.token, data, "image/png", "dawn.png").removeprefix("mxc://")
    name = "dawn.png, another clean photo"
    send = partial(stage.gateway.get, f"download/{path}", stage.bob.token)
    stage.clamd.kill()
    yield Case(name, "download, clamd killed", send, a_refusal(500, "M_UNKNOWN", retry=True))
    stage.clamd.start()
    check = the_same_bytes(data, stage.found_nothing)
    yield Case(name, "download, clamd is back", send, check, patience=_RECOVERY)


def _post(stage: Stage, route: str, sent: Sent, *, sealed: bool = False) -> Answer:
    body: object = sent.request
    if sealed:
        public_key = stage.gateway.get("public_key").json["public_key"]
        body = {"encrypted_body": stage.node.seal(public_key, sent.request)}
    return stage.gateway.post(route, body, stage.bob.token)
