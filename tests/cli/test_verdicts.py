"""`ostiary verdicts` as an operator or a script uses it, beside a server's control socket."""

import asyncio
import json
import os
import pty
import re
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from ostiary.blocking import run_blocking
from ostiary.cli import cli
from ostiary.control.verdicts import VerdictDesk
from ostiary.digests import Digests
from ostiary.library.memory import MemoryLibrary
from ostiary.model import Cause, Clean, Declared, Evidence, Infected, Report, Unscannable
from ostiary.policy import Rules, judge
from ostiary.verdicts.memory import MemoryVerdicts
from peers.gateway import command
from tests.control.desks import listening
from tests.flow.fakes import Clock

SHA256: Final = bytes(range(32))
HEX: Final = SHA256.hex()
CLEAN: Final = Report("clamd", Clean(), version="ClamAV 1.4/27000")
HOSTILE: Final = "Evil\x1b[2J\r\n\u202eName"


@dataclass(frozen=True)
class Done:
    """How the command ended."""

    code: int
    out: str
    err: str


@dataclass
class Server:
    """A server's control socket with real verdicts behind it, and the configuration that names it."""

    folder: Path
    clock: Clock
    store: MemoryVerdicts
    digests: Digests
    forgotten: int = 0

    @property
    def config(self) -> Path:
        """The configuration of both."""
        return self.folder / "ostiary.yaml"

    async def forget_all(self) -> None:
        """Count how often the epoch moved."""
        self.forgotten += 1

    async def counts(self, evidence: Evidence) -> bool:
        """Say that what an old engine made does not count."""
        return not any("old" in report.version for report in evidence.reports)

    async def put(self, number: int, *reports: Report, age: float = 0) -> str:
        """Remember something, and return its keyed digest."""
        index = number.to_bytes(32, "big")
        await self.store.put(index, Evidence(reports, "image/png", self.clock.now - age), 3600)
        return f"enc:{index.hex()}"

    async def run(self, *arguments: str) -> Done:
        """Run `ostiary verdicts` with this configuration."""
        return await ostiary(self.folder, *arguments)


async def ostiary(folder: Path, *arguments: str) -> Done:
    """Run `ostiary verdicts` with the folder's configuration, without a terminal, in a thread."""
    words = ["verdicts", *arguments, "--config", str(folder / "ostiary.yaml")]
    done = await run_blocking(CliRunner().invoke, cli, words)
    return Done(done.exit_code, done.stdout, done.stderr)


