"""The script engine: the exit code is the word, and nothing of the file or the script stays behind."""

import asyncio
import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from ostiary.blob import MEMORY_LIMIT, Blob, BlobWriter, anonymous_file
from ostiary.engines.interface import Sample
from ostiary.engines.script.engine import ScriptEngine
from ostiary.errors import ConfigError, EngineError
from ostiary.model import Clean, Finding, Infected
from tests.engines.asking import until
from tests.engines.conftest import LoopRunner

SMALL: Final = b"the bytes of a file"
LARGE: Final = os.urandom(3 * MEMORY_LIMIT + 7)


class Bench:
    """A folder with a script in it and a temporary directory for its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "scan.sh"
        self.temp = folder / "temp"
        self.temp.mkdir()

    def write(self, text: str, mode: int = 0o755) -> None:
        """Write the script; `$out` in it is this bench's folder."""
        self.script.write_text(f"#!/bin/sh\nout='{self.folder}'\n{text}\n")
        self.script.chmod(mode)

    def said(self, name: str = "said") -> str:
        """Return what the script wrote to `$out/<name>`."""
        return (self.folder / name).read_text()

    def engine(self, **options: object) -> ScriptEngine:
        """Return the engine, not yet started."""
        return ScriptEngine("script", self.script, temp_directory=self.temp, **options)  # type: ignore[arg-type]

    @property
    def left(self) -> list[str]:
        """What lies in the folders of the temporary directory."""
        return [path.name for path in self.temp.glob("*/*")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a bench with a script that says clean."""
    made = Bench(tmp_path)
    made.write("exit 0")
    return made


async def inspect(engine: ScriptEngine, data: bytes = SMALL) -> Finding:
    """Start the engine, show it a file, and close it."""
    await engine.start()
    try:
        with Blob.of(data) as blob:
            return (await engine.inspect(Sample(blob, "text/plain"))).finding
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, Clean()),
        (1, Infected("exit code 1")),
        (2, None),
        (3, Infected("exit code 3")),
        (126, Infected("exit code 126")),
        (127, Infected("exit code 127")),
        (255, Infected("exit code 255")),
    ],
)
def test_exit_codes(bench: Bench, run: LoopRunner, code: int, expected: Finding | None) -> None:
    """0 is clean, 2 could not scan, all else is not clean, as the scanner that it replaces has it."""
    bench.write(f"exit {code}")
    if expected is not None:
        assert run(inspect(bench.engine())) == expected
        return
    with pytest.raises(EngineError, match="exited with 2"):
        run(inspect(bench.engine()))


@pytest.mark.parametrize("code", [3, 126, 127])
def test_configured_error_codes(bench: Bench, run: LoopRunner, code: int) -> None:
    """`scan.error_exit_codes` replaces the 2: that is not clean then."""
    codes = frozenset({3, 126, 127})
    bench.write(f"exit {code}")
    with pytest.raises(EngineError, match=f"exited with {code}"):
        run(inspect(bench.engine(error_exit_codes=codes)))
    bench.write("exit 2")
    assert run(inspect(bench.engine(error_exit_codes=codes))) == Infected("exit code 2")


@pytest.mark.parametrize("number", [1, 9, 11, 15, 34, 40, 64])
def test_killed_by_a_signal(bench: Bench, run: LoopRunner, number: int) -> None:
    """A script that dies did not scan: neither clean nor infected, whatever the signal."""
    bench.write(f"kill -{number} $$; sleep 10")
    with pytest.raises(EngineError, match=f"killed by signal {number}"):
        run(inspect(bench.engine()))


def test_what_the_script_gets(bench: Bench, run: LoopRunner) -> None:
    """One argument, the file: 0600, alone in a folder 0700 inside another, and nothing to read from."""
    bench.write(
        'echo $# "$(stat -c %a "$1")" "$(ls "$(dirname "$1")" | wc -l)" '
        '"$(stat -c %a "$(dirname "$1")")" "$(stat -c %a "$(dirname "$(dirname "$1")")")" '
        '"$(cat)" > "$out/said"; cp "$1" "$out/copy"; echo "$1" > "$out/path"; echo lost; echo lost >&2'
    )
    assert run(inspect(bench.engine())) == Clean()
    assert bench.said().split() == ["1", "600", "1", "700", "700"]
    assert (bench.folder / "copy").read_bytes() == SMALL
    assert Path(bench.said("path").strip()).is_relative_to(bench.temp)


@pytest.mark.parametrize("data", [b"", SMALL, bytes(MEMORY_LIMIT), LARGE], ids=len)
def test_the_copy_is_exact(bench: Bench, run: LoopRunner, data: bytes) -> None:
    """Every byte arrives, from memory and from disk."""
    bench.write('sha256sum < "$1" > "$out/said"')

    async def spooled() -> Finding:
        engine = bench.engine()
        await engine.start()
        with BlobWriter(bench.folder) as writer:
            await writer.add(data)
            blob = await writer.finish()
        with blob:
            finding = (await engine.inspect(Sample(blob, "x/y"))).finding
        await engine.close()
        return finding

    assert run(spooled()) == Clean()
    assert bench.said().split()[0] == hashlib.sha256(data).hexdigest()


def test_a_copy_that_came_out_short_is_not_scanned(bench: Bench, run: LoopRunner) -> None:
    """A spooled file that lost bytes is an error, not a smaller file."""

    async def short() -> None:
        engine = bench.engine()
        await engine.start()
        descriptor = anonymous_file(bench.folder)
        os.write(descriptor, b"only ten b")
        try:
            with Blob(size=20, sha256=b"", data=None, descriptor=descriptor) as blob:
                await engine.inspect(Sample(blob, "x/y"))
        finally:
            await engine.close()

    with pytest.raises(EngineError, match="short"):
        run(short())
    assert list(bench.temp.iterdir()) == []


def test_our_settings_are_not_in_its_environment(
    bench: Bench, run: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What configures us, secrets among it, is not handed on; the operator's own variables are."""
    for name in ("OSTIARY__CRYPTO__PICKLE_KEY", "ostiary__x__y", "Ostiary_Config", "OSTIARY_CONFIG"):
        monkeypatch.setenv(name, "s3cret")
    monkeypatch.setenv("CLAMD_HOST", "clamav")
    bench.write('env > "$out/said"')
    assert run(inspect(bench.engine())) == Clean()
    assert "s3cret" not in bench.said()
    assert "ostiary_" not in bench.said().lower()
    assert "CLAMD_HOST=clamav" in bench.said()
    assert f"PATH={os.environ['PATH']}" in bench.said()


def test_a_name_without_a_folder(bench: Bench, run: LoopRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are from where we were started: no other script of that name is found in PATH."""
    bench.write("exit 3")
    monkeypatch.chdir(bench.folder)
    engine = ScriptEngine("script", Path("scan.sh"), temp_directory=Path("temp"))
    assert run(inspect(engine)) == Infected("exit code 3")


def test_none_of_our_descriptors_are_in_its_hands(bench: Bench, run: LoopRunner) -> None:
    """The script sees its own three standard streams, all of them nothing, and no file or socket of ours."""
    bench.write('for fd in /proc/$$/fd/*; do readlink "$fd"; done > "$out/said"; exit 0')
    marker = bench.folder / "marker"
    with marker.open("w") as file:
        os.set_inheritable(file.fileno(), True)
        assert run(inspect(bench.engine())) == Clean()
    seen = set(bench.said().split()) - {str(bench.script), str(bench.folder / "said")}
    assert {target for target in seen if not target.startswith("/proc/")} == {"/dev/null"}


@pytest.mark.parametrize(
    "name", ["with space", "it's", '"$(touch owned)"', "a;b|c&d", "-rf", "new\nline", "*"]
)
def test_no_shell_reads_the_path(bench: Bench, run: LoopRunner, name: str) -> None:
    """A temporary directory may be called anything: its name is never read as a command or an option."""
    bench.temp = bench.folder / name
    bench.temp.mkdir()
    bench.write('test -f "$1" && cat "$1" > "$out/said"')
    assert run(inspect(bench.engine())) == Clean()
    assert bench.said() == SMALL.decode()
    assert list(bench.temp.iterdir()) == []
    assert not Path("owned").exists()


MISCHIEF: Final = {
    "deletes its file": 'rm "$1"',
    "changes its file": 'echo changed >> "$1"',
    "truncates it": ': > "$1"',
    "makes more files": 'touch "$1.a" "$1.b"; mkdir -p "$(dirname "$1")/x/y"; touch "$(dirname "$1")/x/y/z"',
    "makes a folder of it": 'rm "$1"; mkdir "$1"; touch "$1/x"',
    "makes a link of it": 'rm "$1"; ln -s "$out/precious" "$1"',
    "makes a link to all": 'ln -s "$out/precious" "$1.link"',
    "takes the rights away": 'chmod 000 "$1" "$(dirname "$1")"',
    "deletes the folder": 'rm -r "$(dirname "$1")"',
}


@pytest.mark.parametrize("text", MISCHIEF.values(), ids=MISCHIEF.keys())
@pytest.mark.parametrize("code", [0, 1, 2])
def test_whatever_the_script_does_to_its_file(bench: Bench, run: LoopRunner, text: str, code: int) -> None:
    """Its copy is its own: the blob stays as it is, everything is gone afterwards, and nothing else is."""
    precious = bench.folder / "precious"
    precious.mkdir()
    (precious / "file").write_bytes(b"precious")
    bench.write(f"{text}\nexit {code}")

    async def twice() -> None:
        engine = bench.engine()
        await engine.start()
        with Blob.of(SMALL) as blob:
            for _ in range(2):
                try:
                    await engine.inspect(Sample(blob, "x/y"))
                except EngineError:
                    assert code == 2
                assert bench.left == []
                assert blob.data == SMALL
        await engine.close()

    run(twice())
    assert list(bench.temp.iterdir()) == []
    assert (precious / "file").read_bytes() == b"precious"


def test_a_script_that_puts_a_link_in_the_folders_place(bench: Bench, run: LoopRunner) -> None:
    """Nothing is ever removed through a link, and the link itself goes with the engine."""
    precious = bench.folder / "precious"
    precious.mkdir()
    (precious / "media").write_bytes(b"precious")
    bench.write('d="$(dirname "$1")"; rm -r "$d"; ln -s "$out/precious" "$d"')
    assert run(inspect(bench.engine())) == Clean()
    assert (precious / "media").read_bytes() == b"precious"
    assert list(bench.temp.iterdir()) == []


def _delete(bench: Bench) -> None:
    bench.script.unlink()


def _take_rights(bench: Bench) -> None:
    bench.script.chmod(0o644)


def _drop_shebang(bench: Bench) -> None:
    bench.script.write_text("exit 0\n")


def _empty(bench: Bench) -> None:
    bench.script.write_text("")  # as it is for a moment when it is copied over


def _other_machine(bench: Bench) -> None:
    bench.script.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(200))


def _lose_interpreter(bench: Bench) -> None:
    bench.script.write_text("#!/nonexistent/sh\nexit 0\n")


def _lose_temp(bench: Bench) -> None:
    shutil.rmtree(bench.temp)


@pytest.mark.parametrize(
    "change",
    [_delete, _take_rights, _drop_shebang, _empty, _other_machine, _lose_interpreter, _lose_temp],
)
def test_what_breaks_while_it_runs(bench: Bench, run: LoopRunner, change: Callable[[Bench], None]) -> None:
    """A script or a folder that goes away later is an engine error: not clean, not infected, no crash."""

    async def later() -> None:
        engine = bench.engine()
        await engine.start()
        with Blob.of(SMALL) as blob:
            assert (await engine.inspect(Sample(blob, "x/y"))).finding == Clean()
            change(bench)
            with pytest.raises(EngineError):
                await engine.inspect(Sample(blob, "x/y"))
        await engine.close()

    run(later())
    assert bench.left == []


def _is_a_folder(bench: Bench) -> None:
    bench.script.unlink()
    bench.script.mkdir()


def _temp_is_a_file(bench: Bench) -> None:
    bench.temp.rmdir()
    bench.temp.touch()


@pytest.mark.parametrize("change", [_delete, _take_rights, _is_a_folder, _lose_temp, _temp_is_a_file])
def test_what_is_wrong_from_the_start(bench: Bench, run: LoopRunner, change: Callable[[Bench], None]) -> None:
    """A script that can't run and a folder that can't be used are said at the start, by their setting."""
    change(bench)
    with pytest.raises(ConfigError, match=r"(engine script|scan\.temp_directory)"):
        run(bench.engine().start())


def test_before_and_after(bench: Bench, run: LoopRunner) -> None:
    """An engine that was not started, or was closed, does not answer; closing twice is safe."""

    async def lifecycle() -> None:
        await bench.engine().close()
        engine = bench.engine()
        with Blob.of(SMALL) as blob:
            with pytest.raises(EngineError, match="not running"):
                await engine.inspect(Sample(blob, "x/y"))
            await engine.start()
            assert (await engine.inspect(Sample(blob, "x/y"))).finding == Clean()
            await engine.close()
            await engine.close()
            with pytest.raises(EngineError, match="not running"):
                await engine.inspect(Sample(blob, "x/y"))

    run(lifecycle())
    assert list(bench.temp.iterdir()) == []


def test_at_most_so_many_at_once(bench: Bench, run: LoopRunner) -> None:
    """Ten files, two scripts at a time: there are never three."""
    bench.write(
        'mkdir "$out/turn.$$"; ls -d "$out"/turn.* | wc -l >> "$out/said"; sleep 0.05; rmdir "$out/turn.$$"'
    )

    async def many() -> None:
        engine = bench.engine(concurrency=2)
        await engine.start()
        with Blob.of(SMALL) as blob:
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(engine.inspect(Sample(blob, "x/y")))
        await engine.close()

    run(many())
    counts = [int(line) for line in bench.said().split()]
    assert len(counts) == 10
    assert set(counts) <= {1, 2}


def test_first_scans_go_first(bench: Bench, run: LoopRunner) -> None:
    """Who comes again, after a change of signatures, waits behind who is there for the first time."""
    bench.write('cat "$1" >> "$out/said"')

    async def both() -> None:
        engine = bench.engine(concurrency=1)
        await engine.start()
        await engine._turns.acquire()
        with Blob.of(b"again ") as old, Blob.of(b"first ") as new:
            async with asyncio.TaskGroup() as group:
                group.create_task(engine.inspect(Sample(old, "x/y", again=True)))
                await until(lambda: len(engine._turns._again) == 1)
                group.create_task(engine.inspect(Sample(new, "x/y")))
                await until(lambda: len(engine._turns._first) == 1)
                engine._turns.release()
        await engine.close()

    run(both())
    assert bench.said() == "first again "


def test_the_version_follows_the_script(bench: Bench, run: LoopRunner) -> None:
    """A changed script is another version; a script that is gone has none."""
    engine = bench.engine()
    first = run(engine.version())
    os.utime(bench.script, ns=(1, 1))
    assert run(engine.version()) != first
    assert stat.S_ISREG(bench.script.stat().st_mode)
    bench.script.unlink()
    with pytest.raises(EngineError, match="No such file"):
        run(engine.version())
