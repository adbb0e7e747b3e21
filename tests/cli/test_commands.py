"""The command line as a person or a script uses it: output, exit status, and clear errors."""

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostiary import cli as commands
from ostiary.cli.results import Scanned
from ostiary.cli.scan import _expanded
from peers.clamd import Clamd
from peers.gateway import command
from peers.samples import EICAR, png, zipped
from peers.synapse import Synapse, User

PICTURE = png(40, 30)


def ostiary(
    *arguments: str | Path, folder: Path, stdin: bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder of its own, without a terminal."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OSTIARY")}
    done = subprocess.run(  # noqa: TID251  (no event loop here)
        [command(), *map(str, arguments)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        env={**clean, **(environment or {})},
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def config(folder: Path, **sections: object) -> Path:
    """Write a configuration; its secret goes beside it."""
    path = folder / "test.yaml"
    secret = {"crypto": {"request_secret_path": str(folder / "secret")}}
    path.write_text(json.dumps({**secret, **sections}))
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with one file of each kind, one of them deeper, and a link that leads out of it."""
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    (folder / "picture.png").write_bytes(PICTURE)
    (folder / "bad.txt").write_bytes(EICAR)
    (folder / "deep" / "bad.zip").write_bytes(zipped("eicar.com", EICAR))
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def test_scan_a_clean_file(tmp_path: Path, files: Path) -> None:
    """One clean file: a line, exit status 0, no configuration needed, nothing on standard error."""
    done = ostiary("scan", files / "picture.png", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["clean", str(files / "picture.png")]


def test_scan_a_folder(tmp_path: Path, files: Path) -> None:
    """A folder is walked, links are not followed, and one bad file makes the exit status 1."""
    done = ostiary("scan", files, folder=tmp_path)
    lines = [line.split(None, 1) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert {target.split(":")[0]: word for word, target in lines} == {
        str(files / "picture.png"): "clean",
        str(files / "bad.txt"): "infected",
        str(files / "deep" / "bad.zip"): "infected",
    }


def test_scan_as_json(tmp_path: Path, files: Path) -> None:
    """`--json` prints one object a line."""
    done = ostiary("scan", "--json", files / "bad.txt", files / "picture.png", folder=tmp_path)
    found = {line["target"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert found[str(files / "picture.png")]["clean"] is True
    assert found[str(files / "picture.png")]["type"] == "image/png"
    assert found[str(files / "bad.txt")]["result"] == "infected"
    assert found[str(files / "bad.txt")]["engine"] == "yara"


@pytest.mark.parametrize(("data", "status", "word"), [(PICTURE, 0, "clean"), (EICAR, 1, "infected")])
def test_scan_standard_input(tmp_path: Path, data: bytes, status: int, word: str) -> None:
    """`-` is standard input."""
    done = ostiary("scan", "-", folder=tmp_path, stdin=data)
    assert (done.returncode, done.stdout.split()[0]) == (status, word)


@pytest.mark.parametrize("target", ["missing", "pipe", "/dev/null"])
def test_what_can_not_be_scanned_is_2(tmp_path: Path, target: str) -> None:
    """Missing files, pipes and devices are "could not scan", never clean, and nothing hangs."""
    os.mkfifo(tmp_path / "pipe")
    done = ostiary("scan", target, folder=tmp_path)
    assert (done.returncode, done.stdout.split()[0]) == (2, "error")


def test_a_pipe_that_pauses_is_read_to_its_end(tmp_path: Path) -> None:
    """Standard input that has no bytes yet (non-blocking) is waited for, never taken for its end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with subprocess.Popen([command(), "scan", "-"], stdin=reading, stdout=subprocess.PIPE) as scan:
        os.close(reading)
        for half in (EICAR[:30], EICAR[30:]):
            time.sleep(1)
            os.write(writing, half)
        os.close(writing)
        output, _ = scan.communicate(timeout=60)
    assert (scan.returncode, output.split()[0]) == (1, b"infected")


def test_an_empty_folder_is_said_to_be_one(tmp_path: Path) -> None:
    """Nothing to scan is not silence."""
    done = ostiary("scan", tmp_path, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "0 files\n")


def test_a_folder_that_can_not_be_read_is_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What os.walk can't enter is an error of its own, in the output and in the exit status."""

    def walk(_top: str, onerror: Callable[[OSError], None]) -> Iterator[tuple[str, list[str], list[str]]]:
        onerror(PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "closed")))
        return iter(())

    monkeypatch.setattr(os, "walk", walk)  # root, as which tests may run, enters everything
    (unread,) = _expanded(str(tmp_path))
    assert isinstance(unread, Scanned)
    assert (unread.target, unread.exit_code) == (str(tmp_path / "closed"), 2)


