"""`migrate`, the pure part: what becomes of every key, what is never left out, and no secret repeated."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.config import legacy
from ostiary.config.draft import MAX_UNKNOWN, Change
from ostiary.config.load import load, read_layer
from ostiary.config.migration import Migration, migrate
from ostiary.config.settings import Settings, inert, known_keys
from ostiary.config.translation import Choices
from ostiary.errors import ConfigError
from tests.config.conftest import Loading
from tests.config.test_load import HIDING_PLACES, SECRET

SAMPLES = sorted(path.name for path in (Path(__file__).parent / "fixtures" / "legacy").iterdir())
UNDECIDED = {"python_direct.yaml", "javascript_origin.yaml"}
HERE = Path(__file__).parent / "fixtures" / "legacy"

NO_TYPE = "image/jpg is no registered type and never detected"
NO_PASSPHRASE = "a request secret has no passphrase, its mode (0600) guards it"

Migrating = Callable[..., Migration]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Migrating:
    """Return a function that migrates a text, written to a file."""
    file = tmp_path_factory.mktemp("migration") / "old.yaml"

    def migrating(text: str, **choices: object) -> Migration:
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        return migrate(read_layer(file), Choices(**choices))  # type: ignore[arg-type]  # any of its fields

    return migrating


def lines(migration: Migration, change: Change) -> list[str]:
    """Return the notes of one kind as `line: text`, or the text alone."""
    found = [note for note in migration.notes if note.change is change]
    return [f"{note.line}: {note.text}" if note.line else note.text for note in found]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_gives_a_file_that_loads(load_text: Loading, name: str) -> None:
    """For each documented sample: what was checked is what the new text means."""
    migration = migrate(read_layer(HERE / name), Choices())
    assert load_text(migration.text) == migration.settings
    assert bool(lines(migration, Change.UNDECIDED)) == (name in UNDECIDED)
    assert migration.javascript == name.startswith("javascript")


@pytest.mark.parametrize(
    "name", [name for name in SAMPLES if name.startswith("python") and "draft" not in name]
)
@pytest.mark.parametrize("keep", [True, False])
def test_the_python_scanners_file_keeps_its_meaning(name: str, keep: bool) -> None:  # noqa: FBT001  (a table)
    """The new file means what the old one means here, but for the key file that is converted."""
    old = load(HERE / name, {}).model_dump()
    new = migrate(read_layer(HERE / name), Choices(keep_pickle=keep)).settings.model_dump()
    if not keep:
        del old["crypto"], new["crypto"]
    assert new == old


def test_the_older_scanners_file(load_text: Loading) -> None:
    """Every key of the JavaScript scanner's default file, with what it leaves commented out."""
    migration = migrate(read_layer(HERE / "javascript.yaml"), Choices())
    settings = load_text(migration.text)
    assert (settings.web.host, settings.web.port, settings.metrics.port) == ("::1", 9000, 9001)
    assert (settings.scan.script, settings.scan.temp_directory) == (Path("example.sh"), Path("/tmp"))  # noqa: S108
    assert settings.scan.removal_command == "srm"
    assert settings.scan.allowed_mimetypes == ("image/jpeg", "image/jpg", "image/png")
    assert settings.result_cache.exit_codes_to_ignore == (1, 2)
    assert settings.download.base_homeserver_url == "https://matrix.org"
    assert settings.download.proxy == "http://10.228.1.1:80"
    assert settings.download.additional_headers == {"user-agent": "matrix-content-scanner"}
    assert settings.download.headers_to_forward == ("x-forwarded-for",)
    assert settings.crypto.request_secret_path == Path("request_secret")
    assert settings.crypto.pickle_path is None
    assert migration.pickle is not None
    assert migration.pickle.pickle_path == Path("av_pickled_decryption.key")
    assert migration.pickle.pickle_key == "some_random_secret"
    assert not migration.private


