"""The demo as a person runs it: in a process of its own, with real servers.

Each run gets a temporary folder of its own, so that what it leaves behind can be seen: a file
in that folder, or a process that works there.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final, Self

import pytest

from demo.checks import Check, Unexpected, a_judgement, a_refusal, a_thumbnail, the_ciphertext, the_same_bytes
from demo.media import program
from demo.photo import photo
from peers.gateway import Answer
from peers.synapse import ROOT

JUDGED: Final = [
    ("download", "200, the same"),
    ("download again", "200, the same"),
    ("thumbnail", "200, 96 x 96 pixels"),
    ("scan", "200, clean: true"),
    ("download, no token", "401 M_MISSING_TOKEN"),
    ("download, wrong token", "401 M_UNKNOWN_TOKEN"),
    ("from Synapse itself", "200, the same 68 bytes"),
    ("download", "403 MCS_MEDIA_NOT_CLEAN"),
    ("scan", "200, clean: false"),
    ("download", "403 MCS_MEDIA_NOT_CLEAN"),
    ("scan", "200, clean: false"),
    ("download", "403 MCS_MEDIA_NOT_CLEAN"),
    ("download_encrypted", "200, the same ciphertext"),
    ("scan_encrypted", "200, clean: true"),
    ("scan_encrypted, key sealed", "200, clean: true"),
    ("download_encrypted", "403 MCS_MEDIA_NOT_CLEAN"),
    ("scan_encrypted", "200, clean: false"),
    ("scan_encrypted, key sealed", "200, clean: false"),
    ("scan_file, sunset.png", "200, clean: true"),
    ("scan_file, eicar.zip", "200, clean: false"),
]
"""Every row: what was asked, and how the answer begins."""

SCANNER_LOST: Final = [
    ("download, clamd killed", "500 M_UNKNOWN, retry in"),
    ("download, clamd is back", "200, the same"),
]
"""The rows that need a clamd."""

TAMPER: Final = """
import sys
from dataclasses import replace
import demo.__main__
from peers.gateway import Gateway

honest = Gateway.get

def tampered(self, path, *args, **kwargs):
    answer = honest(self, path, *args, **kwargs)
    return replace(answer, body=answer.body + b"!") if path.startswith("download/") else answer

Gateway.get = tampered
sys.exit(demo.__main__.main())
"""


def _plain_environ() -> dict[str, str]:
    """Return the environment without what would make the demo draw for a terminal."""
    drawing = {"FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
    return {name: value for name, value in os.environ.items() if name not in drawing} | {"PYTHONUTF8": "1"}


class Demo:
    """A running demo; `output` is what it has said so far, both streams."""

    def __init__(
        self,
        *options: str,
        python: tuple[str, ...] = ("-m", "demo"),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        # Not pytest's own folder: its long name leaves no room for the path of a Unix socket.
        self.folder = Path(tempfile.mkdtemp(prefix="demo-test-"))
        self.output = ""
        self._child = subprocess.Popen(
            [sys.executable, *python, *options],
            cwd=ROOT,
            env={**_plain_environ(), "TMPDIR": str(self.folder), **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )

    def read_until(self, text: str) -> None:
        """Read lines up to the one that holds the text."""
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self.output += line
            if text in line:
                return
        pytest.fail(f"it ended without saying {text!r}:\n{self.output}")

    def interrupt(self, number: signal.Signals) -> None:
        """Send a signal: SIGINT to the whole group, as a terminal does, any other to the demo alone."""
        if number is signal.SIGINT:
            os.killpg(self._child.pid, number)
        else:
            self._child.send_signal(number)

    def finish(self) -> int:
        """Read the rest, wait for the end, and return the exit code."""
        rest, _ = self._child.communicate(timeout=100)
        self.output += rest
        return self._child.returncode

    def left_behind(self) -> list[str]:
        """Return what is left: files, and processes that work in its folder."""
        files = [str(path) for path in self.folder.rglob("*")]
        return files + [str(path) for path in self._processes()]

    def _processes(self) -> Iterator[Path]:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                here = str(self.folder).encode() in (process / "environ").read_bytes()
                here = here or (process / "cwd").readlink().is_relative_to(self.folder)
            except OSError:
                continue  # it ended meanwhile
            if here:
                yield process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.poll() is None:
            self._child.terminate()
            self.finish()
        shutil.rmtree(self.folder)


def rows_of(output: str) -> list[tuple[str, str]]:
    """Return the first two columns of the table's rows; continued lines and headings left out."""
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if "│" in line]
    return [(asked, answer) for asked, answer, _, milliseconds in cells if milliseconds.isdigit()]


