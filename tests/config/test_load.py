"""Loading: which file counts, whole files of others, secrets, and no exception but ours."""

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ostiary.config import load as loading
from ostiary.config.load import MAX_BYTES, load
from ostiary.config.settings import Settings, effective_engines, inert, known_keys
from ostiary.errors import ConfigError
from tests.config.conftest import Complaining, Loading

CONTRACT_ADDITIONS = {
    "allow", "block", "block_page", "ca_path", "concurrency", "config_file", "content_types",
    "istag_follows_signatures", "loose_signatures", "max_file_size", "max_scan_size", "max_size",
    "name", "preview", "reqmod", "trailing_data", "upload_url",
}  # fmt: skip
"""Keys of engines that are ours; the contract's example does not have them."""


@pytest.fixture
def default_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    """Put the two default files into a folder of the test; neither exists."""
    files = (tmp_path / "ostiary.yaml", tmp_path / "etc" / "ostiary.yaml")
    files[1].parent.mkdir()
    monkeypatch.setattr(loading, "DEFAULT_FILES", files)
    return files


def test_the_file_is_looked_for_in_order(default_files: tuple[Path, Path], tmp_path: Path) -> None:
    """--config, then OSTIARY_CONFIG, then ./ostiary.yaml, then /etc; without any, the defaults."""
    named, from_variable = tmp_path / "named.yaml", tmp_path / "variable.yaml"
    environ = {"OSTIARY_CONFIG": str(from_variable)}
    assert load(None, {}) == Settings()
    for port, file in enumerate([default_files[1], default_files[0], from_variable, named], start=1):
        file.write_text(f"web: {{port: {port}}}")
    assert load(named, environ).web.port == 4
    assert load(None, environ).web.port == 3
    assert load(None, {"OSTIARY_CONFIG": ""}).web.port == 2
    default_files[0].unlink()
    assert load(None, {}).web.port == 1


def test_the_default_files_are_the_documented_ones() -> None:
    """`./ostiary.yaml`, then `/etc/ostiary/ostiary.yaml`."""
    assert [str(file) for file in loading.DEFAULT_FILES] == ["ostiary.yaml", "/etc/ostiary/ostiary.yaml"]


def test_a_named_file_must_be_there(default_files: tuple[Path, Path], tmp_path: Path) -> None:
    """No other file stands in for one that was named."""
    default_files[0].write_text("")
    missing = tmp_path / "missing.yaml"
    for path, environ in ((missing, {}), (None, {"OSTIARY_CONFIG": str(missing)})):
        with pytest.raises(ConfigError, match=r"missing\.yaml: can't be read: No such file"):
            load(path, environ)


@pytest.mark.parametrize("name", ["", "a\0b", "ostiary.yaml/x"])
def test_unreadable_files(tmp_path: Path, name: str) -> None:
    """A folder, a path that can't be: our error, on one line."""
    (tmp_path / "ostiary.yaml").write_text("")
    with pytest.raises(ConfigError, match="can't be read") as raised:
        load(tmp_path / name, {})
    assert "\0" not in str(raised.value)


def test_a_default_file_that_can_not_be_read_is_an_error(default_files: tuple[Path, Path]) -> None:
    """Only a missing one is passed over: rules must not vanish with a permission."""
    default_files[0].mkdir()
    default_files[1].write_text("")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(None, {})


def test_the_file_may_be_a_pipe() -> None:
    """`--config <(make-config)` works."""
    reader, writer = os.pipe()
    os.write(writer, b"web: {port: 5}")
    os.close(writer)
    try:
        assert load(Path(f"/dev/fd/{reader}"), {}).web.port == 5
    finally:
        os.close(reader)


def test_bytes(load_text: Loading, problems: Complaining) -> None:
    """UTF-8 with or without a mark at its start; nothing else, and 1 MiB at most."""
    assert load_text(b"\xef\xbb\xbfweb: {port: 5}").web.port == 5
    assert problems(b"web:\n  host: \xff") == ["ostiary.yaml:2: not UTF-8"]
    assert problems("web: {}".encode("utf-16")) == ["ostiary.yaml:1: not UTF-8"]
    assert problems(b"#" * (MAX_BYTES + 1)) == ["ostiary.yaml: larger than 1MiB"]
    assert load_text(b"#" * MAX_BYTES) == Settings()


@pytest.mark.parametrize("text", ["[web]", "web", "5", "- web: {}"])
def test_a_file_holds_sections(problems: Complaining, text: str) -> None:
    """A list or a text is no configuration."""
    assert problems(text) == ["ostiary.yaml:1: expected sections with keys"]


