"""The YARA engine: what it answers, from which rules, and which rules it refuses."""

import asyncio
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from ostiary.blob import MEMORY_LIMIT, Blob
from ostiary.errors import ConfigError
from ostiary.model import Cause, Clean, Finding, Forbidden, Infected, Unscannable
from tests.engines.asking import spooled
from tests.engines.conftest import LoopRunner
from tests.engines.yara_engines import BIG, RULES, children, judge, running
from tests.rules.archives import EICAR, encrypted_zip
from tests.rules.formats import noise


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return a file of rules for these tests; `endless` runs until it is stopped."""
    path = tmp_path / "test.yar"
    path.write_text(RULES)
    return path


@pytest.mark.parametrize("size", [6, 70_000, MEMORY_LIMIT, MEMORY_LIMIT + 1, BIG])
def test_every_byte_counts(rules: Path, tmp_path: Path, run: LoopRunner, size: int) -> None:
    """A signature in the last bytes is found in memory and in a file; without it the bytes are clean."""

    async def main() -> None:
        async with running(rules) as engine:
            data = bytes(size - 6)
            assert await judge(engine, await spooled(data + b"needle", tmp_path)) == Infected("first")
            assert await judge(engine, await spooled(data + b"needl.", tmp_path)) == Clean()

    run(main())


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (b"", Clean()),
        (b"secret", Clean()),
        (b"locked", Unscannable(Cause.ENCRYPTED_ARCHIVE, "rule encrypted")),
        (b"macro!", Unscannable(Cause.MACRO, "rule macro")),
        (b"limit!", Unscannable(Cause.LIMIT, "rule limit")),
        (b"policy", Forbidden("policy")),
        (b"limit! macro!", Unscannable(Cause.MACRO, "rule macro")),
        (b"limit! macro! policy", Forbidden("policy")),
        (b"limit! macro! policy needle", Infected("first")),
    ],
)
async def test_kinds_of_findings(rules: Path, data: bytes, finding: Finding) -> None:
    """The meta `finding` says what a match means; the strongest wins, then the first rule."""
    async with running(rules) as engine:
        assert await judge(engine, Blob.of(data)) == finding


async def test_builtin_rules() -> None:
    """The rules that come with Ostiary are there by name, and an infection wins over encryption."""
    async with running("builtin") as engine:
        assert await judge(engine, Blob.of(EICAR)) == Infected("Ostiary_Eicar_TestFile")
        assert await judge(engine, Blob.of(encrypted_zip("e", EICAR))) == Infected("Ostiary_Eicar_ZipMember")
        secret = await judge(engine, Blob.of(encrypted_zip("a.txt", b"hello")))
        assert secret == Unscannable(Cause.ENCRYPTED_ARCHIVE, "rule Ostiary_Zip_Encrypted")
        assert await judge(engine, Blob.of(noise(500_000, 7))) == Clean()


async def test_scans_run_beside_each_other_and_beside_the_loop(rules: Path) -> None:
    """While one scan goes on, the loop runs and another scan is answered."""
    async with running(rules) as engine, asyncio.TaskGroup() as group:
        slow = group.create_task(judge(engine, Blob.of(b"endless")))
        assert await judge(engine, Blob.of(b"needle")) == Infected("first")
        assert not slow.done()
        slow.cancel()


async def test_large_files_go_one_at_a_time(rules: Path, tmp_path: Path) -> None:
    """However many large files wait, one process maps one of them; a small one still gets its turn."""
    async with running(rules, concurrency=4) as engine:
        blobs = [await spooled(bytes(BIG) + b"needle", tmp_path) for _ in range(4)]
        findings = await asyncio.gather(*(judge(engine, blob) for blob in blobs))
        assert findings == [Infected("first")] * 4
        assert len(children()) == 1
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(judge(engine, await spooled(bytes(BIG) + b"endless", tmp_path)))
            assert await judge(engine, Blob.of(b"needle")) == Infected("first")
            slow.cancel()


async def test_version_names_the_rules(rules: Path, tmp_path: Path) -> None:
    """The version changes with a byte of a rule file, not with the place where it lies."""
    copy = tmp_path / "elsewhere.yar"
    copy.write_text(RULES)
    other = tmp_path / "other.yar"
    other.write_text(RULES.replace('"needle"', '"needles"', 1))
    async with (
        running(rules) as one,
        running(copy) as two,
        running(other) as three,
        running("builtin", rules) as four,
    ):
        versions = [await engine.version() for engine in (one, two, three, four)]
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3
    assert all(version.startswith("yara-x 1.") and " rules " in version for version in versions)


async def test_other_rules_reach_every_process(rules: Path, tmp_path: Path) -> None:
    """Once the compiled rules are others, no scan is judged by a process that holds the old ones."""
    other = tmp_path / "other.yar"
    other.write_text('rule other { strings: $a = "straw" condition: $a }')
    async with running(rules) as engine, running(other) as replacement:
        engine._rules = replacement._rules
        assert await judge(engine, Blob.of(b"needle and straw")) == Infected("other")
        assert await engine.version() == await replacement.version()
        assert len(children()) == 2


async def test_doubtful_rules_are_logged(tmp_path: Path) -> None:
    """What the compiler warns of is told to the operator, with file and line."""
    doubtful = tmp_path / "doubtful.yar"
    doubtful.write_text("rule always {\n condition:\n  true\n}")
    with capture_logs() as lines:
        async with running(doubtful) as engine:
            assert await judge(engine, Blob.of(b"x")) == Infected("always")
    (line,) = lines
    assert line["log_level"] == "warning"
    assert f"{doubtful}, line 3: " in line["warning"]


async def test_a_process_knows_no_secrets(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What scans hostile bytes has none of our environment, writes no files and no core dumps."""
    monkeypatch.setenv("OSTIARY__SYNAPSE__TOKEN", "syt_secret")
    async with running(rules):
        (process,) = children()
        assert b"syt_secret" not in Path(f"/proc/{process}/environ").read_bytes()
        assert max(resource.prlimit(process, resource.RLIMIT_CORE)) <= 1
        assert resource.prlimit(process, resource.RLIMIT_FSIZE) == (0, 0)


