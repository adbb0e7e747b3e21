"""The request secret on disk: made whole or not at all, private, and never another than the first."""

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ostiary import secret_file
from ostiary.config.crypto import CryptoSettings
from ostiary.errors import ConfigError
from ostiary.matrix.envelope import Envelope
from ostiary.matrix.legacy_key import format_pickle
from ostiary.secret_file import (
    PrivateKey,
    existing_legacy_key,
    load_secret,
    make_secret,
    private_key,
    read_private_key,
    read_secret,
    readable_by_others,
    write_secret,
)
from tests.matrix.test_legacy_key import PUBLISHED
from tests.matrix.test_legacy_key import SECRET as LEGACY

SECRET = bytes(range(32))
TEXT = base64.b64encode(SECRET)


def names(folder: Path) -> list[str]:
    """Return what lies in a folder."""
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("text", [TEXT, TEXT + b"\n", b"\n  " + TEXT + b"\r\n\n", TEXT + b" " * 4000])
def test_a_secret_is_read(tmp_path: Path, text: bytes) -> None:
    """Padded base64 of 32 bytes, blanks around it or not."""
    path = tmp_path / "secret"
    path.write_bytes(text)
    assert read_secret(path) == SECRET
    assert load_secret(path) == (SECRET, False)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        TEXT[:-1],
        TEXT[:-4],
        TEXT + TEXT,
        b"-----BEGIN KEY-----\n" + TEXT,
        TEXT + b" # comment",
        base64.b64encode(bytes(31)),
        base64.b64encode(bytes(33)),
        base64.urlsafe_b64encode(b"\xff" * 32),
        b"\xff\xfe" + TEXT,
        bytes(1 << 20),
    ],
)
def test_what_is_no_secret_is_said_and_kept(tmp_path: Path, text: bytes) -> None:
    """A file that holds something else is an error that names it, not its content; it stays as it is."""
    path = tmp_path / "secret"
    path.write_bytes(text)
    for attempt in (read_secret, load_secret):
        with pytest.raises(ConfigError, match="secret") as refused:
            attempt(path)
        assert str(path) in str(refused.value)
        assert TEXT.decode()[:8] not in str(refused.value)
    assert path.read_bytes() == text


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    """The first start makes it: random, 0600, alone in its folder; the second start reads it."""
    path = tmp_path / "secret"
    assert read_secret(path) is None
    secret, made = load_secret(path)
    assert made
    assert len(secret) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_nlink == 1
    assert not readable_by_others(path)
    assert names(tmp_path) == ["secret"]
    assert load_secret(path) == (secret, False)
    assert load_secret(tmp_path / "other")[0] != secret


def test_a_loose_umask_does_not_loosen_it(tmp_path: Path) -> None:
    """The file is private whatever the umask is."""
    before = os.umask(0)
    try:
        load_secret(tmp_path / "secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_an_older_secret_is_never_replaced(tmp_path: Path) -> None:
    """`make_secret` over an existing file is FileExistsError, whatever that file is, and leaves nothing."""
    path = tmp_path / "secret"
    path.write_bytes(b"anything")
    with pytest.raises(FileExistsError):
        make_secret(path)
    assert path.read_bytes() == b"anything"
    assert names(tmp_path) == ["secret"]


def test_two_that_start_together_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second takes the first one's secret, although there was none when it looked."""
    path = tmp_path / "secret"

    def beaten(_: Path) -> bytes:
        path.write_bytes(TEXT)
        raise FileExistsError

    monkeypatch.setattr(secret_file, "make_secret", beaten)
    assert load_secret(path) == (SECRET, False)


def test_many_processes_agree(tmp_path: Path) -> None:
    """Eight processes with no secret end up with one, and exactly one of them made it."""
    path = tmp_path / "secret"
    code = "import sys; from pathlib import Path; from ostiary.secret_file import load_secret\n"
    code += "sys.stdin.read(); secret, made = load_secret(Path(sys.argv[1])); print(secret.hex(), made)"
    command = [sys.executable, "-c", code, str(path)]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(8)]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    results = [process.communicate()[0].split() for process in started]
    assert len({secret for secret, _ in results}) == 1
    assert sorted(made for _, made in results) == ["False"] * 7 + ["True"]
    assert names(tmp_path) == ["secret"]