@pytest.mark.parametrize("text", ["", "~", "# nothing", "---", "web:\nengines:\nlog: null\nproxy:\n"])
def test_nothing_means_the_defaults(load_text: Loading, text: str) -> None:
    """A section whose lines are all commented out is as good as none."""
    assert load_text(text) == Settings()


def test_null_means_the_default(load_text: Loading) -> None:
    """Keys of the legacy file may be null; engines' keys too; null counts only where it says more."""
    settings = load_text(
        "scan: {temp_directory: null, max_size: null, script: null}\nproof: {max_signature_age: null}\n"
        "engines: [{type: yara, rules: null, timeout: null, name: null}]"
    )
    assert settings.scan == Settings().scan
    assert settings.proof.max_signature_age is None
    assert effective_engines(settings) == effective_engines(Settings())


def test_null_does_not_hide_an_unknown_key(problems: Complaining) -> None:
    """An unknown key is unknown whatever its value."""
    found = problems("web: {prot: null}\nwbe: null\nengines: [{type: yara, foo: null}]")
    assert [line.split(": ")[1] for line in found] == ["web.prot", "wbe", "engines[0].foo"]


def test_the_matrix_content_scanners_file_works_unchanged(fixtures: Path) -> None:
    """Every key keeps its meaning; the script decides alone; nothing in it is out of force."""
    settings = load(fixtures / "legacy.yaml", {})
    assert (settings.web.host, settings.web.port) == ("0.0.0.0", 8080)  # noqa: S104
    assert settings.scan.allowed_mimetypes == ("image/jpeg", "image/png")
    assert settings.scan.temp_directory == Path("/temp")
    assert (settings.result_cache.ttl, settings.result_cache.max_file_size) == (604800.0, 10_000_000)
    assert settings.result_cache.exit_codes_to_ignore == (5,)
    assert settings.download.base_homeserver_url == "https://matrix.org"
    assert settings.download.proxy == "http://10.0.0.1:3128"
    assert settings.download.additional_headers == {"user-agent": "matrix-content-scanner"}
    assert settings.crypto.request_secret_path == Path("request_secret")
    (engine,) = effective_engines(settings)
    assert engine.type == "script"
    assert inert(settings) == ()


def test_numbers_are_accepted_for_durations_and_sizes(load_text: Loading) -> None:
    """A numeric ttl, at which the scanner that is replaced crashes, counts seconds."""
    cache = load_text("result_cache: {ttl: 3600, max_file_size: 1000}").result_cache
    assert (cache.ttl, cache.max_file_size) == (3600.0, 1000)


def test_the_contracts_example_loads(fixtures: Path) -> None:
    """A file written for the whole contract loads, and what has no effect yet is named."""
    settings = load(fixtures / "contract.yaml", {})
    assert [engine.name for engine in effective_engines(settings)] == [
        *("clamd", "icap", "yara", "script", "hashlist", "perceptual", "hma", "script-2"),
    ]
    lines = inert(settings)
    assert "media_api.enabled is not in this release and has no effect yet" in lines
    assert not any(
        line.startswith(("web.", "policy.", "limits.", "download.", "metrics.", "log.")) for line in lines
    )


def test_the_contracts_example_has_every_key(fixtures: Path) -> None:
    """The fixture names every key that the settings have, but for our additions: none is forgotten."""
    data = yaml.safe_load((fixtures / "contract.yaml").read_text())
    for section, keys in known_keys().items():
        if section.startswith("engines="):
            written = {key for engine in data["engines"] for key in engine}
            assert set(keys) <= written | CONTRACT_ADDITIONS
        elif section:
            assert set(keys) - set(data[section]) <= {"blocked_mimetypes"}