def test_the_report_has_a_line_a_key() -> None:
    """Each key of the old file once, in its order, with its line; then what the file does not say."""
    migration = migrate(read_layer(HERE / "javascript.yaml"), Choices())
    assert [(note.change.value, note.line, note.text) for note in migration.notes if note.line] == [
        ("renamed", 3, "server.port -> web.port: 9000"),
        ("renamed", 4, "server.host -> web.host: ::1"),
        ("kept", 7, "scan.script: ./example.sh"),
        ("renamed", 8, "scan.doNotCacheExitCodes -> result_cache.exit_codes_to_ignore: [1, 2]"),
        ("renamed", 11, "scan.tempDirectory -> scan.temp_directory: /tmp"),
        ("renamed", 12, "scan.baseUrl -> download.base_homeserver_url: https://matrix.org"),
        ("dropped", 13, "scan.directDownload: Ostiary asks the one homeserver"),
        ("renamed", 15, "altRemovalCmd -> scan.removal_command: srm"),
        ("renamed", 17, "proxy -> download.proxy"),
        ("renamed", 19, "requestHeader -> download.headers_to_forward: [x-forwarded-for]"),
        ("renamed", 20, "requestHeader.userAgent -> download.additional_headers"),
        ("dropped", 25, f"middleware.encryptedBody.pickleKey: {NO_PASSPHRASE}"),
        ("renamed", 26, "middleware.encryptedBody.picklePath -> crypto.request_secret_path: request_secret"),
        ("renamed", 28, "acceptedMimeType -> scan.allowed_mimetypes: [image/jpeg, image/jpg, image/png]"),
        ("attention", 28, f"acceptedMimeType: {NO_TYPE}; image/jpeg is listed too: remove it"),
    ]  # fmt: skip
    defaults = " ".join(lines(migration, Change.DEFAULT))
    assert "scan.max_size is 100MB" in defaults
    assert "web.port" not in defaults
    assert lines(migration, Change.ADDED) == [
        "metrics.port: 9001, since the API keeps 9000, where metrics are by default"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acceptedMimeType: [image/JPG]", [f"1: acceptedMimeType: {NO_TYPE}; write image/jpeg"]),
        (
            "scan:\n  blocked_mimetypes: [image/jpg, image/jpg]",
            [f"2: scan.blocked_mimetypes: {NO_TYPE}; write image/jpeg"],
        ),
        ("acceptedMimeType: [image/jpeg, image/*]", []),
        ("acceptedMimeType: []", []),
    ],
)
def test_a_type_that_is_never_detected(migrated: Migrating, text: str, expected: list[str]) -> None:
    """It is kept, since the old scanner took it too, with a line that says what is meant."""
    found = lines(migrated(text, homeserver="http://h"), Change.ATTENTION)
    assert [line for line in found if "never detected" in line] == expected


def test_the_new_file_says_what_was_what(migrated: Migrating) -> None:
    """Remarks name the old keys; values are written as ours; nothing else is in it."""
    migration = migrated(
        'server: {port: 8008}\nresult_cache: {ttl: 1 week, max_file_size: 1048576}\nscan: {baseUrl: "http://h"}'
    )
    assert migration.text.partition("\n\n")[2] == (
        "web:\n  port: 8008  # was server.port\n\n"
        "result_cache:\n  ttl: 1w  # was 1 week\n  max_file_size: 1MiB  # was 1048576\n\n"
        "download:\n  base_homeserver_url: 'http://h'  # was scan.baseUrl\n"
    )
    assert "2: result_cache.ttl: 1 week -> 1w" in lines(migration, Change.CONVERTED)