def test_its_folder_is_made(tmp_path: Path) -> None:
    """At a first start the folder of the secret may be missing; not the one above: that is a typing error."""
    secret, made = load_secret(tmp_path / "ostiary" / "secret")
    assert made
    assert load_secret(tmp_path / "ostiary" / "secret") == (secret, False)


def test_something_in_the_way(tmp_path: Path) -> None:
    """A dangling link where the secret should be is an error: it is neither followed nor replaced."""
    path = tmp_path / "secret"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="in the way"):
        load_secret(path)
    assert names(tmp_path) == ["secret"]


@pytest.mark.parametrize("kind", ["folder", "no folder", "file as folder"])
def test_where_no_secret_can_be(tmp_path: Path, kind: str) -> None:
    """A place that can't hold a secret is an error that names it."""
    path = {
        "folder": tmp_path,
        "no folder": tmp_path / "a" / "b" / "c",
        "file as folder": tmp_path / "f" / "s",
    }[kind]
    (tmp_path / "f").touch()
    with pytest.raises(ConfigError) as refused:
        load_secret(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("step", ["write", "fsync", "link"])
def test_a_disk_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Whatever fails on the way: an error, no half a secret, and no leftovers."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(secret_file, "format_secret", fail) if step == "write" else monkeypatch.setattr(
        os, step, fail
    )
    with pytest.raises(ConfigError, match="No space left"):
        load_secret(tmp_path / "secret")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o620, True)]
)
def test_who_may_read_it(tmp_path: Path, mode: int, expected: bool) -> None:  # noqa: FBT001  (a table)
    """Rights for anybody but the owner are noticed; a missing file has none."""
    path = tmp_path / "secret"
    assert not readable_by_others(path)
    path.write_bytes(TEXT)
    path.chmod(mode)
    assert readable_by_others(path) == expected


def test_a_given_secret_is_written(tmp_path: Path) -> None:
    """What `migrate` converts is written as a new one is: 0600, whole, and never over another."""
    path = tmp_path / "secret"
    write_secret(path, SECRET)
    assert read_secret(path) == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write_secret(path, LEGACY)
    assert read_secret(path) == SECRET


def crypto(folder: Path, **keys: object) -> CryptoSettings:
    """Return settings whose request secret lies, or will lie, in the folder."""
    return CryptoSettings.model_validate({"request_secret_path": folder / "secret", **keys})


def test_the_key_is_made_where_it_is_missing(tmp_path: Path) -> None:
    """Only `private_key` makes one; both read it then, and say whether it is new."""
    settings = crypto(tmp_path)
    assert read_private_key(settings) is None
    assert names(tmp_path) == []
    made = private_key(settings)
    assert (made.path, made.made) == (tmp_path / "secret", True)
    assert private_key(settings) == read_private_key(settings) == PrivateKey(made.secret, made.path)
    assert repr(made.secret) not in repr(made)


def test_replicas_make_no_key(tmp_path: Path) -> None:
    """Where replicas share the work a missing secret is an error that says what to do."""
    settings = crypto(tmp_path)
    for attempt in (private_key, read_private_key):
        with pytest.raises(ConfigError, match=r"ostiary secret .* copy it to every replica") as refused:
            attempt(settings, "result_cache.type: redis")
        assert str(tmp_path / "secret") in str(refused.value)
        assert "result_cache.type: redis" in str(refused.value)
    assert names(tmp_path) == []
    write_secret(tmp_path / "secret", SECRET)
    assert private_key(settings, "result_cache.type: redis").secret == SECRET


