"""The reference page: every key of the schema, no other, and the tables of today."""

import re
from pathlib import Path

from ostiary.config.load import load
from ostiary.config.reference import BEGIN, END, write, written_into
from ostiary.config.schema import json_schema
from ostiary.config.settings import inert

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "configuration.md"
ROW = re.compile(r"^\| `([a-z_.]+)` \|", re.MULTILINE)


def schema_keys() -> set[str]:
    """Return section.key for every key of the schema, and engines.key for those of engines."""
    schema = json_schema()
    keys: set[str] = set()
    for name, value in schema["properties"].items():
        branches = value["items"]["oneOf"] if name == "engines" else [value]
        for branch in branches:
            definition = schema["$defs"][branch["$ref"].rpartition("/")[2]]
            keys |= {f"{name}.{key}" for key in definition["properties"]}
    return {key for key in keys if not key.startswith("proxy.")}


def page_keys(page: str) -> set[str]:
    """Return the keys that the page's tables describe, those of engines under their heading."""
    keys: set[str] = set()
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        heading = part.partition("\n")[0]
        keys |= {key if "." in key else f"{heading}.{key}" for key in ROW.findall(part)}
    return {key for key in keys if not key.startswith("Which engines run.")}


def test_every_key_is_documented_and_no_other() -> None:
    """A key without its line, or a line without its key, fails."""
    assert page_keys(PAGE.read_text("utf-8")) - {"Which engines run.scan.script"} == schema_keys()


def test_the_prose_names_keys_that_exist() -> None:
    """Whatever is written as section.key exists."""
    sections = {key.partition(".")[0] for key in schema_keys()}
    for section, key in re.findall(r"`([a-z_]+)\.([a-z_]+)`", PAGE.read_text("utf-8")):
        if section in sections and f"{section}.{key}" != "ostiary.yaml":
            assert f"{section}.{key}" in schema_keys()


def test_the_tables_are_those_of_today() -> None:
    """Types, defaults and meanings come from the sections: `python -m ostiary.config.reference FILE`."""
    page = PAGE.read_text("utf-8")
    assert written_into(page) == page


def test_a_page_is_brought_up_to_date(tmp_path: Path) -> None:
    """What stands between the markers is replaced, and nothing around it."""
    page = PAGE.read_text("utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    copy = tmp_path / "page.md"
    copy.write_text(f"{before}{BEGIN}\nold\n{END}{after}", "utf-8")
    write(copy)
    assert copy.read_text("utf-8") == page


def test_the_example_loads_and_everything_in_it_acts() -> None:
    """The file to begin with is valid, and sets nothing that has no effect."""
    settings = load(ROOT / "ostiary.example.yaml", {})
    assert inert(settings) == ()
    assert settings.download.base_homeserver_url == "http://localhost:8008"


def test_the_pages_examples_load(tmp_path: Path) -> None:
    """What the page shows as YAML can be copied."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        file = tmp_path / "ostiary.yaml"
        file.write_text(block)
        load(file, {})
