"""Files of the scanners before us: those of the Python one load as they are, and the table is right."""

from pathlib import Path

import pytest

from ostiary.config import legacy
from ostiary.config.load import load
from ostiary.config.reference import _default
from ostiary.config.settings import Settings, effective_engines, inert, known_keys

PYTHON = ["python.yaml", "python_grown.yaml", "python_minimal.yaml", "python_direct.yaml"]


@pytest.mark.parametrize("name", PYTHON)
def test_the_python_scanners_files_load_unchanged(fixtures: Path, name: str) -> None:
    """`ostiary -c FILE` takes them: every key of theirs has its effect, and the script decides alone."""
    settings = load(fixtures / "legacy" / name, {})
    assert inert(settings) == ()
    assert [engine.type for engine in effective_engines(settings)] == ["script"]


def test_every_key_of_the_sample_keeps_its_meaning(fixtures: Path) -> None:
    """The documented sample file, value for value."""
    settings = load(fixtures / "legacy" / "python.yaml", {})
    assert (settings.web.host, settings.web.port) == ("127.0.0.1", 8080)
    assert (settings.scan.script, settings.scan.temp_directory) == (Path("example.sh"), Path("/tmp"))  # noqa: S108
    assert (settings.scan.removal_command, settings.scan.allowed_mimetypes) == ("srm", ("image/jpeg",))
    cache = settings.result_cache
    assert (cache.exit_codes_to_ignore, cache.max_size) == ((1, 2), 2048)
    assert (cache.ttl, cache.max_file_size) == (86400.0, 100_000_000)
    download = settings.download
    assert (download.base_homeserver_url, download.proxy) == ("https://matrix.org", "http://10.0.0.1:3128")
    assert download.additional_headers == {"user-agent": "matrix-content-scanner"}
    assert download.headers_to_forward == ("Host",)
    assert (settings.crypto.pickle_path, settings.crypto.pickle_key) == (Path("pickle"), "this_is_a_secret")


def test_grown_files_keep_theirs(fixtures: Path) -> None:
    """The other name of `download`, numbers for durations, long spellings, passphrases of several lines."""
    settings = load(fixtures / "legacy" / "python_grown.yaml", {})
    assert settings.scan.allowed_mimetypes is None
    assert settings.scan.blocked_mimetypes is not None
    assert len(settings.scan.blocked_mimetypes) == 4
    assert (settings.result_cache.ttl, settings.result_cache.max_file_size) == (86400.0, 20_000_000)
    assert settings.download.base_homeserver_url == "http://synapse:8008"
    assert settings.download.headers_to_forward == ("X-Forwarded-For", "X-Real-IP", "User-Agent")
    assert settings.crypto.pickle_key == "ein Geheimnis: 'mit # allem' \"und\"\nzwei Zeilen\n"


def test_an_empty_passphrase_is_one(fixtures: Path) -> None:
    """libolm takes it, so a scanner may have used it."""
    assert load(fixtures / "legacy" / "python_direct.yaml", {}).crypto.pickle_key == ""


def test_the_table_leads_to_keys_that_exist() -> None:
    """Whatever a key is renamed to, a path, or a differing default: it is one of ours."""
    ours = {(section, key) for section, keys in known_keys().items() for key in keys}
    assert {*legacy.RENAMED.values(), *legacy.PATHS, *legacy.DEFAULTS} <= ours
    assert not any(path in ours for path in legacy.RENAMED)


def test_the_defaults_named_are_the_defaults() -> None:
    """A note about a default starts with today's."""
    for (section, key), text in legacy.DEFAULTS.items():
        annotation = Settings.model_fields[section].annotation
        assert annotation is not None
        default = _default(annotation.model_fields[key]).strip("`")
        assert text.split(":")[0].split(" ")[0] in {default, default.replace("1m", "60s")}


def test_the_older_scanners_keys_are_documented() -> None:
    """The page on migration names each of them, and what it is called here."""
    page = (Path(__file__).parents[2] / "docs" / "setup" / "migration.md").read_text()
    documented = {path for path in legacy.RENAMED if path[-1] != "do_not_cache_exit_codes"}  # a draft's
    for path in (*documented, legacy.DIRECT, legacy.USER_AGENT, legacy.X_FORWARD):
        name = ".".join(map(str, path))
        assert f"`{name}`" in page or f"`{path[-1]}`" in page, name
    for section, key in legacy.RENAMED.values():
        assert f"`{section}.{key}`" in page


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"server": {}}, True),
        ({"proxy": "http://h"}, True),
        ({"scan": {"baseUrl": "x"}}, True),
        ({"acceptedMimeType": []}, True),
        ({"proxy": {"base_homeserver_url": "x"}}, False),
        ({"scan": {"script": "x"}, "web": {}}, False),
        ({"scan": None}, False),
        ({}, False),
    ],
)
def test_the_two_formats_are_told_apart(data: dict[str, object], expected: bool) -> None:  # noqa: FBT001  (a table)
    """By keys that only the older scanner knew."""
    assert legacy.is_javascript(data) is expected  # type: ignore[arg-type]  # plain values