def configured(folder: Path) -> None:
    """Write a configuration whose ledger is in the folder: so is the control socket, by default."""
    (folder / "ostiary.yaml").write_text(json.dumps({"ledger": {"url": f"sqlite:///{folder}/ledger.db"}}))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server that knows nothing yet."""
    configured(tmp_path)
    clock = Clock()
    made = Server(tmp_path, clock, MemoryVerdicts(10_000, clock), Digests(bytes(32)))
    desk = VerdictDesk(
        store=made.store,
        digests=made.digests,
        library=MemoryLibrary(1 << 20, 1 << 16),
        judge=lambda found: judge(found.reports, found.detected_type, Declared(), Rules()),
        counts=made.counts,
        forget_all=made.forget_all,
        clock=clock,
    )
    with capture_logs():  # a thread's command writes to the same standard output
        async with listening(tmp_path / "control.sock", desk.actions):
            yield made


async def test_without_a_server(tmp_path: Path) -> None:
    """`list` and `forget` do nothing and succeed, `show` finds nothing; standard error says why."""
    configured(tmp_path)
    for arguments, code in (
        (["list"], 0),
        (["list", "--json"], 0),
        (["forget", "--all"], 0),
        (["forget", f"sha256:{HEX}"], 0),
        (["show", f"sha256:{HEX}"], 1),
    ):
        done = await ostiary(tmp_path, *arguments)
        assert (done.code, done.out) == (code, "")
        assert "no server runs here" in done.err
        assert str(tmp_path / "control.sock") in done.err


async def test_an_empty_list(server: Server) -> None:
    """A server that knows nothing yet prints nothing, and nothing is wrong."""
    assert await server.run("list") == Done(0, "", "")


async def test_lines_for_a_script(server: Server) -> None:
    """Tab-separated, the newest first: digest, verdict, age, seconds left or stale, epoch."""
    first = await server.put(1, CLEAN, age=30)
    second = await server.put(2, Report("clamd", Infected("Eicar"), version="old"), age=10)
    third = await server.put(3, Report("gateway", Unscannable(Cause.TOO_LARGE, "large")), age=20)
    done = await server.run("list")
    assert (done.code, done.err) == (0, "")
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert [line[:4] for line in lines] == [
        [second, "infected Eicar by clamd", "10", "stale"],
        [third, "unscannable too_large by gateway", "20", "3580"],
        [first, "clean", "30", "3570"],
    ]
    assert lines[1][4] == "-"
    assert re.fullmatch(r"[0-9a-f]{8}", lines[0][4])
    assert lines[0][4] != lines[2][4]


async def test_json_for_a_program(server: Server) -> None:
    """One object a line."""
    digest = await server.put(1, CLEAN, age=30)
    done = await server.run("list", "--json")
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {
            "digest": digest,
            "result": "clean",
            "served": True,
            "engine": None,
            "name": None,
            "counts": True,
            "age": 30.0,
            "left": 3570.0,
            "versions": {"clamd": "ClamAV 1.4/27000"},
        }
    ]


async def test_only_some(server: Server) -> None:
    """By result, and by number: what is left out is said."""
    for number in range(1200):
        bad = number % 400 == 3
        await server.put(number, Report("clamd", Infected("E")) if bad else CLEAN, age=number)
    done = await server.run("list", "--result", "infected")
    assert [line.split("\t")[2] for line in done.out.splitlines()] == ["3", "403", "803"]
    assert done.err == ""
    done = await server.run("list", "--limit", "2")
    assert [line.split("\t")[2] for line in done.out.splitlines()] == ["0", "1"]
    assert "the newest 2 of 1200" in done.err
    assert len((await server.run("list")).out.splitlines()) == 100
    for wrong in (["--limit", "0"], ["--result", "bad"]):
        assert (await server.run("list", *wrong)).code == 2


async def test_a_table_on_a_terminal(server: Server) -> None:
    """With headings, and the epochs spelt out below; nothing in it steers the terminal."""
    await server.put(1, Report("clamd", Infected(HOSTILE), version=f"ClamAV {HOSTILE}"), age=300)
    shown = await run_blocking(_on_a_terminal, "list", "--config", str(server.config))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    head, row, epoch = plain.splitlines()
    assert head.split() == ["verdict", "age", "left", "epoch", "digest"]
    assert "infected Evil\\x1b[2J\\r\\n\\u202eName by clamd" in row
    assert "5 min" in row
    assert "55 min" in row
    assert f"enc:{1:064x}" in row
    assert epoch.startswith("epoch ")
    assert "clamd ClamAV Evil" in epoch
    assert "\x1b" not in plain


def _on_a_terminal(*arguments: str) -> str:
    """Run `ostiary verdicts` on a pseudo-terminal, and return what it shows."""
    ours, theirs = pty.openpty()
    shown = bytearray()
    with subprocess.Popen([command(), "verdicts", *arguments], stdout=theirs) as child:
        os.close(theirs)
        with suppress(OSError):  # EIO: the other end is closed
            while chunk := os.read(ours, 4096):
                shown += chunk
    os.close(ours)
    assert child.returncode == 0
    return shown.decode()


async def test_one_is_shown(server: Server) -> None:
    """By its keyed digest without its type, by the file's digest with it."""
    index = server.digests.content(SHA256)
    reports = (
        Report("clamd", Infected(HOSTILE), version="v1"),
        Report("yara", Clean(), shadow=True, version="v2", keep=120),
        Report("icap", Unscannable(Cause.ERROR, "away"), required=False),
    )
    await server.store.put(index, Evidence(reports, "image/png", server.clock.now, ("text/x",)), 3600)
    by_file = await server.run("show", f"sha256:{HEX}")
    by_digest = await server.run("show", f"enc:{index.hex()}")
    assert by_file.code == by_digest.code == 0
    assert "image/png, with text/x" in by_file.out
    assert "image/png" not in by_digest.out
    for done in (by_file, by_digest):
        assert done.out.startswith(f"enc:{index.hex()}\n")
        assert re.search(r"verdict +infected Evil\\x1b\[2J", done.out)
        assert re.search(r"engine clamd +infected .*; required; version v1\n", done.out)
        assert re.search(r"engine yara +clean; shadow, kept 2 min at most; version v2\n", done.out)
        assert re.search(
            r"engine icap +unscannable error \(away\); not required; version unknown\n", done.out
        )
        assert re.search(r"left +60 min\n", done.out)
        assert "\x1b" not in done.out
    whole = json.loads((await server.run("show", f"sha256:{HEX}", "--json")).out)
    assert whole["type"] == "image/png"
    assert [word["engine"] for word in whole["words"]] == ["clamd", "yara", "icap"]