def test_names_are_not_rewritten(tmp_path: Path) -> None:
    """A name that looks like markup or an emoji code comes out as it is, in text and JSON."""
    (tmp_path / "a:key:[b].txt").write_text("harmless")
    for arguments in ((), ("--json",)):
        assert "a:key:[b].txt" in ostiary("scan", *arguments, "a:key:[b].txt", folder=tmp_path).stdout


def test_output_that_nobody_takes_is_no_verdict(tmp_path: Path, files: Path) -> None:
    """A full disk behind standard output is 2, in one line."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(  # noqa: TID251
            [command(), "scan", files / "picture.png"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_a_bug_is_no_verdict(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """What nobody foresaw ends `scan` with 2, whose meaning is "could not", and never with 1."""

    async def broken(*_: object) -> int:
        raise ExceptionGroup("many", [RuntimeError("a bug")])

    monkeypatch.setattr(commands, "scan_targets", broken)
    monkeypatch.setattr(commands, "configure", lambda *_: None)  # and the other tests their logging
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # this process still wants its standard output
    with pytest.raises(SystemExit) as ended:
        commands.cli(["scan", "x"])
    assert ended.value.code == 2
    assert "a bug" in capfd.readouterr().err


def test_closed_standard_descriptors_do_no_harm(files: Path) -> None:
    """Without standard input and error, the verdict is the same."""
    done = subprocess.run(  # noqa: TID251
        ["/bin/sh", "-c", f"{command()} scan {files}/bad.txt <&- 2>&-"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout.split()[0]) == (1, b"infected")


def test_a_folder_waits_for_its_engine(tmp_path: Path) -> None:
    """More files than the script has turns: each waits for its own, and none runs into the deadline."""
    script = tmp_path / "slow.sh"
    script.write_text("#!/bin/sh\nsleep 1\n")
    script.chmod(0o755)
    engines = [{"type": "script", "path": str(script), "concurrency": 1, "timeout": "3s"}]
    many = tmp_path / "many"
    many.mkdir()
    for number in range(5):
        (many / str(number)).write_text("harmless")
    assert ostiary("scan", "-c", config(tmp_path, engines=engines), many, folder=tmp_path).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_scan_that_is_ended_leaves_no_file(tmp_path: Path, files: Path, number: signal.Signals) -> None:
    """Ended by a signal while a script reads its copy: script and copy are gone."""
    script = tmp_path / "slow.sh"
    script.write_text("#!/bin/sh\nsleep 60\n")
    script.chmod(0o755)
    (tmp_path / "temp").mkdir()
    path = config(tmp_path, scan={"script": str(script), "temp_directory": str(tmp_path / "temp")})
    with subprocess.Popen([command(), "scan", "-c", path, files / "picture.png"]) as scan:
        while not list(tmp_path.glob("temp/*/*/media")):
            time.sleep(0.01)
        scan.send_signal(number)
        assert scan.wait(timeout=30) != 0
    assert list((tmp_path / "temp").iterdir()) == []


def test_not_clean_outweighs_could_not_scan(tmp_path: Path, files: Path) -> None:
    """With both, the exit status says that something bad was found."""
    assert ostiary("scan", "missing", files / "bad.txt", folder=tmp_path).returncode == 1


def test_a_file_over_the_limit_is_not_called_clean(tmp_path: Path) -> None:
    """A file, or standard input, beyond scan.max_size is 2."""
    path = config(tmp_path, scan={"max_size": 1000})
    (tmp_path / "large").write_bytes(bytes(1001))
    for target, stdin in (("large", b""), ("-", bytes(1001))):
        done = ostiary("scan", "--config", path, target, folder=tmp_path, stdin=stdin)
        assert (done.returncode, done.stdout.split()[0]) == (2, "unscannable")


def test_a_program_that_calls_itself_a_picture(tmp_path: Path) -> None:
    """The file's name is what it declares."""
    (tmp_path / "cat.jpg").write_bytes(Path("/bin/true").read_bytes())
    done = ostiary("scan", "cat.jpg", folder=tmp_path)
    assert (done.returncode, done.stdout.split()[0]) == (1, "forbidden")


def test_a_hostile_file_name_does_not_reach_the_terminal(tmp_path: Path) -> None:
    """Control characters and broken UTF-8 in a name are shown escaped."""
    name = os.fsencode(tmp_path) + b"/evil\x1b[2J\xff.txt"
    with open(name, "wb") as file:  # noqa: PTH123  (no Path holds this name portably)
        file.write(b"harmless")
    done = ostiary("scan", tmp_path, folder=tmp_path)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout


