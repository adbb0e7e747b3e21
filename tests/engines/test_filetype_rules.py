"""The file type engine: rules about types, with the weight of an engine."""

import pytest

from ostiary.blob import Blob
from ostiary.engines.filetype.detector import library_version
from ostiary.engines.filetype.engine import EMBEDDED_RULE, FileTypeEngine
from ostiary.engines.interface import Sample
from ostiary.errors import EngineError
from ostiary.model import Clean, Finding, Forbidden
from ostiary.policy import TYPE_RULE

PNG, ZIP, EXE = "image/png", "application/zip", "application/x-dosexec"
OF_TYPE, EMBEDDED = Forbidden(TYPE_RULE), Forbidden(EMBEDDED_RULE)


async def started(**rules: object) -> FileTypeEngine:
    """Return an engine that runs."""
    engine = FileTypeEngine("types", **rules)  # type: ignore[arg-type]
    await engine.start()
    return engine


@pytest.mark.parametrize(
    ("rules", "kinds", "finding"),
    [
        ({}, (PNG,), Clean()),
        ({}, (PNG, ZIP), EMBEDDED),
        ({"trailing_data": "allow"}, (PNG, ZIP), Clean()),
        ({"allow": ["image/*"]}, (PNG,), Clean()),
        ({"allow": ["image/*"]}, (ZIP,), OF_TYPE),
        ({"allow": ["image/*"], "trailing_data": "allow"}, (PNG, ZIP), OF_TYPE),
        ({"allow": []}, (PNG,), OF_TYPE),
        ({"block": ["application/*"]}, (PNG,), Clean()),
        ({"block": ["application/*"]}, (EXE,), OF_TYPE),
        ({"block": ["application/vnd.microsoft.*"]}, (EXE,), OF_TYPE),
        ({"block": [EXE], "trailing_data": "allow"}, (PNG, ZIP, EXE), OF_TYPE),
        ({"allow": ["*/*"], "block": ["image/png"]}, (PNG,), OF_TYPE),
    ],
)
async def test_what_it_forbids(rules: dict[str, object], kinds: tuple[str, ...], finding: Finding) -> None:
    """The lists hold for all types in the bytes; by default nothing else may lie in a file."""
    engine = await started(**rules)
    with Blob.of(b"x") as blob:
        statement = await engine.inspect(Sample(blob, kinds[0], kinds[1:]))
    assert statement.finding == finding
    assert statement.version == await engine.version()
    assert statement.version in await engine.versions()


async def test_the_version_is_what_decides() -> None:
    """libmagic, our rules and each list are in the version; the order of a list is not."""
    engines = [
        await started(),
        await started(allow=[PNG]),
        await started(allow=[]),
        await started(block=[PNG]),
        await started(trailing_data="allow"),
    ]
    versions = [await engine.version() for engine in engines]
    assert len(set(versions)) == len(versions)
    assert all(version.startswith(library_version()) for version in versions)
    one, other = await started(block=[PNG, ZIP]), await started(block=[ZIP, PNG])
    assert await one.version() == await other.version()


async def test_before_the_start_and_after_the_end_it_says_nothing() -> None:
    """An engine that does not run has no version and no word; ending twice does no harm."""
    engine = FileTypeEngine("types")
    running = await started()
    await running.close()
    await running.close()
    for silent in (engine, running):
        assert await silent.versions() == frozenset()
        with Blob.of(b"x") as blob, pytest.raises(EngineError):
            await silent.inspect(Sample(blob, PNG))


async def test_it_has_nothing_to_prove() -> None:
    """Rules about types find no known-bad sample, have no date and no direction."""
    engine = await started()
    assert engine.specimens is None
    assert await engine.signed_at() is None
    assert engine.directional is False
