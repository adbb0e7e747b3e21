"""The sections' own rules: what each key takes, and what it refuses."""

import importlib
import pkgutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

import ostiary.config
from ostiary.config.section import Section
from ostiary.config.settings import Settings
from tests.config.conftest import Complaining, Loading

WHOLE = {"settings", "translation", "load", "schema", "reference", "draft", "migration"}


def value_of(settings: Settings, key: str) -> Any:  # noqa: ANN401  (any key)
    """Return the value of section.key."""
    section, _, name = key.partition(".")
    return getattr(getattr(settings, section), name)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("web.host", "'::1'", "::1"),
        ("web.port", "0", 0),
        ("web.public_url", "https://matrix.example/", "https://matrix.example"),
        ("scan.allowed_mimetypes", "[IMAGE/Png, image/*, '*/*']", ("image/png", "image/*", "*/*")),
        (
            "scan.blocked_mimetypes",
            "[application/vnd.MS-*, 'text/*script']",
            ("application/vnd.ms-*", "text/*script"),
        ),
        ("scan.allowed_mimetypes", "[]", ()),
        ("scan.blocked_mimetypes", "[application/vnd.oasis.opendocument.text]",
         ("application/vnd.oasis.opendocument.text",)),
        ("scan.error_exit_codes", "[2, 255, 2]", frozenset({2, 255})),
        ("scan.error_exit_codes", "[]", frozenset()),
        ("scan.remove_metadata", "true", True),
        ("scan.max_size", "1", 1),
        ("limits.memory", "8MiB", 8 << 20),
        ("limits.wait", "0", 0.0),
        ("rate_limit.per_user", "1MB", 1_000_000),
        ("proof.max_signature_age", "null", None),
        ("result_cache.exit_codes_to_ignore", "[-9, 1]", (-9, 1)),
        ("result_cache.redis_url", "rediss://:pw@h:1/2", "rediss://:pw@h:1/2"),
        ("result_cache.redis_url", "unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("library.disk", "0", 0),
        ("access.check", "none", "none"),
        ("ledger.url", "postgresql://u:p@db/ostiary", "postgresql://u:p@db/ostiary"),
        ("policy_rooms.rooms", "['!a:b', '#a:b', '!opaque']", ("!a:b", "#a:b", "!opaque")),
        ("log.level", "debug", "debug"),
    ],
)  # fmt: skip
def test_accepted(load_text: Loading, key: str, text: str, value: object) -> None:
    """The bounds' own values are in; texts are brought to one form."""
    section, _, name = key.partition(".")
    assert value_of(load_text(f"{section}: {{{name}: {text}}}"), key) == value


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("web.host", "''", "interface"),
        ("web.host", "'a b'", "interface"),
        ("web.workers", "0", "at least 1"),
        ("scan.script", "''", "expected the path"),
        ("scan.script", "[a]", "expected the path"),
        ("scan.script", '"a\\0b"', "expected the path"),
        ("scan.script", '"\\ud800"', "no file can have this path"),
        ("scan.removal_command", '"a\\nb"', "one line"),
        ("scan.allowed_mimetypes", "[image]", "no media type"),
        ("scan.allowed_mimetypes", "['*']", "no media type"),
        ("scan.allowed_mimetypes", "['image/**']", "no media type"),
        ("scan.allowed_mimetypes", "['application/a**b']", "no media type"),
        ("scan.allowed_mimetypes", "['im*/png']", "no media type"),
        ("scan.allowed_mimetypes", "['application/']", "no media type"),
        ("scan.allowed_mimetypes", "['*/png']", "no media type"),
        ("scan.allowed_mimetypes", "['text/plain; charset=utf-8']", "no media type"),
        ("scan.max_size", "0", "more than 0"),
        ("scan.timeout", "0", "more than 0"),
        ("scan.error_exit_codes", "[0]", "at least 1"),
        ("scan.error_exit_codes", "[256]", "at most 255"),
        ("limits.memory", "8MB", "too little: at least 8MiB"),
        ("limits.idle", "0", "more than 0"),
        ("result_cache.exit_codes_to_ignore", "[256]", "at most 255"),
        ("result_cache.redis_url", "http://h", "expected a URL"),
        ("result_cache.redis_url", "redis:h", "expected a URL"),
        ("ledger.url", "mysql://h", "expected a URL"),
        ("policy_rooms.rooms", "[list]", "expected a room"),
        ("crypto.pickle_path", "x", "needs its passphrase"),
        ("crypto.pickle_key", "x", "a passphrase without a key file"),
        ("crypto.pickle_key", "''", "a passphrase without a key file"),
        ("crypto.pickle_key", "12345", "put it in quotes"),
        ("crypto.pickle_key", '"\\ud800"', "no passphrase can hold"),
        ("crypto.pickle_key_path", "x", "a passphrase without a key file"),
        ("download.allow_direct", "'yes'", "true or false"),
        ("download.max_concurrent", "0", "at least 1"),
    ],
)
def test_refused(problems: Complaining, key: str, text: str, words: str) -> None:
    """What can't be meant is refused, under its key."""
    section, _, name = key.partition(".")
    (problem,) = problems(f"{section}: {{{name}: {text}}}")
    assert f": {key}" in problem
    assert words in problem