def test_scan_media_of_the_homeserver(tmp_path: Path, synapse: Synapse, alice: User) -> None:
    """mxc URIs are fetched with the token that is given, and judged alike."""
    path = config(tmp_path, download={"base_homeserver_url": synapse.url})
    good = synapse.upload(alice.token, PICTURE, "image/png", "p.png")
    bad = synapse.upload(alice.token, EICAR, "text/plain", "e.txt")
    (tmp_path / "token").write_text(alice.token + "\n")
    with_file = ostiary("scan", "-c", path, "--access-token-path", "token", good, folder=tmp_path)
    assert (with_file.returncode, with_file.stdout.split()) == (0, ["clean", good])
    with_environment = ostiary(
        "scan", "-c", path, bad, folder=tmp_path, environment={"OSTIARY_ACCESS_TOKEN": alice.token}
    )
    assert with_environment.returncode == 1
    without = ostiary("scan", "-c", path, good, folder=tmp_path)
    assert without.returncode == 2
    assert "M_MISSING_TOKEN" in without.stdout


def test_check_when_all_is_well(tmp_path: Path, synapse: Synapse, clamd: Clamd) -> None:
    """`check` names what it looked at, proves the engine with a bad and a good sample, and exits 0."""
    engines = [{"type": "clamd", "address": clamd.unix_address}, {"type": "yara"}]
    path = config(tmp_path, download={"base_homeserver_url": synapse.url}, engines=engines)
    done = ostiary("check", "--config", path, folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "nothing failed" in done.stdout
    report = json.loads(ostiary("check", "--config", path, "--json", folder=tmp_path).stdout)
    levels = {finding["what"]: finding["level"] for finding in report["findings"]}
    assert levels["engine clamd"] == levels["engine yara"] == levels["homeserver"] == "ok"
    assert not (tmp_path / "secret").exists()


def test_check_names_what_fails(tmp_path: Path) -> None:
    """No homeserver, no clamd, a secret that is none: exit 1 with their names and what to do."""
    (tmp_path / "secret").write_text("not a secret")
    path = config(
        tmp_path,
        download={"base_homeserver_url": "http://127.0.0.1:1"},
        engines=[{"type": "clamd", "address": f"unix:{tmp_path}/none"}],
    )
    done = ostiary("check", "--config", path, folder=tmp_path)
    assert done.returncode == 1
    assert "failed: homeserver, engine clamd, secret" in done.stdout


def test_check_warns_of_what_is_weak(tmp_path: Path, synapse: Synapse) -> None:
    """Built-in rules alone, and a script without a proof, are warnings: exit 0."""
    script = tmp_path / "scan.sh"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    base = {"base_homeserver_url": synapse.url}
    rules = ostiary("check", "-c", config(tmp_path, download=base), folder=tmp_path)
    assert (rules.returncode, "no antivirus" in rules.stdout) == (0, True)
    alone = config(tmp_path, download=base, scan={"script": str(script)})
    scripted = ostiary("check", "-c", alone, folder=tmp_path)
    assert (scripted.returncode, "nothing proves" in scripted.stdout) == (0, True)


def test_check_catches_an_engine_that_finds_nothing(tmp_path: Path, synapse: Synapse) -> None:
    """An engine that calls its known-bad sample clean fails, whatever else it says."""
    blind = tmp_path / "blind.sh"
    blind.write_text("#!/bin/sh\nexit 0\n")
    blind.chmod(0o755)
    (tmp_path / "bad").write_bytes(EICAR)
    (tmp_path / "good").write_bytes(PICTURE)
    proof = {"bad": str(tmp_path / "bad"), "good": str(tmp_path / "good")}
    path = config(
        tmp_path,
        download={"base_homeserver_url": synapse.url},
        engines=[{"type": "script", "path": str(blind), "proof": proof}],
    )
    done = ostiary("check", "--config", path, folder=tmp_path)
    assert done.returncode == 1
    assert "failed: engine script" in done.stdout


@pytest.mark.parametrize("weight", [{"required": False}, {"shadow": True}])
def test_check_only_warns_of_engines_that_decide_nothing(
    tmp_path: Path, synapse: Synapse, weight: dict[str, bool]
) -> None:
    """An engine that may fail is a warning when it does."""
    engines = [{"type": "clamd", "address": f"unix:{tmp_path}/none", **weight}, {"type": "yara"}]
    path = config(tmp_path, download={"base_homeserver_url": synapse.url}, engines=engines)
    done = ostiary("check", "--config", path, folder=tmp_path)
    assert (done.returncode, "warning" in done.stdout) == (0, True)


def test_check_warns_of_a_clamd_that_passes_what_exceeds_its_limits(tmp_path: Path, synapse: Synapse) -> None:
    """Without AlertExceedsMax clamd calls a zip with too many members OK: `check` says so."""
    base = {"base_homeserver_url": synapse.url}
    for alert, warned in (("no", True), ("yes", False)):
        with Clamd(options={"AlertExceedsMax": alert}) as daemon:
            engines = [{"type": "clamd", "address": daemon.unix_address}]
            done = ostiary("check", "-c", config(tmp_path, download=base, engines=engines), folder=tmp_path)
        assert (done.returncode, "AlertExceedsMax" in done.stdout) == (0, warned)


def test_check_does_not_wait_for_ever(tmp_path: Path, synapse: Synapse) -> None:
    """A clamd that hangs is a failure with a name, after a bounded wait."""
    with Clamd() as hung:
        hung.child.send_signal(signal.SIGSTOP)
        engines = [{"type": "clamd", "address": hung.unix_address}]
        path = config(tmp_path, download={"base_homeserver_url": synapse.url}, engines=engines)
        done = ostiary("check", "--config", path, folder=tmp_path)
    assert done.returncode == 1
    assert "no answer within" in done.stdout


def test_check_runs_what_it_can_not_prove(tmp_path: Path, synapse: Synapse) -> None:
    """A script without a #! line fails here already, not at the first request."""
    script = tmp_path / "scan.sh"
    script.write_text("exit 0\n")
    script.chmod(0o755)
    base = {"base_homeserver_url": synapse.url}
    path = config(tmp_path, download=base, scan={"script": str(script)})
    done = ostiary("check", "-c", path, folder=tmp_path)
    assert (done.returncode, "failed: engine script" in done.stdout) == (1, True)


def test_check_names_a_useless_temp_directory(tmp_path: Path) -> None:
    """A configured folder that does not exist fails, and stops the gateway's start."""
    path = config(
        tmp_path,
        scan={"temp_directory": "/nonexistent"},
        download={"base_homeserver_url": "http://127.0.0.1:1"},
    )
    assert "disk" in ostiary("check", "-c", path, folder=tmp_path).stdout.splitlines()[-1]
    done = ostiary("serve", "-c", path, folder=tmp_path)
    assert (done.returncode, "/nonexistent" in done.stderr) == (1, True)


def test_secret(tmp_path: Path) -> None:
    """`secret` writes base64 of 32 bytes for its owner alone, prints the public key, overwrites nothing."""
    done = ostiary("secret", "key", folder=tmp_path)
    key = (tmp_path / "key").read_bytes()
    assert (done.returncode, len(key.strip())) == (0, 44)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert len(done.stdout.strip()) == 43
    again = ostiary("secret", "key", folder=tmp_path)
    assert again.returncode == 1
    assert "exists" in again.stderr
    assert (tmp_path / "key").read_bytes() == key


def test_schema(tmp_path: Path) -> None:
    """`schema` prints a JSON schema that knows the sections."""
    done = ostiary("schema", folder=tmp_path)
    assert {"web", "scan", "engines"} <= json.loads(done.stdout)["properties"].keys()


@pytest.mark.parametrize("arguments", [["scan", "x"], ["check"], ["serve"], []])
def test_a_broken_configuration_is_a_clear_error(tmp_path: Path, arguments: list[str]) -> None:
    """Every command that reads the configuration names the file, the line and the nearest key."""
    (tmp_path / "ostiary.yaml").write_text("web:\n  prot: 8080\n")
    done = ostiary(*arguments, folder=tmp_path)
    assert done.returncode == (2 if "scan" in arguments else 1)
    assert "ostiary.yaml:2" in done.stderr
    assert "port" in done.stderr
    assert "Traceback" not in done.stderr


def test_serving_needs_a_homeserver(tmp_path: Path) -> None:
    """`serve` without a homeserver says which key is missing."""
    done = ostiary("serve", "-c", config(tmp_path), folder=tmp_path)
    assert done.returncode == 1
    assert "download.base_homeserver_url" in done.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["serve"], ["scan"], ["check"], ["secret"], ["migrate"], ["schema"]]
)
def test_help(tmp_path: Path, arguments: list[str]) -> None:
    """Every command explains itself."""
    done = ostiary(*arguments, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert "Usage: ostiary" in done.stdout


def test_version(tmp_path: Path) -> None:
    """`--version` says what this is."""
    assert ostiary("--version", folder=tmp_path).stdout.startswith("ostiary ")