BROKEN: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "missing": (lambda _path: None, "broken.yar: No such file"),
    "syntax": (
        lambda path: path.write_text("rule a {\n condition:\n  nothing }"),
        r"broken.yar, line 3: .*nothing",
    ),
    "empty": (lambda path: path.write_text("// later\n"), "broken.yar: holds no rules"),
    "include": (lambda path: path.write_text('include "/etc/passwd"\n'), "broken.yar, line 1: include"),
    "kind": (
        lambda path: path.write_text('rule a { meta: finding = "bad" condition: false }'),
        "broken.yar: rule a: finding 'bad' is none of infected, forbidden, encrypted_archive, macro, limit",
    ),
    "module": (
        lambda path: path.write_text('import "nope"\nrule a { condition: true }'),
        "broken.yar, line 1",
    ),
    "not utf-8": (lambda path: path.write_bytes(b"// fine\n// \xff"), "broken.yar, line 2: not UTF-8"),
    "fifo": (os.mkfifo, "broken.yar: no regular file"),
    "folder": (Path.mkdir, r"no \*.yar"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_broken_rules_are_a_start_error(rules: Path, tmp_path: Path, case: str) -> None:
    """What is broken is named, with its line, and nothing is left running."""
    make, message = BROKEN[case]
    make(tmp_path / "broken.yar")
    with pytest.raises(ConfigError, match=message):
        async with running(rules, tmp_path / "broken.yar"):
            pass
    assert children() == []


async def test_no_rules_are_a_start_error() -> None:
    """An engine without rules would call everything clean."""
    with pytest.raises(ConfigError, match="needs rules"):
        async with running():
            pass