def assert_rows(output: str, expected: list[tuple[str, str]]) -> None:
    """Demand these rows, in this order."""
    rows = rows_of(output)
    assert [asked for asked, _ in rows] == [asked for asked, _ in expected]
    assert [
        got for (_, got), (_, begin) in zip(rows, expected, strict=True) if not got.startswith(begin)
    ] == []


@pytest.mark.peer("synapse", "node", "clamd")
def test_every_answer_is_right() -> None:
    """With clamd the demo ends well, shows every row, and leaves nothing behind."""
    with Demo() as demo:
        assert demo.finish() == 0, demo.output
        assert_rows(demo.output, JUDGED + SCANNER_LOST)
        assert "(found by clamd)" in demo.output
        assert "make demo KEEP=1" in demo.output
        assert demo.left_behind() == []


@pytest.mark.peer("synapse", "node")
def test_the_built_in_rules_alone_suffice() -> None:
    """Without clamd it says that YARA rules are no antivirus, and every answer is right all the same."""
    with Demo("--without-clamd") as demo:
        assert demo.finish() == 0, demo.output
        assert_rows(demo.output, JUDGED)
        assert "They are no antivirus." in demo.output
        assert "(found by yara)" in demo.output
        assert demo.left_behind() == []


@pytest.mark.peer("synapse", "node")
def test_a_wrong_answer_fails_the_demo() -> None:
    """A gateway that changes the bytes of a download is found out: exit code 1, and which answer it was."""
    with Demo("--without-clamd", python=("-c", TAMPER)) as demo:
        assert demo.finish() == 1
        assert "WRONG" in demo.output
        assert re.search(r"sunset\.png.*, download: 200 with \d+ bytes that are not", demo.output)
        assert "answers are what they must be" not in demo.output
        assert demo.left_behind() == []