SECRET = "hunter2-Zq9"
HIDING_PLACES = [
    "crypto: {pickle_key: [%s]}", "crypto: {pickle_key: {%s: x}}", "crypto: {pickle_key: %s, pickle_path: x}",
    'crypto: {pickle_key: "%s\\n"}', "crypto: {pickle_key: !%s x}", "crypto: {pickle_key: *%s }",
    "crypto: {pickle_key: {%s: x, %s: y}}",
    "crypto: {pickle_key: !!binary %s}", "crypto: {pickle_key: {? [%s] : x}}", "crypto: {pickle_key: &%s }}",
    "download: {proxy: 'http://u:%s@h:0'}", "download: {proxy: 'ftp://u:%s@h'}", "download: {proxy: ['%s']}",
    "proxy: http://u:%s@h", "proxy: {proxy: http://u:%s@h, prot: x}",
    "download: {base_homeserver_url: 'http://u:%s@h'}", "download: {base_homeserver_url: 'http://h?token=%s'}",
    "download: {additional_headers: {authorization: Bearer %s}}", "download: {additional_headers: {x: [%s]}}",
    "download: {additional_headers: {'authorization: Bearer %s': x}}",
    'download: {additional_headers: {x: "%s\\n"}}',
    "download: {additional_headers: {x: %s, X: y}}", "download: {additional_headers: 'x: %s'}",
    "result_cache: {redis_url: 'http://:%s@h'}", "ledger: {url: 'mysql://:%s@h'}", "alerts: {webhook_url: 'x://%s'}",
    "synapse: {admin_url: 'http://u:%s@h'}", "tracing: {otlp_endpoint: 'x://%s@h'}",
]  # fmt: skip


@pytest.mark.parametrize("text", HIDING_PLACES)
def test_errors_repeat_no_secret(load_text: Loading, text: str) -> None:
    """Whatever is wrong around a passphrase, a password or a token, the message does not hold it."""
    whole = f"web: {{prot: 1}}\n{text.replace('%s', SECRET)}"
    with pytest.raises(ConfigError) as raised:
        load_text(whole)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    key, _, value = text.replace("%s", SECRET).partition(": ")
    with pytest.raises(ConfigError) as raised:
        load_text("web: {prot: 1}", {f"OSTIARY__{key}": value})
    assert SECRET not in str(raised.value)


LINE = re.compile(r"(?:.*ostiary\.yaml(?::\d+)?|OSTIARY__.*|and \d+ problems more)(?:: .+)?", re.IGNORECASE)


def check(load_text: Loading, text: str, environ: dict[str, str]) -> None:
    """Load: settings, or a ConfigError whose every line has a place and can be printed."""
    try:
        settings = load_text(text, environ)
    except ConfigError as error:
        lines = str(error).split("\n")
        assert all(LINE.fullmatch(line) for line in lines)
        assert all(line.isprintable() for line in lines)
    else:
        assert effective_engines(settings)
        inert(settings)


SCALARS = st.sampled_from(
    [
        "a", "1", "-1", "9" * 60, ".inf", "-.inf", ".nan", "1e400", "1.0e+300", "2001-12-14", "~", "yes",
        '"\\ud800"', '"\\0"', '"\\uffff"', "!!binary aGk=", "!!set {a, b}", "!!timestamp 2001-12-14",
        "!!python/name:os.system x", "5s", "1GiB", "http://h", "unix:/a", "image/*", "block", "clamd", "yara",
        "script", "[]", "{}", "*a", "&a b", "\ud800",
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    sorted({key for keys in known_keys().values() for key in keys} | {"<<", "x", "1", "~", "''"})
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(KEYS, inner), max_size=4).map(
            lambda pairs: f"{{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"
        )
    ),
    max_leaves=8,
)
DOCUMENTS = st.lists(st.tuples(KEYS, VALUES), max_size=5).map(
    lambda pairs: "\n".join(f"{key}: {value}" for key, value in pairs)
)


@given(st.text())
@example("\ud800")
@example("\udcff")
@example("a: &a [*a]")
def test_no_text_raises_anything_but_our_error(load_text: Loading, text: str) -> None:
    """Whatever a file holds: settings, or a ConfigError."""
    check(load_text, text, {})


@given(DOCUMENTS)
@example("engines: [{type: clamd, clamd: {clamd: 1}}]")
@example("engines: [{type: yara, =yara: 1}]")
@example("<<: {web: {port: 5}}")
@example("web: &a {<<: *a}")
def test_no_document_raises_anything_but_our_error(load_text: Loading, text: str) -> None:
    """Known keys with any values in any place, aliases, merges, tags, huge numbers: likewise."""
    check(load_text, text, {})


NAMES = (
    st.text(max_size=8).map("OSTIARY__{}".format)
    | KEYS.map("OSTIARY__{}".format)
    | st.tuples(KEYS, KEYS).map("ostiary__{0[0]}__{0[1]}".format)
)


@given(st.dictionaries(NAMES, VALUES | st.text(), max_size=4))
@example({"OSTIARY__\x1b[31m": "x", "OSTIARY__WEB": "\x1b"})
@example({"OSTIARY__WEB__PORT": "\udcff"})
def test_no_environment_raises_anything_but_our_error(load_text: Loading, environ: dict[str, str]) -> None:
    """Any variables: likewise."""
    check(load_text, "", environ)