NO_KEY = "no scanner documents such a key, and Ostiary has none"
TWO_LISTS = "scan:\n  allowed_mimetypes: [a/b]\n  blocked_mimetypes: [a/c]"
TWICE = "acceptedMimeType: [a/b]\nscan: {allowed_mimetypes: [a/c]}"
TOKEN = "download: {additional_headers: {Authorization: Bearer hunter2}}"
PASSPHRASE = "middleware: {encryptedBody: {pickleKey: hunter2}}"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("scan: {baseURL: http://h}", "1: scan.baseURL", f"{NO_KEY}: did you mean scan.baseUrl?"),
        ("frobnicate: {hunter2: x}", "1: frobnicate", f"{NO_KEY}: correct it or remove it"),
        ("requestHeader: {accept: x}", "1: requestHeader.accept", NO_KEY),
        ("server: 5", "1: server", "expected a section with keys"),
        ("middleware: {encryptedBody: x}", "1: middleware.encryptedBody", "expected a section with keys"),
        ("server: {port: x}", "1: server.port (now web.port)", "expected a whole number"),
        (
            "server: {port: 1}\nweb: {port: 2}",
            "2: web.port",
            "is set by server.port too, in line 1: keep one",
        ),
        ("scan: {directDownload: 5}", "1: scan.directDownload", "expected true or false"),
        (TOKEN, "1: download.additional_headers", "authorization would replace the caller's own token"),
        ("proxy: 'u:hunter2@h'", "1: proxy (now download.proxy)", "expected a URL"),
        ("crypto: {pickle_path: x}", "1: crypto.pickle_path", "needs its passphrase"),
        (PASSPHRASE, "1: middleware.encryptedBody.pickleKey (now crypto.pickle_key)", "without a key file"),
        ("requestHeader: {userAgent: 5}", "1: requestHeader.userAgent", "put it in quotes"),
        ("requestHeader: {xForward: [x]}", "1: requestHeader (now", "expected a text"),
    ],
)
def test_what_is_undecided(migrated: Migrating, text: str, key: str, words: str) -> None:
    """What has no safe meaning is named with its line, and left out with a word about it."""
    migration = migrated(text, homeserver="http://h")
    (said,) = lines(migration, Change.UNDECIDED)
    assert said.startswith(key)
    assert words in said
    assert f"# Left out: {said.partition(': ')[2]}\n" in migration.text
    assert not any(note.final for note in migration.notes)
    assert "hunter2" not in f"{migration.text}{migration.notes}"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (
            "acceptedMimeType: image/png",
            "1: acceptedMimeType (now scan.allowed_mimetypes)",
            "expected a list",
        ),
        ("scan: {blocked_mimetypes: [x]}", "1: scan.blocked_mimetypes", '"x" is no media type'),
        (TWO_LISTS, "3: scan.blocked_mimetypes", "scan.allowed_mimetypes is set too"),
        (TWICE, "2: scan.allowed_mimetypes", "is set by acceptedMimeType too, in line 1: keep one"),
        ("scan: {script: [a]}", "1: scan.script", "expected the path"),
        ("engines: []", "1: engines", "the list is empty"),
        ("engines: [{type: clamd, address: 5}]", "1: engines[0].address", "expected"),
    ],
)
def test_what_is_never_left_out(migrated: Migrating, text: str, key: str, words: str) -> None:
    """Without its script, engines or lists of types a file would let more pass: nobody can insist."""
    migration = migrated(text, homeserver="http://h")
    (said,) = lines(migration, Change.UNDECIDED)
    assert said.startswith(key)
    assert words in said
    assert any(note.final for note in migration.notes)


def test_a_file_without_a_homeserver(migrated: Migrating) -> None:
    """The old scanners then asked the server that a URI names; whom to ask here, somebody must say."""
    text = "scan: {directDownload: true, baseUrl: http://base}"
    assert "1: scan.directDownload" in lines(migrated(text), Change.UNDECIDED)[0]
    assert migrated(text).settings.download.base_homeserver_url == "http://base"
    decided = migrated(text, homeserver="http://other/")
    assert lines(decided, Change.UNDECIDED) == []
    assert decided.settings.download.base_homeserver_url == "http://other"
    assert lines(decided, Change.DROPPED) == [
        "1: scan.baseUrl: --homeserver replaces it",
        "1: scan.directDownload: Ostiary asks the one homeserver",
    ]
    assert lines(decided, Change.ADDED) == ["--homeserver -> download.base_homeserver_url: http://other/"]
    assert lines(migrated("web: {}"), Change.UNDECIDED)[0].startswith("no homeserver is named")
    assert lines(migrated("download: {allow_direct: true}"), Change.UNDECIDED) == []
    (bad,) = [note for note in migrated("web: {}", homeserver="x").notes if note.final]
    assert bad.text == "--homeserver: expected a URL: http://... or https://..."