@pytest.mark.parametrize("passphrase", [b"secret", b"secret\n", b"secret\r\n"])
def test_a_legacy_key_is_read_as_it_is(tmp_path: Path, passphrase: bytes) -> None:
    """With a pickle, its passphrase in the file or in one of its own; the request secret is not touched."""
    (tmp_path / "pickle").write_bytes(PUBLISHED)
    (tmp_path / "key").write_bytes(passphrase)
    (tmp_path / "secret").write_bytes(TEXT)
    pickle = tmp_path / "pickle"
    expected = PrivateKey(LEGACY, pickle)
    assert private_key(crypto(tmp_path, pickle_path=pickle, pickle_key="secret")) == expected
    assert private_key(crypto(tmp_path, pickle_path=pickle, pickle_key_path=tmp_path / "key")) == expected
    assert private_key(crypto(tmp_path, pickle_path=pickle, pickle_key="secret"), "redis") == expected
    assert pickle.read_bytes() == PUBLISHED


@pytest.mark.parametrize(
    ("content", "passphrase", "words"),
    [
        (PUBLISHED, "hunter2", "the passphrase is not the one"),
        (TEXT, "secret", "this is a request secret"),
        (b"hunter2" * 1000, "secret", "more than 4096 bytes"),
    ],
)
def test_a_legacy_key_of_no_use(tmp_path: Path, content: bytes, passphrase: str, words: str) -> None:
    """No new key is made in its place: an error that names the file, and repeats no secret."""
    path = tmp_path / "pickle"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        private_key(crypto(tmp_path, pickle_path=path, pickle_key=passphrase))
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"{path}: ")
    assert "hunter2" not in str(refused.value)
    assert path.read_bytes() == content
    assert names(tmp_path) == ["pickle"]


def legacy(folder: Path) -> CryptoSettings:
    """Return settings whose legacy key file lies, or will lie, in the folder."""
    return crypto(folder, pickle_path=folder / "pickle", pickle_key="hunter2")


def test_a_missing_legacy_key_is_made(tmp_path: Path) -> None:
    """As its scanner did: one file, 0600, in its format; the first start alone says so, and names the key."""
    settings = legacy(tmp_path)
    assert read_private_key(settings) is None
    assert names(tmp_path) == []
    with capture_logs() as first:
        made = private_key(settings)
    assert (made.path, made.made, len(made.secret)) == (tmp_path / "pickle", True, 32)
    assert names(tmp_path) == ["pickle"]
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert made.path.read_bytes() == format_pickle(made.secret, b"hunter2")
    (line,) = first
    assert (line["log_level"], line["public_key"]) == ("warning", Envelope(made.secret).public_key)
    assert line["event"] == "a NEW key was made, because the legacy key file was not there"
    assert "clients that keep an old public key fail until they fetch the new one" in line["consequence"]
    assert "hunter2" not in str(line)
    with capture_logs() as second:
        again = private_key(settings)
    assert second == []
    assert again == read_private_key(settings) == existing_legacy_key(made.path, settings)
    assert again == PrivateKey(made.secret, made.path)
    (tmp_path / "other").mkdir()
    assert private_key(legacy(tmp_path / "other")).secret != made.secret


def test_migrate_takes_only_a_legacy_key_that_is_there(tmp_path: Path) -> None:
    """Who converts a key means an old one: a missing file is an error for `existing_legacy_key`."""
    with pytest.raises(ConfigError, match=r"the legacy key file is not there: is its folder mounted\?"):
        existing_legacy_key(tmp_path / "pickle", legacy(tmp_path))
    assert names(tmp_path) == []