def test_types_are_allowed_or_blocked(problems: Complaining) -> None:
    """Both lists at once are refused, where the second stands; even an empty one is a list."""
    text = "scan:\n  allowed_mimetypes: [a/b]\n  blocked_mimetypes: []\n"
    rule = "scan.blocked_mimetypes: scan.allowed_mimetypes is set too: use the one or the other"
    assert problems(text) == [f"ostiary.yaml:3: {rule}"]


@pytest.mark.parametrize("text", ["'12'", "''", '"a\\nb\\n"', "' '", "hunter2", '"\\U0001f600"'])
def test_any_text_is_a_passphrase(load_text: Loading, text: str) -> None:
    """A legacy scanner took any text, so a file that holds one works unchanged."""
    crypto = load_text(f"crypto: {{pickle_path: x, pickle_key: {text}}}").crypto
    assert crypto.pickle_key == yaml.safe_load(text)


def test_a_passphrase_stands_in_one_place(problems: Complaining) -> None:
    """In the configuration or in a file of its own; both is an error, at the second."""
    text = "crypto:\n  pickle_key_path: z\n  pickle_path: x\n  pickle_key: y\n"
    rule = "crypto.pickle_key_path: crypto.pickle_key is set too: use the one or the other"
    assert problems(text) == [f"ostiary.yaml:2: {rule}"]
    (problem,) = problems(f"crypto: {{pickle_path: x, pickle_key: {'hunter2' * 1000}}}")
    assert problem == "ostiary.yaml:1: crypto.pickle_key: longer than 4096 bytes"


def test_nothing_can_be_changed(load_text: Loading) -> None:
    """Settings are frozen, down to the headers."""
    settings = load_text("download: {additional_headers: {a: b}}")
    with pytest.raises(ValueError, match="frozen"):
        settings.web.port = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.download.additional_headers["a"] = "c"  # type: ignore[index]


def test_secrets_are_not_shown(load_text: Loading) -> None:
    """Neither `repr` nor `str` of the settings gives a secret away, so they may be logged."""
    settings = load_text(
        "download: {proxy: 'http://u:hunter2@p', additional_headers: {x-key: hunter2}}\n"
        "crypto: {pickle_path: /x, pickle_key: hunter2}\n"
        "result_cache: {redis_url: 'redis://:hunter2@h'}\n"
        "ledger: {url: 'postgresql://u:hunter2@h/d'}\n"
        "alerts: {webhook_url: 'https://h/hunter2'}\n"
        "tracing: {otlp_endpoint: 'https://u:hunter2@h'}\n"
    )
    assert settings.download.proxy == "http://u:hunter2@p"
    assert "hunter2" not in f"{settings!r}{settings}"


@pytest.mark.parametrize("name", [found.name for found in pkgutil.iter_modules(ostiary.config.__path__)])
def test_every_file_is_importable_alone(name: str) -> None:
    """A part imports its section without the whole: only these files know the settings."""
    code = f"import sys, ostiary.config.{name}; print('ostiary.config.settings' in sys.modules)"
    environ = {"PYTHONPATH": ":".join(sys.path)}
    output = subprocess.check_output([sys.executable, "-c", code], text=True, env=environ)
    assert output.strip() == str(name in WHOLE)


def test_every_section_refuses_unknown_keys() -> None:
    """No section forgets the base's promise."""
    for found in pkgutil.iter_modules(ostiary.config.__path__):
        for value in vars(importlib.import_module(f"ostiary.config.{found.name}")).values():
            if isinstance(value, type) and issubclass(value, Section):
                assert value.model_config["extra"] == "forbid"
                assert value.model_config["frozen"]
