"""YARA rules that change while the engine runs, its canary, and who goes first."""

import asyncio
import os
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ostiary.blob import Blob
from ostiary.engines.frames import Frame
from ostiary.engines.interface import Sample, Statement
from ostiary.engines.yara.engine import YaraEngine
from ostiary.engines.yara.process import Process
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Cause, Clean, Forbidden, Infected, Unscannable
from tests.descriptors import open_descriptors
from tests.engines.asking import spooled
from tests.engines.conftest import LoopRunner
from tests.engines.watching import WAYS, eventually, look_often
from tests.engines.yara_engines import BIG, RULES, children, judge, running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files often."""
    look_often(monkeypatch)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return a folder with one file of rules."""
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "test.yar").write_text(rule("first", "needle"))
    return folder


def rule(name: str, text: str, *, kind: str = "infected") -> str:
    """Return a rule that looks for a text."""
    return f'rule {name} {{ meta: finding = "{kind}" strings: $a = "{text}" condition: $a }}\n'


def version_of(engine: YaraEngine) -> str:
    """Return the digest of the rules that decide."""
    assert engine._rules is not None
    return engine._rules.digest


async def ask(engine: YaraEngine, data: bytes) -> Statement:
    """Have the engine inspect these bytes."""
    with Blob.of(data) as blob:
        return await engine.inspect(Sample(blob, "application/octet-stream"))


@pytest.mark.parametrize("way", WAYS)
def test_changed_rules_count(rules: Path, run: LoopRunner, way: str) -> None:
    """After each change the new rules decide, under another version; canary, processes, descriptors stay."""

    async def main() -> None:
        before = open_descriptors()
        async with running(rules, concurrency=2) as engine:
            while_running, versions = len(open_descriptors()), [await engine.version()]
            specimen = engine.specimens.bad
            for text in ("straw", "grass", "stone"):
                old = version_of(engine)
                WAYS[way](rules / "test.yar", rule(text, text).encode())
                await eventually(lambda old=old: version_of(engine) != old)  # type: ignore[misc]
                versions.append(await engine.version())
                assert await engine.versions() == {versions[-1]}
                assert await ask(engine, text.encode()) == Statement(Infected(text), versions[-1])
                assert (await ask(engine, b"needle")).finding == Clean()
                assert (await ask(engine, specimen)).finding == Infected("Ostiary.Canary")
                assert len(children()) == 1
            assert len(set(versions)) == 4
            await eventually(lambda: len(open_descriptors()) == while_running)
        assert children() == []
        assert open_descriptors() == before

    run(main())


async def test_files_come_and_go(rules: Path) -> None:
    """A new file in a folder counts, and one that is gone counts no more."""
    async with running(rules) as engine:
        version = version_of(engine)
        (rules / "more.yara").write_text(rule("more", "straw"))
        await eventually(lambda: version_of(engine) != version)
        assert (await ask(engine, b"straw")).finding == Infected("more")
        (rules / "more.yara").unlink()
        await eventually(lambda: version_of(engine) == version)
        assert (await ask(engine, b"straw")).finding == Clean()


async def test_rules_broken_later(rules: Path) -> None:
    """Broken rules change nothing but the log, which names file and line once; mended, they count."""
    broken = rules / "broken.yar"
    async with running(rules) as engine:
        version = version_of(engine)
        with capture_logs() as lines:
            broken.write_text("rule a {\n condition:\n  nothing }")
            await eventually(lambda: engine.fault is not None)
            assert (await ask(engine, b"needle")).finding == Infected("first")
            assert version_of(engine) == version
            broken.write_text("// later")
            await eventually(lambda: engine.fault == f"{broken}: holds no rules")
            broken.write_text(rule("a", "straw"))
            await eventually(lambda: engine.fault is None)
        assert (await ask(engine, b"straw")).finding == Infected("a")
    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert [warning["engine"] for warning in warnings] == ["yara", "yara"]
    assert warnings[0]["fault"].startswith(f"{broken}, line 3: ")
    assert lines[-1]["event"] == "the files can be used again"


async def test_an_unchanged_text_is_not_compiled_again(rules: Path) -> None:
    """A file that was touched is read, and nothing else happens: no process ends."""
    async with running(rules) as engine:
        before, processes = engine._rules, children()
        with capture_logs() as lines:
            (rules / "test.yar").touch()
            await eventually(lambda: bool(lines))
        assert engine._rules is before
        assert children() == processes


async def test_a_scan_ends_with_the_rules_it_began_with(rules: Path) -> None:
    """Rules that change during a scan don't disturb it; its statement names the old ones."""
    (rules / "test.yar").write_text(RULES)
    async with running(rules, timeout=1) as engine, asyncio.TaskGroup() as group:
        old = await engine.version()
        digest = version_of(engine)
        slow = group.create_task(ask(engine, b"endless"))
        await eventually(lambda: bool(engine._jobs))
        (rules / "test.yar").write_text(rule("other", "straw"))
        await eventually(lambda: version_of(engine) != digest)
        assert not slow.done()
        assert (await ask(engine, b"straw")).finding == Infected("other")
        statement = await slow
        assert statement == Statement(
            Unscannable(Cause.TIMEOUT, "the YARA rules took too long"), old, statement.keep
        )
        assert (await ask(engine, b"needle")).finding == Clean()