def test_replicas_make_no_legacy_key(tmp_path: Path) -> None:
    """Each would have its own: an error that names the setting and what to do, and no file."""
    for attempt in (private_key, read_private_key):
        with pytest.raises(
            ConfigError, match=r"with a PostgreSQL ledger\.url all replicas .* remove"
        ) as refused:
            attempt(legacy(tmp_path), "a PostgreSQL ledger.url")
        assert str(refused.value).startswith(f"{tmp_path / 'pickle'}: the legacy key file is missing")
    assert names(tmp_path) == []


@pytest.mark.parametrize("passphrase", [None, b"x" * 5000])
def test_no_legacy_key_without_its_passphrase(tmp_path: Path, passphrase: bytes | None) -> None:
    """A passphrase that can't be read never becomes an empty one that protects a new key."""
    if passphrase is not None:
        (tmp_path / "key").write_bytes(passphrase)
    before = names(tmp_path)
    settings = crypto(tmp_path, pickle_path=tmp_path / "pickle", pickle_key_path=tmp_path / "key")
    for attempt in (private_key, read_private_key):
        with pytest.raises(ConfigError, match="the passphrase of the legacy key file"):
            attempt(settings)
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("step", "cause"),
    [("folder", "no such folder"), ("open", "Read-only file system"), ("link", "Read-only file system")],
)
def test_where_no_legacy_key_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, cause: str
) -> None:
    """A missing mount or a read-only one: an error with each way out, no folder and no leftovers."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    folder = tmp_path / "gone" if step == "folder" else tmp_path
    if step != "folder":
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(ConfigError) as refused, capture_logs() as lines:
        private_key(legacy(folder))
    text = str(refused.value)
    assert text.startswith(f"{folder / 'pickle'}: the legacy key file is not there")
    assert f"a new one can't be made ({cause})" in text
    for way in ("mount the folder", "remove crypto.pickle_path and its passphrase", "`ostiary migrate`"):
        assert way in text
    assert (names(tmp_path), lines) == ([], [])


def test_a_link_in_the_way_of_a_legacy_key(tmp_path: Path) -> None:
    """A dangling link is neither followed nor replaced."""
    (tmp_path / "pickle").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="in the way of the legacy key file"):
        private_key(legacy(tmp_path))
    assert names(tmp_path) == ["pickle"]


def test_processes_agree_on_a_legacy_key(tmp_path: Path) -> None:
    """Of four that start together one makes the file, and all have its key."""
    code = "import sys; from pathlib import Path; from ostiary.secret_file import private_key\n"
    code += "from ostiary.config.crypto import CryptoSettings; sys.stdin.read()\n"
    code += "settings = CryptoSettings(pickle_path=Path(sys.argv[1]), pickle_key='x')\n"
    code += "key = private_key(settings); print(key.secret.hex(), key.made, file=sys.stderr)"
    command = [sys.executable, "-c", code, str(tmp_path / "pickle")]
    pipe = subprocess.PIPE
    gone = subprocess.DEVNULL  # the warning
    started = [subprocess.Popen(command, stdin=pipe, stdout=gone, stderr=pipe, text=True) for _ in range(4)]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    results = [process.communicate()[1].split() for process in started]
    assert len({secret for secret, _ in results}) == 1
    assert sorted(made for _, made in results) == ["False"] * 3 + ["True"]
    assert names(tmp_path) == ["pickle"]


def test_a_passphrase_that_can_not_be_read(tmp_path: Path) -> None:
    """A missing file, a folder, or something far too long: named, not taken for an empty passphrase."""
    (tmp_path / "pickle").write_bytes(PUBLISHED)
    (tmp_path / "long").write_bytes(b"x" * 5000)
    for name, words in (("none", "is not there"), (".", "can't be read"), ("long", "more than 4096 bytes")):
        settings = crypto(tmp_path, pickle_path=tmp_path / "pickle", pickle_key_path=tmp_path / name)
        with pytest.raises(ConfigError, match=f"passphrase of the legacy key file.*|{words}") as refused:
            read_private_key(settings)
        assert words in str(refused.value)
