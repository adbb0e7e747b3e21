"""The keys of an `icap` engine: their defaults, what is refused, and that the engine reads what loads."""

from pathlib import Path

import pytest

from ostiary.config.engines import IcapSettings
from ostiary.engines.icap.engine import IcapEngine
from ostiary.engines.registry import Circumstances, engine_of
from ostiary.wire.icap.presets import PRESETS
from tests.config.conftest import Complaining, Loading

AROUND = Circumstances(Path("/tmp"), "rm", frozenset({2}), frozenset(), 60.0)  # noqa: S108  (nothing is written)


def settings(load_text: Loading, more: str = "") -> IcapSettings:
    """Return the section of an icap engine with these keys."""
    (engine,) = load_text(f"engines: [{{type: icap, url: 'icap://av/x'{more}}}]").engines
    assert isinstance(engine, IcapSettings)
    return engine


def test_defaults(load_text: Loading) -> None:
    """Closed by default: a page without a name is an error, an ISTag proves nothing."""
    found = settings(load_text)
    assert (found.url, found.upload_url, found.preset) == ("icap://av/x", None, "generic")
    assert (found.reqmod, found.preview, found.istag_follows_signatures) == (True, True, False)
    assert (found.block_page, found.max_size, found.ca_path, found.concurrency) == ("error", None, None, 8)


def test_every_preset_makes_an_engine(load_text: Loading) -> None:
    """The names in the configuration are those of the table."""
    for name, preset in PRESETS.items():
        engine = engine_of(settings(load_text, f", preset: {name}"), AROUND)
        assert isinstance(engine, IcapEngine)
        assert engine.max_size == preset.max_size
        assert engine.directional


def test_keys_reach_the_engine(load_text: Loading) -> None:
    """Each key has its effect; statements count for `proof.interval` by default."""
    keys = ", upload_url: 'icaps://b/y', max_size: 5MB, reqmod: false, preview: false, block_page: infected"
    engine = engine_of(settings(load_text, keys + ", ca_path: /x.pem"), AROUND)
    assert isinstance(engine, IcapEngine)
    ways = engine._ways
    assert (ways.upload_url, ways.max_size, ways.keep) == ("icaps://b/y", 5_000_000, 60.0)
    assert (ways.reqmod, ways.preview, ways.page_is_infected) == (False, False, True)
    assert ways.ca_path == Path("/x.pem")
    assert engine.directional
    trusting = engine_of(settings(load_text, ", istag_follows_signatures: true"), AROUND)
    assert isinstance(trusting, IcapEngine)
    assert trusting._ways.keep == float("inf")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("url: http://av/x", "url: expected icap://host:port/service or icaps://host:port/service"),
        (
            "url: 'icap://u:hunter2@av/x'",
            "url: expected icap://host:port/service or icaps://host:port/service",
        ),
        ("url: 'icap://av:0/x'", "url: its host or port can't be read"),
        ("url: 'icap://av', upload_url: x", "upload_url: expected icap://host:port/service"),
        ("url: 'icap://av', preset: norton", 'preset: "norton" is none: one of generic, c-icap'),
        ("url: 'icap://av', max_size: 0", "max_size: "),
        ("url: 'icap://av', block_page: clean", 'block_page: "clean" is not one of error or infected'),
        ("preset: c-icap", "url: is missing"),
    ],
)
def test_refused_keys(problems: Complaining, keys: str, problem: str) -> None:
    """What could not work is a start error; no URL is repeated, for it may hold a password."""
    (found,) = problems(f"engines: [{{type: icap, {keys}}}]")
    assert found.startswith(f"ostiary.yaml:1: engines[0].{problem}")
    assert "hunter2" not in found