async def test_the_canary(rules: Path) -> None:
    """The specimen is found, harmless bytes pass, and the canary is known to its own engine only."""
    async with running(rules) as one, running(rules) as two:
        assert not one.specimens.unpacks
        for engine, other in ((one, two), (two, one)):
            assert (await ask(engine, engine.specimens.bad)).finding == Infected("Ostiary.Canary")
            assert (await ask(engine, other.specimens.bad)).finding == Clean()
            assert (await ask(engine, engine.specimens.good())).finding == Clean()
        assert await one.version() == await two.version()


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("global rule never { condition: false }", Infected("Ostiary.Canary")),
        ("rule Ostiary_Canary { condition: false }", Infected("Ostiary.Canary")),
        ("rule every { condition: true }", Infected("every")),
        ('rule every { meta: finding = "limit" condition: true }', Unscannable(Cause.LIMIT, "rule every")),
        ('rule every { meta: finding = "forbidden" condition: true }', Forbidden("every")),
    ],
)
async def test_the_canary_beside_other_rules(rules: Path, text: str, finding: object) -> None:
    """No rule of the operator's silences the canary; whatever else matches is what is told."""
    (rules / "test.yar").write_text(text)
    async with running(rules) as engine:
        assert (await ask(engine, engine.specimens.bad)).finding == finding


async def test_rules_that_find_nothing_are_not_taken(rules: Path) -> None:
    """Compiled rules are tried out before they decide: they must find the canary."""
    engine = YaraEngine("yara", [rules])
    engine._canary.specimen = b"something else"
    with pytest.raises(ConfigError, match="is not found"):
        await engine.start()
    await engine.close()
    assert children() == []


async def test_rules_that_can_not_be_loaded_are_not_taken(
    rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules that no process can load leave the last good ones in use, and the engine at work."""

    def fail(*_: object) -> None:
        raise EngineError("out of memory")

    async with running(rules) as engine:
        load = Process.load
        monkeypatch.setattr(Process, "load", fail)
        (rules / "test.yar").write_text(rule("other", "straw"))
        await eventually(lambda: engine.fault == "the YARA rules can't be used: out of memory")
        monkeypatch.setattr(Process, "load", load)
        assert (await ask(engine, b"needle")).finding == Infected("first")
        assert len(children()) == 1


async def test_large_rule_files(rules: Path) -> None:
    """A file of nearly the largest size that is allowed is compiled: such collections exist."""
    (rules / "test.yar").write_text(rule("first", "needle") + f"// {'ä' * 5000}\n" * 1500)
    async with running(rules) as engine:
        assert (await ask(engine, b"needle")).finding == Infected("first")


async def test_no_process_for_a_compilation(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started, that is a start error."""
    monkeypatch.setattr("sys.executable", "/nonexistent")
    with pytest.raises(ConfigError, match=r"could not be compiled: .*No such file"):
        async with running(rules):
            pass


def _hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every compilation hang: its process is stopped when it is asked."""
    plain: Callable[..., Frame] = Process.ask

    def ask(process: Process, head: Mapping[str, Any], *rest: Any, **more: Any) -> Frame:  # noqa: ANN401
        if head.get("job") == "compile":
            os.kill(process._child.pid, signal.SIGSTOP)
        return plain(process, head, *rest, **more)

    monkeypatch.setattr(Process, "ask", ask)


@pytest.mark.parametrize("when", ["start", "later"])
def test_a_compilation_is_ended(
    rules: Path, run: LoopRunner, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Closing or cancelling ends a compilation under way, and leaves no process and no descriptor."""

    async def main() -> None:
        before = open_descriptors()
        if when == "start":
            _hang(monkeypatch)
            engine = YaraEngine("yara", [rules])
            async with asyncio.TaskGroup() as group:
                start = group.create_task(engine.start())
                await eventually(lambda: len(children()) == 1)
                start.cancel()
            await engine.close()
        else:
            async with running(rules):
                _hang(monkeypatch)
                (rules / "test.yar").write_text(rule("other", "straw"))
                await eventually(lambda: len(children()) == 2)
        assert children() == []
        assert open_descriptors() == before

    run(main())


async def test_first_scans_go_first(rules: Path, tmp_path: Path) -> None:
    """Who comes again waits behind who is there for the first time, for the turn of large files too."""
    async with running(rules, concurrency=1) as engine:
        for slots, data in ((engine._turns, b"needle"), (engine._large, bytes(BIG) + b"needle")):
            ended: list[bool] = []

            async def scan(data: bytes, ended: list[bool], *, again: bool) -> None:
                with await spooled(data, tmp_path) as blob:
                    found = await engine.inspect(Sample(blob, "", again=again))
                assert found.finding == Infected("first")
                ended.append(again)

            await slots.acquire()
            async with asyncio.TaskGroup() as group:
                group.create_task(scan(data, ended, again=True))
                await eventually(lambda slots=slots: len(slots._again) == 1)  # type: ignore[misc]
                group.create_task(scan(data, ended, again=False))
                await eventually(lambda slots=slots: len(slots._first) == 1)  # type: ignore[misc]
                slots.release()
            assert ended == [False, True]
            assert await judge(engine, Blob.of(b"x")) == Clean()


async def test_the_documented_rule(rules: Path) -> None:
    """The example in the documentation is a rule, and finds what it says."""
    text = Path("docs/setup/yara.md").read_text()
    (example,) = re.findall(r"```\n(rule .*?)```", text, re.DOTALL)
    (rules / "test.yar").write_text(example)
    async with running(rules) as engine:
        assert (await ask(engine, b"at invoice-2024.example")).finding == Forbidden("Blocked_Invoice")