def test_direct_mode_is_chosen_knowingly(migrated: Migrating) -> None:
    """`--direct` keeps asking the servers that URIs name, without the tokens that the old scanners sent."""
    migration = migrated("scan: {directDownload: true, baseUrl: http://base}", direct=True)
    assert lines(migration, Change.UNDECIDED) == []
    download = migration.settings.download
    assert (download.base_homeserver_url, download.allow_direct) == (None, True)
    assert lines(migration, Change.DROPPED) == [
        "1: scan.baseUrl: --direct replaces it",
        "1: scan.directDownload: true is download.allow_direct",
    ]
    assert lines(migration, Change.ADDED) == ["--direct -> download.allow_direct: true"]


def test_headers_of_the_client(migrated: Migrating) -> None:
    """`origin` becomes a forwarded header; what is not quite the same is said."""
    migration = migrated(
        "requestHeader:\n  userAgent: origin\n  xForward: origin\nscan: {baseUrl: 'http://h'}"
    )
    assert migration.settings.download.headers_to_forward == ("user-agent", "x-forwarded-for")
    assert "3: requestHeader.xForward: the X-Forwarded-For of" in lines(migration, Change.ATTENTION)[0]
    migration = migrated("requestHeader: {xForward: X-Real-IP}")
    assert migration.settings.download.headers_to_forward == ("X-Real-IP",)
    assert "under its own name" in lines(migration, Change.ATTENTION)[0]
    assert migrated("requestHeader: {userAgent: null, xForward:}").settings == Settings()


CRYPTO = "crypto: {pickle_path: keys/old, pickle_key: hunter2}"


@pytest.mark.parametrize(
    ("text", "choices", "secret", "pickle"),
    [
        (CRYPTO, {}, "keys/request_secret", "keys/old"),
        (CRYPTO, {"secret_path": Path("/s")}, "/s", "keys/old"),
        (CRYPTO, {"directory": Path("/data")}, "/data/keys/request_secret", "/data/keys/old"),
        (
            CRYPTO.replace("keys/old", "/k/request_secret"),
            {},
            "/k/ostiary_request_secret",
            "/k/request_secret",
        ),
        (CRYPTO.replace("{", "{request_secret_path: mine, "), {}, "mine", "keys/old"),
        (CRYPTO.replace("{", "{request_secret_path: mine, "), {"secret_path": Path("s")}, "s", "keys/old"),
        ("crypto: {request_secret_path: mine}", {}, "mine", None),
        ("crypto: {request_secret_path: mine}", {"secret_path": Path("s")}, "s", None),
        ("web: {}", {"secret_path": Path("s")}, "s", None),
        ("web: {}", {}, "/etc/ostiary/request_secret", None),
    ],
)
def test_where_the_key_goes(
    migrated: Migrating, text: str, choices: dict[str, Path], secret: str, pickle: str | None
) -> None:
    """Where `--secret` says, or where the file says, or beside the old key; the passphrase goes nowhere."""
    migration = migrated(text, **choices)
    assert str(migration.settings.crypto.request_secret_path) == secret
    crypto = migration.settings.crypto
    assert (crypto.pickle_path, crypto.pickle_key) == (None, None)
    assert (str(migration.pickle.pickle_path) if migration.pickle else None) == pickle
    assert "hunter2" not in f"{migration!r}{migration.text}"
    assert not migration.private


def test_a_kept_key_file(migrated: Migrating) -> None:
    """`--keep-pickle` leaves path and passphrase in the new file, which is then private."""
    migration = migrated(CRYPTO, keep_pickle=True)
    crypto = migration.settings.crypto
    assert (crypto.pickle_path, crypto.pickle_key, migration.pickle) == (Path("keys/old"), "hunter2", None)
    assert migration.private
    assert "hunter2" in migration.text
    assert "hunter2" not in f"{migration!r}"


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("download: {proxy: 'http://h'}", False),
        ("download: {proxy: 'http://u:p@h'}", True),
        ("download: {additional_headers: {User-Agent: x}}", False),
        ("download: {additional_headers: {user-agent: x, x-key: y}}", True),
        ("result_cache: {redis_url: 'redis://h'}", True),
        ("scan: {script: x}", False),
    ],
)
def test_which_files_are_private(migrated: Migrating, text: str, private: bool) -> None:  # noqa: FBT001  (a table)
    """Whatever no `repr` shows may be a secret; the exceptions are those of every sample file."""
    assert migrated(text).private is private