@pytest.mark.peer("synapse", "node")
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Starting Synapse", signal.SIGINT),
        ("Starting Ostiary", signal.SIGINT),
        ("Alice makes", signal.SIGTERM),
    ],
)
def test_interrupted_it_leaves_nothing(moment: str, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end it in the middle: the exit code tells, and nothing is left behind."""
    with Demo("--without-clamd") as demo:
        demo.read_until(moment)
        demo.interrupt(number)
        assert demo.finish() == 128 + number
        assert "Stopped before the end." in demo.output
        assert "Traceback" not in demo.output
        assert demo.left_behind() == []


def test_a_missing_component_is_named() -> None:
    """Without Synapse it says which make target brings it, and starts nothing."""
    with Demo(environ={"OSTIARY_SYNAPSE_PYTHON": "/nonexistent/python"}) as demo:
        assert demo.finish() == 1
        assert "Synapse is missing: there is no /nonexistent/python. `make peers` brings it." in demo.output
        assert "Starting" not in demo.output
        assert demo.left_behind() == []


@pytest.fixture(scope="module")
def staying() -> Iterator[Demo]:
    """A demo that stays up, and has said all that it says."""
    with Demo("--keep", "--without-clamd") as demo:
        demo.read_until("Ctrl-C ends it")
        yield demo


def _run(command: str, folder: Path) -> str:
    """Return the first line of what a command prints, which may be a status, and the last."""
    done = subprocess.run(  # noqa: TID251  (no event loop here)
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True, timeout=30
    )
    return " ... ".join(dict.fromkeys((done.stdout.partition("\n")[0], done.stdout.rpartition("\n")[2])))


@pytest.mark.peer("synapse", "node")
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_lines_to_try_by_hand_work(staying: Demo, tmp_path: Path) -> None:
    """Every printed command runs as it stands, from any folder, and shows what it promises."""
    lines = re.findall(r"^# (.+)\n((?:curl|tail) .+)$", staying.output, re.MULTILINE)
    shown = {title: _run(command, tmp_path) for title, command in lines}
    promises = {
        "The photo, through Ostiary, into a file here": "",
        "EICAR, from Synapse itself: Bob gets the malware": "EICAR-STANDARD",
        "EICAR, through Ostiary: 403": '403 Forbidden ... {"reason": "MCS_MEDIA_NOT_CLEAN"',
        "The photo without a token: 401": '401 Unauthorized ... {"reason": "M_MISSING_TOKEN"',
        "Is the zip clean?": '200 OK ... {"clean": false',
        "Is the encrypted photo clean? The key is in the request": '200 OK ... {"clean": true',
        "Is the encrypted EICAR clean? The key is in the request": '200 OK ... {"clean": false',
        "Is a file of yours clean? Name it after file=@": '200 OK ... {"clean": false',
        "Upload a file as Alice; what follows mxc:// goes behind /scan/": '{"content_uri":"mxc://',
        "Is Ostiary well?": "200 OK",
        "What has it decided so far?": "# HELP",
        "Its log, one line per decision": "media=mxc://",
    }
    assert shown.keys() == promises.keys()
    assert {title: text for title, text in shown.items() if promises[title] not in text} == {}
    assert (tmp_path / "sunset.png").read_bytes() == photo()


@pytest.mark.peer("synapse", "node")
def test_ctrl_c_is_the_wanted_end_of_a_demo_that_stays(staying: Demo) -> None:
    """It is still up, then Ctrl-C ends it with exit code 0, and nothing is left behind."""
    assert staying.left_behind()
    staying.interrupt(signal.SIGINT)
    assert staying.finish() == 0
    assert staying.left_behind() == []


def test_the_picture_shows_these_rows() -> None:
    """docs/demo.svg is of today's demo, and loads nothing; `--picture docs/demo.svg` makes it anew."""
    svg = (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8")
    texts = re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>([^<]*)</text>', svg)
    lines = ["".join(text.strip("\n") for _, text in line) for _, line in groupby(texts, key=itemgetter(0))]
    assert_rows("\n".join(lines).replace("\u00a0", " "), JUDGED + SCANNER_LOST)
    assert re.findall(r"https?://", svg) == ["http://"], "the namespace's alone"
    assert "url(http" not in svg


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (the_same_bytes(b"sent", ""), Answer(200, {}, b"sent!")),
        (the_same_bytes(b"sent", ""), Answer(206, {}, b"sent")),
        (a_thumbnail(photo(), 96, ""), Answer(200, {"content-type": "image/png"}, photo(2))),
        (a_thumbnail(photo(), 96, ""), Answer(200, {"content-type": "text/html"}, b"<html>")),
        (a_thumbnail(photo(), 96, ""), Answer(200, {"content-type": "image/png"}, b"\x89PNG\r\n\x1a\n")),
        (the_ciphertext(b"sealed", b"plain", bytes.upper, ""), Answer(200, {}, b"sealed")),
        (a_judgement(clean=True), Answer(200, {}, b'{"clean": false, "info": "infected"}')),
        (a_judgement(clean=False), Answer(200, {}, b'{"clean": true, "info": "clean"}')),
        (a_judgement(clean=True), Answer(200, {}, b'{"clean": 1, "info": "clean"}')),
        (a_judgement(clean=True), Answer(200, {}, b'{"clean": true}')),
        (a_judgement(clean=False, because="Eicar"), Answer(200, {}, b'{"clean": false, "info": "broken"}')),
        (a_judgement(clean=False), Answer(500, {}, b'{"clean": false, "info": "Eicar"}')),
        (a_judgement(clean=False), Answer(200, {}, b"[]")),
        (a_judgement(clean=False), Answer(200, {}, b"\xff")),
        (a_refusal(403, "R"), Answer(403, {}, b'{"reason": "R", "errcode": "S", "info": "", "error": ""}')),
        (a_refusal(403, "R"), Answer(404, {}, b'{"reason": "R", "errcode": "R", "info": "", "error": ""}')),
        (a_refusal(403, "R"), Answer(403, {}, b'{"reason": "R", "errcode": "R", "info": "", "error": "?"}')),
        (
            a_refusal(500, "R", retry=True),
            Answer(500, {}, b'{"reason": "R", "errcode": "R", "info": "", "error": ""}'),
        ),
    ],
)
def test_checks_take_nothing_else(check: Check, answer: Answer) -> None:
    """An answer that differs in one point from what it must be is refused."""
    with pytest.raises(Unexpected):
        check(answer)


def test_the_photo_is_a_whole_png() -> None:
    """It begins and ends as a PNG does, and another seed gives another picture."""
    picture = photo()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert picture.endswith(b"IEND\xaeB`\x82")
    assert picture != photo(2)


def test_the_program_is_laid_out_as_one() -> None:
    """Its headers fill the first 512 bytes, its one instruction (RET) lies where they point."""
    data = program()
    assert data[:2] == b"MZ"
    assert data[64:68] == b"PE\0\0"
    assert data[512:513] == b"\xc3"
    assert len(data) == 1024