async def test_unknown_and_senseless_targets(server: Server) -> None:
    """Nothing known is 1 and says so; what no target can be is 2, server or not."""
    done = await server.run("show", f"sha256:{HEX}")
    assert (done.code, done.out) == (1, "")
    assert "nothing is known" in done.err
    done = await server.run("show", "mxc://example.org/abc")
    assert done.code == 1
    assert "no stored copy" in done.err
    for target in ("nonsense", "enc:12", "mxc://x"):
        for name in ("show", "forget"):
            done = await server.run(name, target)
            assert (done.code, done.out) == (2, ""), target
            assert done.err.startswith("ostiary: ")


async def test_some_are_forgotten(server: Server) -> None:
    """Each target says how many entries went; nothing else goes."""
    first, second, third = [await server.put(number, CLEAN, age=number) for number in range(3)]
    done = await server.run("forget", first, third, f"sha256:{HEX}")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:2] == [f"{first}: forgot 1 entry", f"{third}: forgot 1 entry"]
    assert "nothing is known" in lines[2]
    assert [line.split("\t")[0] for line in (await server.run("list")).out.splitlines()] == [second]
    assert server.forgotten == 0


async def test_everything_is_forgotten(server: Server) -> None:
    """The epoch moves, the store is empty, and the number is printed."""
    for number in range(3):
        await server.put(number, CLEAN)
    done = await server.run("forget", "--all")
    assert done.code == 0
    assert done.out.startswith("forgot 3 entries")
    assert server.forgotten == 1
    assert (await server.run("list")).out == ""


async def test_what_to_forget_is_named(server: Server) -> None:
    """Neither a target nor --all, or both: 2, and nothing is forgotten."""
    digest = await server.put(1, CLEAN)
    for arguments in ([], ["--all", digest]):
        done = await server.run("forget", *arguments)
        assert done.code == 2
        assert "--all" in done.err
    assert server.forgotten == 0
    assert len(server.store) == 1


async def test_a_server_that_cannot_be_asked(tmp_path: Path) -> None:
    """Something else at the path is no empty list: status 2, for a hook to notice."""
    configured(tmp_path)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    other = await asyncio.start_unix_server(hang_up, str(tmp_path / "control.sock"))
    try:
        for arguments in (["list"], ["show", f"sha256:{HEX}"], ["forget", "--all"]):
            done = await ostiary(tmp_path, *arguments)
            assert (done.code, done.out) == (2, "")
            assert "hung up" in done.err
    finally:
        other.close()


async def test_a_bad_configuration(tmp_path: Path) -> None:
    """It is told as by every command, with the status for what could not be asked."""
    (tmp_path / "ostiary.yaml").write_text("nonsense: 1\n")
    for arguments in (["list"], ["show", f"sha256:{HEX}"], ["forget", "--all"]):
        done = await ostiary(tmp_path, *arguments)
        assert done.code == 2
        assert "nonsense" in done.err


async def test_nobody_reads_on(server: Server) -> None:
    """Under `| head` it ends with its status and one line, not a traceback."""
    for number in range(2000):
        await server.put(number, CLEAN)
    ours, theirs = socket.socketpair()
    ours.close()
    child = await asyncio.create_subprocess_exec(
        command(), "verdicts", "list", "--limit", "2000", "--config", server.config, stdout=theirs.fileno(),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    theirs.close()
    _, err = await child.communicate()
    assert child.returncode == 2
    assert b"Traceback" not in err


async def test_help_is_worth_reading(tmp_path: Path) -> None:
    """Each command says what it does, and its exit statuses."""
    for name in ("list", "show", "forget"):
        done = await ostiary(tmp_path, name, "--help")
        assert done.code == 0
        assert "Exit status" in done.out
