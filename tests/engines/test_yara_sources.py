"""Which rule files are read, in which order, and which are refused."""

from pathlib import Path

import pytest

import ostiary.engines.yara.sources
from ostiary.engines.yara.sources import BUILTIN, digest, read_sources
from ostiary.errors import ConfigError

RULE = "rule a { condition: false }"


def test_a_folder_is_read_sorted_and_deep(tmp_path: Path) -> None:
    """Files of both suffixes count, in subfolders too, in one order on every machine."""
    for name in ("b.yar", "a.yara", "deep/er/c.yar", "notes.txt", ".hidden.yar", ".git/d.yar"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(RULE)
    origins = [source.origin for source in read_sources([tmp_path])]
    assert origins == [str(tmp_path / name) for name in ("a.yara", "b.yar", "deep/er/c.yar")]


def test_a_config_map_is_read_once(tmp_path: Path) -> None:
    """Links to files are followed, links to folders are not: no file twice, no loops."""
    data = tmp_path / "..2026_01_01"
    data.mkdir()
    (data / "a.yar").write_text(RULE)
    (tmp_path / "..data").symlink_to(data)
    (tmp_path / "a.yar").symlink_to("..data/a.yar")
    (tmp_path / "again").symlink_to(tmp_path)
    assert [source.origin for source in read_sources([tmp_path])] == [str(tmp_path / "a.yar")]


def test_every_file_has_a_namespace_of_its_own(tmp_path: Path) -> None:
    """Two files may use one rule name; built-in rules come first where they are named first."""
    (tmp_path / "a.yar").write_text(RULE)
    sources = read_sources([BUILTIN, str(tmp_path / "a.yar"), tmp_path])
    assert len({source.namespace for source in sources}) == len(sources)
    assert sources[0].origin == "builtin/eicar.yar"
    assert sources[-1].text == RULE


def test_the_digest_sees_where_files_end(tmp_path: Path) -> None:
    """The same text cut elsewhere, or in another order, has another digest."""
    digests = set()
    for texts in (["ab", "c"], ["a", "bc"], ["abc"], ["c", "ab"]):
        paths = []
        for number, text in enumerate(texts):
            paths.append(tmp_path / f"{number}.yar")
            paths[-1].write_text(text)
        digests.add(digest(read_sources(paths)))
    assert len(digests) == 4


@pytest.mark.parametrize(("name", "value"), [("FILE_LIMIT", 20), ("TOTAL_LIMIT", 50), ("COUNT_LIMIT", 1)])
def test_rules_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    """A file, all files, and their number have limits; the message names the file."""
    monkeypatch.setattr(ostiary.engines.yara.sources, name, value)
    for number in range(2):
        (tmp_path / f"{number}.yar").write_text(RULE)
    with pytest.raises(ConfigError, match=r"\d\.yar: "):
        read_sources([tmp_path])


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that can't be listed is an error, not an empty folder."""

    def refuse(_path: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(ConfigError, match="Permission denied"):
        read_sources([tmp_path])
