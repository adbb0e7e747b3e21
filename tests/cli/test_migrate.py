"""`ostiary migrate` as an operator runs it: files in, files out, a report, and nothing overwritten."""

import stat
import subprocess
from pathlib import Path

import pytest

from ostiary.config.load import load
from ostiary.matrix.envelope import Envelope, format_secret
from ostiary.secret_file import read_secret
from peers.gateway import Gateway, command
from peers.node import NodePeer
from tests.cli.test_commands import ostiary
from tests.matrix.test_legacy_key import PUBLISHED, SECRET

PUBLIC_KEY = Envelope(SECRET).public_key
OLD = """\
web: {host: 127.0.0.1, port: 8080}
scan: {script: ./scan.sh, temp_directory: /tmp}
download: {base_homeserver_url: http://127.0.0.1:1}
crypto: {pickle_path: ./pickle, pickle_key: secret}
"""
SAMPLES = Path(__file__).parents[1] / "config" / "fixtures" / "legacy"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An old scanner's folder: its configuration, its key file, its script."""
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "pickle").write_bytes(PUBLISHED)
    (tmp_path / "scan.sh").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "scan.sh").chmod(0o755)
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    """Return what lies in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_whole_way(folder: Path) -> None:
    """A new configuration and a request secret with the same public key; the old files stay as they are."""
    before = content(folder)
    done = ostiary("migrate", "old.yaml", "--output", "new.yaml", folder=folder)
    assert (done.returncode, done.stdout) == (0, "")
    after = content(folder)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"new.yaml", "request_secret"}
    assert after["request_secret"] == format_secret(SECRET)
    assert stat.S_IMODE((folder / "request_secret").stat().st_mode) == 0o600
    assert f"public key {PUBLIC_KEY}, as before" in done.stderr
    assert "next: ostiary check --config new.yaml" in done.stderr
    assert load(folder / "new.yaml", {}).crypto.request_secret_path == Path("request_secret")
    check = ostiary("check", "--config", "new.yaml", folder=folder)
    assert f"request_secret (request secret), public key {PUBLIC_KEY}" in check.stdout
    assert check.stdout.splitlines()[-1] == "failed: homeserver"


def test_to_standard_output(folder: Path) -> None:
    """The configuration alone goes there, so that it can be redirected; twice gives the same."""
    first = ostiary("migrate", "old.yaml", folder=folder)
    again = ostiary("migrate", "old.yaml", folder=folder)
    assert (first.returncode, again.returncode) == (0, 0)
    assert first.stdout == again.stdout
    assert first.stdout.startswith("# Ostiary's configuration")
    assert f"request_secret (there already), public key {PUBLIC_KEY}, as before" in again.stderr
    (folder / "new.yaml").write_text(first.stdout)
    assert load(folder / "new.yaml", {}).web.port == 8080


@pytest.mark.peer("node")
def test_libolms_own_key_file(folder: Path) -> None:
    """A key file that the real libolm made: the public key that it names stays the public key."""
    with NodePeer() as node:
        text, public_key = node.pickle("secret")
    (folder / "pickle").write_text(text)
    done = ostiary("migrate", "old.yaml", folder=folder)
    assert f"public key {public_key}, as before" in done.stderr
    secret = read_secret(folder / "request_secret")
    assert secret is not None
    assert Envelope(secret).public_key == public_key


def test_nothing_is_overwritten(folder: Path) -> None:
    """Neither the output, which stops it before anything is written, nor another key."""
    (folder / "new.yaml").touch()
    done = ostiary("migrate", "old.yaml", "-o", "new.yaml", folder=folder)
    assert (done.returncode, done.stderr) == (1, "ostiary: new.yaml exists already: it is left as it is\n")
    assert not (folder / "request_secret").exists()
    other = format_secret(bytes(32))
    (folder / "request_secret").write_bytes(other)
    for options in ([], ["--force"]):
        done = ostiary("migrate", "old.yaml", "-o", "other.yaml", *options, folder=folder)
        assert done.returncode == 1
        assert f"another key is there already (it opens {Envelope(bytes(32)).public_key}" in done.stderr
        assert PUBLIC_KEY in done.stderr
        assert (folder / "request_secret").read_bytes() == other
        assert not (folder / "other.yaml").exists()
    done = ostiary("migrate", "old.yaml", "-o", "other.yaml", "--secret", "mine", folder=folder)
    assert done.returncode == 0
    assert load(folder / "other.yaml", {}).crypto.request_secret_path == Path("mine")


def test_a_missing_key_file_is_said(folder: Path) -> None:
    """What was looked for, what follows, and that nothing was written; who insists starts with a new key."""
    (folder / "pickle").unlink()
    done = ostiary("migrate", "old.yaml", "-o", "new.yaml", folder=folder)
    assert done.returncode == 1
    assert "pickle: the legacy key file is not there" in done.stderr
    assert "clients that keep the old public key fail until they fetch the new one" in done.stderr
    assert "nothing was written: 1 thing is undecided" in done.stderr
    assert set(content(folder)) == {"old.yaml", "scan.sh"}
    done = ostiary("migrate", "old.yaml", "-o", "new.yaml", "--force", folder=folder)
    assert done.returncode == 0
    assert "left out" in done.stderr
    assert "key: request_secret, made at the first start where it is missing" in done.stderr
    assert set(content(folder)) == {"old.yaml", "scan.sh", "new.yaml"}
    done = ostiary("migrate", "old.yaml", "--keep-pickle", folder=folder)
    assert (done.returncode, "pickle: the legacy key file is not there" in done.stderr) == (1, True)
    done = ostiary("migrate", "old.yaml", "--keep-pickle", "--force", folder=folder)
    assert (done.returncode, "key: pickle, made at the first start" in done.stderr) == (0, True)


def test_a_wrong_passphrase_is_said(folder: Path) -> None:
    """Neither the old nor the wrong passphrase is repeated."""
    (folder / "old.yaml").write_text(OLD.replace("pickle_key: secret", "pickle_key: hunter2"))
    done = ostiary("migrate", "old.yaml", folder=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the passphrase is not the one this key file was made with" in done.stderr
    assert "hunter2" not in done.stderr


def test_run_from_another_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Relative paths count from where one stands; a hint leads to `--directory`, which writes them whole."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = ostiary("migrate", folder / "old.yaml", folder=elsewhere)
    assert done.returncode == 1
    assert f"there is one beside the old configuration: --directory {folder}" in done.stderr
    done = ostiary("migrate", folder / "old.yaml", "--directory", folder, "-o", "new.yaml", folder=elsewhere)
    assert done.returncode == 0
    settings = load(elsewhere / "new.yaml", {})
    assert settings.scan.script == folder / "scan.sh"
    assert settings.crypto.request_secret_path == folder / "request_secret"
    assert read_secret(folder / "request_secret") == SECRET
    options: list[str | Path] = ["--directory", folder, "--secret", "mine", "-o", "second.yaml"]
    done = ostiary("migrate", folder / "old.yaml", *options, folder=elsewhere)
    assert load(elsewhere / "second.yaml", {}).crypto.request_secret_path == elsewhere / "mine"


def test_the_old_key_file_may_stay(folder: Path) -> None:
    """`--keep-pickle`: no secret is made; the new file, which holds the passphrase, is the owner's alone."""
    done = ostiary("migrate", "old.yaml", "-o", "new.yaml", "--keep-pickle", folder=folder)
    assert done.returncode == 0
    assert f"key: pickle, read as it is; public key {PUBLIC_KEY}" in done.stderr
    assert stat.S_IMODE((folder / "new.yaml").stat().st_mode) == 0o600
    assert not (folder / "request_secret").exists()
    crypto = load(folder / "new.yaml", {}).crypto
    assert (crypto.pickle_path, crypto.pickle_key) == (Path("pickle"), "secret")
    done = ostiary("migrate", "old.yaml", "--keep-pickle", "--secret", "x", folder=folder)
    assert (done.returncode, "exclude each other" in done.stderr) == (1, True)


