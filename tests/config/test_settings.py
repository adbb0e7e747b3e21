"""The whole: defaults, rules between sections, and what is set without effect."""

from pathlib import Path

import pytest

from ostiary.config.section import NotYet
from ostiary.config.settings import Settings, effective_engines, inert, known_keys, shared_by
from tests.config.conftest import Complaining, Loading


def test_the_settled_defaults() -> None:
    """An empty configuration has the contract's defaults, and all of them are closed."""
    settings = Settings()
    assert (settings.web.host, settings.web.port, settings.web.workers) == ("127.0.0.1", 8080, 1)
    assert (settings.scan.max_size, settings.scan.timeout) == (100_000_000, 60.0)
    assert settings.scan.temp_directory == Path("/tmp")  # noqa: S108
    assert settings.scan.error_exit_codes == {2}
    assert {
        settings.scan.on_oversize,
        settings.scan.scan_on_error,
        *settings.policy.model_dump().values(),
    } == {"block"}
    assert settings.limits.model_dump() == {
        "requests": 1000, "memory": 256 << 20, "disk": 4 << 30, "wait": 5.0, "idle": 30.0,
    }  # fmt: skip
    assert settings.proof.model_dump() == {
        "interval": 60.0, "failures": 3, "max_signature_age": 7 * 86400.0, "gates_readiness": True,
    }  # fmt: skip
    assert settings.library.model_dump() == {
        "memory": 64 << 20, "disk": 1 << 30, "path": Path("/var/lib/ostiary/library"), "revalidate": 300.0,
    }  # fmt: skip
    assert (settings.result_cache.ttl, settings.result_cache.max_file_size) == (3600.0, 20_000_000)
    assert settings.result_cache.redis_url == "redis://localhost:6379/1"
    assert (settings.download.timeout, settings.download.max_concurrent) == (60.0, 100)
    assert (settings.download.base_homeserver_url, settings.download.additional_headers) == (None, {})
    assert settings.crypto.request_secret_path == Path("/etc/ostiary/request_secret")
    assert settings.ledger.url == "sqlite:////var/lib/ostiary/ledger.db"
    assert settings.ledger.retention == 365 * 86400.0
    assert (settings.metrics.host, settings.metrics.port) == ("127.0.0.1", 9000)
    assert (settings.log.level, settings.log.format) == ("info", "console")
    assert [engine.type for engine in effective_engines(settings)] == ["yara"]


def test_nothing_set_is_nothing_inert() -> None:
    """Defaults that do not act yet are no operator's doing."""
    assert inert(Settings()) == ()


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("media_api: {enabled: true}", ["media_api.enabled"]),
        ("media_api: {enabled: false}", []),
        ("web: {workers: 1}", []),
        ("web: {workers: 4, public_url: http://h}", ["web.workers", "web.public_url"]),
        ("scan: {removal_command: rm, remove_metadata: false}", []),
        ("scan: {removal_command: srm, remove_metadata: uploads}",
         ["scan.remove_metadata"]),
        ("result_cache: {type: memory, ttl: 1w, max_size: 5, exit_codes_to_ignore: [1], grace: 1m}", []),
        ("result_cache: {type: redis, redis_url: 'redis://h'}", ["result_cache.type"]),
        ("rate_limit: {per_user: null, per_address: 1MB}", ["rate_limit.per_address"]),
        ("engines: [{type: yara}, {type: yara, proof: auto}, {type: yara, proof: none}]", []),
        ("synapse: {quarantine: true}\nledger: {retention: 1d}", ["synapse.quarantine", "ledger.retention"]),
        ("policy_rooms: {rooms: []}\ntracing:\n", []),
        ("download: {allow_direct: false, timeout: 5}", []),
        ("crypto: {pickle_key: x, pickle_path: y}", []),
        ("library: {memory: 0, disk: 0}", []),
    ],
)  # fmt: skip
def test_what_is_set_without_effect_is_named(load_text: Loading, text: str, keys: list[str]) -> None:
    """A key that somebody set and that does not act is named, unless it says what happens anyhow."""
    lines = tuple(f"{key} is not in this release and has no effect yet" for key in keys)
    assert inert(load_text(text)) == lines


def test_variables_count_as_set(load_text: Loading) -> None:
    """What the environment sets without effect is named too."""
    assert inert(load_text("", {"OSTIARY__LIBRARY__DISK": "5GB"})) == (
        "library.disk is not in this release and has no effect yet",
    )