def test_relative_paths_count_from_where_the_old_scanner_started(migrated: Migrating) -> None:
    """As they are, since Ostiary counts so too; or whole, where the operator says from where."""
    text = "scan: {script: ./s.sh, tempDirectory: /tmp, baseUrl: 'http://h'}"
    assert migrated(text).settings.scan.script == Path("s.sh")
    moved = migrated(text, directory=Path("/data"))
    assert moved.settings.scan.script == Path("/data/s.sh")
    assert lines(moved, Change.CONVERTED) == ["1: scan.script: ./s.sh -> /data/s.sh"]


def test_what_an_operator_should_look_at(migrated: Migrating) -> None:
    """A command line is no program, and a file without a script is guarded by the built-in rules alone."""
    assert "without a shell" in " ".join(lines(migrated("scan: {script: clamdscan -v}"), Change.ATTENTION))
    assert "no antivirus" in " ".join(lines(migrated("web: {}"), Change.ATTENTION))
    assert "no antivirus" not in " ".join(lines(migrated("engines: [{type: yara}]"), Change.ATTENTION))
    migration = migrated("altRemovalCmd: srm\nmedia_api: {enabled: true}")
    assert set(inert(migration.settings)) <= set(lines(migration, Change.ATTENTION))


def test_a_migrated_file_migrates_to_itself(migrated: Migrating) -> None:
    """Whoever runs it twice, or over a file that is ours already, loses nothing."""
    text = "engines: [{type: yara}]\nproof: {max_signature_age: null}\ndownload: {timeout: 5}\n"
    first = migrated(text, homeserver="http://h")
    again = migrated(first.text)
    assert (again.settings, again.text.partition("\n\n")[2]) == (
        first.settings,
        first.text.partition("\n\n")[2],
    )
    assert first.settings.proof.max_signature_age is None


def test_the_ports_do_not_meet(migrated: Migrating) -> None:
    """The API keeps its port and the metrics go elsewhere, unless somebody said where they are."""
    assert migrated("web: {port: 9000}").settings.metrics.port == 9001
    assert migrated("web: {port: 9000}\nmetrics: {port: 9000}").settings.metrics.port == 9000
    assert migrated("web: {port: 0}").settings.metrics.port == 9000
    assert migrated("web: {port: 65535}\nmetrics: {port: null}").settings.metrics.port == 9000


def test_many_unknown_keys_are_counted(migrated: Migrating) -> None:
    """A file that is something else altogether gives a short report, at once."""
    migration = migrated("\n".join(f"k{number}: 1" for number in range(9000)))
    undecided = lines(migration, Change.UNDECIDED)
    assert len(undecided) == MAX_UNKNOWN + 2
    assert f"and {9000 - MAX_UNKNOWN} unknown keys more" in undecided


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "expected sections"),
        ("web: [", "not YAML"),
        ("web: {}\nweb: {}", "set twice"),
        ("a: *b", "not YAML"),
    ],
)
def test_a_broken_file_is_an_error(migrated: Migrating, text: str, message: str) -> None:
    """What is no YAML of ours is not guessed at; the message names file and line."""
    with pytest.raises(ConfigError, match=rf"old\.yaml:\d: .*{message}"):
        migrated(text)


@pytest.mark.parametrize("text", HIDING_PLACES)
def test_no_note_repeats_a_secret(migrated: Migrating, text: str) -> None:
    """Whatever is wrong around a passphrase, a password or a token: neither report nor error holds it."""
    try:
        migration = migrated(text.replace("%s", SECRET))
    except ConfigError as error:
        assert SECRET not in str(error)  # noqa: PT017  (either may happen)
    else:
        assert SECRET not in f"{migration!r}"