def test_an_unknown_key_stops_it(folder: Path) -> None:
    """Named with its line and the nearest right name; `--force` leaves it out and says so in the file."""
    (folder / "old.yaml").write_text(OLD + "result_cache: {max_sise: 5}\n")
    done = ostiary("migrate", "old.yaml", folder=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "line 5    result_cache.max_sise: no scanner documents such a key" in done.stderr
    assert "did you mean result_cache.max_size?" in done.stderr
    assert not (folder / "request_secret").exists()
    done = ostiary("migrate", "old.yaml", "--force", folder=folder)
    assert done.returncode == 0
    assert "# Left out: result_cache.max_sise" in done.stdout


def test_what_would_loosen_the_scan_is_never_left_out(folder: Path) -> None:
    """`--force` does not help where a list of blocked types would be lost."""
    (folder / "old.yaml").write_text(OLD.replace("scan: {", "scan: {blocked_mimetypes: [exe], "))
    done = ostiary("migrate", "old.yaml", "--force", folder=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "undecided, and can't be left out: scan.blocked_mimetypes" in done.stderr


def test_no_homeserver(folder: Path) -> None:
    """A file without one is undecided; `--homeserver` decides."""
    (folder / "old.yaml").write_text("scan: {script: ./scan.sh}\n")
    done = ostiary("migrate", "old.yaml", folder=folder)
    assert done.returncode == 1
    assert "--homeserver URL" in done.stderr
    done = ostiary("migrate", "old.yaml", "--homeserver", "http://synapse:8008", folder=folder)
    assert done.returncode == 0
    assert "base_homeserver_url: 'http://synapse:8008'" in done.stdout
    done = ostiary("migrate", "old.yaml", "--direct", folder=folder)
    assert (done.returncode, "allow_direct: true" in done.stdout) == (0, True)
    done = ostiary("migrate", "old.yaml", "--direct", "--homeserver", "http://h", folder=folder)
    assert (done.returncode, "exclude each other" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("script", "words"), [("gone.sh", "is no executable file"), ("cat", "write its whole path")]
)
def test_a_script_that_can_not_run_is_said(folder: Path, script: str, words: str) -> None:
    """`serve` would not start; a bare name may have meant one that lies in the PATH."""
    (folder / "old.yaml").write_text(OLD.replace("./scan.sh", script))
    done = ostiary("migrate", "old.yaml", folder=folder)
    assert done.returncode == 0
    assert words in done.stderr


@pytest.mark.parametrize("text", ["web: [", "- a", "\xff"])
def test_a_broken_file_is_a_clear_error(folder: Path, text: str) -> None:
    """With its name and line, and no traceback; a missing one too."""
    (folder / "old.yaml").write_bytes(text.encode("latin-1"))
    done = ostiary("migrate", "old.yaml", folder=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ostiary: old.yaml:1: ")
    assert "Traceback" not in done.stderr
    done = ostiary("migrate", "none.yaml", folder=folder)
    assert (done.returncode, done.stderr) == (
        1,
        "ostiary: none.yaml: can't be read: No such file or directory\n",
    )


def test_an_output_that_can_not_be_written(folder: Path) -> None:
    """An error that names it, after which the same command can be run again."""
    done = ostiary("migrate", "old.yaml", "-o", "gone/new.yaml", folder=folder)
    assert done.returncode == 1
    assert "gone/new.yaml: the new configuration can't be written: No such file" in done.stderr
    assert ostiary("migrate", "old.yaml", "-o", "new.yaml", folder=folder).returncode == 0


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.iterdir()))
def test_every_documented_sample(tmp_path: Path, name: str) -> None:
    """Each sample file becomes one that loads, once the operator has decided what it leaves open."""
    options = ["--homeserver", "http://synapse:8008", "--force", "-o", "new.yaml"]
    done = ostiary("migrate", SAMPLES / name, *options, folder=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert load(tmp_path / "new.yaml", {}).download.base_homeserver_url == "http://synapse:8008"


def test_serve_reads_a_legacy_key(folder: Path) -> None:
    """The gateway offers the old public key and makes no secret; so it does after the migration."""
    pickle = {"pickle_path": str(folder / "pickle"), "pickle_key": "secret"}
    with Gateway("http://127.0.0.1:1", {"crypto": pickle}) as gateway:
        assert gateway.get("public_key").json == {"public_key": PUBLIC_KEY}
        assert f"read: {folder / 'pickle'}" in gateway.log
        assert not (gateway.folder / "request_secret").exists()
    assert ostiary("migrate", "old.yaml", folder=folder).returncode == 0
    secret = {"request_secret_path": str(folder / "request_secret")}
    with Gateway("http://127.0.0.1:1", {"crypto": secret}) as gateway:
        assert gateway.get("public_key").json == {"public_key": PUBLIC_KEY}


@pytest.mark.peer("node")
def test_serve_makes_a_legacy_key_that_libolm_reads(tmp_path: Path) -> None:
    """The old sample file on a new installation: it starts, warns, keeps the key; the way back is open."""
    pickle = tmp_path / "pickle"
    config = {"crypto": {"pickle_path": str(pickle), "pickle_key": "this_is_a_secret"}}
    with Gateway("http://127.0.0.1:1", config) as gateway:
        public_key = gateway.get("public_key").json["public_key"]
        assert "a NEW key was made" in gateway.log
        assert f"made: {pickle}" in gateway.log
        assert gateway.log.count(public_key) == 2
        assert "this_is_a_secret" not in gateway.log
    with Gateway("http://127.0.0.1:1", config) as gateway:
        assert gateway.get("public_key").json == {"public_key": public_key}
        assert f"read: {pickle}" in gateway.log
        assert not (gateway.folder / "request_secret").exists()
    assert stat.S_IMODE(pickle.stat().st_mode) == 0o600
    with NodePeer() as node:
        assert node.unpickle(pickle.read_text(), "this_is_a_secret") == public_key


@pytest.mark.parametrize("extra", ["result_cache: {type: redis}", "ledger: {url: 'postgresql://h/d'}"])
def test_replicas_need_their_secret_first(folder: Path, extra: str) -> None:
    """With Redis or PostgreSQL a missing secret stops `serve` and fails `check`, and both say what to do."""
    (folder / "new.yaml").write_text(
        "download: {base_homeserver_url: 'http://127.0.0.1:1'}\n"
        f"crypto: {{request_secret_path: mine}}\n{extra}\n"
    )
    done = ostiary("serve", "-c", "new.yaml", folder=folder)
    assert done.returncode == 1
    assert "(ostiary secret mine) and copy it to every replica" in done.stderr
    check = ostiary("check", "-c", "new.yaml", folder=folder)
    assert "failed   secret" in check.stdout
    assert not (folder / "mine").exists()
    (folder / "pickle").unlink()
    (folder / "old.yaml").write_text(f"{OLD}{extra}\n")
    done = ostiary("serve", "-c", "old.yaml", folder=folder)
    assert (done.returncode, "pickle: the legacy key file is missing" in done.stderr) == (1, True)
    assert "failed   secret" in ostiary("check", "-c", "old.yaml", folder=folder).stdout
    assert not (folder / "pickle").exists()


def test_check_looks_at_a_legacy_key(folder: Path) -> None:
    """Its public key, its rights, and what is wrong with it."""
    (folder / "pickle").chmod(0o600)
    check = ostiary("check", "-c", "old.yaml", folder=folder)
    assert f"pickle (legacy key file), public key {PUBLIC_KEY}" in check.stdout
    (folder / "pickle").chmod(0o644)
    check = ostiary("check", "-c", "old.yaml", folder=folder)
    assert "pickle can be read by others than its owner" in check.stdout
    (folder / "pickle").unlink()
    check = ostiary("check", "-c", "old.yaml", folder=folder)
    assert "warning  secret          pickle (legacy key file) is not there" in check.stdout
    assert "a new key will be made at the first start" in check.stdout
    assert "clients that keep an old public key fail until they fetch the new one" in check.stdout
    assert not (folder / "pickle").exists()
    (folder / "pickle").symlink_to("nowhere")
    check = ostiary("check", "-c", "old.yaml", folder=folder)
    assert "failed   secret" in check.stdout
    assert "a link to nowhere" in check.stdout
    (folder / "old.yaml").write_text(OLD.replace("./pickle", "gone/pickle"))
    for command_name in ("check", "serve"):
        done = ostiary(command_name, "-c", "old.yaml", folder=folder)
        assert done.returncode == 1
        assert "mount the folder of the old key file" in done.stdout + done.stderr
    assert not (folder / "gone").exists()


def test_nothing_steers_the_terminal(folder: Path) -> None:
    """Control characters in keys and paths are shown, not sent."""
    (folder / "old.yaml").write_text(OLD.replace("./scan.sh", '"./\\e[2J"') + '"\\e[31mkey": 1\n')
    done = ostiary("migrate", "old.yaml", "--force", folder=folder)
    assert done.returncode == 0
    assert "\x1b" not in done.stderr + done.stdout
    assert "\\x1b[2J is no executable file here" in done.stderr
    assert "\\x1b[31mkey: no scanner documents such a key" in done.stderr


def test_a_reader_that_goes_away(folder: Path) -> None:
    """Under `| head` or on a full disk: an error, no traceback, and the same command can be run again."""
    command_line = [str(command()), "migrate", "old.yaml"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command_line, cwd=folder, stdout=full, stderr=subprocess.PIPE, check=False)  # noqa: TID251  (no event loop here)
    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr
    assert ostiary("migrate", "old.yaml", folder=folder).returncode == 0