def test_what_is_in_force() -> None:
    """The keys that act in this release, so that none is marked, or loses its mark, by accident."""
    in_force = {
        name if name == "engines" else f"{name}.{key}"
        for name, field in Settings.model_fields.items()
        if not any(isinstance(marker, NotYet) for marker in field.metadata)
        for key, inner in (
            getattr(Settings(), name).__class__.model_fields.items() if name != "engines" else [("", field)]
        )
        if not any(isinstance(marker, NotYet) for marker in inner.metadata)
    }
    assert in_force == {
        "engines",
        *(f"web.{key}" for key in ("host", "port")),
        *(
            f"scan.{key}"
            for key in (
                "script",
                "temp_directory",
                "removal_command",
                "allowed_mimetypes",
                "blocked_mimetypes",
                "max_size",
            )
        ),
        *(f"scan.{key}" for key in ("on_oversize", "scan_on_error", "timeout", "error_exit_codes")),
        *(f"policy.{key}" for key in ("encrypted_archive", "macro", "limit")),
        *(f"limits.{key}" for key in ("requests", "memory", "disk", "wait", "idle")),
        *(
            f"download.{key}"
            for key in ("base_homeserver_url", "proxy", "additional_headers", "headers_to_forward")
        ),
        *(f"download.{key}" for key in ("timeout", "max_concurrent", "allow_direct")),
        *(
            f"result_cache.{key}"
            for key in ("ttl", "max_size", "max_file_size", "exit_codes_to_ignore", "grace")
        ),
        *(f"proof.{key}" for key in ("interval", "failures", "max_signature_age", "gates_readiness")),
        "control.socket",
        *(f"library.{key}" for key in ("memory", "revalidate")),
        *(f"access.{key}" for key in ("check", "ttl")),
        *(f"crypto.{key}" for key in ("request_secret_path", "pickle_path", "pickle_key", "pickle_key_path")),
        *(f"metrics.{key}" for key in ("host", "port")),
        *(f"log.{key}" for key in ("level", "format")),
    }


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("", None),
        ("result_cache: {type: memory, redis_url: 'redis://h'}", None),
        ("ledger: {url: 'sqlite:////x'}", None),
        ("result_cache: {type: redis}", "result_cache.type: redis"),
        ("ledger: {url: 'postgresql://h/d'}", "a PostgreSQL ledger.url"),
        ("ledger: {url: 'PostgreSQL://h/d'}", "a PostgreSQL ledger.url"),
    ],
)
def test_what_replicas_share(load_text: Loading, text: str, setting: str | None) -> None:
    """Redis and PostgreSQL mean several replicas, which must have one key; the setting is named."""
    assert shared_by(load_text(text)) == setting


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("limits:\n  disk: 299MB", "2: limits.disk: limits.disk (299MB)"),
        ("scan:\n  max_size: 2GiB", "2: scan.max_size: limits.disk (4GiB)"),
        ("scan:\n  max_size: 2MB\nlimits:\n  disk: 5MB", "4: limits.disk: limits.disk (5MB)"),
    ],
)
def test_the_disk_holds_three_files(problems: Complaining, text: str, problem: str) -> None:
    """A file, its decrypted copy and a script's copy must fit, or the largest file never would."""
    (found,) = problems(text)
    assert found.startswith(f"ostiary.yaml:{problem} must hold 3 files of scan.max_size")


def test_three_files_fit_exactly(load_text: Loading) -> None:
    """The rule's own bound is in."""
    assert load_text("limits: {disk: 300MB}").limits.disk == 300_000_000


def test_all_rules_are_told_at_once(problems: Complaining) -> None:
    """Rules between sections are listed together, each at its key."""
    text = "engines:\n- {type: yara, name: a}\n- {type: yara, name: a}\nlimits: {disk: 0}\n"
    assert [line.partition(": ")[0] for line in problems(text)] == ["ostiary.yaml:3", "ostiary.yaml:4"]


def test_known_keys_are_the_sections_own() -> None:
    """Suggestions know every section, every engine type and both names of download."""
    keys = known_keys()
    assert {"web", "proxy", "download"} <= set(keys[""])
    assert "port" in keys["web"]
    assert "address" in keys["engines=clamd"]
    assert "address" not in keys["engines=yara"]