OLD_KEYS = sorted({str(part) for path in legacy.RENAMED for part in path})
OWN_KEYS = sorted({key for keys in known_keys().values() for key in keys})
KEYS = st.sampled_from(
    OLD_KEYS + OWN_KEYS + ["directDownload", "requestHeader", "userAgent", "xForward", "x", "<<"]
)
SCALARS = st.sampled_from(
    ["a", "1", "-1", "9000", "origin", "true", "~", ".inf", "1.5", "1 week", "20MB", "'20 apes'", "image/png",
     "http://h", "/p", "./p", "''", '"\\0"', '"\\ud800"', '"\\udcff"', '"\\U0001f600"', '"a\\nb"',
     "2001-12-14", "!!binary aGk=", "1e400", "'# x'", "yara", "[]", "{}", "block"]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(KEYS, inner, max_size=4).map(
            lambda pairs: f"{{{', '.join(f'{key}: {value}' for key, value in pairs.items())}}}"
        )
    ),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=6).map(
    lambda pairs: "\n".join(f"{key}: {value}" for key, value in pairs.items())
)
PATHS = [
    *(
        tuple(map(str, path))
        for path in (*legacy.RENAMED, legacy.DIRECT, legacy.USER_AGENT, legacy.X_FORWARD)
    ),
    *(
        (section, key)
        for section, keys in known_keys().items()
        if section and "=" not in section
        for key in keys
    ),
    ("engines",),
]


def nested(pairs: dict[tuple[str, ...], str]) -> str:
    """Return a document with these values at these places."""
    tree: dict[str, Any] = {}
    for path, value in pairs.items():
        around = tree
        for part in path[:-1]:
            around = around.setdefault(part, {}) if isinstance(around.get(part, {}), dict) else {}
        around[path[-1]] = value
    return "\n".join(f"{key}: {flow(value)}" for key, value in tree.items())


def flow(value: Any) -> str:  # noqa: ANN401  (a tree of texts)
    """Return a tree of YAML texts as one."""
    if not isinstance(value, dict):
        return str(value)
    return f"{{{', '.join(f'{key}: {flow(inner)}' for key, inner in value.items())}}}"


REALISTIC = st.dictionaries(st.sampled_from(PATHS), VALUES, max_size=8).map(nested)
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "homeserver": st.sampled_from(["http://h", "x", "\ud800"]),
        "direct": st.booleans(),
        "secret_path": st.sampled_from([Path("s"), Path("/s/\udcff")]),
        "directory": st.sampled_from([Path("/d"), Path("/d/\udcff")]),
        "keep_pickle": st.booleans(),
    },
)


@given(DOCUMENTS | REALISTIC, CHOICES)
@example("middleware: {encryptedBody: {picklePath: /, pickleKey: x}}", {})
@example("middleware: {encryptedBody: {picklePath: .., pickleKey: x}}", {"directory": Path("/")})
@example("engines: [{type: yara, name: a}, {type: yara, name: a}]\nscan: {max_size: 8PiB}", {})
@example("requestHeader: {userAgent: origin, xForward: User-Agent}", {})
@example("result_cache: {ttl: 0.000001, max_file_size: 0}", {})
@example("limits: {disk: 0}\nscan: {allowed_mimetypes: [], blocked_mimetypes: []}", {})
def test_any_file_gives_a_configuration_or_our_error(
    migrated: Migrating, load_text: Loading, text: str, choices: dict[str, object]
) -> None:
    """Known keys of all formats with any values: a text that loads as what was checked, or a ConfigError."""
    try:
        migration = migrated(text, **choices)
    except ConfigError as error:
        assert all(line.isprintable() for line in str(error).splitlines())  # noqa: PT017  (either may happen)
        return
    assert load_text(migration.text) == migration.settings
    assert all(note.text.isprintable() for note in migration.notes)
    assert migration.text.isascii()


@given(st.text())
@example("\ud800")
def test_no_text_raises_anything_but_our_error(migrated: Migrating, text: str) -> None:
    """Whatever a file holds."""
    with suppress(ConfigError):
        migrated(text)
